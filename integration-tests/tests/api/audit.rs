//! The audit devices: what they record, what becomes of it, and what they do to those who wait.

#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

use crate::lending::{Lending, config, until};
use leasehold_integration_tests::server::{Place, Server, command};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Checks what people are told of a record whose end may be missing, and of one that is whole.
fn the_end_is_known_to_be_there_only_if_it_was_asked_for(arguments: &[&str], end: u64) {
    let said = |more: &[&str]| {
        let said = command(&[&["audit", "verify"], more, arguments].concat()).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    let open = said(&[]);
    let sound = format!("The record is sound up to line {end}");
    assert!(open.contains(&format!("{sound}. Whether it")), "{open}");
    assert!(open.contains("-reaches=NUMBER:HASH"), "{open}");
    let whole = said(&[&format!("-reaches={end}")]);
    assert!(whole.ends_with(&format!("{sound}, and reaches as far as it must.\n")), "{whole}");
}

/// Runs `leasehold audit verify`; returns its exit code, and its report.
fn verify(arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["audit", "verify", "-format=json"], arguments].concat();
    let done = command(&arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    (done.status.code(), serde_json::from_slice(&done.stdout).unwrap_or(said.into()))
}

fn kinds(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["kind"].as_str().unwrap()).collect()
}

async fn device(server: &Server, name: &str) -> Value {
    server.get("sys/audit").await.expect(200).data()[format!("{name}/")].clone()
}

async fn key_of_first(server: &Server) -> String {
    format!("-public-key={}", device(server, "first").await["public_key"].as_str().unwrap())
}

