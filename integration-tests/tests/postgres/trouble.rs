//! Suspended servers, stuck commits, held tables, lost connections.

use crate::place::{place, role};
use leasehold_core::engine::{Cause, Engine as _, EngineError, Mark, Renewal, Renewed, Revocation};
use leasehold_core::time::Timestamp;
use leasehold_integration_tests::engine_suite::{
    self as suite, PATIENCE, Site as _, prepared, revocation,
};
use leasehold_integration_tests::postgres::Version;
use sqlx::AssertSqlSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A server that is suspended while it is asked creates nothing once it goes on after `issue_by`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_at_a_suspended_server_creates_nothing_later() {
    let place = place(Version::Distribution).await;
    suite::issued(&*place, 1).await;
    let issue = prepared(&*place.engine, &place.role, ("tester", "app"), Duration::from_secs(1));
    place.server.suspend();
    let answer = place.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    place.server.resume();
    assert!(matches!(&answer, Err(EngineError::Uncertain(_))), "{answer:?}");
    let unanswered =
        || Revocation { unanswered: suite::until(issue.issue_by), ..revocation(&issue) };
    // Asked as the sweep asks: until it counts.
    let deadline = suite::now().plus(PATIENCE);
    loop {
        let answer = place.engine.revoke(&[unanswered()]).await.remove(0);
        let at = suite::now();
        match answer {
            Ok(()) => {
                assert!(at > issue.issue_by, "it does not count before its time");
                break;
            }
            Err(error) => assert!(at < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!place.credentials().await.contains(issue.handle.name()), "nothing came of it");
}

/// A COMMIT that is stuck is found by the name it holds, and does not count until it is over.
async fn a_stuck_commit_does_not_count(version: Version) {
    let place = place(version).await;
    let issues = suite::asked(&*place, 3);
    let stuck = issues[1].handle.name();
    let mut session = place.server.superuser("postgres").await;
    let begun = format!(
        "BEGIN; CREATE ROLE \"{stuck}\" LOGIN; COMMENT ON ROLE \"{stuck}\" IS '{}'",
        Mark { origin: place.origin, lease: issues[1].lease }
    );
    sqlx::raw_sql(AssertSqlSafe(begun)).execute(&mut session).await.expect("it begins");
    let unanswered =
        |issue| Revocation { unanswered: suite::until(Timestamp(1)), ..revocation(issue) };
    let revocations: Vec<_> = issues.iter().map(unanswered).collect();
    let answers = place.engine.revoke(&revocations).await;
    assert_eq!((&answers[0], &answers[2]), (&Ok(()), &Ok(())), "others are not held up");
    let error = answers[1].as_ref().expect_err("it may still land");
    assert_eq!(error.reason().cause, Cause::Contended, "{error}");
    sqlx::raw_sql("COMMIT").execute(&mut session).await.expect("it commits");
    assert!(place.credentials().await.contains(stuck), "it landed late");
    assert_eq!(place.engine.revoke(&[unanswered(&issues[1])]).await, [Ok(())]);
    assert!(!place.credentials().await.contains(stuck), "and is gone");
    assert!(place.engine.list().await.expect("it lists").is_empty());
}

#[tokio::test]
async fn a_stuck_commit_does_not_count_on_the_distributions_version() {
    a_stuck_commit_does_not_count(Version::Distribution).await;
}

#[tokio::test]
async fn a_stuck_commit_does_not_count_on_version_18() {
    a_stuck_commit_does_not_count(Version::V18).await;
}

/// A table that an application holds delays one revocation, for a time that the server keeps itself.
#[tokio::test]
async fn a_locked_table_delays_only_its_own_revocation() {
    let place = place(Version::Distribution).await;
    place.run("app", "CREATE SCHEMA work; GRANT ALL ON SCHEMA work TO readonly").await;
    let (issue, login) = place.issue_by(&place.role).await;
    let login = login.expect("it is issued");
    let mut session = place.log_in(&login).await.expect("it logs in");
    let made = sqlx::raw_sql("CREATE TABLE work.made (a int)").execute(&mut session).await;
    made.expect("it makes a table");
    let bystander = suite::issued(&*place, 1).await.pop().expect("one was issued").0;
    let mut holder = place.server.superuser("app").await;
    let held = sqlx::raw_sql("BEGIN; SELECT * FROM work.made").execute(&mut holder).await;
    held.expect("the application reads");
    let answer_by = suite::now().plus(Duration::from_secs(1));
    let hurried = [&issue, &bystander].map(|issue| Revocation { answer_by, ..revocation(issue) });
    let answers = place.engine.revoke(&hurried).await;
    assert_eq!(answers[1], Ok(()), "others are not held up");
    let error = answers[0].as_ref().expect_err("the table is held");
    assert_eq!(error.reason().cause, Cause::Contended, "{error}");
    assert!(place.log_in(&login).await.is_err(), "it cannot log in meanwhile");
    let queued = "SELECT count(*)::text FROM pg_locks WHERE NOT granted";
    assert_eq!(place.ask("app", queued).await, "0", "nobody queues for the table any more");
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.expect("the application lets go");
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
}

/// A way to a server on which every new end of a role is held up, whoever has given it up meanwhile.
struct SlowWay {
    port: u16,
    /// Told once the server has answered what was held up.
    answered: Arc<Notify>,
}

impl SlowWay {
    async fn to(server: u16, held_up: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let answered = Arc::new(Notify::new());
        let tell = Arc::clone(&answered);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await;
                let server = server.expect("the server listens");
                tokio::spawn(carry(client, server, held_up, Arc::clone(&tell)));
            }
        });
        Self { port, answered }
    }
}

