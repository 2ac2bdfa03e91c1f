//! What credentials are in use for, where a target has several nodes.

use crate::nodes::Watched;
use crate::place::{issue_at, log_in, role};
use leasehold_core::engine::{Cause, Engine as _};
use leasehold_integration_tests::engine_suite::{PATIENCE, now, revocation};
use leasehold_integration_tests::redis::Users;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_counted_at_every_node_and_one_that_is_away_is_named() {
    let watched = Watched::start(Users::Nowhere).await;
    let engine = watched.engine(&Value::Null);
    assert_eq!(engine.lacks(None).await, Ok(vec![]));
    let (issue, login) = issue_at(&engine, &role(&Value::Null)).await;
    let login = login.expect("it is issued");
    let mut sessions = Vec::new();
    for server in [&watched.primary, &watched.primary, &watched.replica] {
        sessions.push(log_in(server, &login).await.expect("it logs in at both"));
    }
    let asked = [(issue.lease, issue.handle.clone())];
    let told = engine.in_use(&asked, now().plus(PATIENCE)).await.remove(0).expect("it is told");
    assert_eq!((told.is_there, told.sessions, told.owned), (Some(true), Some(3), Some(vec![])));
    assert_eq!(told.unseen, Vec::<String>::new());

    watched.replica.kill();
    let told = engine.in_use(&asked, now().plus(PATIENCE)).await.remove(0).expect("it is told");
    assert_eq!((told.is_there, told.sessions), (Some(true), Some(2)));
    let replica = format!("127.0.0.1:{}", watched.replica.port());
    assert!(told.unseen.len() == 1 && told.unseen.concat().contains(&replica), "{told:?}");

    watched.primary.kill();
    let told = engine.in_use(&asked, now().plus(PATIENCE)).await.remove(0);
    assert_eq!(told.expect_err("nobody is there").reason().cause, Cause::Unreachable);
    watched.primary.restart();
    watched.replica.restart();
    drop(sessions);
    assert_eq!(engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
}
