//! The judge is judged: whatever a server could do wrong is done by hand, and must be found.

use leasehold_integration_tests::crash::callers::{Login, borrow, give_back, log_in, renew_for};
use leasehold_integration_tests::crash::door::Door;
use leasehold_integration_tests::crash::judge::{Seen, Violation, judge, judge_record};
use leasehold_integration_tests::crash::repeat::{Keyed, must_be_replaced};
use leasehold_integration_tests::crash::site::{Process, Site};
use leasehold_integration_tests::crash::told::Lent;
use leasehold_integration_tests::crash::{Role, callers::Scene};
use leasehold_integration_tests::engine_suite;
use leasehold_integration_tests::server::Server;
use sqlx::{AssertSqlSafe, Executor as _};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LONG: Role =
    Role { name: "long", ttl: Duration::from_mins(10), max: Duration::from_mins(20) };

fn started(site: &Site) -> (Server, Scene) {
    let Process::Runs(server) = site.start(None) else { panic!("the server starts") };
    let scene = site.scene(Door::to(server.address()));
    (server, scene)
}

async fn lent(scene: &Scene) -> (String, Lent) {
    let id = borrow(scene, LONG, None).await.unwrap().pop().expect("it is lent");
    let lent = scene.told().leases[&id].clone();
    (id, lent)
}

