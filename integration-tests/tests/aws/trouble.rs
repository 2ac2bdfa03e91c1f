//! An AWS that is late, busy, full, or does not answer.

use crate::place::{place, prepared};
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::engine::{Cause, Engine as _, EngineError, Revocation};
use leasehold_core::ids::LeaseId;
use leasehold_integration_tests::engine_suite::{
    self as suite, PATIENCE, Site as _, Urandom, revocation, until,
};
use serde_json::json;
use std::time::Duration;

/// The key that is handed out works, however late AWS knows of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_handed_out_once_it_works() {
    let place = place();
    place.account.judge(json!({"stale": 5})).await;
    let (_, login) = place.issue_by(&place.role).await;
    let login = login.expect("it is issued");
    place.log_in(&login).await.expect("it works at once");
    let asked = place.account.asked().await;
    let tried = asked.iter().filter(|(action, _)| action == "GetCallerIdentity").count();
    assert!(tried > 5, "it was tried until it worked: {tried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_never_works_is_not_handed_out() {
    let place = place();
    place.account.judge(json!({"stale": 1_000_000})).await;
    let issue = prepared(&place.engine, &place.role, ("tester", "app"), Duration::from_secs(2));
    let answer = place.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    assert!(matches!(answer, Err(EngineError::Uncertain(_))), "{answer:?}");
    place.account.judge(json!({"forget": {issue.handle.name(): 0}})).await;
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!place.credentials().await.contains(issue.handle.name()));
}

/// Right after it was made a user may not be found: that is no proof that it is gone.
#[tokio::test]
async fn a_user_that_is_not_found_yet_is_not_taken_for_gone() {
    let place = place();
    let mut fresh = prepared(&place.engine, &place.role, ("tester", "app"), PATIENCE);
    fresh.lease = LeaseId::new(suite::now(), &Urandom);
    let naming = leasehold_core::engine::naming::Naming {
        lease: fresh.lease,
        display_name: "tester",
        role_name: "app",
        now: suite::now(),
    };
    (fresh.handle, _) = place
        .engine
        .prepare(&place.role, &naming, &PasswordPolicy::default(), &Urandom)
        .expect("named");
    let answer = place.engine.issue(std::slice::from_ref(&fresh)).await.remove(0);
    let login = place.login(&answer.expect("it is issued"));
    place.account.judge(json!({"forget": {fresh.handle.name(): 2}})).await;
    let error = place.engine.revoke(&[revocation(&fresh)]).await.remove(0).expect_err("not found");
    assert_eq!(error.reason().cause, Cause::Contended, "{error}");
    let renewal = suite::renewal(&fresh, suite::now().plus(PATIENCE));
    let error = place.engine.renew(&[renewal]).await.remove(0).expect_err("nor is it gone");
    assert_eq!(error.reason().cause, Cause::Contended, "{error}");
    place.log_in(&login).await.expect("it was there all the time");
    assert_eq!(place.engine.revoke(&[revocation(&fresh)]).await, [Ok(())]);
    assert!(place.log_in(&login).await.is_err());
}

