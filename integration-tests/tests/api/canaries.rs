//! Secrets in every field and of every kind, and that none of them is anywhere afterwards: audit, logs, store, backup,
//! metrics, errors.
//!
//! Named after what others have leaked: CVE-2024-8365 (tokens and accessors in the audit), CVE-2025-62513 (bytes and
//! raw bodies in it), CVE-2025-62705 (values of kinds that nobody had thought of), CVE-2025-4166 and CVE-2025-52893 (what
//! could not be parsed, in the error and in the log).

#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

use crate::lending::Lending;
use leasehold_integration_tests::server::{Answer, Place, Server};
use leasehold_server::listed_paths;
use serde_json::{Value, json};
use sqlx::Executor;
use std::collections::BTreeSet;
use std::fs;

/// In every text; no other text has it.
const CANARY: &str = "c4n4ry";
/// The same as a number, as who has a password of digits may write it.
const NUMBER: u64 = 7_203_948_571_936_405;

/// The canary as bytes are written in JSON.
fn forms() -> Vec<String> {
    let number = NUMBER.to_string();
    vec![CANARY.to_owned(), number, "YzRuNHJ5".to_owned(), "63346e347279".to_owned()]
}

fn assert_nowhere(what: &str, text: &[u8]) {
    for line in text.split(|byte| *byte == b'\n') {
        for form in forms() {
            let mut windows = line.windows(form.len());
            let is_there = windows.any(|window| window.eq_ignore_ascii_case(form.as_bytes()));
            assert!(!is_there, "{form} is in {what}: {}", String::from_utf8_lossy(line));
        }
    }
}

/// A body with a canary of every kind under each name.
fn body(names: &[&str], kind: usize) -> Value {
    let kinds = [
        json!(format!("{CANARY}-text")),
        json!(NUMBER),
        json!([format!("{CANARY}-a"), NUMBER, [format!("{CANARY}-b")]]),
        json!({ "in": { "deep": format!("{CANARY}-c"), "n": NUMBER } }),
        json!("YzRuNHJ5"),
        json!(format!("{CANARY}{}", "x".repeat(5000))),
        json!(format!("{CANARY}=pair,{CANARY}")),
    ];
    let fields = names.iter().map(|name| ((*name).to_owned(), kinds[kind].clone()));
    Value::Object(fields.collect())
}

#[tokio::test]
async fn cve_2025_62513_and_62705_no_field_of_any_kind_shows_a_secret() {
    let place = Place::new();
    let lending = Lending::on(place.found().await).await;
    let server = &lending.server;
    let paths: [(&str, &[&str]); 12] = [
        ("sys/mounts/x", &["type", "description", "config", "options"]),
        ("sys/mounts/database/tune", &["description", "default_lease_ttl", "options"]),
        (
            "database/config/pg",
            &["password", "username", "connection_url", "tls_ca", "private_key"],
        ),
        ("database/config/other", &["plugin_name", "password", "connection_url", "allowed_roles"]),
        ("database/roles/app", &["creation_statements", "default_ttl", "username_template"]),
        ("auth/token/create", &["id", "policies", "ttl", "meta", "display_name", "num_uses"]),
        ("auth/token/lookup", &["token"]),
        ("auth/token/revoke-accessor", &["accessor"]),
        ("sys/leases/lookup", &["lease_id"]),
        ("sys/audit-hash/first", &["input"]),
        ("sys/whois", &["name"]),
        ("sys/unknown", &["password", "nobody-knows-it"]),
    ];
    for (path, names) in paths {
        for kind in 0..7 {
            for token in [server.token.as_str(), "wrong", ""] {
                let answer = server.ask(token, "POST", path, body(names, kind)).await;
                // Who wrote a value may be told it again; who has no token sees nothing of it.
                if token != server.token {
                    assert_eq!(answer.status, 403, "{path} {}", answer.text);
                    assert_nowhere(path, answer.text.as_bytes());
                }
            }
        }
    }
    let token = server.token.as_str();
    let query = format!("database/creds/nope?password={CANARY}&n={NUMBER}&list={CANARY}");
    let _ = server.get(&query).await;
    let key = format!("{CANARY}-key");
    let headers =
        [("Idempotency-Key", key.as_str()), ("X-Request", CANARY), ("User-Agent", CANARY)];
    let _ = server.send(token, "GET", "database/creds/app", &headers, Vec::new()).await;

    assert!(fs::read_to_string(place.path("audit")).unwrap().lines().count() > 400);
    all_is_kept(&place, lending.server, &[]).await;
}

