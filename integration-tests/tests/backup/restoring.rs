//! A backup is restored into a world that went on, and a copy of it meets the original: with a real PostgreSQL.

use crate::{fails, succeeds};
use leasehold_core::backup::Decoder;
use leasehold_core::store::Key;
use leasehold_integration_tests::postgres::{Server as Postgres, Version};
use leasehold_integration_tests::server::{Answer, Place, Server, command};
use serde_json::{Value, json};
use sqlx::{Executor as _, Row as _};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// How long a test waits for what happens by itself: terms of seconds, on a slow machine.
const PATIENCE: Duration = Duration::from_mins(2);

async fn set_up(server: &Server, postgres: &Postgres) {
    postgres.lend_through(server).await;
    for (name, ttl) in [("short", "6s"), ("long", "1h")] {
        let role = json!({ "db_name": "pg", "grant_roles": ["readonly"], "default_ttl": ttl, "scram_iterations": 1 });
        let _ = server.post(&format!("database/roles/{name}"), role).await.expect(204);
    }
}

/// A command that restores into a place.
fn restore(place: &Place, more: &[&str], backup: &str) -> Command {
    let config = format!("-config={}", place.path("config.hcl").display());
    let mut arguments = vec!["operator", "restore", &config];
    arguments.extend(more);
    arguments.push(backup);
    command(&arguments)
}

