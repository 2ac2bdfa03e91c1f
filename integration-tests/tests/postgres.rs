//! The PostgreSQL engine on real servers: the distribution's, and version 16 and 18.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may fail a test"
)]

#[path = "postgres/in_use.rs"]
mod in_use;
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
use leasehold_integration_tests::engine_suite::table::POSTGRES;
use leasehold_integration_tests::engine_suite::{self as suite, Urandom};
use leasehold_integration_tests::postgres::Version;
use place::{place, place_by_statements, place_without_superuser};
use serde_json::json;
use std::time::Duration;

leasehold_integration_tests::engine_suite! {
    POSTGRES;
    superuser_on_the_distributions_version => place(Version::Distribution).await;
    superuser_on_version_18 => place(Version::V18).await;
    createrole_on_the_distributions_version => place_without_superuser(Version::Distribution).await;
    createrole_on_version_16 => place_without_superuser(Version::V16).await;
    createrole_on_version_18 => place_without_superuser(Version::V18).await;
    own_statements => place_by_statements().await;
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