#[tokio::test]
async fn devices_are_shown_and_declared_only_in_the_configuration() {
    let place = Place::with(
        "audit \"socket\" \"far\" {\n description = \"afar\"\n options {\n  address = \"127.0.0.1:1\"\n  socket_type = \"udp\"\n }\n}",
    );
    let server = place.found().await;
    let listed = server.get("sys/audit").await.expect(200);
    assert_eq!(listed.data().as_object().unwrap().len(), 2);
    let far = &listed.data()["far/"];
    assert_eq!(listed.body["far/"], *far);
    for (field, shown) in [
        ("type", json!("socket")),
        ("description", json!("afar")),
        ("path", json!("far/")),
        ("local", json!(false)),
        ("acknowledges", json!(false)),
        (
            "options",
            json!({ "address": "127.0.0.1:1", "socket_type": "udp", "write_timeout": "2s" }),
        ),
    ] {
        assert_eq!(far[field], shown, "{field}");
    }
    let key = device(&server, "first").await["public_key"].as_str().unwrap().to_owned();
    assert_eq!(key.len(), 64);
    assert!(server.log().contains(&key), "the key is logged at the start");
    // What a text is in the record is told as in Vault, by each device's own key.
    let hash = |name: &'static str| {
        let server = &server;
        async move { server.post(&format!("sys/audit-hash/{name}"), json!({ "input": "x" })).await }
    };
    let (first, far) = (hash("first").await.expect(200), hash("far/").await.expect(200));
    assert!(first.at("/data/hash").starts_with("hmac-sha256:"));
    assert_ne!(first.at("/data/hash"), far.at("/data/hash"));
    assert_eq!(hash("nope").await.expect(400).errors(), "unknown audit backend \"nope/\"");
    let _ = server.post("sys/audit-hash/first", json!({})).await.expect(400);
    let shown = json!({ "input": server.token });
    let shown = server.post("sys/audit-hash/first", shown).await.expect(200);
    let record = fs::read_to_string(place.path("audit")).unwrap();
    assert!(record.contains(&format!(r#""client_token":"{}""#, shown.at("/data/hash"))));

    let body = json!({ "type": "file", "options": { "file_path": place.path("new") } });
    let refused = server.post("sys/audit/new", body).await.expect(400);
    assert!(refused.errors().contains("declarative, config-based audit device management"));
    let _ = server.delete("sys/audit/first").await.expect(400);
    let _ = server.delete("sys/audit/nope").await.expect(204);
    assert!(!place.path("new").exists());
    assert_eq!(server.get("sys/audit").await.expect(200).data().as_object().unwrap().len(), 2);
}

/// One file of two begins within the chain: a fault, unless it is told what was checked before.
fn goes_on_only_behind_what_was_checked(key: &str, moved: &str, path: &str) {
    let (code, report) = verify(&[key, path]);
    assert_eq!((code, kinds(&report)), (Some(2), vec!["headless"]));
    let (code, first) = verify(&[key, moved]);
    assert_eq!(code, Some(0), "{first}");
    let last = &first["last"];
    let last = format!("-after={}:{}", last["number"], last["hash"].as_str().unwrap());
    assert_eq!(verify(&[key, &last, path]).0, Some(0));
    assert_eq!(verify(&[key, "-after=1", path]).0, Some(2));
    assert_eq!(verify(&[key, "-after=x", path]).0, Some(1));
}

#[tokio::test]
async fn what_is_done_to_a_record_is_found_without_the_server() {
    let place = Place::new();
    let server = place.found().await;
    let key = key_of_first(&server).await;
    let _ = server.get("sys/mounts").await.expect(200);
    // A part is moved away, as log rotation does.
    let (moved, record) = (place.path("audit.1"), place.path("audit"));
    fs::rename(&record, &moved).unwrap();
    server.signal(nix::sys::signal::Signal::SIGHUP);
    until("there is a new file", async || record.exists()).await;
    for _ in 0..5 {
        let _ = server.get("sys/mounts").await.expect(200);
    }
    let token = server.token.clone();
    assert!(server.end().success());
    let [moved, path] = [&moved, &record].map(|path| path.display().to_string());
    let (code, report) = verify(&[&key, &moved, &path]);
    assert_eq!((code, &report["findings"]), (Some(0), &json!([])), "{report}");
    let end = report["last"]["number"].as_u64().unwrap();
    assert_eq!((report["first"].as_u64(), report["signed_to"].as_u64()), (Some(1), Some(end)));
    the_end_is_known_to_be_there_only_if_it_was_asked_for(&[&key, &moved, &path], end);
    goes_on_only_behind_what_was_checked(&key, &moved, &path);
    // The wrong order, and another key, are faults.
    assert_eq!(verify(&[&key, &path, &moved]).0, Some(2));
    assert_eq!(verify(&[&format!("-public-key={}", "0".repeat(64)), &moved, &path]).0, Some(2));
    assert_eq!(verify(&["-public-key=x", &path]).0, Some(1));
    assert_eq!(verify(&[&key, &place.path("nope").display().to_string()]).0, Some(1));

    let whole = fs::read_to_string(&record).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let written = |lines: &[&str]| {
        fs::write(&record, lines.iter().flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
    };
    let mut removed = lines.clone();
    removed.remove(3);
    let changed = lines[4].replace("read", "list");
    let mut altered = lines.clone();
    altered[4] = &changed;
    let mut swapped = lines.clone();
    swapped.swap(2, 5);
    for (lines, found) in [(removed, "removed"), (altered, "changed"), (swapped, "moved")] {
        written(&lines);
        let (code, report) = verify(&[&key, &moved, &path]);
        assert_eq!(code, Some(2), "{found} {report}");
        assert!(kinds(&report).contains(&found), "{found} {report}");
    }
    // An end that was cut off, where a line ends and within one, is found by whoever knows the number.
    let reaches = format!("-reaches={end}");
    written(&lines[..lines.len() - 2]);
    assert_eq!(kinds(&verify(&[&key, &reaches, &moved, &path]).1), ["partial", "cut"]);
    let half: String = whole.chars().take(whole.len() - 30).collect();
    fs::write(&record, half).unwrap();
    let (code, report) = verify(&[&key, &reaches, &moved, &path]);
    assert_eq!((code, kinds(&report).contains(&"torn")), (Some(2), true), "{report}");

    // The next start finds it as well, and says so in the log and in the record.
    let server = place.again(&token);
    assert!(server.log().contains("ends before where it was left"), "{}", server.log());
    let _ = server.get("sys/mounts").await.expect(200);
    assert!(server.end().success());
    let (code, report) = verify(&[&key, &moved, &path]);
    assert_eq!((code, kinds(&report).contains(&"cut")), (Some(2), true), "{report}");
    assert!(kinds(&report).contains(&"torn"), "{report}");
}

#[tokio::test]
async fn a_server_that_was_killed_goes_on_with_its_record() {
    let place = Place::new();
    let mut server = place.found().await;
    let key = key_of_first(&server).await;
    for round in 0..3 {
        for _ in 0..20 {
            let _ = server.get("sys/mounts").await.expect(200);
        }
        server.kill();
        if round == 1 {
            let mut record = fs::OpenOptions::new().append(true).open(place.path("audit")).unwrap();
            record.write_all(b"{\"time\":\"2026").unwrap();
        }
        server = place.again(&server.token.clone());
    }
    assert!(server.end().success());
    let (code, report) = verify(&[&key, &place.path("audit").display().to_string()]);
    let but_unsigned = kinds(&report).into_iter().filter(|kind| *kind != "partial");
    assert_eq!((code, but_unsigned.collect()), (Some(0), vec!["torn"]), "{report}");
    assert!(report["lines"].as_u64().unwrap() > 120, "{report}");
}

#[tokio::test]
async fn a_seal_ends_the_record_which_goes_on_once_the_store_is_open() {
    let place = crate::seal::place("");
    let (server, told) = crate::seal::unsealed(&place).await;
    let key = key_of_first(&server).await;
    let _ = server.post("sys/seal", json!({})).await.expect(204);
    let path = place.path("audit").display().to_string();
    let reason = |line: Option<&str>| {
        serde_json::from_str::<Value>(line.unwrap()).unwrap()["note"]["reason"].clone()
    };
    let ended = fs::read_to_string(&path).unwrap();
    assert_eq!(reason(ended.lines().last()), "ended");

    for share in &told.shares[1..] {
        crate::seal::show(&server, share).await;
    }
    let goes_on = fs::read_to_string(&path).unwrap();
    assert_eq!(reason(goes_on.lines().nth(ended.lines().count())), "began");
    assert!(server.end().success());
    let (code, report) = verify(&[&key, &path]);
    assert_eq!((code, kinds(&report)), (Some(0), vec![]), "{report}");
}

/// Answers each request with this status, until it is told otherwise.
fn http_server(well: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/audit", listener.local_addr().unwrap());
    let well = Arc::clone(well);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, well) = (stream.unwrap(), Arc::clone(&well));
            std::thread::spawn(move || {
                let (mut text, mut piece) = (Vec::new(), vec![0; 65536]);
                while let Ok(length @ 1..) = stream.read(&mut piece) {
                    text.extend_from_slice(&piece[..length]);
                    let told = String::from_utf8_lossy(&text).to_ascii_lowercase();
                    let Some((head, body)) = told.split_once("\r\n\r\n") else { continue };
                    let (_, length) = head.split_once("content-length: ").unwrap();
                    if body.len() < length.lines().next().unwrap().parse::<usize>().unwrap() {
                        continue;
                    }
                    let status = if well.load(Ordering::SeqCst) { "200 OK" } else { "500 No" };
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).unwrap();
                    text.clear();
                }
            });
        }
    });
    uri
}