/// What must not be asked of a server that is to answer the next request as well.
const ENDS_IT: [&str; 2] = ["sys/seal", "auth/token/revoke-self"];

/// Returns every text in the sources that could be the name of a field.
fn names_in(folder: &std::path::Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            names_in(&entry.path(), names);
            continue;
        }
        let source = fs::read_to_string(entry.path()).unwrap();
        let plain = |text: &&str| {
            let fits =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            (2..40).contains(&text.len()) && text.bytes().all(fits)
        };
        names.extend(source.split('"').filter(plain).map(str::to_owned));
    }
}

#[tokio::test]
async fn no_field_of_any_path_of_the_tables_shows_a_secret() {
    let place = Place::new();
    let server = place.found().await;
    with_methods(&server).await;
    for kind in ["database", "aws"] {
        let _ =
            server.post(&format!("sys/mounts/{kind}"), json!({ "type": kind })).await.expect(204);
    }
    let mut names = BTreeSet::new();
    for sources in ["../server/src/api", "../engines/src"] {
        names_in(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(sources), &mut names);
    }
    for known in
        ["password", "connection_url", "secret_key", "token_bound_cidrs", "user_lockout_config"]
    {
        assert!(names.contains(known), "{known} is in none of the sources");
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let asked = listed_paths();
    let asked = asked.iter().filter(|listed| !ENDS_IT.contains(&listed.path.as_str()));
    let asked: Vec<_> = asked.filter(|listed| listed.methods.contains(&"POST")).collect();
    assert!(asked.len() > 90, "{}", asked.len());
    for listed in asked {
        let mount = match listed.behind {
            "" => String::new(),
            method @ ("userpass" | "approle") => format!("auth/{method}/"),
            engine => format!("{engine}/"),
        };
        let path = format!("{mount}{}", listed.path.replace("{name}", "app"));
        for names in names.chunks(200) {
            for kind in [0, 1, 3] {
                for token in [server.token.as_str(), ""] {
                    let answer = server.ask(token, "POST", &path, body(names, kind)).await;
                    assert!(answer.status != 500, "{path}: {}", answer.text);
                    // An operator may be told which of their words was wrong; a stranger is told nothing of theirs.
                    if token.is_empty() {
                        assert_nowhere(&path, answer.text.as_bytes());
                    }
                }
            }
        }
    }
    let _ = server.get("auth/token/lookup-self").await.expect(200);
    all_is_kept(&place, server, &[]).await;
}

/// Looks for the canary, and for further secrets, in all that a server keeps and shows.
async fn all_is_kept(place: &Place, server: Server, secrets: &[String]) {
    let backup = place.path("backup");
    let backing_up = ["operator", "backup", backup.to_str().unwrap()];
    let status = tokio::process::Command::from(server.command(&backing_up)).status().await;
    assert!(status.unwrap().success());
    let mut kept = vec![
        ("the log", server.log().into_bytes()),
        ("the audit", fs::read(place.path("audit")).unwrap()),
        ("the backup", fs::read(backup).unwrap()),
    ];
    for path in ["sys/metrics", "sys/metrics?format=prometheus", "sys/audit"] {
        kept.push((path, server.get(path).await.expect(200).text.into_bytes()));
    }
    assert!(server.end().success());
    for entry in fs::read_dir(place.path("store")).unwrap() {
        kept.push(("the store", fs::read(entry.unwrap().path()).unwrap()));
    }
    for (what, bytes) in &kept {
        assert!(!bytes.is_empty(), "{what}");
        assert_nowhere(what, bytes);
        for secret in secrets {
            assert!(secret.len() > 8, "{secret:?} would be found anywhere");
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{secret} is in {what}");
        }
    }
}

/// A place that says all that it can, with a header for another device that is a secret.
fn talkative() -> Place {
    let headers = format!("{{\\\"Authorization\\\":\\\"{CANARY}-of-a-device\\\"}}");
    Place::with(&format!(
        "log_level = \"trace\"\naudit \"http\" \"far\" {{\n options {{\n  uri = \"http://127.0.0.1:1/\"\n  \
         headers = \"{headers}\"\n }}\n}}"
    ))
}

/// What a caller may send to paths of each kind, and under which names secrets come there.
const FIELDS: [(&str, &[&str]); 22] = [
    ("auth/userpass/users/ann", &["password", "password_hash", "token_policies"]),
    ("auth/userpass/users/ann/password", &["password"]),
    ("auth/userpass/login/ann", &["password"]),
    ("auth/approle/role/app", &["role_id", "token_policies", "secret_id_bound_cidrs"]),
    ("auth/approle/role/app/role-id", &["role_id"]),
    ("auth/approle/role/app/secret-id", &["metadata", "cidr_list"]),
    ("auth/approle/role/app/custom-secret-id", &["secret_id", "metadata"]),
    ("auth/approle/role/app/secret-id/lookup", &["secret_id"]),
    ("auth/approle/role/app/secret-id/destroy", &["secret_id"]),
    ("auth/approle/role/app/secret-id-accessor/lookup", &["secret_id_accessor"]),
    ("auth/approle/login", &["role_id", "secret_id"]),
    ("auth/token/renew", &["token", "increment"]),
    ("auth/token/roles/app", &["allowed_policies", "path_suffix"]),
    ("cubbyhole/mine", &["password", "anything"]),
    ("sys/wrapping/wrap", &["password", "anything"]),
    ("sys/wrapping/unwrap", &["token"]),
    ("sys/wrapping/lookup", &["token"]),
    ("sys/capabilities", &["token", "paths"]),
    ("sys/unseal", &["key"]),
    ("sys/rekey/init", &["key", "pgp_keys"]),
    ("sys/generate-root/attempt", &["key", "otp", "pgp_key"]),
    ("sys/generate-root/update", &["key", "nonce"]),
];

#[tokio::test]
async fn cve_2025_4166_and_52893_what_cannot_be_parsed_is_quoted_nowhere() {
    let place = talkative();
    let server = place.found().await;
    with_methods(&server).await;
    let token = server.token.clone();
    for raw in [
        format!("{{\"password\":\"{CANARY}"),
        format!("{{\"password\":{CANARY}}}"),
        format!("\"{CANARY}\""),
        format!("[\"{CANARY}\",{NUMBER}]"),
        format!("password={CANARY}&n={NUMBER}"),
        format!("{{\"a\":\"\\ud800{CANARY}\"}}"),
        format!("{{\"{CANARY}\":"),
    ] {
        for path in
            FIELDS.map(|(path, _)| path).into_iter().chain(["sys/mounts/y", "database/config/x"])
        {
            for content in ["application/json", "application/x-www-form-urlencoded"] {
                for token in [token.as_str(), ""] {
                    let (headers, raw) = ([("Content-Type", content)], raw.clone().into_bytes());
                    let sent = server.send(token, "POST", path, &headers, raw).await;
                    // What a form of words is good for is read again by whoever wrote it.
                    let written = content.ends_with("urlencoded") && sent.status < 400;
                    assert!(written || sent.status >= 400, "{path}: {}", sent.text);
                    if !written {
                        assert_nowhere(path, sent.text.as_bytes());
                    }
                }
            }
        }
    }
    all_is_kept(&place, server, &[]).await;
}

async fn with_methods(server: &Server) {
    for kind in ["userpass", "approle"] {
        let _ = server.post(&format!("sys/auth/{kind}"), json!({ "type": kind })).await.expect(204);
    }
    let _ = server.post("auth/approle/role/app", json!({})).await.expect(204);
}

#[tokio::test]
async fn no_field_of_a_login_a_share_a_cubbyhole_or_a_wrapping_shows_a_secret() {
    let place = talkative();
    let server = place.found().await;
    with_methods(&server).await;
    let token = server.token.clone();
    for (path, names) in FIELDS {
        for kind in 0..7 {
            for token in [token.as_str(), "wrong", ""] {
                let answer = server.ask(token, "POST", path, body(names, kind)).await;
                // An operator may be told which of their words was wrong; a stranger is told nothing of theirs.
                if token != server.token {
                    assert_nowhere(path, answer.text.as_bytes());
                }
            }
        }
    }
    all_is_kept(&place, server, &[]).await;
}

/// Secrets where they belong: they work, and are nowhere but with those they were told.
#[tokio::test]
async fn what_is_lent_shared_logged_in_with_and_wrapped_is_nowhere_afterwards() {
    let place = talkative();
    let mut server = place.start();
    let asked = json!({ "recovery_shares": 3, "recovery_threshold": 2 });
    let told = server.ask("", "PUT", "sys/init", asked).await.expect(200);
    told.at("/root_token").clone_into(&mut server.token);
    let lending = Lending::on(server).await;
    let server = &lending.server;
    let text = |answer: &Answer, at: &str| answer.at(at).to_owned();
    let mut secrets = vec![server.token.clone()];
    let mut shares = Vec::new();
    for keys in ["recovery_keys", "recovery_keys_base64"] {
        let keys = told.body[keys].as_array().unwrap().iter();
        shares.extend(keys.map(|key| key.as_str().unwrap().to_owned()));
    }
    configure(&lending).await;
    // Logins, and tokens of each kind.
    with_methods(server).await;
    let user = json!({ "password": format!("{CANARY}-password") });
    let _ = server.post("auth/userpass/users/ann", user.clone()).await.expect(204);
    let in_ = server.ask("", "POST", "auth/userpass/login/ann", user).await.expect(200);
    secrets.push(text(&in_, "/auth/client_token"));
    let chosen = json!({ "secret_id": format!("{CANARY}-secret-id") });
    let chosen = server.post("auth/approle/role/app/custom-secret-id", chosen).await.expect(200);
    let drawn = server.post("auth/approle/role/app/secret-id", json!({})).await.expect(200);
    secrets.push(text(&drawn, "/data/secret_id"));
    let role_id = server.get("auth/approle/role/app/role-id").await.expect(200);
    for made in [chosen, drawn] {
        let proof = json!({ "role_id": role_id.at("/data/role_id"), "secret_id": made.at("/data/secret_id") });
        let in_ = server.ask("", "POST", "auth/approle/login", proof).await.expect(200);
        secrets.push(text(&in_, "/auth/client_token"));
    }
    for kind in [
        json!({ "type": "batch", "policies": "default" }),
        json!({ "id": format!("{CANARY}-chosen-token") }),
    ] {
        let made = server.post("auth/token/create", kind).await.expect(200);
        secrets.push(text(&made, "/auth/client_token"));
    }
    // What is lent, kept and wrapped.
    let lent = lending.lend().await;
    let kept = json!({ "password": format!("{CANARY}-kept"), "n": NUMBER });
    let _ = server.post("cubbyhole/mine", kept.clone()).await.expect(204);
    assert_eq!(server.get("cubbyhole/mine").await.expect(200).data(), &kept);
    let wrap = [("X-Vault-Wrap-TTL", "5m")];
    for (method, path) in [("GET", "database/creds/app"), ("POST", "sys/wrapping/wrap")] {
        let body = if method == "GET" { Vec::new() } else { kept.to_string().into_bytes() };
        let wrapped = server.send(&server.token, method, path, &wrap, body).await.expect(200);
        secrets.push(text(&wrapped, "/wrap_info/token"));
        let named = json!({ "token": wrapped.at("/wrap_info/token") });
        let opened = server.post("sys/wrapping/unwrap", named).await.expect(200);
        secrets.push(text(&opened, "/data/password"));
    }
    secrets.extend([
        lent.password.clone(),
        leasehold_integration_tests::postgres::SUPERUSER_PASSWORD.to_owned(),
    ]);
    secrets.extend(generated(server, &shares).await);
    secrets.extend(shares);
    all_is_kept(&place, lending.server, &secrets).await;
    assert!(lending.target.log().contains(&lent.username));
    assert!(!lending.target.log().contains(&lent.password), "the target was told a password");
}

/// Configures targets whose administrator has a canary for a password, by its fields and within the URL.
async fn configure(lending: &Lending) {
    let mut superuser = lending.target.superuser("postgres").await;
    let made = format!("CREATE ROLE adm SUPERUSER LOGIN PASSWORD '{CANARY}-adm'");
    superuser.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(made))).await.unwrap();
    let fields = json!({ "username": "adm", "password": format!("{CANARY}-adm") });
    let url = format!("postgresql://adm:{CANARY}-adm@127.0.0.1:{}/postgres", lending.target.port());
    let in_url = json!({ "connection_url": url, "username": "", "password": "" });
    for (name, more) in [("fields", fields), ("url", in_url)] {
        let mut target = crate::lending::config(&lending.target);
        target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let path = format!("database/config/{name}");
        let _ = lending.server.post(&path, target).await.expect(204);
        assert_nowhere(
            "what is shown of a target",
            lending.server.get(&path).await.text.as_bytes(),
        );
    }
}

