//! Proofs of death at a PostgreSQL server: what counts as one, and what does not.

use crate::place::{Place, place, role};
use leasehold_core::engine::rotation::Tested;
use leasehold_core::engine::{Engine as _, Revocation};
use leasehold_integration_tests::engine_suite::proof::{armed, armed_handle, tested};
use leasehold_integration_tests::engine_suite::rotation::intent;
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE, Site as _, revocation};
use leasehold_integration_tests::postgres::{SUPERUSER, Version};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_role_that_is_kept_without_a_login_is_barred() {
    let place = place(Version::Distribution).await;
    let kept = role(&json!({
        "creation_statements": "CREATE ROLE {{name}} LOGIN PASSWORD '{{password}}'",
        "revocation_statements": "ALTER ROLE {{name}} NOLOGIN",
    }));
    let (issue, login) = place.issue_by(&kept).await;
    let _ = login.expect("it is issued");
    let intent = intent();
    let account = armed(&*place, &issue, issue.lease, &intent).await.expect("it is armed");
    assert_eq!(tested(&*place, &account, &intent).await, Ok(Tested::Works));
    let asked = Revocation { handle: armed_handle(&*place, &issue), ..revocation(&issue) };
    assert_eq!(place.engine.revoke(&[asked]).await, [Ok(())]);
    assert_eq!(tested(&*place, &account, &intent).await, Ok(Tested::Barred));
}

/// Lets nobody in over TCP but the superuser.
async fn shut(place: &Place) {
    let folder = place.ask("postgres", "SHOW data_directory").await;
    let rule = format!("host all {SUPERUSER} all scram-sha-256");
    place.run("postgres", &format!("COPY (SELECT '{rule}') TO '{folder}/pg_hba.conf'")).await;
    place.run("postgres", "SELECT pg_reload_conf()").await;
}

#[tokio::test]
async fn an_entry_that_lets_nobody_in_proves_nothing() {
    let place = place(Version::Distribution).await;
    let (issue, login) = suite::issued(&*place, 1).await.pop().expect("one was issued");
    let intent = intent();
    let account = armed(&*place, &issue, issue.lease, &intent).await.expect("it is armed");
    assert_eq!(tested(&*place, &account, &intent).await, Ok(Tested::Works));
    shut(&place).await;
    let refused_otherwise = async {
        // A reload takes a moment; before it, the holder's old password is refused as a wrong one.
        while !place.log_in(&login).await.is_err_and(|said| said.contains("pg_hba.conf")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused_otherwise).await.expect("the entries are read anew");
    let alive = tested(&*place, &account, &intent).await;
    assert!(alive.is_err(), "a live credential is refused for the entry: {alive:?}");
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    let dead = tested(&*place, &account, &intent).await;
    assert!(dead.is_err(), "and so is a dead one: {dead:?}");
}