/// The call that creates the user arrives after everybody has given it up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_that_arrives_late_does_not_outlive_its_lease() {
    let place = place();
    place.account.judge(json!({"hold": "CreateUser"})).await;
    let issue = prepared(&place.engine, &place.role, ("tester", "app"), Duration::from_secs(1));
    let answer = place.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    assert!(matches!(&answer, Err(EngineError::Uncertain(_))), "{answer:?}");
    let settles_at = suite::now().plus(PATIENCE);
    let unanswered = || Revocation { unanswered: until(settles_at), ..revocation(&issue) };
    let error = place.engine.revoke(&[unanswered()]).await.remove(0).expect_err("it may come");
    assert_eq!(error.reason().cause, Cause::Contended, "{error}");
    place.account.judge(json!({"let_go": true})).await;
    let deadline = suite::now().plus(PATIENCE);
    while !place.credentials().await.contains(issue.handle.name()) {
        assert!(suite::now() < deadline, "it arrives");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(place.engine.revoke(&[unanswered()]).await, [Ok(())]);
    assert!(!place.credentials().await.contains(issue.handle.name()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_leaves_it_uncertain() {
    let place = place();
    for action in ["CreateUser", "CreateAccessKey", "PutUserPolicy"] {
        place.account.judge(json!({"lost": {action: 1}})).await;
        let (issue, answer) = place.issue_by(&place.role).await;
        match (action, answer) {
            // Asked again, the others do no harm.
            ("CreateUser", Err(EngineError::Uncertain(_)))
            | ("CreateAccessKey" | "PutUserPolicy", Ok(_)) => {}
            (_, answer) => panic!("{action}: {answer:?}"),
        }
        assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())], "{action}");
        assert!(!place.credentials().await.contains(issue.handle.name()), "{action}");
    }
    let asked = place.account.asked().await;
    let created = asked.iter().filter(|(action, _)| action == "CreateUser").count();
    // The administrator was created as well.
    assert_eq!(created, 1 + 3, "what creates is never sent twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aws_that_is_too_busy_is_asked_again_later() {
    let place = place();
    let throttled = json!({"CreateUser": 3, "PutUserPolicy": 2, "DeleteAccessKey": 2});
    place.account.judge(json!({"throttled": throttled})).await;
    let (issue, login) = place.issue_by(&place.role).await;
    place.log_in(&login.expect("it waits")).await.expect("it logs in");
    // Asked as the sweep asks: until it counts. The client has slowed down.
    let revoked = async { while place.engine.revoke(&[revocation(&issue)]).await != [Ok(())] {} };
    tokio::time::timeout(Duration::from_mins(2), revoked).await.expect("it is revoked");
    // For longer than a caller waits it is nobody's fault, and nothing is made.
    place.account.judge(json!({"throttled": {"CreateUser": 1_000_000}})).await;
    let issue = prepared(&place.engine, &place.role, ("tester", "app"), Duration::from_secs(1));
    let error = place.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    let error = error.expect_err("it is too busy all the time");
    assert!(matches!(&error, EngineError::Refused(_)), "{error:?}");
    assert!(!place.credentials().await.contains(issue.handle.name()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_full_says_so_and_lends_again_once_it_is_not() {
    let place = place();
    place.account.judge(json!({"users_max": 2})).await;
    let first = suite::issued(&*place, 1).await.remove(0).0;
    let (_, answer) = place.issue_by(&place.role).await;
    let error = answer.expect_err("the administrator and one more are two");
    assert!(matches!(&error, EngineError::Refused(reason) if reason.cause == Cause::NeedsOperator));
    assert!(error.to_string().contains("UsersPerAccount"), "{error}");
    assert_eq!(place.engine.revoke(&[revocation(&first)]).await, [Ok(())]);
    place.issue_by(&place.role).await.1.expect("there is room again");
}

#[tokio::test]
async fn a_wrong_key_of_the_administrator_is_told_from_an_aws_that_is_not_there() {
    let place = place();
    let wrong = place.open(place.origin, &json!({"secret_key": "geheim"}));
    let error = wrong.identity().await.expect_err("the key is wrong");
    assert!(error.to_string().contains("SignatureDoesNotMatch"), "{error}");
    assert!(!error.to_string().contains("geheim"), "{error}");
    let nowhere = json!({"iam_endpoint": "http://127.0.0.1:1", "max_retries": 0});
    let nowhere = place.open(place.origin, &nowhere);
    let issue = prepared(&nowhere, &place.role, ("tester", "app"), PATIENCE);
    let error = nowhere.issue(std::slice::from_ref(&issue)).await.remove(0).expect_err("nobody");
    assert_eq!(error.reason().cause, Cause::Unreachable, "{error}");
}

/// An AWS that hangs takes no more of anybody's time than they have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aws_that_hangs_is_given_up_in_time_and_asked_again() {
    let place = place();
    let (issue, _) = suite::issued(&*place, 1).await.remove(0);
    place.account.suspend();
    let began = suite::now();
    let hurried =
        Revocation { answer_by: began.plus(Duration::from_secs(1)), ..revocation(&issue) };
    let error = place.engine.revoke(&[hurried]).await.remove(0).expect_err("it hangs");
    assert_eq!(error.reason().cause, Cause::TooLate, "{error}");
    assert!(suite::now().since(began) < PATIENCE);
    place.account.resume();
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
}
