//! The owner roles, when somebody changes them at the server.

use crate::place::place_without_superuser;
use crate::place::{ADMINISTRATOR, ADMINISTRATOR_PASSWORD, Place, fields_of, object};
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::broker::batch::LinePorts;
use leasehold_core::engine::erased::{KindOf, RoleRef};
use leasehold_core::engine::naming::Naming;
use leasehold_core::engine::{Cause, Engine as _, EngineError};
use leasehold_core::store::Revision;
use leasehold_engines::postgres::Postgres;
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE, Site as _, revocation};
use leasehold_integration_tests::postgres::Version;
use leasehold_server::chance::SystemChance;
use leasehold_server::tasks::TokioTasks;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Writes a statement for every owner role of a server, as `docs/OPERATING.md` has it.
async fn for_owners(place: &Place, statement: &str) -> String {
    let sql = format!(
        "SELECT string_agg(format('{statement}', rolname), '; ') FROM pg_roles \
         WHERE rolname LIKE 'leasehold-owner-%'"
    );
    place.ask("app", &sql).await
}

/// Runs a statement for every owner role, as the superuser.
async fn run_for_owners(place: &Place, statement: &str) {
    place.run("app", &for_owners(place, statement).await).await;
}

async fn owners(place: &Place) -> String {
    let sql = "SELECT count(*)::text FROM pg_roles WHERE rolname LIKE 'leasehold-owner-%'";
    place.ask("app", sql).await
}

fn is_contended<T>(answer: &Result<T, EngineError>) -> bool {
    matches!(answer, Err(EngineError::Refused(reason)) if reason.cause == Cause::Contended)
}

async fn dropped_owner_roles_are_set_up_anew(version: Version) {
    let place = place_without_superuser(version).await;
    let (issue, _) = suite::issued(&*place, 1).await.pop().expect("one was issued");
    assert_eq!(owners(&place).await, "64");
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    let drops = for_owners(&place, "DROP ROLE %I").await;
    let login = place.server.log_in(ADMINISTRATOR, ADMINISTRATOR_PASSWORD, "app").await;
    let mut administrator = login.expect("the administrator logs in");
    let dropped = sqlx::raw_sql(AssertSqlSafe(drops)).execute(&mut administrator).await;
    dropped.expect("the administrator may drop them");
    assert_eq!(
        owners(&place).await,
        "0",
        "nothing depends on them once their credentials are gone"
    );
    let (_, answer) = place.issue_by(&place.role).await;
    assert!(
        is_contended(&answer),
        "nothing was created, and another try is worth while: {answer:?}"
    );
    let (issue, answer) = place.issue_by(&place.role).await;
    let login = answer.expect("they are set up anew");
    place.log_in(&login).await.expect("it logs in");
    assert_eq!(owners(&place).await, "64");
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
}

#[tokio::test]
async fn dropped_owner_roles_are_set_up_anew_on_version_16() {
    dropped_owner_roles_are_set_up_anew(Version::V16).await;
}

#[tokio::test]
async fn dropped_owner_roles_are_set_up_anew_on_version_18() {
    dropped_owner_roles_are_set_up_anew(Version::V18).await;
}

#[tokio::test]
async fn grants_taken_from_owner_roles_are_granted_anew() {
    let place = place_without_superuser(Version::V18).await;
    let (before, _) = suite::issued(&*place, 1).await.pop().expect("one was issued");
    let administrator = "\"lease\"\"admin\"";
    let stepping = format!("REVOKE %I FROM {administrator} GRANTED BY {administrator}");
    run_for_owners(&place, &stepping).await;
    let (_, answer) = place.issue_by(&place.role).await;
    assert!(is_contended(&answer), "{answer:?}");
    let (issue, answer) = place.issue_by(&place.role).await;
    place.log_in(&answer.expect("it is issued")).await.expect("it logs in");
    let answers = place.engine.revoke(&[revocation(&before), revocation(&issue)]).await;
    assert_eq!(answers, [Ok(()), Ok(())], "what was issued before is revoked as well");

    run_for_owners(&place, &format!("REVOKE readonly FROM %I GRANTED BY {administrator}")).await;
    let (_, answer) = place.issue_by(&place.role).await;
    assert!(is_contended(&answer), "{answer:?}");
    let (_, answer) = place.issue_by(&place.role).await;
    place.log_in(&answer.expect("it is issued")).await.expect("it logs in");
}

/// What cannot be mended by setting up anew is said as it is, however often it is asked.
#[tokio::test]
async fn an_administrator_who_lost_a_grant_is_told_so() {
    let place = place_without_superuser(Version::V18).await;
    suite::issued(&*place, 1).await;
    place.run("app", "REVOKE readonly FROM \"lease\"\"admin\" CASCADE").await;
    let (_, answer) = place.issue_by(&place.role).await;
    assert!(is_contended(&answer), "{answer:?}");
    for _ in 0..2 {
        let (_, answer) = place.issue_by(&place.role).await;
        let error = answer.expect_err("it may not grant the role");
        assert_eq!(error.reason().cause, Cause::NeedsOperator, "{error}");
    }
}

/// The line tries again by itself, so that whoever borrows notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_borrows_does_not_notice_that_owner_roles_were_dropped() {
    let place = place_without_superuser(Version::V16).await;
    let clock = suite::clock();
    let ports = LinePorts {
        clock: Arc::clone(&clock),
        chance: Arc::new(SystemChance),
        tasks: Arc::new(TokioTasks::new(Handle::current(), clock)),
        meter: Arc::default(),
    };
    let login = (ADMINISTRATOR, ADMINISTRATOR_PASSWORD);
    let fields = fields_of(&place.server, login, &Value::Null);
    let line = KindOf::<Postgres>::new();
    let line = line.open(object(&fields), place.origin, ports).expect("the target opens");
    let fields = serde_json::to_value(&*place.role).expect("a role is an object");
    let role = RoleRef { name: "app", revision: Revision(1), fields: object(&fields) };
    let recipe = line.bind(role).expect("the role binds");
    for round in 0..2 {
        let (lease, now) = (suite::lease(), suite::now());
        let naming = Naming { lease, display_name: "tester", role_name: "app", now };
        let mut drafted = recipe
            .prepare(&naming, &PasswordPolicy::default(), &SystemChance)
            .expect("it is prepared");
        drafted.derive();
        let answer = drafted.issue(now.plus(Duration::from_hours(1)), now.plus(PATIENCE)).await;
        answer.expect("it is issued");
        if round == 0 {
            run_for_owners(&place, "DROP OWNED BY %1$I; DROP ROLE %1$I").await;
        }
    }
}
