//! A server that is stopped or suspended in the middle of something: what was sent never lands after a revocation.

use crate::place::{opened, place, role};
use leasehold_core::engine::{Cause, Engine as _, EngineError, PutBack, Revocation};
use leasehold_engines::redis::{Handle, Redis};
use leasehold_integration_tests::engine_suite::{
    PATIENCE, asked, now, prepared, revocation, until,
};
use leasehold_integration_tests::redis::Users;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_to_a_suspended_server_does_not_land_once_it_is_revoked() {
    let place = place(Users::Nowhere);
    // So that connections are open, and what is sent next waits in them.
    let (first, _) = place.issue().await;
    for own in [true, false] {
        let issue =
            prepared(&*place.engine, &place.role, ("tester", "app"), Duration::from_secs(2));
        let issue_by = issue.issue_by;
        place.server.suspend();
        let answer = place.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
        let error = answer.expect_err("nobody answers");
        // On a machine that is busy the connections may have been idle for too long to be trusted.
        let cause = error.reason().cause;
        assert!(matches!(cause, Cause::TooLate | Cause::Unreachable), "{error}");
        place.server.resume();
        let other = Arc::new(opened(&place.server, place.origin, &Value::Null));
        let revoker = if own { &place.engine } else { &other };
        let revoke = Revocation { unanswered: until(issue_by), ..revocation(&issue) };
        assert_eq!(revoker.revoke(&[revoke]).await, [Ok(())]);
        // The server has answered since, so whatever it had been sent before it has read.
        place.server.ask(&["PING"]).await.expect("it answers");
        assert!(!place.has(issue.handle.name()).await, "own engine: {own}");
    }
    assert_eq!(place.engine.revoke(&[revocation(&first)]).await, [Ok(())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_had_sent_is_ended_by_the_name_of_its_connection() {
    let place = place(Users::Nowhere);
    let dead = opened(&place.server, place.origin, &Value::Null);
    let issue = prepared(&dead, &place.role, ("tester", "app"), PATIENCE);
    let name = issue.handle.name().to_owned();
    assert!(dead.issue(std::slice::from_ref(&issue)).await.remove(0).is_ok());
    let named = |said: &str| said.matches(" name=leasehold:").count();
    let before = place.server.text(&["CLIENT", "LIST"]).await;
    assert_eq!(named(&before), 1, "{before}");
    place.server.ask(&["ACL", "DELUSER", &name]).await.expect("somebody removes it");
    let revoke = Revocation { unanswered: until(now().minus(PATIENCE)), ..revocation(&issue) };
    assert_eq!(place.engine.revoke(&[revoke]).await, [Ok(())]);
    let after = place.server.text(&["CLIENT", "LIST"]).await;
    assert_eq!(named(&after), 1, "only the connection of the one that revoked is left: {after}");
    // A foreign connection that has a name of its own lives.
    assert!(after.contains("cmd=client"), "{after}");
}

/// Otherwise it would land once the user was put back by somebody who had an answer, and was revoked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_had_sent_to_put_back_is_ended_before_it_is_put_back_again() {
    let place = place(Users::Nowhere);
    let dead = opened(&place.server, place.origin, &Value::Null);
    let (issue, _) = place.issue().await;
    place.server.restart();
    let by = |engine: &Redis, handle: &Handle| PutBack {
        lease: issue.lease,
        handle: engine.put_back_as(handle),
        issue_by: now().plus(PATIENCE),
    };
    let first = by(&dead, &issue.handle);
    let second = by(&place.engine, &first.handle);
    assert_eq!(dead.put_back(&[first]).await, [Ok(())]);
    let named = |said: &str| said.matches(" name=leasehold:").count();
    let before = place.server.text(&["CLIENT", "LIST"]).await;
    assert_eq!(named(&before), 1, "{before}");
    assert_eq!(place.engine.put_back(&[second]).await, [Ok(())]);
    let after = place.server.text(&["CLIENT", "LIST"]).await;
    assert_eq!(named(&after), 1, "only the connection of the one that lives is left: {after}");
    assert!(place.has(issue.handle.name()).await);
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_keeps_its_leases_until_it_is_back() {
    let place = place(Users::Nowhere);
    let (issue, login) = place.issue().await;
    place.server.kill();
    let answer = place.engine.revoke(&[revocation(&issue)]).await.remove(0);
    let error = answer.expect_err("nobody answers");
    assert!(matches!(&error, EngineError::Uncertain(reason) if reason.cause == Cause::Unreachable));
    let (_, refused) = place.issue_by(&role(&Value::Null)).await;
    let refused = refused.expect_err("nobody answers");
    assert!(
        matches!(&refused, EngineError::Refused(reason) if reason.cause == Cause::Unreachable),
        "{refused:?}"
    );
    place.server.restart();
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(crate::place::log_in(&place.server, &login).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_server_neither_confirms_nor_refuses() {
    let place = place(Users::Nowhere);
    let (issue, login) = place.issue().await;
    let mut session = crate::place::log_in(&place.server, &login).await.expect("it logs in");
    place.server.suspend();
    let mut revoke = revocation(&issue);
    revoke.answer_by = now().plus(Duration::from_secs(1));
    let answer = place.engine.revoke(&[revoke]).await.remove(0);
    assert!(matches!(answer, Err(EngineError::Uncertain(_))), "{answer:?}");
    place.server.resume();
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!crate::place::works(&mut session).await, "its session has ended");
}

#[tokio::test]
async fn an_issue_is_asked_for_once() {
    let place = place(Users::Nowhere);
    let issues = asked(&*place, 2);
    assert!(place.engine.issue(&issues).await.iter().all(Result::is_ok));
    let said = place.server.text(&["INFO", "commandstats"]).await;
    let set = said.lines().find(|line| line.starts_with("cmdstat_acl|setuser:")).expect("counted");
    assert!(set.contains("calls=2,"), "{set}");
}