async fn roles(postgres: &Postgres) -> BTreeSet<String> {
    let mut superuser = postgres.superuser("postgres").await;
    let sql = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'v-%'";
    superuser.fetch_all(sql).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn becomes(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never: {what}");
}

fn user(lent: &Answer) -> String {
    lent.at("/data/username").to_owned()
}

async fn logs_in(postgres: &Postgres, lent: &Answer) -> bool {
    postgres.log_in(&user(lent), lent.at("/data/password"), "postgres").await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_backup_restored_into_a_world_that_went_on_forgets_nothing_and_kills_nothing() {
    let postgres = Postgres::start(Version::Distribution);
    let place = Place::new();
    let server = place.found().await;
    set_up(&server, &postgres).await;
    let lend = async |role: &str| server.get(&format!("database/creds/{role}")).await.expect(200);
    let (kept, renewed) = (lend("short").await, lend("short").await);
    let revoked = lend("long").await;

    let path = place.path("backup");
    let backup = path.to_str().unwrap();
    let _ = succeeds(&mut server.command(&["operator", "backup", backup]));

    let longer = json!({ "lease_id": renewed.at("/lease_id"), "increment": "30m" });
    let _ = server.post("sys/leases/renew", longer).await.expect(200);
    let named = json!({ "lease_id": revoked.at("/lease_id") });
    let _ = server.post("sys/leases/revoke", named).await.expect(204);
    let since = lend("long").await;
    // By now the backup believes that the renewed one is over, too.
    becomes("the short one lapses", async || !roles(&postgres).await.contains(&user(&kept))).await;

    let running = fails(&mut restore(&place, &["-force"], backup));
    assert!(
        running.contains("in use by process") && running.contains("stop that server"),
        "{running}"
    );
    let token = server.token.clone();
    assert!(server.end().success());
    let present = fails(&mut restore(&place, &[], backup));
    assert!(
        present.contains("there is a store already") && present.contains("-force"),
        "{present}"
    );
    let told = succeeds(&mut restore(&place, &["-force"], backup));
    assert!(told.contains(".before-restore-") && told.contains("1 target is compared"), "{told}");

    let server = place.again(&token);
    becomes("the target is compared", async || {
        let left = server.get("sys/storage/restore-status").await.expect(200);
        left.data()["targets"].as_array().unwrap().is_empty()
    })
    .await;
    let told = succeeds(&mut server.command(&["operator", "restore-status"]));
    assert!(told.starts_with("No target waits"), "{told}");
    assert!(logs_in(&postgres, &renewed).await, "renewed since the backup, and died early");
    assert!(logs_in(&postgres, &since).await);
    becomes("what is left is what was lent", async || {
        roles(&postgres).await == BTreeSet::from([user(&renewed), user(&since)])
    })
    .await;
    let adopted = server.list("sys/leases/lookup/database/creds/adopted").await.expect(200);
    let id = since.at("/lease_id").rsplit('/').next().unwrap();
    assert_eq!(adopted.data()["keys"], json!([id]));
    let again = json!({ "lease_id": renewed.at("/lease_id"), "increment": "40m" });
    let _ = server.post("sys/leases/renew", again).await.expect(200);
    // The two that are gone at the target are settled as any lease of a process that has ended, in their time.
    let all = json!({ "sync": false });
    let _ = server.post("sys/leases/revoke-prefix/database", all).await.expect(202);
    becomes("all is revoked", async || roles(&postgres).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_harms_nothing_of_the_original_before_and_after_it_takes_a_target_over() {
    let postgres = Postgres::start(Version::Distribution);
    let place = Place::new();
    let original = place.found().await;
    set_up(&original, &postgres).await;
    let lent = original.get("database/creds/long").await.expect(200);
    let path = place.path("backup");
    let backup = path.to_str().unwrap();
    let _ = succeeds(&mut original.command(&["operator", "backup", backup]));

    let staging = Place::new();
    let _ = fs::copy(place.path("root.key"), staging.path("root.key")).unwrap();
    let told = succeeds(&mut restore(&staging, &["-as-copy"], backup));
    let root = told.lines().find_map(|line| line.strip_prefix("Initial Root Token: ")).unwrap();
    let copy = staging.again(root);
    let _ = copy.ask(&original.token, "GET", "sys/mounts", Value::Null).await.expect(403);
    let refused = copy.get("database/creds/long").await.expect(400);
    assert!(refused.errors().contains("operator take-over database/pg"), "{}", refused.text);
    let _ = copy.post("sys/leases/revoke-prefix/database", json!({})).await.expect(204);
    let told = succeeds(&mut copy.command(&["operator", "restore-status"]));
    assert!(told.contains("database/pg") && told.contains("of the original"), "{told}");
    let told = copy.get("sys/metrics?format=prometheus").await.expect(200).text;
    assert!(told.contains("leasehold_targets_on_hold{state=\"copied\"} 1\n"), "{told}");
    assert!(logs_in(&postgres, &lent).await);

    let missing = fails(&mut copy.command(&["operator", "take-over", "database/none"]));
    assert!(missing.contains("no target is called `database/none`"), "{missing}");
    let _ = succeeds(&mut copy.command(&["operator", "take-over", "database/pg"]));
    let again = fails(&mut copy.command(&["operator", "take-over", "database/pg"]));
    assert!(again.contains("nothing to take over"), "{again}");
    let own = copy.get("database/creds/long").await.expect(200);
    assert!(logs_in(&postgres, &own).await);
    let _ = copy.post("sys/leases/revoke-prefix/database", json!({})).await.expect(204);
    assert_eq!(roles(&postgres).await, BTreeSet::from([user(&lent)]));
    assert!(logs_in(&postgres, &lent).await, "the copy took what is the original's");

    // The original's backup is not put over the copy: it would be a second server of one installation.
    assert!(copy.end().success());
    let refused = fails(&mut restore(&staging, &["-force"], backup));
    assert!(
        refused.contains("belongs to installation") && refused.contains("-as-copy"),
        "{refused}"
    );
    // Neither is another copy put over one that has lent something, for nobody else would ever revoke it.
    let copy = staging.again(root);
    let own = copy.get("database/creds/long").await.expect(200);
    assert!(copy.end().success());
    let refused = fails(&mut restore(&staging, &["-as-copy", "-force"], backup));
    assert!(refused.contains("are still lent"), "{refused}");
    let copy = staging.again(root);
    let _ = copy.post("sys/leases/revoke-prefix/database", json!({})).await.expect(204);
    assert!(!logs_in(&postgres, &own).await);
    assert!(copy.end().success());
    let told = succeeds(&mut restore(&staging, &["-as-copy", "-force"], backup));
    assert!(told.contains("Initial Root Token: "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_older_than_its_administrators_password_lends_nothing_until_it_is_given_the_new_one()
 {
    let postgres = Postgres::start(Version::Distribution);
    let place = Place::new();
    let server = place.found().await;
    set_up(&server, &postgres).await;
    let mut superuser = postgres.superuser("postgres").await;
    let _ = superuser.execute("CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'first'").await.unwrap();
    let boss = json!({ "username": "boss", "password": "first" });
    let _ = server.post("database/config/pg", boss).await.expect(204);
    let short = server.get("database/creds/short").await.expect(200);
    let path = place.path("backup");
    let backup = path.to_str().unwrap();
    let _ = succeeds(&mut server.command(&["operator", "backup", backup]));
    let _ = server.post("database/rotate-root/pg", json!({})).await.expect(200);
    let token = server.token.clone();
    assert!(server.end().success());

    let _ = succeeds(&mut restore(&place, &["-force"], backup));
    let server = place.again(&token);
    let config = async || server.get("database/config/pg").await.expect(200);
    let is_marked = |told: &Answer| told.data()["credential_older_than_target"] == json!(true);
    becomes("the target is marked", async || is_marked(&config().await)).await;
    let warned = config().await.body["warnings"][0].as_str().unwrap_or_default().to_owned();
    assert!(warned.contains("older than the target"), "{warned}");
    let refused = server.get("database/creds/long").await.expect(503);
    assert!(refused.errors().contains("until `database/config/pg` is written"), "{}", refused.text);
    let refused = server.post("database/rotate-root/pg", json!({})).await.expect(503);
    assert!(refused.errors().contains("older than the target"), "{}", refused.text);
    let told = succeeds(&mut server.command(&["operator", "restore-status"]));
    assert!(
        told.contains("database/pg") && told.contains("credential older than target"),
        "{told}"
    );
    let told = server.get("sys/metrics?format=prometheus").await.expect(200).text;
    assert!(told.contains("leasehold_targets_credential_older 1\n"), "{told}");

    let wrong = server.post("database/config/pg", json!({ "password": "guessed" })).await;
    assert_eq!(wrong.status, 400, "{}", wrong.text);
    let _ = server.get("database/creds/long").await.expect(503);
    assert!(roles(&postgres).await.contains(&user(&short)), "it waits with lapsing");
    let _ = superuser.execute("ALTER ROLE boss PASSWORD 'given anew'").await.unwrap();
    let _ =
        server.post("database/config/pg", json!({ "password": "given anew" })).await.expect(204);
    assert!(!is_marked(&config().await));
    let lent = server.get("database/creds/long").await.expect(200);
    assert!(logs_in(&postgres, &lent).await);
    becomes("what lapsed meanwhile is gone", async || {
        roles(&postgres).await == BTreeSet::from([user(&lent)])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_while_many_borrow_shows_every_lease_with_all_that_leads_to_it() {
    let postgres = Postgres::start(Version::Distribution);
    let place = Place::new();
    let server = place.found().await;
    set_up(&server, &postgres).await;
    let path = place.path("backup");
    let borrowing = async {
        for _ in 0..25 {
            let lent: Vec<_> =
                futures_util::future::join_all((0..16).map(|_| server.get("database/creds/long")))
                    .await;
            let given_back = lent.into_iter().step_by(2).map(|lent| {
                let named = json!({ "lease_id": lent.expect(200).at("/lease_id") });
                server.post("sys/leases/revoke", named)
            });
            let _ = futures_util::future::join_all(given_back).await;
        }
    };
    let taking = async {
        let mut most = 0;
        for _ in 0..8 {
            let mut command =
                server.command(&["operator", "backup", "-force", path.to_str().unwrap()]);
            let _ = tokio::task::spawn_blocking(move || succeeds(&mut command)).await.unwrap();
            most = most.max(check_indexes(&fs::read(&path).unwrap()));
        }
        most
    };
    let ((), most) = tokio::join!(borrowing, taking);
    assert!(most > 0, "no backup was taken while there were leases");
}

/// Checks that leases and the keys that lead to them are the same ones; returns how many leases there are.
fn check_indexes(backup: &[u8]) -> usize {
    let mut decoder = Decoder::new(None);
    let records = decoder.feed(backup).unwrap();
    let (_, count) = decoder.end().unwrap();
    assert_eq!(u64::try_from(records.len()).unwrap(), count);
    let ids = |prefix: &str| -> BTreeSet<Vec<u8>> {
        let under = |(Key(key), _): &&(Key, _)| key.starts_with(prefix.as_bytes());
        let id = |(Key(key), _): &(Key, _)| key.last_chunk::<16>().unwrap().to_vec();
        records.iter().filter(under).map(id).collect()
    };
    let leases = ids("lease/");
    for index in ["due/", "of-token/", "of-role/"] {
        assert_eq!(ids(index), leases, "{index}");
    }
    assert_eq!(ids("history/"), ids("history-at/"));
    leases.len()
}
