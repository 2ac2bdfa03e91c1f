//! Static roles, root rotation and password policies, over HTTP, with a real PostgreSQL behind the server.

use crate::lending::Lending;
use leasehold_integration_tests::postgres::{SUPERUSER, SUPERUSER_PASSWORD};
use serde_json::json;
use sqlx::Executor as _;

async fn with_account(lending: &Lending) {
    let mut superuser = lending.target.superuser("postgres").await;
    superuser.execute("CREATE ROLE billing LOGIN PASSWORD 'the old one'").await.unwrap();
}

#[tokio::test]
async fn a_static_role_tells_a_password_that_works_and_the_old_one_does_not() {
    let lending = Lending::start().await;
    let server = &lending.server;
    with_account(&lending).await;
    let written = json!({ "db_name": "pg", "username": "billing", "rotation_period": "1h" });
    let _ = server.post("database/static-roles/b", written).await.expect(204);
    let logs_in =
        async |password: &str| lending.target.log_in("billing", password, "postgres").await.is_ok();
    assert!(!logs_in("the old one").await);
    let told = server.get("database/static-creds/b").await.expect(200);
    let first = told.at("/data/password").to_owned();
    assert!(logs_in(&first).await);
    assert_eq!(told.at("/lease_id"), "", "there is no lease");
    let _ = server.post("database/rotate-role/b", json!({})).await.expect(204);
    let told = server.get("database/static-creds/b").await.expect(200);
    assert!(logs_in(told.at("/data/password")).await && !logs_in(&first).await);
    let shown = server.get("database/static-roles/b").await.expect(200);
    assert!(!shown.text.contains(told.at("/data/password")));
    let weekly = json!({ "rotation_schedule": "0 3 * * 0", "rotation_window": "2h" });
    let _ = server.post("database/static-roles/b", weekly).await.expect(204);
    let shown = server.get("database/static-roles/b").await.expect(200);
    assert_eq!(shown.at("/data/rotation_schedule"), "0 3 * * 0");
    assert_eq!(shown.data()["rotation_window"], 7200);
    let _ = server.delete("database/static-roles/b").await.expect(204);
    assert!(logs_in(told.at("/data/password")).await, "the account stays as it is");
}

#[tokio::test]
async fn while_nobody_knows_which_password_counts_none_is_told() {
    let lending = Lending::start().await;
    with_account(&lending).await;
    let written = json!({ "db_name": "pg", "username": "billing", "rotation_period": "1h" });
    let _ = lending.server.post("database/static-roles/b", written).await.expect(204);
    lending.target.suspend();
    let server = &lending.server;
    let asked = server.post("database/rotate-role/b", json!({}));
    let refused = async {
        loop {
            let told = server.get("database/static-creds/b").await;
            if told.status == 503 {
                return told;
            }
        }
    };
    let seen = async {
        let told = refused.await;
        lending.target.resume();
        told
    };
    let (_, told) = futures_util::future::join(asked, seen).await;
    assert!(told.headers.contains_key("retry-after"), "{}", told.text);
}

#[tokio::test]
async fn the_administrators_password_is_rotated_and_known_to_nobody() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let before = lending.lend().await;
    let told = server.post("database/rotate-root/pg", json!({})).await.expect(200);
    assert!(told.text.contains("backups"), "{}", told.text);
    let old = lending.target.log_in(SUPERUSER, SUPERUSER_PASSWORD, "postgres").await;
    assert!(old.is_err(), "the old one is worth nothing");
    let lent = lending.lend().await;
    lending.log_in(&lent).await.unwrap();
    let _ = server.post("sys/leases/revoke", json!({ "lease_id": before.lease_id })).await;
    assert!(lending.log_in(&before).await.is_err());
    let _ = server.post("database/reset/pg", json!({})).await.expect(204);
    lending.log_in(&lending.lend().await).await.unwrap();
    let planned = json!({ "rotation_period": "24h" });
    let _ = server.post("database/config/pg", planned).await.expect(204);
    let shown = server.get("database/config/pg").await.expect(200);
    assert_eq!(shown.data()["rotation_period"], 86400);
}

/// Several targets may be at one server, which has one set of accounts.
#[tokio::test]
async fn an_account_is_managed_once_at_a_server_however_many_targets_are_there() {
    let lending = Lending::start().await;
    let server = &lending.server;
    with_account(&lending).await;
    let mut superuser = lending.target.superuser("postgres").await;
    let second = "CREATE ROLE second SUPERUSER LOGIN PASSWORD 'its own'";
    superuser.execute(second).await.unwrap();
    let mut beside = lending.target.config();
    let _ = server.post("database/config/twin", beside.clone()).await.expect(204);
    let refused = server.post("database/rotate-root/pg", json!({})).await.expect(400);
    assert!(
        refused.errors().contains("administers the target `database/twin`"),
        "{}",
        refused.text
    );
    lending.log_in(&lending.lend().await).await.unwrap();

    (beside["username"], beside["password"]) = (json!("second"), json!("its own"));
    let _ = server.post("database/config/twin", beside.clone()).await.expect(204);
    let managed = async |target: &str, account: &str| {
        let written = json!({"db_name": target, "username": account, "rotation_period": "1h"});
        server.post(&format!("database/static-roles/{target}-{account}"), written).await
    };
    let refused = managed("twin", SUPERUSER).await.expect(400);
    assert!(
        refused.errors().contains("administrator of the target `database/pg`"),
        "{}",
        refused.text
    );
    let _ = managed("pg", "billing").await.expect(204);
    let refused = managed("twin", "billing").await.expect(400);
    assert!(
        refused.errors().contains("static role `pg-billing` of the target"),
        "{}",
        refused.text
    );
    (beside["username"], beside["password"]) = (json!("billing"), json!("x"));
    let refused = server.post("database/config/twin", beside).await.expect(400);
    assert!(
        refused.errors().contains("static role `pg-billing` of the target"),
        "{}",
        refused.text
    );
    let _ = server.post("database/rotate-root/pg", json!({})).await.expect(200);
    let _ = server.post("database/rotate-root/twin", json!({})).await.expect(200);
    lending.log_in(&lending.lend().await).await.unwrap();
}

#[tokio::test]
async fn a_password_policy_says_what_leased_and_static_passwords_look_like() {
    let lending = Lending::start().await;
    let server = &lending.server;
    with_account(&lending).await;
    let policy =
        json!({ "policy": "length = 16\nrule \"charset\" { charset = \"abc\" min-chars = 3 }" });
    let _ = server.post("sys/policies/password/abc", policy).await.expect(204);
    let is_abc =
        |password: &str| password.len() == 16 && password.chars().all(|c| "abc".contains(c));
    let drawn = server.get("sys/policies/password/abc/generate").await.expect(200);
    assert!(is_abc(drawn.at("/data/password")));
    let _ =
        server.post("database/config/pg", json!({ "password_policy": "abc" })).await.expect(204);
    assert!(is_abc(&lending.lend().await.password));
    let written =
        json!({ "db_name": "pg", "username": "billing", "rotation_schedule": "0 3 * * *" });
    let _ = server.post("database/static-roles/b", written).await.expect(204);
    assert!(is_abc(server.get("database/static-creds/b").await.expect(200).at("/data/password")));
    let _ = server.delete("sys/policies/password/abc").await.expect(204);
    let refused = server.get("database/creds/app").await.expect(400);
    assert!(refused.errors().contains("password policy `abc`"), "{}", refused.text);
}
