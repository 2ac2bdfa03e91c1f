//! What is told to the server, and what is told to nobody.

use crate::place::{granting_directly, place, role};
use leasehold_core::engine::{Cause, Engine as _, EngineError};
use leasehold_integration_tests::engine_suite::{
    self as suite, Login, PATIENCE, Site as _, prepared, revocation,
};
use leasehold_integration_tests::postgres::Version;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
#[tokio::test]
async fn the_password_may_be_told_to_the_server_itself() {
    let place = place(Version::Distribution).await;
    let plain = place.open(&json!({"password_authentication": "password"}));
    let issue = prepared(&plain, &place.role, ("tester", "app"), PATIENCE);
    let answer = plain.issue(std::slice::from_ref(&issue)).await.remove(0);
    let login = Login::of(&answer.expect("it is issued"));
    place.log_in(&login).await.expect("it logs in");
    assert_eq!(plain.revoke(&[revocation(&issue)]).await, [Ok(())]);
}

/// By default no password ever reaches the server's log, and the driver logs nothing either.
#[tokio::test]
async fn no_password_reaches_the_servers_log() {
    let place = place(Version::Distribution).await;
    let issued = suite::issued(&*place, 3).await;
    let (_, login) = place.issue_by(&granting_directly()).await;
    let log = place.server.log();
    assert!(log.contains(issued[0].0.handle.name()), "the log tells what was run");
    for password in
        issued.iter().map(|(_, login)| &login.password).chain([&login.expect("issued").password])
    {
        assert!(!log.contains(password.as_str()));
    }
}

#[tokio::test]
async fn no_error_holds_a_secret() {
    let place = place(Version::Distribution).await;
    for statement in [
        "SELECT '{{password}}'::int",
        "SELECT {{password}}::date; CREATE ROLE \"{{name}}\"",
        "CREATE ROLE \"{{name}}\" '{{password}}'",
    ] {
        for mode in ["scram-sha-256", "password"] {
            let engine = place.open(&json!({"password_authentication": mode}));
            let role = role(&json!({"creation_statements": statement}));
            let issue = prepared(&engine, &role, ("tester", "app"), PATIENCE);
            let answer = engine.issue(std::slice::from_ref(&issue)).await.remove(0);
            let EngineError::Refused(reason) = answer.expect_err("it cannot work") else {
                panic!("it rolled back")
            };
            assert!(!reason.message.contains("SCRAM-SHA-256$"), "{reason}");
            if !statement.contains("ROLE") {
                assert!(reason.message.contains("[password]"), "{reason}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_from_one_that_refuses() {
    let place = place(Version::Distribution).await;
    let issue = || prepared(&*place.engine, &place.role, ("tester", "app"), PATIENCE);
    let wrong = place.open(&json!({"password": "not the password"}));
    let answer = wrong.issue(&[issue()]).await.remove(0).expect_err("the password is wrong");
    assert!(
        matches!(&answer, EngineError::Refused(reason) if reason.cause == Cause::Unreachable),
        "{answer:?}"
    );
    assert!(
        answer.to_string().contains("password authentication failed")
            && !answer.to_string().contains("not the password")
    );
    let issued = suite::issued(&*place, 1).await;
    let down = [issue()];
    place.server.kill();
    let answer = place.engine.issue(&down).await.remove(0).expect_err("it is down");
    assert_eq!(answer.reason().cause, Cause::Unreachable, "{answer:?}");
    let answer =
        place.engine.revoke(&[revocation(&issued[0].0)]).await.remove(0).expect_err("it is down");
    assert_eq!(answer.reason().cause, Cause::Unreachable, "{answer:?}");
    place.server.restart();
    assert_eq!(
        place.engine.revoke(&[revocation(&issued[0].0)]).await,
        [Ok(())],
        "it goes on where it was"
    );
}

/// A caller who hangs up leaves nothing behind in a connection that others use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_that_is_cut_off_costs_its_connection() {
    let place = place(Version::Distribution).await;
    for wait_us in [0, 100, 300, 600, 1000, 2000, 4000, 8000] {
        let engine = Arc::clone(&place.engine);
        let asked = suite::asked(&*place, 20);
        let cut_off =
            tokio::time::timeout(Duration::from_micros(wait_us), engine.issue(&asked)).await;
        drop(cut_off);
        suite::issued(&*place, 1).await;
    }
    let waiting = "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'leasehold' AND state LIKE 'idle in%'";
    assert_eq!(place.ask("app", waiting).await, "0");
    assert!(place.engine.list().await.expect("it lists").len() >= 8);
}
