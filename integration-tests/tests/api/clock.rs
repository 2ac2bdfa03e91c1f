//! A server whose system clock is behind the highest time of before, and an operator who says that it is right.

use crate::lending::{Lending, Lent};
use crate::metrics::read;
use leasehold_core::seal::{RootKey, unseal};
use leasehold_core::store::Batch;
use leasehold_core::store::records::Records;
use leasehold_core::time::watch::Seen;
use leasehold_core::time::{Clock, Timestamp};
use leasehold_integration_tests::server::{Place, Server};
use leasehold_server::chance::SystemChance;
use leasehold_server::store::embedded::Embedded;
use leasehold_server::time::SystemClock;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Makes the store believe that it has seen a later time: the same as if the system's clock had been set back.
async fn set_back(place: &Place, by: Duration) {
    remember(place, SystemClock::start().unwrap().now().plus(by)).await;
}

/// Makes the store believe that this is the highest time it has seen.
async fn remember(place: &Place, highest: Timestamp) {
    let store = Arc::new(Embedded::open(&place.path("store")).unwrap());
    let root = std::fs::read(place.path("root.key")).unwrap().try_into().unwrap();
    let unsealed = unseal(&*store, &RootKey::new(root)).await.unwrap();
    let records = Records::new(store, unsealed.barrier, Arc::new(SystemChance));
    let was = records.seen_time().await.unwrap().map(|found| found.revision);
    records
        .keep_seen_time(was, &Seen { highest, ahead: Duration::ZERO }, Batch::default())
        .await
        .unwrap();
    drop(records);
    place.wait_until_free();
}

async fn clock(server: &Server) -> Value {
    server.get("sys/clock").await.expect(200).data().clone()
}