#[tokio::test]
async fn devices_that_block_and_fail_keep_nobody_waiting() {
    // Its backlog takes the connection, and nobody ever reads.
    let blocks = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = http_server(&Arc::default());
    let place = Place::with(&format!(
        "audit \"socket\" \"blocks\" {{\n options {{ address = \"{}\" }}\n}}\n\
         audit \"http\" \"fails\" {{\n options {{ uri = \"{uri}\" }}\n}}\n\
         audit \"syslog\" \"nobody\" {{\n options {{ path = \"{{folder}}/nobody\" }}\n}}",
        blocks.local_addr().unwrap()
    ));
    let server = place.found().await;
    let asking = async {
        for _ in 0..500 {
            let body = json!({ "type": "x", "options": { "a": "y".repeat(3000) } });
            let _ = server.post("sys/mounts/nope", body).await.expect(400);
        }
    };
    // A device that kept callers waiting would cost two seconds each time.
    tokio::time::timeout(Duration::from_mins(1), asking).await.unwrap();
    let metrics = server.get("sys/metrics?format=prometheus").await.expect(200).text;
    let count = |name: &str, device: &str| {
        let series = format!("{name}{{device=\"{device}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap_or_else(|| panic!("{series}: {metrics}")).parse::<f64>().unwrap()
    };
    let failed = "leasehold_audit_device_failed_total";
    assert!(count(failed, "fails") > 0.0 && count(failed, "nobody") > 0.0, "{metrics}");
    assert!(count(failed, "first") < 1.0);
    let key = key_of_first(&server).await;
    assert!(server.end().success());
    let (code, report) = verify(&[&key, &place.path("audit").display().to_string()]);
    assert_eq!((code, &report["findings"]), (Some(0), &json!([])), "{report}");
}

#[tokio::test]
async fn nothing_is_done_while_no_device_acknowledges() {
    let well = Arc::new(AtomicBool::new(true));
    let uri = http_server(&well);
    let place = Place::new();
    let config = fs::read_to_string(place.path("config.hcl")).unwrap();
    let (before, _) = config.split_once("audit \"file\"").unwrap();
    let http = format!("audit \"http\" \"far\" {{\n options {{ uri = \"{uri}\" }}\n}}");
    place.configure(&format!("{before}{http}\n"));
    let server = place.found().await;
    let _ = server.post("sys/mounts/one", json!({ "type": "database" })).await.expect(204);
    well.store(false, Ordering::SeqCst);
    let refused = server.post("sys/mounts/two", json!({ "type": "database" })).await.expect(500);
    assert!(refused.errors().contains("audit device `far` did not record"), "{}", refused.text);
    well.store(true, Ordering::SeqCst);
    let mounts = server.get("sys/mounts").await.expect(200);
    let is_there = |path: &str| mounts.data().get(path).is_some();
    assert!(is_there("one/") && !is_there("two/"), "{}", mounts.text);
    // Devices of which none says when it has a line are refused before anything starts.
    let socket = "audit \"socket\" \"s\" {\n options { address = \"127.0.0.1:9\" }\n}";
    place.configure(&format!("{before}{socket}\n"));
    assert!(server.end().success());
    let why = place.try_start().unwrap_err();
    assert!(why.contains("no audit device says when it has a line"), "{why}");
}

#[tokio::test]
async fn whose_a_credential_is_can_be_told_while_it_lives_and_afterwards() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let made = json!({ "policies": ["root"], "display_name": "shop" });
    let token = server.post("auth/token/create", made).await.expect(200);
    let (text, accessor) = (token.at("/auth/client_token"), token.at("/auth/accessor"));
    let lent = server.ask(text, "GET", "database/creds/app", Value::Null).await.expect(200);
    let (lease, username) = (lent.at("/lease_id"), lent.at("/data/username"));
    let whois = async |name: &str| server.post("sys/whois", json!({ "name": name })).await;
    for name in [username, lease, lease.rsplit('/').next().unwrap(), &username.to_uppercase()] {
        let found = whois(name).await.expect(200);
        let [told] = found.data()["leases"].as_array().unwrap().as_slice() else {
            panic!("{name}: {}", found.text)
        };
        assert_eq!((&told["lease_id"], &told["username"]), (&json!(lease), &json!(username)));
        assert_eq!((&told["state"], &told["role"]), (&json!("held"), &json!("app")));
        assert_eq!((&told["mount"], &told["target"]), (&json!("database/"), &json!("pg")));
        assert_eq!(
            told["holder"],
            json!({
                "display_name": "token-shop", "accessor": accessor, "policies": ["root"], "entity": null,
            })
        );
        assert_eq!(told["request_id"], lent.body["request_id"]);
    }
    // A name that has room for the bits only.
    let short = json!({ "username_template": "v-{{ .RoleName }}" });
    let short = config(&lending.target)
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .chain(short.as_object().unwrap().clone())
        .collect::<serde_json::Map<_, _>>();
    let _ = server.post("database/config/pg", Value::Object(short)).await.expect(204);
    let bits = lending.lend().await;
    assert!(bits.username.len() < 26, "{}", bits.username);
    let told = whois(&bits.username).await.expect(200);
    assert_eq!(told.data()["leases"][0]["lease_id"], json!(bits.lease_id));

    let of_token = whois(accessor).await.expect(200);
    assert_eq!(of_token.data()["leases"].as_array().unwrap().len(), 1);
    assert_eq!(of_token.data()["token"]["display_name"], "token-shop");

    let body = json!({ "lease_id": lease, "sync": true });
    let _ = server.post("sys/leases/revoke", body).await.expect(204);
    let _ = server.post("auth/token/revoke", json!({ "token": text })).await.expect(204);
    let told = whois(username).await.expect(200).data()["leases"][0].clone();
    assert_eq!((&told["state"], &told["lease_id"]), (&json!("settled"), &json!(lease)));
    assert!(told["settle_time"].is_string(), "{told}");
    assert_eq!(
        (&told["holder"]["accessor"], &told["holder"]["policies"]),
        (&json!(accessor), &Value::Null)
    );
    // Once the token is gone nothing is known by its accessor.
    let _ = whois(accessor).await.expect(404);
    let _ = server.ask("", "POST", "sys/whois", json!({ "name": username })).await.expect(403);
    let binary = std::fs::read_link(format!("/proc/{}/exe", server.pid())).unwrap();
    let mut command = std::process::Command::new(binary);
    command.args(["whois", username]).env("VAULT_TOKEN", &server.token);
    let done = command.env("VAULT_ADDR", format!("http://{}", server.address())).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.contains("settled") && said.contains("token-shop"), "{said}");
}

