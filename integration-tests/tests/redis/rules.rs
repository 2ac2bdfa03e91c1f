//! Which rules a role may have, and what the administrator needs.

use crate::place::{object, opened, place, role};
use leasehold_core::engine::{Cause, Engine as _, EngineError};
use leasehold_engines::redis::Redis;
use leasehold_integration_tests::engine_suite as suite;
use leasehold_integration_tests::redis::{Server, Users, ask};
use serde_json::{Value, json};

#[tokio::test]
async fn rules_grant_what_they_say_and_nothing_else() {
    let place = place(Users::Nowhere);
    place.server.ask(&["SET", "a1", "x"]).await.expect("a key");
    for statements in [json!("[\"~a*\", \"+get\"]"), json!(["~a*", "+get"]), json!(["(~a* +get)"])]
    {
        let (_, login) = place.issue_by(&role(&statements)).await;
        let mut session = crate::place::log_in(&place.server, &login.expect("it is issued")).await;
        let session = session.as_mut().expect("it logs in");
        assert!(ask(session, &["GET", "a1"]).await.is_ok(), "{statements}");
        assert!(ask(session, &["GET", "b1"]).await.is_err(), "{statements}");
        assert!(ask(session, &["SET", "a1", "y"]).await.is_err(), "{statements}");
    }
}

#[tokio::test]
async fn a_rule_that_the_server_does_not_know_is_told_when_the_role_is_written() {
    let place = place(Users::Nowhere);
    let before = place.server.users().await;
    for (statements, said) in [(json!(["+@nope"]), "+@nope"), (json!(["~a", "+nosuch"]), "+nosuch")]
    {
        let lacks = place.engine.lacks(Some(&role(&statements))).await.expect("it answers");
        assert!(lacks.len() == 1 && lacks[0].contains(said), "{lacks:?}");
        // Where the role was written without asking, nothing is made by it either.
        let (issue, answer) = place.issue_by(&role(&statements)).await;
        let refused = answer.expect_err("it is refused");
        assert!(
            matches!(&refused, EngineError::Refused(reason) if reason.cause == Cause::Rejected),
            "{refused:?}"
        );
        assert!(refused.to_string().contains(said), "{refused}");
        assert!(!place.has(issue.handle.name()).await);
    }
    assert_eq!(place.engine.lacks(Some(&place.role)).await, Ok(vec![]));
    assert_eq!(place.server.users().await, before, "trying rules makes no user");
}

#[tokio::test]
async fn rules_that_would_let_others_in_never_reach_a_server() {
    for rule in ["nopass", ">geheim", "<x", "#0", "!0", "reset", "resetpass", "off", "on", "NOPASS"]
    {
        let fields = json!({ "creation_statements": ["~*", rule] });
        let refused = Redis::role(object(&fields)).expect_err(rule);
        assert!(!refused.0.contains("geheim"), "{refused}");
    }
}

#[tokio::test]
async fn what_an_administrator_lacks_is_spelt_out_and_running_it_is_enough() {
    let server = Server::start(Users::Nowhere);
    let poor =
        ["ACL", "SETUSER", "poor", "on", ">p", "+client|id", "+client|setname", "+info", "+ping"];
    server.ask(&poor).await.expect("an administrator is made");
    let more = json!({"username": "poor", "password": "p"});
    let origin = suite::origin();
    let lacks = opened(&server, origin, &more).lacks(None).await.expect("it answers");
    assert_eq!(lacks.len(), 1, "{lacks:?}");
    let line = lacks[0].split('`').nth(1).expect("a line to run is quoted");
    assert!(line.starts_with("ACL SETUSER poor +acl|getuser"), "{line}");
    let words: Vec<_> = line.split(' ').collect();
    server.ask(&words).await.expect("the line can be run");
    assert_eq!(opened(&server, origin, &more).lacks(None).await, Ok(vec![]));
}

#[tokio::test]
async fn a_password_is_in_no_log_of_the_server() {
    let server = Server::start_with(
        Users::AclFile,
        &["--loglevel", "debug", "--slowlog-log-slower-than", "0"],
    );
    let place = crate::place::place_at(server, &Value::Null);
    let (_, login) = place.issue().await;
    let slow = place.server.ask(&["SLOWLOG", "GET", "1000"]).await.expect("it is read");
    place.server.ask(&["ACL", "SAVE"]).await.expect("it is saved");
    let file = std::fs::read_to_string(place.server.folder().join("users.acl")).expect("a file");
    for text in [format!("{slow:?}"), place.server.log(), file] {
        assert!(!text.contains(&login.password), "the password is not told");
    }
}