/// Runs the command line against a server, and returns its exit code and what it says.
fn typed(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let binary = std::fs::read_link(format!("/proc/{}/exe", server.pid())).unwrap();
    let mut command = std::process::Command::new(binary);
    command.args(arguments).env("VAULT_TOKEN", &server.token);
    command.env("VAULT_ADDR", format!("http://{}", server.address()));
    let done = command.output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn a_clock_that_went_back_refuses_issues_until_an_operator_accepts_it() {
    let place = Place::new();
    let lending = Lending::on(place.found().await).await;
    let lent = lending.lend().await;
    assert_eq!(clock(&lending.server).await["refusing"], false);
    let Lending { server, target } = lending;
    let token = server.token.clone();
    assert!(server.end().success());
    // The lease has an hour left, and the clock was set back by ten minutes.
    set_back(&place, Duration::from_mins(10)).await;

    let lending = Lending { server: place.again(&token), target };
    let server = &lending.server;
    let refused = server.get("database/creds/app").await.expect(503).errors();
    assert!(refused.contains("behind the time that was seen before"), "{refused}");
    assert!(refused.contains("`leasehold operator accept-clock`"), "{refused}");
    let renewal = json!({ "lease_id": lent.lease_id });
    let _ = server.post("sys/leases/renew", renewal.clone()).await.expect(503);
    let shown = clock(server).await;
    assert_eq!((&shown["refusing"], &shown["reason"]), (&json!(true), &json!(refused)));
    let behind_ms = shown["system_ahead_ms"].as_i64().unwrap();
    assert!((-660_000..=-590_000).contains(&behind_ms), "{behind_ms}");
    let told = async |metric| read(server).await.value(metric, &[]).unwrap();
    let off = told("leasehold_clock_off_seconds").await;
    assert!((590.0..=660.0).contains(&off), "{off}");
    assert!((told("leasehold_clock_refusing").await - 1.0).abs() < f64::EPSILON);
    let (exit, said) = typed(server, &["operator", "clock"]);
    assert_eq!(exit, Some(2), "{said}");
    assert!(said.contains("accept-clock"), "{said}");

    // Nobody but who may accepts it, and that is on record.
    let _ = server.ask("stranger", "POST", "sys/clock/accept", Value::Null).await.expect(403);
    let _ = server.get("database/creds/app").await.expect(503);
    let (exit, said) = typed(server, &["operator", "accept-clock"]);
    assert_eq!(exit, Some(0), "{said}");
    let audit = std::fs::read_to_string(place.path("audit")).unwrap();
    assert!(audit.lines().any(|line| line.contains("sys/clock/accept")), "{audit}");
    assert_eq!(typed(server, &["operator", "clock"]).0, Some(0));
    assert!(told("leasehold_clock_off_seconds").await < 30.0, "it was accepted");
    assert!(told("leasehold_clock_refusing").await.abs() < f64::EPSILON);
    let wall_ahead = told("leasehold_clock_wall_ahead_seconds").await;
    assert!((-660.0..=-590.0).contains(&wall_ahead), "{wall_ahead}");
    let second = Lent::of(&server.get("database/creds/app").await);
    let _ = server.post("sys/leases/renew", renewal.clone()).await.expect(200);
    let revoke = json!({ "lease_id": second.lease_id });
    let _ = server.post("sys/leases/revoke", revoke).await.expect(204);
    lending.log_in(&second).await.unwrap_err();

    // The next start remembers that it was accepted.
    let Lending { server, target } = lending;
    assert!(server.end().success());
    let lending = Lending { server: place.again(&token), target };
    let shown = clock(&lending.server).await;
    assert_eq!(shown["refusing"], false);
    assert!(shown["accepted_ahead"].as_u64().is_some_and(|ahead| (590..=660).contains(&ahead)));
    let _ = lending.log_in(&lending.lend().await).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_far_ahead_at_a_start_is_believed_and_the_log_says_so() {
    const TOLD: &str = "more than a day past the highest time that was seen";
    let place = Place::new();
    let server = place.found().await;
    let token = server.token.clone();
    assert!(!server.log().contains(TOLD));
    assert!(server.end().success());
    let now = SystemClock::start().unwrap().now();
    remember(&place, Timestamp(now.0 - 25 * 60 * 60 * 1000)).await;
    let server = place.again(&token);
    assert!(server.log().contains(TOLD), "{}", server.log());
    assert_eq!(clock(&server).await["refusing"], false);
}

#[tokio::test]
async fn the_clock_is_shown_and_accepting_one_that_is_right_changes_nothing() {
    let server = Server::dev();
    let shown = clock(&server).await;
    assert!(shown["system_ahead_ms"].as_i64().is_some_and(|ahead| ahead.abs() < 30_000), "{shown}");
    assert_eq!((&shown["reason"], &shown["off_since"]), (&Value::Null, &Value::Null));
    assert_eq!(shown["targets"], json!([]));
    let accepted = server.post("sys/clock/accept", Value::Null).await.expect(200);
    assert_eq!(
        (&accepted.data()["moved"], &accepted.data()["accepted_ahead"]),
        (&json!(0), &json!(0))
    );
    let _ = server.get("sys/clock/accept").await.expect(405);
    let _ = server.ask("", "GET", "sys/clock", Value::Null).await.expect(403);
}

#[tokio::test]
async fn the_clock_of_a_target_in_use_is_measured() {
    let lending = Lending::start().await;
    let _ = lending.lend().await;
    let _ = lending.server.post("sys/leases/tidy", Value::Null).await.expect(202);
    let mut targets = Value::Null;
    crate::lending::until("it is measured", async || {
        targets = clock(&lending.server).await["targets"].clone();
        targets != json!([])
    })
    .await;
    let target = &targets[0];
    assert_eq!((&target["mount"], &target["name"]), (&json!("database/"), &json!("pg")));
    assert_eq!(target["too_far"], false);
    assert!(target["ahead_ms"].as_i64().is_some_and(|ahead| ahead.abs() < 5_000), "{target}");
    let told = read(&lending.server).await;
    let labels = [("mount", "database/"), ("target", "pg")];
    let ahead = told.value("leasehold_target_clock_ahead_seconds", &labels).unwrap();
    assert!(ahead.abs() < 5.0, "{ahead}");
}
