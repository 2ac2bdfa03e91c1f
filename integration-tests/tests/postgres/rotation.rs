//! Passwords of roles that operators made: set, tested by a login or by the catalog, and the administrator's own.

use crate::place::{Place, config, fields_of, object, place, place_without_superuser};
use leasehold_core::engine::rotation::{Account, AccountSecret, Tested, Verify};
use leasehold_core::engine::{Cause, Engine as _, EngineError};
use leasehold_engines::postgres::Postgres;
use leasehold_integration_tests::engine_suite::rotation::{account, intended, intent};
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE, Site as _};
use leasehold_integration_tests::postgres::{SUPERUSER, SUPERUSER_PASSWORD, Version};
use serde_json::{Value, json};

const NAME: &str = "it's \"the\" app";

async fn tested(place: &Place, account: &Account, secret: &AccountSecret) -> Tested {
    let answer = place.engine.tested(account, secret, suite::now().plus(PATIENCE)).await;
    answer.expect("it can be found out")
}

#[tokio::test]
async fn a_password_that_cannot_log_in_is_tested_by_the_catalog() {
    let place = place(Version::Distribution).await;
    place.run("app", "CREATE ROLE batch NOLOGIN").await;
    let (by_login, intent) = (account("batch"), intent());
    let by_catalog = Account { verify: Verify::Catalog, ..by_login.clone() };
    assert_eq!(tested(&place, &by_catalog, intended(&intent)).await, Tested::Denied);
    let answer_by = suite::now().plus(PATIENCE);
    let _ = place.engine.rotate(&by_login, &intent, answer_by).await.expect("it is set");
    assert_eq!(tested(&place, &by_catalog, intended(&intent)).await, Tested::Works);
    let barred = tested(&place, &by_login, intended(&intent)).await;
    assert_eq!(barred, Tested::Barred, "a login that is denied for another reason");
}

#[tokio::test]
async fn a_role_that_may_not_use_the_database_is_tested_all_the_same() {
    let place = place(Version::Distribution).await;
    place.run("app", "REVOKE CONNECT ON DATABASE app FROM PUBLIC").await;
    place.plant("elsewhere").await;
    let (account, first, second) = (account("elsewhere"), intent(), intent());
    let answer_by = suite::now().plus(PATIENCE);
    let _ = place.engine.rotate(&account, &first, answer_by).await.expect("it is set");
    assert_eq!(tested(&place, &account, intended(&first)).await, Tested::Works);
    assert_eq!(tested(&place, &account, intended(&second)).await, Tested::Denied);
}

#[tokio::test]
async fn an_operators_own_statements_set_the_password() {
    let place = place(Version::Distribution).await;
    place.run("app", &format!("CREATE ROLE \"{}\" LOGIN", NAME.replace('"', "\"\""))).await;
    for statement in [
        "ALTER USER \"{{name}}\" WITH PASSWORD '{{password}}';",
        "ALTER ROLE {{username}} PASSWORD {{password}}; INSERT INTO notes VALUES ('{{name}}')",
        "BEGIN; ALTER ROLE {{name}} PASSWORD {{password}}; COMMIT",
    ] {
        let account = Account { statements: vec![statement.to_owned()], ..account(NAME) };
        Postgres::check_account(&account).expect("they are accepted");
        let intent = intent();
        let answer_by = suite::now().plus(PATIENCE);
        let _ = place.engine.rotate(&account, &intent, answer_by).await.expect("it is set");
        assert_eq!(tested(&place, &account, intended(&intent)).await, Tested::Works, "{statement}");
    }
    let log = place.server.log();
    assert!(log.contains("SCRAM-SHA-256$"), "the log tells what was run");
}

#[tokio::test]
async fn who_may_not_alter_a_role_is_told_what_to_run() {
    let place = place_without_superuser(Version::V18).await;
    place.plant("billing").await;
    let (account, intent) = (account("billing"), intent());
    let answer = place.engine.rotate(&account, &intent, suite::now().plus(PATIENCE)).await;
    let Err(EngineError::Refused(reason)) = answer else { panic!("it may not: {answer:?}") };
    assert_eq!(reason.cause, Cause::NeedsOperator);
    let (_, statement) = reason.message.split_once("run: ").expect("it says what to run");
    place.run("app", statement).await;
    let _ = place
        .engine
        .rotate(&account, &intent, suite::now().plus(PATIENCE))
        .await
        .expect("now it may");
    assert_eq!(tested(&place, &account, intended(&intent)).await, Tested::Works);
}

#[tokio::test]
async fn the_administrators_own_password_is_set_and_its_configuration_follows() {
    let place = place(Version::Distribution).await;
    let written = fields_of(&place.server, (SUPERUSER, SUPERUSER_PASSWORD), &Value::Null);
    let administrator = Postgres::administrator(&config(&written)).expect("there is one");
    let own = Account { administers: true, ..account(&administrator.name) };
    assert_eq!(tested(&place, &own, &administrator.secret).await, Tested::Works);
    let intent = intent();
    let answer_by = suite::now().plus(PATIENCE);
    let _ = place.engine.rotate(&own, &intent, answer_by).await.expect("it is set");
    let next = Postgres::with_secret(object(&written), intended(&intent)).expect("it follows");
    let open = |written: &Value| {
        Postgres::open(config(written), place.origin, suite::clock()).expect("the target opens")
    };
    let identity = open(&json!(next)).identity().await.expect("the new one is let in");
    assert!(identity.server.is_some());
    let answer = open(&written).identity().await.expect_err("the old one is not");
    assert_eq!(answer.reason().cause, Cause::Unreachable);
}
