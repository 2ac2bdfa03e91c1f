//! Passwords of users that operators made: set, tested by a login or by the catalog, and the administrator's own.

use crate::place::{config, fields_of, object, place, place_without_root};
use leasehold_core::engine::rotation::{Account, Tested, Verify};
use leasehold_core::engine::{Cause, Engine as _, EngineError};
use leasehold_engines::mysql::MySql;
use leasehold_integration_tests::engine_suite::rotation::{account, intended, intent};
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE, Site as _};
use leasehold_integration_tests::mariadb::{ROOT, ROOT_PASSWORD};
use serde_json::{Value, json};

#[tokio::test]
async fn a_user_is_rotated_for_every_host() {
    let place = place().await;
    place.plant("billing").await;
    place.run("CREATE USER billing@'127.0.0.1' IDENTIFIED BY 'another'").await;
    let (every_host, intent) = (account("billing"), intent());
    let answer_by = suite::now().plus(PATIENCE);
    let _ = place.engine.rotate(&every_host, &intent, answer_by).await.expect("it is set");
    let tested = place.engine.tested(&every_host, intended(&intent), answer_by).await;
    assert_eq!(tested, Ok(Tested::Works), "the user of the nearer host has it as well");
}

#[tokio::test]
async fn a_password_that_cannot_log_in_is_tested_by_the_catalog() {
    let place = place().await;
    place.run("CREATE USER batch@'%' IDENTIFIED BY 'x' ACCOUNT LOCK").await;
    let (by_login, intent) = (account("batch"), intent());
    let by_catalog = Account { verify: Verify::Catalog, ..by_login.clone() };
    let answer_by = suite::now().plus(PATIENCE);
    let tested = async |account| place.engine.tested(account, intended(&intent), answer_by).await;
    assert_eq!(tested(&by_catalog).await, Ok(Tested::Denied));
    let _ = place.engine.rotate(&by_login, &intent, answer_by).await.expect("it is set");
    assert_eq!(tested(&by_catalog).await, Ok(Tested::Works));
    let barred = tested(&by_login).await;
    assert_eq!(barred, Ok(Tested::Barred), "a login that is denied for another reason");
}

#[tokio::test]
async fn an_operators_own_statements_set_the_password() {
    let place = place().await;
    place.plant("own").await;
    for statement in [
        "ALTER USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'",
        "SET PASSWORD FOR '{{username}}'@'%' = PASSWORD('{{password}}')",
    ] {
        let own = Account { statements: vec![statement.to_owned()], ..account("own") };
        MySql::check_account(&own).expect("they are accepted");
        let (intent, answer_by) = (intent(), suite::now().plus(PATIENCE));
        let _ = place.engine.rotate(&own, &intent, answer_by).await.expect("it is set");
        let tested = place.engine.tested(&own, intended(&intent), answer_by).await;
        assert_eq!(tested, Ok(Tested::Works), "{statement}");
    }
}

#[tokio::test]
async fn who_may_not_alter_a_user_is_told_what_to_run() {
    let place = place_without_root().await;
    place.plant("billing").await;
    for held in ["CREATE USER ON *.*", "UPDATE ON mysql.*"] {
        place.run(&format!("REVOKE {held} FROM 'lease\\'@dmin'@'%'")).await;
    }
    let answer_by = suite::now().plus(PATIENCE);
    let answer = place.engine.rotate(&account("billing"), &intent(), answer_by).await;
    let Err(EngineError::Refused(reason)) = answer else { panic!("it may not: {answer:?}") };
    assert_eq!(reason.cause, Cause::NeedsOperator);
    assert!(
        reason.message.contains("run: GRANT CREATE USER ON *.* TO 'lease\\'@dmin'@'%'"),
        "{reason}"
    );
}

#[tokio::test]
async fn the_administrators_own_password_is_set_and_its_configuration_follows() {
    let place = place().await;
    let written = fields_of(&place.server, (ROOT, ROOT_PASSWORD), &Value::Null);
    let administrator = MySql::administrator(&config(&written)).expect("there is one");
    let own = Account { administers: true, ..account(&administrator.name) };
    let (intent, answer_by) = (intent(), suite::now().plus(PATIENCE));
    let _ = place.engine.rotate(&own, &intent, answer_by).await.expect("it is set");
    let next = MySql::with_secret(object(&written), intended(&intent)).expect("it follows");
    let open = |written: &Value| {
        MySql::open(config(written), place.origin, suite::clock()).expect("the target opens")
    };
    open(&json!(next)).identity().await.expect("the new one is let in");
    let answer = open(&written).identity().await.expect_err("the old one is not");
    assert_eq!(answer.reason().cause, Cause::Unreachable);
}
