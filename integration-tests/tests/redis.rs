//! The Redis engine on real servers: alone, with an `aclfile` and without, behind Sentinels, and in a cluster.

#![expect(clippy::expect_used, reason = "helpers of tests may fail a test")]

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
use leasehold_integration_tests::redis::{Server, Users};
use place::{Place, opened, place, place_at};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Runs the whole suite on one server.
async fn suite_on(place: &Arc<Place>) {
    suite::a_credential_lives_and_dies(&**place).await;
    suite::what_is_not_there_is_revoked(&**place).await;
    suite::a_client_that_reconnects_is_cut_off(place).await;
    suite::sixty_four_at_once(place).await;
    suite::a_late_issue_creates_nothing(&**place).await;
    suite::an_expired_member_leaves_its_batch_alone(&**place).await;
    suite::an_unanswered_issue_is_not_counted_before_its_time(&**place).await;
    suite::hostile_names_are_names(&**place).await;
    suite::a_poisoned_revocation_harms_nobody_else(&**place).await;
    suite::what_exists_is_never_taken_over(&**place).await;
    suite::proof::a_control_login_works_until_the_revocation(&**place).await;
    suite::proof::only_what_is_the_leases_is_armed(&**place).await;
    suite::rotation::an_account_has_the_password_that_was_intended(&**place, "owned").await;
    suite::rotation::an_account_is_never_made_and_never_altered_late(&**place, "other").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_on_a_server_that_keeps_no_users() {
    suite_on(&place(Users::Nowhere)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_on_a_server_with_an_aclfile() {
    suite_on(&place(Users::AclFile)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_on_a_server_with_a_configuration_file() {
    suite_on(&place(Users::Config)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_for_an_administrator_with_nothing_but_what_is_needed() {
    let server = Server::start(Users::Nowhere);
    let rules = [
        "ACL",
        "SETUSER",
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
    server.ask(&rules).await.expect("an administrator is made");
    let place = place_at(server, &json!({"username": "vault", "password": "geheim"}));
    assert_eq!(place.engine.lacks(Some(&place.role)).await, Ok(vec![]));
    suite_on(&place).await;
}

#[tokio::test]
async fn another_targets_credentials_are_neither_listed_nor_removed() {
    let place = place(Users::Nowhere);
    suite::only_our_own_is_listed(&*place, &opened(&place.server, suite::origin(), &Value::Null))
        .await;
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
    let mut server = server;
    server.restart();
    let second = engine.identity().await.expect("it says");
    assert!(second.run.is_some() && second.run != first.run, "{second:?}");
}
