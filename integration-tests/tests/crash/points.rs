//! The points at which a test build can be made to end itself: they work, they are in the documents, and nothing of
//! them is in what is shipped.

use crate::{leases, set_up};
use leasehold_integration_tests::crash::site::points;
use leasehold_integration_tests::postgres::{Server as Postgres, Version};
use leasehold_integration_tests::server::{Build, Place};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn what_is_shipped_has_no_kill_points_and_lives_on_when_told_to_die() {
    let shipped = fs::read(Build::Plain.binary()).unwrap();
    let other = fs::read(Build::KillPoints.binary()).unwrap();
    for text in ["LEASEHOLD_KILL_AT", "start.before-open", "settle.after-record"] {
        assert!(!holds(&shipped, text), "`{text}` is in what is shipped");
        assert!(holds(&other, text), "`{text}` is not where it should be");
    }
    let place = Place::new();
    let mut told = Command::new(Build::Plain.binary());
    told.env("LEASEHOLD_KILL_AT", "start.before-open:1");
    let server = place.try_start_by(told).unwrap();
    let _ = server.get("sys/health").await.expect(501);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_dies_at_the_point_and_the_passing_it_is_told_and_not_before() {
    let postgres = Postgres::start(Version::Distribution);
    let place = Place::new();
    let server = place.found().await;
    set_up(&server, &postgres, "1h").await;
    let token = server.token.clone();
    assert!(server.end().success());

    let mut told = Command::new(Build::KillPoints.binary());
    told.env("LEASEHOLD_KILL_AT", "issue.after-commit:3");
    let mut server = place.try_start_by(told).unwrap();
    server.token.clone_from(&token);
    for _ in 0..2 {
        let _ = server.get("database/creds/app").await.expect(200);
    }
    let url = format!("http://{}/v1/database/creds/app", server.address());
    let asked = reqwest::Client::new().get(url).header("X-Vault-Token", &token).send().await;
    asked.expect_err("the third is not answered");
    let status = std::iter::repeat_with(|| server.ended()).find_map(|ended| ended).unwrap();
    assert_eq!(status.signal(), Some(9));
    let server = place.again(&token);
    assert_eq!(leases(&server).await.len(), 3, "the third was committed");
}

#[test]
fn a_point_that_does_not_exist_is_refused() {
    for wrong in ["", "nowhere:1", "sweep.before:", "sweep.before:0", "sweep.before:x", ":1"] {
        let mut told = Command::new(Build::KillPoints.binary());
        told.env("LEASEHOLD_KILL_AT", wrong);
        let refused = Place::new().try_start_by(told).unwrap_err();
        let says = format!("LEASEHOLD_KILL_AT is `{wrong}`");
        assert!(refused.log.contains(&says), "{wrong}: {}", refused.log);
    }
}

#[test]
fn every_point_is_in_the_documents_and_no_other() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CRASHES.md"));
    let text = text.unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let told: BTreeSet<_> = rows.map(str::to_owned).collect();
    assert_eq!(told, points().into_iter().collect());
    assert_eq!(told.len(), points().len(), "two points have one name");
}
