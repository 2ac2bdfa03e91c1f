//! The real binary, killed with SIGKILL, before a real PostgreSQL: what it leaves is on leases, and the next
//! process removes it.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "whatever is not as expected fails the test at once, and a run that passes tells its counters"
)]

#[path = "crash/disk.rs"]
mod disk;
#[path = "crash/judge.rs"]
mod judge;
#[path = "crash/points.rs"]
mod points;
#[path = "crash/rotation.rs"]
mod rotation;
#[path = "crash/torn.rs"]
mod torn;

use leasehold_integration_tests::crash::{Plan, run};
use leasehold_integration_tests::postgres::{Server as Postgres, Version};
use leasehold_integration_tests::server::{Place, Server};
use serde_json::json;
use sqlx::{Executor as _, PgConnection, Row as _};
use std::collections::BTreeSet;
use std::time::Duration;

/// The settle span of an issue that nobody answered is a minute; with the term before it and a slow machine.
const CLEAN_WITHIN: Duration = Duration::from_mins(3);

/// Sets up the target `pg` and the role `app`, which lends what `readonly` may read.
async fn set_up(server: &Server, postgres: &Postgres, ttl: &str) {
    postgres.lend_through(server).await;
    let role = json!({ "db_name": "pg", "grant_roles": ["readonly"], "default_ttl": ttl, "scram_iterations": 1 });
    let _ = server.post("database/roles/app", role).await.expect(204);
}

async fn roles(admin: &mut PgConnection) -> BTreeSet<String> {
    let rows = admin
        .fetch_all("SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'v-%'")
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The names of the leases that are stored, by what they list.
async fn leases(server: &Server) -> BTreeSet<String> {
    let listed = server.list("sys/leases/lookup/database/creds/app").await;
    let keys = listed.data()["keys"].as_array().cloned().unwrap_or_default();
    keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect()
}

/// Waits until no role is left at the target and no lease in the store. Fails if a role is there whose lease
/// is not: that would be an orphan.
async fn becomes_clean(server: &Server, admin: &mut PgConnection) {
    let polls = CLEAN_WITHIN.as_millis() / 250;
    for _ in 0..polls {
        // The leases first: nothing is issued any more, and a lease goes only after its role has.
        let leases = leases(server).await;
        let roles = roles(admin).await;
        for role in &roles {
            assert!(
                leases.iter().any(|lease| role.contains(lease.as_str())),
                "`{role}` is on no lease"
            );
        }
        if roles.is_empty() && leases.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!(
        "left: roles {:?}, leases {:?}\n{}",
        roles(admin).await,
        leases(server).await,
        server.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_commit_of_a_lease_and_the_targets_answer_it_leaves_no_orphan() {
    let postgres = Postgres::start(Version::Distribution);
    let mut admin = postgres.superuser("postgres").await;
    let place = Place::new();
    let mut server = place.found().await;
    set_up(&server, &postgres, "5s").await;
    let _ = server.get("database/creds/app").await.expect(200);

    // The target is suspended, so the issue is sent and not answered; the lease is stored by then.
    let before = leases(&server).await;
    postgres.suspend();
    let asking = {
        let (address, token) = (server.address().to_owned(), server.token.clone());
        tokio::spawn(async move {
            let url = format!("http://{address}/v1/database/creds/app");
            reqwest::Client::new().get(url).header("X-Vault-Token", token).send().await.is_ok()
        })
    };
    while leases(&server).await.is_subset(&before) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let token = server.token.clone();
    server.kill();
    postgres.resume();
    assert!(!asking.await.unwrap(), "the caller of a dead process got an answer");

    let server = place.again(&token);
    becomes_clean(&server, &mut admin).await;
}

/// A smaller run of what `cargo xtask crash` does for as long as one likes.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_and_in_between_under_load_it_keeps_what_callers_were_told() {
    let plan = Plan {
        kills: 64,
        seed: 4,
        callers: 16,
        longest: Duration::from_secs(16),
        strikes_target: true,
    };
    let report = run(&plan, |_| ()).await;
    println!("{report}");
    assert!(report.violations.is_empty(), "{report}");
    // Kills that meet no load prove nothing.
    for (what, least) in [
        ("issues acknowledged", 500),
        ("issues told again", 50),
        ("issues repeated after a restart", 30),
        ("renewals acknowledged", 50),
        ("revocations acknowledged", 200),
        ("tokens ended", 10),
        ("logins tried by the judge", 100),
        ("requests cut off", 200),
        ("open sessions seen, all rounds together", 100),
    ] {
        assert!(report.count(what) >= least, "only {} {what}\n{report}", report.count(what));
    }
    assert_eq!(report.missed_points(), [""; 0], "{report}");
    let kinds =
        report.blows.keys().filter(|kind| kind.contains("target") || kind.contains("COMMIT"));
    assert_eq!(kinds.count(), 6, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reconnects_at_once_is_cut_off_when_its_lease_lapses_and_a_renewed_one_goes_on()
 {
    let postgres = Postgres::start(Version::Distribution);
    let place = Place::new();
    let server = place.found().await;
    set_up(&server, &postgres, "4s").await;
    let lapsing = server.get("database/creds/app").await.expect(200);
    let renewed = server.get("database/creds/app").await.expect(200);
    let keeps = json!({ "lease_id": renewed.at("/lease_id"), "increment": "1h" });
    let mut kept = postgres
        .log_in(renewed.at("/data/username"), renewed.at("/data/password"), "postgres")
        .await
        .unwrap();
    let _ = server.post("sys/leases/renew", keeps).await.expect(200);

    // It is told off with a fatal error in the middle of what it does, comes back at once, and in the end is not
    // let in any more.
    let (user, password) = (lapsing.at("/data/username"), lapsing.at("/data/password"));
    let mut open = postgres.log_in(user, password, "postgres").await.unwrap();
    let mut told_off = 0;
    let refused = loop {
        if open.execute("SELECT 1").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        told_off += 1;
        match postgres.log_in(user, password, "postgres").await {
            Ok(again) => open = again,
            Err(error) => break error,
        }
    };
    assert!(told_off > 0);
    assert!(matches!(refused, sqlx::Error::Database(_)), "{refused}");
    kept.execute("SELECT 1").await.expect("the session of the renewed lease goes on");
}