#[tokio::test]
async fn whois_knows_who_administers_a_target_and_says_of_whom_nothing_is_known() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let whois = async |name: &str| server.post("sys/whois", json!({ "name": name })).await;
    let known = whois("postgres").await.expect(200).data()["accounts"][0].clone();
    assert_eq!((&known["target"], &known["static_role"]), (&json!("pg"), &Value::Null));
    for nobody in ["postgre", "v-token-app-00000000000000000000000000-1"] {
        let refused = whois(nobody).await.expect(404);
        assert!(refused.errors().contains("nothing is known by this name"), "{}", refused.text);
    }
    for bad in ["", &"x".repeat(1025)] {
        let _ = whois(bad).await.expect(400);
    }
}

#[tokio::test]
async fn the_record_knows_every_mount_by_the_accessor_that_it_is_listed_with() {
    let place = Place::new();
    let server = place.found().await;
    let _ = server.post("sys/auth/approle", json!({ "type": "approle" })).await.expect(204);
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    let mounts = server.get("sys/mounts").await.expect(200);
    let methods = server.get("sys/auth").await.expect(200);
    for path in ["auth/token/accessors", "auth/approle/role", "database/config"] {
        let _ = server.list(path).await;
    }
    let lines = fs::read_to_string(place.path("audit")).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (path, listed, name) in [
        ("sys/auth", &mounts, "sys/"),
        ("database/config", &mounts, "database/"),
        ("auth/token/accessors", &methods, "token/"),
        ("auth/approle/role", &methods, "approle/"),
    ] {
        let line = lines.iter().find(|line| line["request"]["path"] == path).unwrap();
        let accessor = &line["request"]["mount_accessor"];
        assert!(accessor.is_string() && *accessor == listed.data()[name]["accessor"], "{line}");
    }
}