/// Carries what a client and its server say, until both have ended.
async fn carry(client: TcpStream, server: TcpStream, held_up: Duration, answered: Arc<Notify>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let was_held = AtomicBool::new(false);
    let there = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_client.read(&mut piece).await {
            let sent = &piece[..length];
            if sent.windows(11).any(|words| words == b"VALID UNTIL") {
                tokio::time::sleep(held_up).await;
                was_held.store(true, Ordering::SeqCst);
            }
            to_server.write_all(sent).await.expect("the server takes it");
        }
    };
    let back = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from_server.read(&mut piece).await {
            if was_held.load(Ordering::SeqCst) {
                answered.notify_one();
            }
            // The client may have gone.
            let _ = to_client.write_all(&piece[..length]).await;
        }
    };
    tokio::join!(there, back);
}

/// A new end that reaches the server late must not replace one that was told since.
async fn a_renewal_that_arrives_late_changes_nothing(fields: &serde_json::Value) {
    let place = place(Version::Distribution).await;
    let (answer_within, held_up) = (Duration::from_secs(1), Duration::from_secs(3));
    let role = role(fields);
    let (issue, login) = place.issue_by(&role).await;
    login.expect("it is issued");
    let way = SlowWay::to(place.server.port(), held_up).await;
    let port = |port: u16| format!(":{port}/");
    let url = place.server.template_url("app").replace(&port(place.server.port()), &port(way.port));
    let late = place.open(&serde_json::json!({ "connection_url": url }));
    let end = format!(
        "SELECT rolvaliduntil::text FROM pg_roles WHERE rolname = '{}'",
        issue.handle.name()
    );
    let before = place.ask("app", &end).await;

    let lapses_at = issue.lapses_at.plus(Duration::from_hours(1));
    let answer_by = suite::now().plus(answer_within);
    let renewal = Renewal { answer_by, ..suite::renewal(&issue, lapses_at) };
    let answer = late.renew(&[renewal]).await.remove(0);
    assert!(answer.is_err(), "nobody waits for so long: {answer:?}");
    timeout(PATIENCE, way.answered.notified()).await.expect("it arrives");
    assert_eq!(place.ask("app", &end).await, before);
    assert_eq!(
        place.engine.renew(&[suite::renewal(&issue, lapses_at)]).await,
        [Ok(Renewed::Extended)]
    );
    assert_ne!(place.ask("app", &end).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_arrives_late_changes_nothing_by_default() {
    a_renewal_that_arrives_late_changes_nothing(
        &serde_json::json!({ "grant_roles": ["readonly"], "scram_iterations": 1 }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_arrives_late_changes_nothing_by_an_operators_statements() {
    let statements = "ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}'";
    let fields = serde_json::json!({
        "grant_roles": ["readonly"], "renew_statements": statements, "scram_iterations": 1,
    });
    a_renewal_that_arrives_late_changes_nothing(&fields).await;
}