async fn at_target(site: &Site, sql: String) {
    let mut admin = site.postgres.superuser("postgres").await;
    admin.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

/// Judges what is there now.
async fn found(site: &Site, scene: &Scene) -> Vec<Violation> {
    let seen: Seen = site.look(&scene.door).await.unwrap();
    judge(&site.told(), &seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_server_is_found_to_be_one() {
    let site = Site::found(vec![LONG]).await;
    let (server, scene) = started(&site);
    let (id, _) = lent(&scene).await;
    lent(&scene).await;
    give_back(&scene, &id, true).await.unwrap();
    assert_eq!(found(&site, &scene).await, []);
    assert_eq!(scene.told().violations, BTreeSet::new());
    let record = fs::read_to_string(site.place.path("audit")).unwrap();
    let issued = site.told().acknowledged.clone();
    assert_eq!(judge_record(&record, &issued, &BTreeSet::from([id])), []);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_planted_is_an_orphan() {
    let site = Site::found(vec![LONG]).await;
    let (_server, scene) = started(&site);
    let name = format!("v-token-long-{}-1", engine_suite::lease());
    at_target(&site, format!("CREATE ROLE \"{name}\" LOGIN VALID UNTIL '2001-01-01'")).await;
    assert_eq!(found(&site, &scene).await, [Violation::Orphan(format!("role `{name}`"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_dropped_locked_or_cut_short_by_hand_died_early() {
    let site = Site::found(vec![LONG]).await;
    let (_server, scene) = started(&site);
    for (done, finds) in [
        ("ALTER ROLE \"{}\" VALID UNTIL '2001-01-01'", "the target ends"),
        ("ALTER ROLE \"{}\" NOLOGIN", "may not log in"),
        ("DROP ROLE \"{}\"", "is gone"),
    ] {
        let (id, lent) = lent(&scene).await;
        at_target(&site, done.replace("{}", &lent.username)).await;
        let found = found(&site, &scene).await;
        let [Violation::EarlyDeath(what)] = found.as_slice() else { panic!("{done}: {found:?}") };
        assert!(what.contains(finds) && what.contains(&id), "{what}");
        scene.told().leases.remove(&id);
        at_target(&site, format!("DROP ROLE IF EXISTS \"{}\"", lent.username)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_outlives_its_ceiling_is_found() {
    let site = Site::found(vec![LONG]).await;
    let (_server, scene) = started(&site);
    let (_, lent) = lent(&scene).await;
    for until in ["2999-01-01", "infinity"] {
        at_target(&site, format!("ALTER ROLE \"{}\" VALID UNTIL '{until}'", lent.username)).await;
        let found = found(&site, &scene).await;
        assert!(matches!(found.as_slice(), [Violation::PastCeiling(_)]), "{until}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_nobody_was_told_of_outlives_no_ceiling_that_it_could_have() {
    let site = Site::found(vec![LONG]).await;
    let (_server, scene) = started(&site);
    let (id, lent) = lent(&scene).await;
    scene.told().leases.remove(&id);
    assert_eq!(found(&site, &scene).await, []);
    for (minutes, is_found) in [(19, false), (22, true)] {
        let name = &lent.username;
        let sql = "DO $$ BEGIN EXECUTE format('ALTER ROLE %I VALID UNTIL %L', '{}', \
                   now() + interval '{} minutes'); END $$";
        let sql = sql.replacen("{}", name, 1).replacen("{}", &minutes.to_string(), 1);
        at_target(&site, sql).await;
        let found = found(&site, &scene).await;
        let expected = [Violation::PastCeiling(format!("role `{name}`"))];
        assert_eq!(found, expected[..usize::from(is_found)], "{minutes} minutes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_and_its_session_that_outlive_the_last_attempt_are_found() {
    let site = Site::found(vec![LONG]).await;
    let (_server, scene) = started(&site);
    let (id, lent) = keeps_session(&scene).await;
    let mut seen = site.look(&scene.door).await.unwrap();
    assert_eq!((judge(&site.told(), &seen), seen.answering.len()), (vec![], 1));

    // As if the server had gone on for so long, and this were still there.
    let attempt = Duration::from_mins(1);
    seen.at = lent.ends_by.plus(attempt);
    assert_eq!(judge(&site.told(), &seen), []);
    seen.at = seen.at.plus(Duration::from_millis(1));
    let role = Violation::LeftBehind(format!("role `{}`", lent.username));
    let session = Violation::PastCeiling(format!("a session of `{id}`"));
    assert_eq!(judge(&site.told(), &seen), [role.clone(), session]);
    // Nobody was told of it: its lease is no older than the first look at its role.
    scene.told().leases.remove(&id);
    scene.told().first_seen.insert(id.clone(), lent.ceiling.minus(LONG.max));
    seen.answering.clear();
    assert_eq!(judge(&site.told(), &seen), []);
    seen.at = seen.at.plus(Duration::from_mins(30));
    assert_eq!(judge(&site.told(), &seen), [role]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_outlives_the_shorter_term_it_was_renewed_for_is_found() {
    let site = Site::found(vec![LONG]).await;
    let (_server, scene) = started(&site);
    let (id, whole) = lent(&scene).await;
    let shorter = Duration::from_mins(2);
    renew_for(&scene, &id, Some(shorter)).await.unwrap();
    let lent = scene.told().leases[&id].clone();
    assert!(lent.ends_by.plus(shorter) < whole.lives_until, "{lent:?}, before {whole:?}");
    assert_eq!(scene.told().violations, BTreeSet::new());
    let mut seen = site.look(&scene.door).await.unwrap();
    assert_eq!(judge(&site.told(), &seen), []);

    // As if the server had gone on for so long, and had forgotten the shorter term.
    seen.at = lent.ends_by.plus(Duration::from_mins(1));
    assert_eq!(judge(&site.told(), &seen), []);
    seen.at = seen.at.plus(Duration::from_millis(1));
    let role = Violation::LeftBehind(format!("role `{}`", lent.username));
    assert_eq!(judge(&site.told(), &seen), [role]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_outlives_its_credential_is_found() {
    let site = Site::found(vec![LONG]).await;
    let (_server, scene) = started(&site);
    let (id, lent) = keeps_session(&scene).await;
    at_target(&site, format!("DROP ROLE \"{}\"", lent.username)).await;
    scene.told().leases.remove(&id);
    let lives_on = Violation::LivesOn(format!("a session of `{id}`, which is gone"));
    assert_eq!(found(&site, &scene).await, [lives_on]);
    let rest = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                WHERE usesysid IS NOT NULL AND usename IS NULL";
    at_target(&site, rest.to_owned()).await;
    assert_eq!(found(&site, &scene).await, []);
}

/// Borrows a credential, logs in by it, and stays.
async fn keeps_session(scene: &Scene) -> (String, Lent) {
    let (id, lent) = lent(scene).await;
    let login = log_in(scene.target_port, &lent.username, &lent.password).await;
    let Login::Open(session) = login else { panic!("it logs in: {login:?}") };
    scene.sessions.keep(id.clone(), session);
    (id, lent)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgot_has_lost_a_lease_and_left_an_orphan() {
    let site = Site::found(vec![LONG]).await;
    let (store, older) = (site.place.path("store"), site.place.path("older"));
    let (mut server, scene) = started(&site);
    lent(&scene).await;
    server.kill();
    copy(&store, &older);
    let (mut server, scene) = started(&site);
    let (_, forgotten) = lent(&scene).await;
    server.kill();
    fs::remove_dir_all(&store).unwrap();
    copy(&older, &store);
    let (_server, scene) = started(&site);
    assert_eq!(
        found(&site, &scene).await,
        [
            Violation::Orphan(format!("role `{}`", forgotten.username)),
            Violation::LostLease(forgotten.lease)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_comes_back_lives_on() {
    let site = Site::found(vec![LONG]).await;
    let (_server, scene) = started(&site);
    let (id, lent) = lent(&scene).await;
    give_back(&scene, &id, true).await.unwrap();
    let (name, password) = (&lent.username, &lent.password);
    at_target(
        &site,
        format!("CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}' VALID UNTIL '2001-01-01'"),
    )
    .await;
    let role = format!("role `{name}`");
    assert_eq!(
        found(&site, &scene).await,
        [Violation::Orphan(role.clone()), Violation::LivesOn(role)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_issue_is_told_again_by_its_process_and_replaced_by_the_next() {
    let site = Site::found(vec![LONG]).await;
    let (mut server, scene) = started(&site);
    let key = "the-same".to_owned();
    let mut keyed = Keyed { key, role: LONG, owner: None, lease: None, outlived: false };
    let first = keyed.ask(&scene).await.unwrap().expect("it is lent");
    assert_eq!(keyed.ask(&scene).await.unwrap().as_ref(), Some(&first));
    server.kill();
    let (_server, scene) = started(&site);
    keyed.outlived = true;
    let second = keyed.ask(&scene).await.unwrap().expect("it is lent");
    assert_ne!(first, second);
    assert_eq!(scene.told().violations, BTreeSet::new());

    // Had it been another request, both would live.
    must_be_replaced(&scene, &second).await.unwrap();
    let found = scene.told().violations.clone();
    assert!(found.iter().all(|found| matches!(found, Violation::LivesOn(_))), "{found:?}");
    assert_eq!(found.len(), 1);
    let mut other = Keyed { key: "another".to_owned(), ..keyed };
    other.ask(&scene).await.unwrap().expect("it is lent");
    let found = scene.told().violations.clone();
    assert!(found.iter().any(|found| matches!(found, Violation::Broken(_))), "{found:?}");
    assert_eq!(found.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_on_record_is_found() {
    let site = Site::found(vec![LONG]).await;
    let (_server, scene) = started(&site);
    let (id, _) = lent(&scene).await;
    give_back(&scene, &id, false).await.unwrap();
    let whole = fs::read_to_string(site.place.path("audit")).unwrap();
    let ids = BTreeSet::from([id.clone()]);
    assert_eq!(judge_record(&whole, &ids, &ids), []);
    let without = |part: &str| {
        let kept =
            whole.lines().filter(|line| !(line.contains(part) && line.contains("response\":{")));
        kept.collect::<Vec<_>>().join("\n")
    };
    let unissued = judge_record(&without("database/creds/long\""), &ids, &ids);
    assert_eq!(unissued, [Violation::Unrecorded(format!("the issue of `{id}`"))]);
    let unended = judge_record(&without("\"operation\":\"revoke\""), &ids, &ids);
    assert_eq!(unended, [Violation::Unrecorded(format!("the end of `{id}`"))]);
    let torn = judge_record(&format!("{whole}{{\"time\""), &ids, &ids);
    assert!(matches!(torn.as_slice(), [Violation::Broken(_)]), "{torn:?}");
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
