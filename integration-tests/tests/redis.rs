//! The Redis engine on real servers: alone, with an `aclfile` and without, behind Sentinels, and in a cluster.

#![expect(clippy::expect_used, reason = "helpers of tests may fail a test")]

#[path = "redis/in_use.rs"]
mod in_use;
#[path = "redis/landing.rs"]
mod landing;
#[path = "redis/lent.rs"]
mod lent;
#[path = "redis/nodes.rs"]
mod nodes;
#[path = "redis/place.rs"]
mod place;
#[path = "redis/restarts.rs"]
mod restarts;
#[path = "redis/rules.rs"]
mod rules;
#[path = "redis/tls.rs"]
mod tls;

use leasehold_core::engine::Engine as _;
use leasehold_integration_tests::engine_suite as suite;
use leasehold_integration_tests::engine_suite::table::REDIS;
use leasehold_integration_tests::redis::{Server, Users};
use place::{Place, opened, place, place_at};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

leasehold_integration_tests::engine_suite! {
    REDIS;
    no_file => place(Users::Nowhere);
    aclfile => place(Users::AclFile);
    configuration_file => place(Users::Config);
    no_more_than_is_needed => place_of_an_administrator();
}

/// A target whose administrator may do what is needed and no more; the server knows it again after a restart.
fn place_of_an_administrator() -> Arc<Place> {
    let rules = [
        "--user",
        "vault",
        "on",
        ">geheim",
        "+acl|getuser",
        "+acl|setuser",
        "+acl|deluser",
        "+acl|list",
        "+client|id",
        "+client|setname",
        "+client|list",
        "+client|kill",
        "+config|get",
        "+config|rewrite",
        "+info",
        "+time",
        "+ping",
    ];
    let server = Server::start_with(Users::Nowhere, &rules);
    place_at(server, &json!({"username": "vault", "password": "geheim"}))
}

#[tokio::test]
async fn an_administrator_who_may_do_what_is_needed_lacks_nothing() {
    let place = place_of_an_administrator();
    assert_eq!(place.engine.lacks(Some(&place.role)).await, Ok(vec![]));
}

#[tokio::test]
async fn a_server_says_its_time_and_version_and_another_run_after_a_restart() {
    let server = Server::start(Users::Nowhere);
    let engine = opened(&server, suite::origin(), &Value::Null);
    let first = engine.identity().await.expect("it says");
    assert_eq!(first.server, None, "nothing of it outlives a restart");
    assert!(!first.version.is_empty());
    let apart = first.clock.since(suite::now()).max(suite::now().since(first.clock));
    assert!(apart < Duration::from_secs(5), "{apart:?}");
    assert_eq!(engine.identity().await.expect("it says").run, first.run);
    server.restart();
    let second = engine.identity().await.expect("it says");
    assert!(second.run.is_some() && second.run != first.run, "{second:?}");
}
