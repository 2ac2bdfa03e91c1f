//! Backups that are not as they were written, and restores that cannot be: the store stays as it was.

use crate::{fails, succeeds};
use leasehold_core::backup::{BackupKey, Decoder};
use leasehold_core::seal::RootKey;
use leasehold_integration_tests::server::{Place, command};
use leasehold_integration_tests::world::{World, request};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A backup as the first release with backups wrote it, of a world with one target, two leases and a token.
const FORMAT_1: &[u8] = include_bytes!("../../backups/format-1");

fn restore(place: &Place, more: &[&str], backup: &Path) -> std::process::Command {
    let config = format!("-config={}", place.path("config.hcl").display());
    let mut arguments = vec!["operator", "restore", &config];
    arguments.extend(more);
    arguments.push(backup.to_str().unwrap());
    command(&arguments)
}

#[tokio::test]
async fn a_backup_that_is_not_whole_or_not_ours_leaves_the_store_as_it_was() {
    let place = Place::new();
    let server = place.found().await;
    let path = place.path("backup");
    let _ = succeeds(&mut server.command(&["operator", "backup", path.to_str().unwrap()]));
    let token = server.token.clone();
    assert!(server.end().success());
    let whole = fs::read(&path).unwrap();
    let before = fs::read(place.path("store/leasehold.redb")).unwrap();
    let bad = place.path("bad");
    let refused = |bytes: &[u8], why: &str| {
        fs::write(&bad, bytes).unwrap();
        let told = fails(&mut restore(&place, &["-force"], &bad));
        assert!(told.contains(why) && told.contains("the store is as it was"), "{why}: {told}");
        assert!(fs::read(place.path("store/leasehold.redb")).unwrap() == before, "{why}");
        let mut left: Vec<_> = fs::read_dir(place.path("store"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["leasehold.lock", "leasehold.redb"], "{why}");
    };
    for end in [1, 17, 21, 100, whole.len() / 2, whole.len() - 33, whole.len() - 1] {
        refused(&whole[..end], "it is cut off");
    }
    refused(b"", "not a backup of Leasehold");
    refused(b"-- PostgreSQL database dump", "not a backup of Leasehold");
    refused(&[&whole[..], b"more"].concat(), "altered or damaged");
    for at in [whole.len() - 200, whole.len() - 36, whole.len() - 1] {
        let mut altered = whole.clone();
        altered[at] ^= 4;
        refused(&altered, "");
    }
    let mut later = whole.clone();
    later[20] = 9;
    refused(&later, "format 9");
    refused(FORMAT_1, "under the root key");
    let told = fails(&mut restore(&place, &["-force"], &place.path("nowhere")));
    assert!(told.contains("cannot be read"), "{told}");

    let _ = place.again(&token).get("sys/mounts").await.expect(200);
}

#[tokio::test]
async fn a_restore_that_died_is_begun_anew_and_a_lost_store_comes_back() {
    let place = Place::new();
    let server = place.found().await;
    let path = place.path("backup");
    let _ = succeeds(&mut server.command(&["operator", "backup", path.to_str().unwrap()]));
    let token = server.token.clone();
    assert!(server.end().success());
    // What a restore leaves that is killed half-way; the server does not mind it.
    fs::write(place.path("store/leasehold.redb.restoring"), b"half").unwrap();
    let server = place.again(&token);
    let _ = server.get("sys/mounts").await.expect(200);
    assert!(server.end().success());
    fs::remove_dir_all(place.path("store")).unwrap();
    let told = succeeds(&mut restore(&place, &[], &path));
    assert!(!told.contains("before-restore"), "{told}");
    assert!(!place.path("store/leasehold.redb.restoring").exists());
    let _ = place.again(&token).get("sys/mounts").await.expect(200);
}

#[tokio::test]
async fn a_store_that_alone_may_know_a_credential_is_not_replaced() {
    let (place, other) = (Place::new(), Place::new());
    let server = place.found().await;
    let path = place.path("backup");
    let _ = succeeds(&mut server.command(&["operator", "backup", path.to_str().unwrap()]));
    assert!(server.end().success());
    let told = fails(&mut restore(&place, &["-as-copy", "-force"], &path));
    assert!(told.contains("that of the original itself"), "{told}");

    assert!(other.found().await.end().success());
    let _ = fs::copy(place.path("root.key"), other.path("root.key")).unwrap();
    for how in [&["-force"][..], &["-as-copy", "-force"]] {
        let told = fails(&mut restore(&other, how, &path));
        assert!(told.contains("cannot be opened with this root key"), "{how:?}: {told}");
    }
}

#[test]
fn a_restore_says_what_its_configuration_lacks() {
    let place = Place::new();
    let told = fails(&mut restore(&place, &[], &place.path("backup")));
    assert!(told.contains("the key file") && told.contains("is missing"), "{told}");
    place.configure("listener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = true\n}\n");
    let told = fails(&mut restore(&place, &[], &place.path("backup")));
    assert!(told.contains("storage \"embedded\""), "{told}");
    let told = fails(&mut command(&["operator", "restore", "x"]));
    assert!(told.contains("-config"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_backup_of_the_first_format_is_still_read() {
    let mut decoder = Decoder::new(Some(BackupKey::of(&RootKey::new([7; 32]))));
    let records = decoder.feed(FORMAT_1).unwrap();
    let (header, count) = decoder.end().unwrap();
    assert_eq!(u64::try_from(records.len()).unwrap(), count);
    assert_eq!(header.taken_at.rfc3339(), "2026-11-21T22:26:40.000000000Z");
    let world = World::new().await.restored(FORMAT_1).await;
    assert_eq!(
        (world.leases(), world.store.count("token/"), world.store.count("hold/")),
        (2, 2, 1)
    );
    let broker = world.broker();
    let listed = broker.list_leases(&request("root"), "database/creds/app").await.unwrap();
    assert_eq!(listed.len(), 2);
}

#[tokio::test]
async fn a_restore_that_is_killed_at_any_moment_leaves_the_old_store_or_the_new_one() {
    let place = Place::new();
    let server = place.found().await;
    let path = place.path("backup");
    for number in 0..20 {
        let mount = json!({ "type": "database", "description": "x".repeat(100_000) });
        let _ = server.post(&format!("sys/mounts/early{number}"), mount).await.expect(204);
    }
    let _ = succeeds(&mut server.command(&["operator", "backup", path.to_str().unwrap()]));
    let token = server.token.clone();
    let _ = server.post("sys/mounts/late", json!({ "type": "database" })).await.expect(204);
    assert!(server.end().success());
    let (mut old, mut new) = (0, 0);
    // A different moment each time, from before the store is opened to after it has been replaced.
    for moment in 0..12 {
        let mut restoring = restore(&place, &["-force"], &path).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(moment * 12)).await;
        restoring.kill().unwrap();
        restoring.wait().unwrap();
        let server = place.again(&token);
        let mounts = server.get("sys/mounts").await.expect(200);
        assert!(mounts.data()["early19/"].is_object(), "{}", mounts.text);
        if mounts.data()["late/"].is_object() {
            old += 1;
        } else {
            new += 1;
            let _ = server.post("sys/mounts/late", json!({ "type": "database" })).await.expect(204);
        }
        assert!(server.end().success());
    }
    assert_eq!(old + new, 12);
    let _ = succeeds(&mut restore(&place, &["-force"], &path));
    let restored = place.again(&token).get("sys/mounts").await.expect(200);
    assert!(restored.data()["late/"].is_null() && old > 0, "{old} {new}");
}
