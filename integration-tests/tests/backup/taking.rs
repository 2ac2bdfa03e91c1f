//! What `operator backup` writes, and what keeps it from writing.

use crate::{fails, succeeds};
use leasehold_core::backup::Decoder;
use leasehold_integration_tests::server::{ROOT, Server};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

/// Reads a backup that was taken without a key, and returns how many records it has.
fn records(bytes: &[u8]) -> u64 {
    let mut decoder = Decoder::new(None);
    decoder.feed(bytes).unwrap();
    decoder.end().unwrap().1
}

#[tokio::test]
async fn a_backup_is_a_file_that_only_its_owner_reads_and_that_replaces_nothing_unasked() {
    let server = Server::dev();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup");
    let name = path.to_str().unwrap();

    let told = succeeds(&mut server.command(&["operator", "backup", name]));
    assert!(told.starts_with("Success! Backed up ") && told.contains(name), "{told}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let first = fs::read(&path).unwrap();
    assert!(records(&first) >= 3);
    // It ends long after the answer has begun, and is of that request still.
    let log = server.log();
    let ended = log.lines().find(|line| line.contains("a backup was taken")).unwrap();
    assert!(ended.contains("request_id="), "{ended}");
    assert!(!first.windows(ROOT.len()).any(|window| window == ROOT.as_bytes()));

    let refused = fails(&mut server.command(&["operator", "backup", name]));
    assert!(refused.contains("exists") && refused.contains("-force"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), first);

    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    let _ = succeeds(&mut server.command(&["operator", "backup", "-force", name]));
    assert!(records(&fs::read(&path).unwrap()) > records(&first));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn a_backup_that_cannot_be_written_or_taken_leaves_nothing_behind() {
    let mut server = Server::dev();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup");
    let name = path.to_str().unwrap();

    let refused = fails(&mut server.command(&["operator", "backup", "/nowhere/backup"]));
    assert!(refused.contains("`/nowhere/backup.part` cannot be written"), "{refused}");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let refused = fails(server.command(&["operator", "backup", "-"]).stdout(full));
    assert!(refused.contains("No space left"), "{refused}");

    "wrong".clone_into(&mut server.token);
    let refused = fails(&mut server.command(&["operator", "backup", name]));
    assert!(refused.contains("permission denied"), "{refused}");
    let _ = server.ask("", "GET", "sys/storage/backup", Value::Null).await.expect(403);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_backup_goes_to_the_standard_output() {
    let server = Server::dev();
    let output = server.command(&["operator", "backup", "-"]).output().unwrap();
    assert!(output.status.success());
    assert!(records(&output.stdout) >= 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains("to: standard output"));
}

#[tokio::test]
async fn one_backup_is_taken_at_a_time_and_one_whose_client_left_is_over() {
    let server = Server::dev();
    // More than the kernel and the server keep for a client that does not read.
    let value = "x".repeat(4_000_000);
    for number in 0..8 {
        let mount = json!({ "type": "database", "description": value });
        let _ = server.post(&format!("sys/mounts/big{number}"), mount).await.expect(204);
    }
    let mut slow = server.connect();
    let asked =
        format!("GET /v1/sys/storage/backup HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {ROOT}\r\n\r\n");
    slow.write_all(asked.as_bytes()).unwrap();
    let mut begun = [0; 64];
    slow.read_exact(&mut begun).unwrap();
    assert!(begun.starts_with(b"HTTP/1.1 200"));

    let refused = server.get("sys/storage/backup").await.expect(429);
    assert!(refused.errors().contains("a backup is being taken already"), "{}", refused.text);
    let _ = server.get("sys/mounts").await.expect(200);

    drop(slow);
    while server.get("sys/storage/backup").await.status == 429 {
        tokio::task::yield_now().await;
    }
}
