//! Suspended servers, stuck commits, held tables, lost connections.

use crate::place::place;
use leasehold_core::engine::{Cause, Engine as _, EngineError, Mark, Revocation};
use leasehold_core::time::Timestamp;
use leasehold_integration_tests::engine_suite::{
    self as suite, PATIENCE, Site as _, prepared, revocation,
};
use leasehold_integration_tests::postgres::Version;
use sqlx::AssertSqlSafe;
use std::time::Duration;
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
