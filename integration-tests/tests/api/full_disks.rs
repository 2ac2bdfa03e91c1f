//! An audit device that fills its disk: a file that may not grow fails like one, and needs no privilege.

use crate::lending::until;
use leasehold_integration_tests::server::{Build, Place, Server, command};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// Of a record that was there before: larger than the store, which may grow while the record may not.
const BEFORE: usize = 24 << 20;

fn limit_files(server: &Server, bytes: Option<u64>) {
    let bytes = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    let set = Command::new("prlimit")
        .args([format!("--pid={}", server.pid()), format!("--fsize={bytes}:unlimited")])
        .status();
    let done = set.is_ok_and(|status| status.success());
    assert!(done, "`prlimit` runs; it is in the package `util-linux`");
}

/// Returns a server with these further devices, whose file `audit` may not grow any more, and that it takes.
async fn full(lines: &str) -> (Place, Server) {
    let place = Place::with(lines);
    let line = format!("{}\n", json!({ "of": "another time" }));
    fs::write(place.path("audit"), line.repeat(BEFORE.div_ceil(line.len()))).unwrap();
    let server = place.found().await;
    let token = server.token.clone();
    assert!(server.end().success());
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(Build::Plain.binary());
    let mut server = place.try_start_by(command).map_err(|error| error.log).unwrap();
    server.token = token;
    let _ = server.get("sys/mounts").await.expect(200);
    let written = fs::metadata(place.path("audit")).unwrap().len();
    limit_files(&server, Some(written.saturating_add(100)));
    (place, server)
}

async fn device(server: &Server, name: &str) -> Value {
    server.get("sys/audit").await.expect(200).data()[format!("{name}/")].clone()
}

/// What `leasehold audit verify` finds in a record, and whether it is sound.
fn findings(place: &Place, file: &str, key: &Value) -> (bool, Vec<String>) {
    let key = format!("-public-key={}", key.as_str().unwrap());
    let path = place.path(file).display().to_string();
    let done = command(&["audit", "verify", "-format=json", &key, &path]).output().unwrap();
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let kinds = findings.map(|finding| finding["kind"].as_str().unwrap().to_owned());
    (done.status.success(), kinds.collect())
}

#[tokio::test]
async fn a_device_that_fills_its_disk_keeps_nobody_waiting_and_signs_what_it_missed_afterwards() {
    let other = "audit \"file\" \"second\" {\n options {\n  file_path = \"{folder}/second\"\n }\n}";
    let (place, server) = full(other).await;
    for number in 0..50 {
        let path = format!("auth/token/roles/r{number}");
        let _ = server.post(&path, json!({ "orphan": true })).await.expect(204);
    }
    let metrics = server.get("sys/metrics?format=prometheus").await.expect(200).text;
    let failed = |device: &str| {
        let series = format!("leasehold_audit_device_failed_total{{device=\"{device}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series)).unwrap();
        line.parse::<f64>().unwrap()
    };
    assert!(failed("first") > 0.0 && failed("second") < 1.0, "{metrics}");

    limit_files(&server, None);
    until("the record tells of its gap", async || {
        let _ = server.get("sys/mounts").await.expect(200);
        let record = fs::read(place.path("audit")).unwrap();
        let told = String::from_utf8_lossy(&record[BEFORE - 100..]).into_owned();
        told.contains(r#""reason":"gap""#)
    })
    .await;
    let (first, second) = (device(&server, "first").await, device(&server, "second").await);
    assert!(server.end().success());
    let (sound, kinds) = findings(&place, "audit", &first["public_key"]);
    assert!(sound && kinds.contains(&"gap".to_owned()), "{kinds:?}");
    assert_eq!(findings(&place, "second", &second["public_key"]), (true, Vec::new()));
    let second = fs::read_to_string(place.path("second")).unwrap();
    assert!((0..50).all(|number| second.contains(&format!("auth/token/roles/r{number}\""))));
}

#[tokio::test]
async fn a_device_that_is_alone_and_fills_its_disk_lets_nothing_be_done() {
    let (place, server) = full("").await;
    let role = |name: &str| format!("auth/token/roles/{name}");
    let mut done = Vec::new();
    let mut number = 0;
    let refused = loop {
        let name = format!("r{number}");
        let answer = server.post(&role(&name), json!({ "orphan": true })).await;
        if answer.status != 204 {
            break answer;
        }
        done.push(name);
        number += 1;
        assert!(number < 50, "it goes on without a record");
    };
    let refused = refused.expect(500);
    assert!(refused.errors().contains("audit device `first` did not record"), "{}", refused.text);
    for path in ["sys/mounts", "auth/token/lookup-self", "auth/token/roles"] {
        let _ = server.get(path).await.expect(500);
    }
    let _ = server.post(&role("never"), json!({})).await.expect(500);

    limit_files(&server, None);
    until("it records again", async || server.get("sys/mounts").await.status == 200).await;
    let _ = server.post(&role("again"), json!({})).await.expect(204);
    let roles = server.list("auth/token/roles").await.expect(200);
    let kept = roles.data()["keys"].as_array().unwrap().clone();
    assert!(!kept.contains(&json!("never")) && done.iter().all(|name| kept.contains(&json!(name))));
    let first = device(&server, "first").await;
    assert!(server.end().success());
    let (sound, kinds) = findings(&place, "audit", &first["public_key"]);
    assert!(sound && kinds.contains(&"gap".to_owned()), "{kinds:?}");
}