#[tokio::test]
async fn the_keys_of_a_device_are_exchanged_and_its_record_goes_on() {
    let place = Place::new();
    let server = place.found().await;
    let hashed = async |server: &Server| {
        let told = server.post("sys/audit-hash/first", json!({ "input": "x" })).await.expect(200);
        told.at("/data/hash").to_owned()
    };
    let before = hashed(&server).await;
    let first = device(&server, "first").await["public_key"].clone();
    let told = server.command(&["audit", "rotate-keys", "first"]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("Version 2 of the keys takes over"), "{told}");
    let shown = device(&server, "first").await;
    let second = shown["public_keys"]["2"].as_str().unwrap().to_owned();
    assert!(told.contains(&second) && first != second.as_str());
    // Within a process a text has one hash.
    assert_eq!(shown["public_key"], first);
    assert_eq!(hashed(&server).await, before);
    let refused = server.post("sys/audit-keys/nope", Value::Null).await.expect(400);
    assert_eq!(refused.errors(), "unknown audit backend \"nope/\"");

    let token = server.token.clone();
    assert!(server.end().success());
    let server = place.again(&token);
    assert!(server.log().contains(&second));
    let shown = device(&server, "first").await;
    assert_eq!((&shown["public_key"], &shown["public_keys"]["1"]), (&json!(second), &first));
    assert_ne!(hashed(&server).await, before);
    assert!(server.end().success());
    let path = place.path("audit").display().to_string();
    let keys = [first.as_str().unwrap(), &second].map(|key| format!("-public-key={key}"));
    let (code, report) = verify(&[&keys[0], &keys[1], &path]);
    assert_eq!((code, &report["findings"]), (Some(0), &json!([])), "{report}");
    for key in &keys {
        assert_eq!(verify(&[key, &path]).0, Some(2), "one key is not enough");
    }
    let record = fs::read_to_string(&path).unwrap();
    let last = record.lines().last().unwrap();
    assert!(record.starts_with('{') && last.contains(r#""chain":{"key":2,"#), "{last}");
}

#[tokio::test]
async fn a_device_that_is_declared_no_longer_is_told_of_until_an_operator_says_that_it_is_meant() {
    let second = "audit \"socket\" \"second\" {\n options {\n  address = \"127.0.0.1:1\"\n  socket_type = \"udp\"\n }\n}";
    let place = Place::with(second);
    let server = place.found().await;
    let token = server.token.clone();
    assert!(server.get("sys/audit").await.expect(200).body["warnings"].is_null());
    let _ = server.end();
    let written = fs::read_to_string(place.path("config.hcl")).unwrap();
    place.configure(&written.replace(second, ""));

    let server = place.again(&token);
    let said = |server: &Server| server.log().matches("is not declared any more").count();
    assert_eq!(said(&server), 1, "{}", server.log());
    let listed = server.get("sys/audit").await.expect(200);
    assert!(listed.body["warnings"][0].as_str().unwrap().contains("`second`"), "{}", listed.text);
    let metrics = server.get("sys/metrics?format=prometheus").await;
    let told = "leasehold_audit_devices{declared=\"false\"} 1";
    assert!(metrics.text.contains(told), "{}", metrics.text);
    let record = fs::read_to_string(place.path("audit")).unwrap();
    assert!(record.contains("the audit device is not declared any more"), "{record}");

    let _ = server.delete("sys/audit/second").await.expect(204);
    assert!(server.get("sys/audit").await.expect(200).body["warnings"].is_null());
    let _ = server.end();
    let server = place.again(&token);
    assert_eq!(said(&server), 1, "{}", server.log());
}

#[tokio::test]
async fn a_server_that_records_nothing_says_so() {
    let server = Server::dev();
    assert!(server.log().contains("no audit device is declared"), "{}", server.log());
    let metrics = server.get("sys/metrics?format=prometheus").await;
    let told = "leasehold_audit_devices{declared=\"true\"} 0";
    assert!(metrics.text.contains(told), "{}", metrics.text);
}
