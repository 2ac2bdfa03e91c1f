//! The AWS engine against moto, with a judge before it that is as slow, busy and forgetful as AWS.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may fail a test"
)]

#[path = "aws/denials.rs"]
mod denials;
#[path = "aws/in_use.rs"]
mod in_use;
#[path = "aws/place.rs"]
mod place;
#[path = "aws/removal.rs"]
mod removal;
#[path = "aws/rights.rs"]
mod rights;
#[path = "aws/rotation.rs"]
mod rotation;
#[path = "aws/sessions.rs"]
mod sessions;
#[path = "aws/trouble.rs"]
mod trouble;
#[path = "aws/whole.rs"]
mod whole;

use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::engine::naming::Naming;
use leasehold_core::engine::{Engine as _, PrepareError};
use leasehold_integration_tests::engine_suite::table::AWS;
use leasehold_integration_tests::engine_suite::{self as suite, Urandom};
use place::{late_place, place, role};
use serde_json::json;
use std::time::Duration;

leasehold_integration_tests::engine_suite! {
    AWS;
    prompt => place();
    late_and_by_pages => late_place().await;
}

#[tokio::test]
async fn the_account_says_which_one_it_is() {
    let place = place();
    let identity = place.engine.identity().await.expect("it says");
    assert_eq!(identity.server.as_deref(), Some("123456789012"));
    let now = suite::now();
    let difference = identity.clock.since(now).max(now.since(identity.clock));
    assert!(difference < Duration::from_secs(5), "{difference:?}");
}

#[tokio::test]
async fn a_name_that_iam_would_refuse_is_refused_before() {
    let place = place();
    let naming =
        Naming { lease: suite::lease(), display_name: "d", role_name: "r", now: suite::now() };
    let prepare = |template: &str| {
        place.open(place.origin, &json!({"username_template": template})).prepare(
            &place.role,
            &naming,
            &PasswordPolicy::default(),
            &Urandom,
        )
    };
    assert!(matches!(
        prepare("{{.LeaseID}}{{.LeaseID}}{{.LeaseID}}"),
        Err(PrepareError::NameTooLong { bytes: 78, bytes_max: 64, .. })
    ));
    let (handle, _) = prepare("{{.RoleName}}/ä:x").expect("it is named");
    assert_eq!(handle.name(), format!("r____x-{}", naming.lease.bits()).replacen("____", "___", 1));
    let longest = Naming {
        display_name: "a display name that nobody ends",
        role_name: "a role whose name is long",
        ..naming
    };
    let (handle, _) = place
        .engine
        .prepare(&place.role, &longest, &PasswordPolicy::default(), &Urandom)
        .expect("it is named");
    assert_eq!(handle.name(), format!("vault-a_display_name-a_role_whose_n-{}", longest.lease));
}

#[tokio::test]
async fn what_a_role_names_that_is_not_there_is_told() {
    let place = place();
    assert!(place.engine.lacks(None).await.expect("it is asked").is_empty());
    assert!(place.engine.lacks(Some(&place.role)).await.expect("it is asked").is_empty());
    let missing = role(&json!({
        "credential_type": "iam_user", "iam_groups": ["nobody"],
        "policy_arns": ["arn:aws:iam::123456789012:policy/nothing"],
        "permissions_boundary_arn": "arn:aws:iam::123456789012:policy/nowhere",
    }));
    let lacks = place.engine.lacks(Some(&missing)).await.expect("it is asked").join("; ");
    for named in ["policy/nothing", "policy/nowhere", "`nobody`"] {
        assert!(lacks.contains(named), "{lacks}");
    }
}
