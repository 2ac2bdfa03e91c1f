//! What credentials are in use for, by the catalogs of all databases.

use crate::place::{Place, place, place_without_superuser, role};
use leasehold_core::engine::in_use::{InUse, Owned};
use leasehold_core::engine::{Cause, Engine as _, Issue};
use leasehold_engines::postgres::Postgres;
use leasehold_integration_tests::engine_suite::in_use::looked_at;
use leasehold_integration_tests::engine_suite::{
    self as suite, Login, PATIENCE, Site as _, now, prepared, revocation,
};
use leasehold_integration_tests::postgres::Version;
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::sync::Arc;

/// A database, and a table, whose names are made to be something else in a statement.
const OTHER: &str = "other; \"' db";

async fn run_as(place: &Place, login: &Login, database: &str, sql: &str) {
    let session = place.server.log_in(&login.username, &login.password, database).await;
    let made = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut session.expect("it logs in")).await;
    made.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn with_places_to_make_things(place: &Place) {
    let schema = "CREATE SCHEMA work; GRANT ALL ON SCHEMA work TO readonly";
    place.run("app", schema).await;
    place.run("postgres", &format!("CREATE DATABASE \"{}\"", OTHER.replace('"', "\"\""))).await;
    place.run(OTHER, schema).await;
}

async fn seen(place: &Place, issue: &Issue<Postgres>) -> InUse {
    looked_at(place, &[issue]).await.remove(0).expect("it is told")
}

fn owned(kind: &str, within: &str, count: u64, names: &[&str]) -> Owned {
    Owned {
        kind: kind.to_owned(),
        within: Some(within.to_owned()),
        count,
        names: names.iter().map(ToString::to_string).collect(),
    }
}

async fn what_is_owned_is_named_in_every_database(place: Arc<Place>) {
    with_places_to_make_things(&place).await;
    let (issue, login) = place.issue_by(&place.role).await;
    let login = login.expect("it is issued");
    let many: Vec<_> =
        (0..7).map(|number| format!("CREATE TABLE work.t{number} (a int)")).collect();
    run_as(&place, &login, "app", &many.join("; ")).await;
    run_as(&place, &login, "app", "CREATE VIEW work.v AS SELECT 1 AS one").await;
    run_as(&place, &login, OTHER, "CREATE TABLE work.\"x'; DROP TABLE \"\"y\" (a int)").await;
    let in_use = seen(&place, &issue).await;
    assert_eq!((in_use.is_there, in_use.unseen), (Some(true), Vec::new()));
    assert_eq!(
        in_use.owned,
        Some(vec![
            owned("table", "app", 7, &["work.t0", "work.t1", "work.t2", "work.t3", "work.t4"]),
            owned("view", "app", 1, &["work.v"]),
            owned("table", OTHER, 1, &["work.\"x'; DROP TABLE \"\"y\""]),
        ])
    );
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    let nothing = seen(&place, &issue).await;
    assert_eq!((nothing.is_there, nothing.owned), (Some(false), Some(Vec::new())));
}

#[tokio::test]
async fn what_a_credential_owns_is_named_on_the_distributions_version() {
    what_is_owned_is_named_in_every_database(place(Version::Distribution).await).await;
}

#[tokio::test]
async fn what_a_credential_owns_is_named_without_superuser_on_version_18() {
    what_is_owned_is_named_in_every_database(place_without_superuser(Version::V18).await).await;
}

#[tokio::test]
async fn a_database_that_cannot_be_asked_hides_no_number_and_no_session() {
    let place = place_without_superuser(Version::Distribution).await;
    with_places_to_make_things(&place).await;
    let (issue, login) = place.issue_by(&place.role).await;
    let login = login.expect("it is issued");
    run_as(&place, &login, OTHER, "CREATE TABLE work.a (a int); CREATE TABLE work.b (a int)").await;
    let session = place.server.log_in(&login.username, &login.password, OTHER).await;
    let sql = format!("REVOKE CONNECT ON DATABASE \"{}\" FROM PUBLIC", OTHER.replace('"', "\"\""));
    place.run("postgres", &sql).await;
    let in_use = seen(&place, &issue).await;
    assert_eq!(in_use.owned, Some(vec![owned("object", OTHER, 2, &[])]));
    assert_eq!((session.is_ok(), in_use.sessions), (true, Some(1)));
    let [why] = in_use.unseen.as_slice() else { panic!("{in_use:?}") };
    assert!(why.contains(OTHER) && why.contains("only the number is known"), "{why}");
}

#[tokio::test]
async fn somebody_elses_role_is_not_told_of_and_hostile_names_are_names() {
    let place = place(Version::Distribution).await;
    let template = json!({ "username_template": "a'; DROP TABLE \"books\"; --{{.RoleName}}" });
    let engine = place.open(&template);
    let role = role(&json!({"grant_roles": ["readonly"], "scram_iterations": 1}));
    let issue = prepared(&engine, &role, ("x", "{{name}}"), PATIENCE);
    let answers = engine.issue(std::slice::from_ref(&issue)).await;
    assert!(answers[0].is_ok(), "{answers:?}");
    let asked = [(issue.lease, issue.handle.clone())];
    let told = engine.in_use(&asked, now().plus(PATIENCE)).await.remove(0).expect("it is told");
    assert_eq!((told.is_there, told.sessions), (Some(true), Some(0)));
    // Another installation's mark: whatever it is called, it is not ours.
    let sql = format!(
        "COMMENT ON ROLE \"{}\" IS 'leasehold:{}:{}:{}'",
        issue.handle.name().replace('"', "\"\""),
        suite::origin().installation,
        place.origin.target,
        issue.lease
    );
    place.run("app", &sql).await;
    let told = engine.in_use(&asked, now().plus(PATIENCE)).await.remove(0);
    assert_eq!(told.expect_err("it is not ours").reason().cause, Cause::NeedsOperator);
    assert!(place.credentials().await.contains(issue.handle.name()));
}

#[tokio::test]
async fn a_server_that_is_gone_tells_so_of_every_credential() {
    let place = place(Version::Distribution).await;
    let (issue, login) = place.issue_by(&place.role).await;
    login.expect("it is issued");
    place.server.kill();
    let told = looked_at(&*place, &[&issue, &issue]).await;
    assert_eq!(told.len(), 2);
    for one in told {
        assert_eq!(one.expect_err("it is away").reason().cause, Cause::Unreachable);
    }
}
