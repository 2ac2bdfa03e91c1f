//! The PostgreSQL engine on real servers: the distribution's, and version 16 and 18.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may fail a test"
)]

#[path = "postgres/owners.rs"]
mod owners;
#[path = "postgres/place.rs"]
mod place;
#[path = "postgres/proofs.rs"]
mod proofs;
#[path = "postgres/removal.rs"]
mod removal;
#[path = "postgres/rotation.rs"]
mod rotation;
#[path = "postgres/secrets.rs"]
mod secrets;
#[path = "postgres/statements.rs"]
mod statements;
#[path = "postgres/tls.rs"]
mod tls;
#[path = "postgres/trouble.rs"]
mod trouble;

use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::engine::naming::Naming;
use leasehold_core::engine::{Engine as _, PrepareError};
use leasehold_engines::postgres::Postgres;
use leasehold_integration_tests::engine_suite::{self as suite, Urandom};
use leasehold_integration_tests::postgres::{SUPERUSER, SUPERUSER_PASSWORD, Version};
use place::{Place, config, fields_of, place, place_without_superuser};
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_on_the_distributions_version() {
    suite_on(&place(Version::Distribution).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_on_version_18() {
    suite_on(&place(Version::V18).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_without_superuser_on_the_distributions_version() {
    suite_on(&place_without_superuser(Version::Distribution).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_without_superuser_on_version_16() {
    suite_on(&place_without_superuser(Version::V16).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_without_superuser_on_version_18() {
    suite_on(&place_without_superuser(Version::V18).await).await;
}

#[tokio::test]
async fn the_server_says_which_one_it_is() {
    let (one, other) =
        (place(Version::Distribution).await, place_without_superuser(Version::V18).await);
    let first = one.engine.identity().await.expect("it says");
    assert_eq!(
        first.server,
        Some(one.ask("app", "SELECT system_identifier::text FROM pg_control_system()").await)
    );
    assert!(
        first.clock.since(suite::now()).max(suite::now().since(first.clock))
            < Duration::from_secs(5)
    );
    let second = other.engine.identity().await.expect("it says");
    assert_eq!(
        second.server,
        Some(other.ask("app", "SELECT system_identifier::text FROM pg_control_system()").await)
    );
    assert!(second.version.starts_with("18"), "{}", second.version);
    suite::only_our_own_is_listed(
        &*one,
        &Postgres::open(
            config(&fields_of(&one.server, (SUPERUSER, SUPERUSER_PASSWORD), &Value::Null)),
            suite::origin(),
            suite::clock(),
        )
        .expect("the target opens"),
    )
    .await;
}

#[tokio::test]
async fn a_server_that_may_not_say_which_one_it_is_says_nothing() {
    let place = place_without_superuser(Version::Distribution).await;
    let withheld = "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system() FROM PUBLIC";
    place.run("app", withheld).await;
    let identity = place.engine.identity().await.expect("it answers all the same");
    assert_eq!(identity.server, None);
    assert!(!identity.version.is_empty());
}

#[tokio::test]
async fn a_name_the_server_would_cut_or_refuse_is_refused_before() {
    let place = place(Version::Distribution).await;
    let naming =
        Naming { lease: suite::lease(), display_name: "d", role_name: "r", now: suite::now() };
    let prepare = |template: &str| {
        place.open(&json!({"username_template": template})).prepare(
            &place.role,
            &naming,
            &PasswordPolicy::default(),
            &Urandom,
        )
    };
    assert!(matches!(
        prepare("{{.LeaseID}}{{.LeaseID}}{{.LeaseID}}"),
        Err(PrepareError::NameTooLong { bytes: 78, .. })
    ));
    assert!(matches!(prepare("pg_{{.RoleName}}"), Err(PrepareError::Role(_))));
    let (handle, _) = prepare("{{.RoleName}}-x").expect("it is named");
    assert_eq!(handle.name(), format!("r-x-{}", naming.lease.bits()));
}
