//! What a credential leaves behind, and who may take it away.

use crate::place::{Place, config, fields_of, place, place_without_superuser, role};
use leasehold_core::engine::{Cause, Engine as _, EngineError};
use leasehold_engines::postgres::Postgres;
use leasehold_integration_tests::engine_suite::{
    self as suite, PATIENCE, Site as _, prepared, revocation,
};
use leasehold_integration_tests::postgres::Version;
use serde_json::{Value, json};
use std::sync::Arc;
/// A credential that made tables in two databases, with grants to it in both.
async fn owned_objects_are_kept_and_grants_dropped(place: Arc<Place>) {
    place.run("app", "CREATE SCHEMA work; GRANT ALL ON SCHEMA work TO readonly").await;
    place.run("postgres", "CREATE DATABASE \"other; \"\"db\"").await;
    place.run("other; \"db", "CREATE SCHEMA work; GRANT ALL ON SCHEMA work TO readonly").await;
    let (issue, login) = place.issue_by(&place.role).await;
    let login = login.expect("it is issued");
    for database in ["app", "other; \"db"] {
        let mut session = place
            .server
            .log_in(&login.username, &login.password, database)
            .await
            .expect("it logs in");
        let made =
            sqlx::raw_sql("CREATE TABLE work.made (a int); INSERT INTO work.made VALUES (42)")
                .execute(&mut session)
                .await;
        made.expect("it makes a table");
    }
    let bystander = suite::issued(&*place, 1).await.pop().expect("one was issued").0;
    let answers = place.engine.revoke(&[revocation(&bystander), revocation(&issue)]).await;
    assert_eq!(answers, [Ok(()), Ok(())]);
    assert!(!place.credentials().await.contains(&login.username));
    for database in ["app", "other; \"db"] {
        let kept = place.ask(database, "SELECT a::text FROM work.made").await;
        assert_eq!(kept, "42", "what a credential made is kept, in {database}");
    }
}

#[tokio::test]
async fn what_a_credential_made_is_kept_on_the_distributions_version() {
    owned_objects_are_kept_and_grants_dropped(place(Version::Distribution).await).await;
}

#[tokio::test]
async fn what_a_credential_made_is_kept_without_superuser_on_the_distributions_version() {
    owned_objects_are_kept_and_grants_dropped(place_without_superuser(Version::Distribution).await)
        .await;
}

#[tokio::test]
async fn what_a_credential_made_is_kept_without_superuser_on_version_18() {
    owned_objects_are_kept_and_grants_dropped(place_without_superuser(Version::V18).await).await;
}

/// What others granted, an administrator without superuser cannot take away; the error says what to do.
async fn a_grant_by_others_needs_an_operator(version: Version) {
    let place = place_without_superuser(version).await;
    let (issue, login) = place.issue_by(&place.role).await;
    let login = login.expect("it is issued");
    let mut session = place.log_in(&login).await.expect("it logs in");
    place.run("app", &format!("GRANT SELECT ON notes TO \"{}\"", login.username)).await;
    let bystander = suite::issued(&*place, 1).await.pop().expect("one was issued").0;
    let answers = place.engine.revoke(&[revocation(&issue), revocation(&bystander)]).await;
    assert_eq!(answers[1], Ok(()), "others are not held up");
    let reason = answers[0].as_ref().expect_err("it cannot be dropped").reason();
    assert_eq!(reason.cause, Cause::NeedsOperator, "{reason}");
    for said in [
        "table notes",
        "granted by `postgres`",
        "database `app`",
        &format!("`DROP OWNED BY \"{}\"`", login.username),
    ] {
        assert!(reason.message.contains(said), "{said}: {reason}");
    }
    assert!(!place.works(&mut session).await, "it has no session all the same");
    assert!(place.log_in(&login).await.is_err(), "and no login");
    place.run("app", &format!("DROP OWNED BY \"{}\"", login.username)).await;
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
}

#[tokio::test]
async fn a_grant_by_others_needs_an_operator_on_the_distributions_version() {
    a_grant_by_others_needs_an_operator(Version::Distribution).await;
}

#[tokio::test]
async fn a_grant_by_others_needs_an_operator_on_version_18() {
    a_grant_by_others_needs_an_operator(Version::V18).await;
}

#[tokio::test]
async fn the_administrator_is_told_what_it_lacks() {
    let place = place_without_superuser(Version::V18).await;
    assert_eq!(
        place.engine.lacks(Some(&place.role)).await.expect("it answers"),
        Vec::<String>::new()
    );
    place.run("app", "CREATE ROLE poor LOGIN PASSWORD 'poor'; CREATE ROLE writers; REVOKE CONNECT ON DATABASE postgres FROM PUBLIC").await;
    let fields = fields_of(&place.server, ("poor", "poor"), &Value::Null);
    let poor =
        Postgres::open(config(&fields), place.origin, suite::clock()).expect("the target opens");
    let wanted = role(&json!({"grant_roles": ["writers", "no one"]}));
    let lacks = poor.lacks(Some(&wanted)).await.expect("it answers");
    for (lack, statement) in lacks.iter().zip([
        "`ALTER ROLE \"poor\" CREATEROLE`",
        "`GRANT pg_signal_backend TO \"poor\"`",
        "`GRANT CONNECT ON DATABASE \"postgres\" TO \"poor\"`",
        "`GRANT \"writers\" TO \"poor\" WITH ADMIN OPTION`",
        "`CREATE ROLE \"no one\" NOLOGIN`",
    ]) {
        assert!(lack.ends_with(statement), "{lack}");
    }
    assert_eq!(lacks.len(), 5, "{lacks:?}");
    let (_, answer) = {
        let issue = prepared(&poor, &wanted, ("a", "b"), PATIENCE);
        let answer = poor.issue(std::slice::from_ref(&issue)).await.remove(0);
        (issue, answer)
    };
    let refused = answer.expect_err("it may not");
    assert!(
        matches!(&refused, EngineError::Refused(reason) if reason.cause == Cause::NeedsOperator),
        "{refused:?}"
    );
}