/// Has the holders of the recovery key make a root token, and split their key anew; returns all that they were told.
async fn generated(server: &Server, shares: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    for (begin, update, asked) in [
        ("sys/generate-root/attempt", "sys/generate-root/update", json!({})),
        (
            "sys/rekey-recovery-key/init",
            "sys/rekey-recovery-key/update",
            json!({ "secret_shares": 2, "secret_threshold": 2 }),
        ),
    ] {
        let begun = server.post(begin, asked).await.expect(200);
        told.push(begun.at("/otp").to_owned());
        for share in &shares[..2] {
            let shown = json!({ "key": share, "nonce": begun.at("/nonce") });
            let answer = server.ask("", "PUT", update, shown).await.expect(200);
            told.push(answer.at("/encoded_token").to_owned());
            let keys = answer.body["keys"].as_array().into_iter().flatten();
            told.extend(keys.map(|key| key.as_str().unwrap().to_owned()));
        }
    }
    told.retain(|secret| !secret.is_empty());
    assert!(told.len() >= 4, "{told:?}");
    told
}

#[tokio::test]
async fn cve_2024_8365_no_token_or_accessor_is_in_the_record_whatever_asked_for_it() {
    let place = Place::new();
    let lending = Lending::on(place.found().await).await;
    let server = &lending.server;
    let made = server.post("auth/token/create", json!({ "policies": ["root"] })).await.expect(200);
    let (token, accessor) = (made.at("/auth/client_token"), made.at("/auth/accessor"));
    let lent = server.ask(token, "GET", "database/creds/app", Value::Null).await.expect(200);
    for (path, body) in [
        ("auth/token/lookup", json!({ "token": token })),
        ("auth/token/lookup-accessor", json!({ "accessor": accessor })),
        ("auth/token/renew", json!({ "token": token })),
        ("sys/audit-hash/first", json!({ "input": token })),
        ("sys/whois", json!({ "name": accessor })),
        ("auth/token/revoke-accessor", json!({ "accessor": accessor })),
    ] {
        let _ = server.post(path, body).await;
    }
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let _ = server.send("", "GET", "sys/mounts", &headers, Vec::new()).await.expect(403);
    // Where none belongs, as clients of old had it.
    for path in ["auth/token/lookup", "nowhere", "sys/nowhere"] {
        let _ = server.get(&format!("{path}/{token}")).await.expect(404);
        let _ = server.ask("", "GET", &format!("{path}/{token}/x"), Value::Null).await.expect(403);
    }
    let record = fs::read_to_string(place.path("audit")).unwrap();
    let log = server.log();
    for secret in [token, accessor, server.token.as_str(), lent.at("/data/password")] {
        assert!(!record.contains(secret), "{secret} is in the audit");
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
