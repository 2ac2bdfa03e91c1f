//! Targets that are wrong, down, moved or deleted, with a real PostgreSQL behind the server.

use crate::lending::{Lending, config, role, until};
use leasehold_integration_tests::postgres::{self, Version};
use serde_json::{Value, json};
use sqlx::Executor as _;

#[tokio::test]
async fn a_target_and_a_role_are_shown_without_a_secret() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let shown = server.get("database/config/pg").await.expect(200);
    assert!(!shown.text.contains(postgres::SUPERUSER_PASSWORD));
    assert_eq!(shown.data()["allowed_roles"], json!(["*"]));
    assert_eq!(shown.data()["connection_details"]["username"], "postgres");
    assert!(shown.at("/data/connection_details/connection_url").contains("{{password}}"));
    assert_eq!(shown.data()["plugin_name"], "postgresql-database-plugin");
    for (name, value) in [
        ("plugin_version", json!("")),
        ("password_policy", json!("")),
        ("root_credentials_rotate_statements", json!([])),
    ] {
        assert_eq!(shown.data()[name], value, "{name}");
    }
    assert_eq!(server.list("database/config").await.expect(200).data()["keys"], json!(["pg"]));

    let shown = server.get("database/roles/app").await.expect(200);
    let statement =
        "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';";
    for (name, value) in [
        ("db_name", json!("pg")),
        ("default_ttl", json!(3600)),
        ("max_ttl", json!(86400)),
        ("credential_type", json!("password")),
        ("creation_statements", json!([statement])),
        ("revocation_statements", json!([])),
        ("renew_statements", json!([])),
        ("rollback_statements", json!([])),
    ] {
        assert_eq!(shown.data()[name], value, "{name}");
    }
    // What is not written stays as it was.
    let _ = server.post("database/roles/app", json!({ "max_ttl": "2h" })).await.expect(204);
    let shown = server.get("database/roles/app").await.expect(200);
    assert_eq!(
        (&shown.data()["max_ttl"], &shown.data()["default_ttl"]),
        (&json!(7200), &json!(3600))
    );
    let _ = server.delete("database/roles/app").await.expect(204);
    let _ = server.get("database/roles/app").await.expect(404);
}

#[tokio::test]
async fn a_target_that_cannot_be_used_is_refused_when_it_is_written() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let with = |changes: Value| {
        let mut config = config(&lending.target);
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        config
    };
    let nowhere = "postgresql://{{username}}:{{password}}@127.0.0.1:1/postgres?sslmode=disable";
    for (written, error) in [
        (with(json!({ "password": "wrong" })), "error verifying connection"),
        (with(json!({ "connection_url": nowhere })), "error verifying connection"),
        (with(json!({ "plugin_name": "nope" })), "nope"),
        (with(json!({ "plugin_version": "v9" })), "plugin_version"),
        (with(json!({ "max_open_connections": "x" })), "max_open_connections"),
        (with(json!({ "username_template": "{{.Nope" })), "template"),
        (with(json!({ "nonsense": 1 })), "nonsense"),
        (json!({ "plugin_name": "postgresql-database-plugin" }), "connection_url"),
        (json!({}), "empty plugin name"),
    ] {
        let refused = server.post("database/config/other", written).await.expect(400);
        assert!(refused.errors().contains(error), "{error}: {}", refused.text);
        assert!(!refused.text.contains(postgres::SUPERUSER_PASSWORD), "{}", refused.text);
    }
    let _ = server.get("database/config/other").await.expect(404);
    let unchecked = with(json!({ "password": "wrong", "verify_connection": false }));
    let _ = server.post("database/config/other", unchecked).await.expect(204);

    for (written, error) in [
        (
            json!({ "default_ttl": "bad" }),
            "error converting input for field \"default_ttl\": strconv.ParseInt",
        ),
        (
            json!({ "default_ttl": -1 }),
            "error converting input for field \"default_ttl\": cannot provide negative",
        ),
        (json!({ "credential_type": "bad" }), "`credential_type` cannot be `bad`"),
        (json!({ "db_name": "" }), "empty database name attribute"),
    ] {
        let refused = server.post("database/roles/app", written).await.expect(400);
        assert!(refused.errors().starts_with(error), "{}", refused.text);
    }
    let _ = server.post("database/roles/lost", json!({ "db_name": "nowhere" })).await.expect(204);
    let refused = server.get("database/creds/lost").await.expect(400);
    assert!(refused.errors().contains("`nowhere`, which is not configured"), "{}", refused.text);
    let _ = server
        .post("database/config/pg", json!({ "allowed_roles": ["x", "y*"] }))
        .await
        .expect(204);
    let refused = server.get("database/creds/app").await.expect(400);
    assert!(refused.errors().starts_with("\"app\" is not an allowed role"), "{}", refused.text);
}

#[tokio::test]
async fn while_a_target_is_down_nothing_is_lent_and_nothing_forgotten() {
    let lending = Lending::start().await;
    let lent = lending.lend().await;
    lending.target.kill();
    let refused = lending.server.get("database/creds/app").await.expect(502);
    assert!(!refused.text.contains("password\":"), "{}", refused.text);
    let named = json!({ "lease_id": lent.lease_id });
    let _ = lending.server.post("sys/leases/revoke", named.clone()).await.expect(502);
    let shown = lending.server.post("sys/leases/lookup", named.clone()).await.expect(200);
    assert!(!shown.at("/data/revoke_error").is_empty(), "{}", shown.text);
    assert_eq!(shown.data()["renewable"], false);
    assert_eq!(
        lending.server.post("sys/leases/renew", named.clone()).await.expect(400).errors(),
        "lease expired"
    );
    // `revoke-force` answers without error, says what is left (the issue that failed as well), and forgets nothing.
    let forced = lending.server.post("sys/leases/revoke-force/database/creds/app", json!({})).await;
    let forced = forced.expect(200);
    assert!(
        forced.at("/warnings/0").starts_with("2 leases could not be revoked yet"),
        "{}",
        forced.text
    );
    let _ = lending.server.post("sys/leases/lookup", named.clone()).await.expect(200);

    lending.target.restart();
    let revoked =
        async || lending.server.post("sys/leases/revoke", named.clone()).await.status == 204;
    until("the target confirms", revoked).await;
    lending.log_in(&lent).await.unwrap_err();
    lending.lend().await;
}

#[tokio::test]
async fn leases_of_a_deleted_role_and_target_are_still_revoked() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let lent = lending.lend().await;
    let _ = server.delete("database/roles/app").await.expect(204);
    let _ = server.delete("database/config/pg").await.expect(204);
    let _ = server.get("database/config/pg").await.expect(404);
    let named = json!({ "lease_id": lent.lease_id });
    let _ = server.post("sys/leases/renew", named.clone()).await.expect(400);
    lending.log_in(&lent).await.unwrap();
    let _ = server.post("sys/leases/revoke", named).await.expect(204);
    assert!(lending.users().await.is_empty());

    let _ = server.post("database/config/pg", config(&lending.target)).await.expect(204);
    let _ = server.post("database/roles/app", role("1h", "24h")).await.expect(204);
    lending.lend().await;
    let _ = server.delete("database/config/pg?revoke=true").await.expect(204);
    lending.until_no_users().await;
}

#[tokio::test]
async fn a_target_that_points_elsewhere_keeps_the_old_one_for_revoking() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let lent = lending.lend().await;
    let elsewhere = postgres::Server::start(Version::Distribution);
    // The test servers are copies of one, and say so: only an operator knows what that means.
    let mut moved = config(&elsewhere);
    let asked = server.post("database/config/pg", moved.clone()).await.expect(400);
    assert!(asked.errors().contains("`moved=true` if it is the same server"), "{}", asked.text);
    moved["moved"] = json!(false);
    let _ = server.post("database/config/pg", moved).await.expect(204);
    let other = lending.lend().await;
    elsewhere.log_in(&other.username, &other.password, "postgres").await.unwrap();
    lending.log_in(&lent).await.unwrap();
    let _ = server.post("sys/leases/revoke-prefix/database", json!({})).await.expect(204);
    assert!(lending.users().await.is_empty());
    elsewhere.log_in(&other.username, &other.password, "postgres").await.unwrap_err();
}

#[tokio::test]
async fn what_was_lent_before_a_target_pointed_elsewhere_is_revoked_with_the_password_of_by_now() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let mut superuser = lending.target.superuser("postgres").await;
    superuser.execute("CREATE ROLE lender SUPERUSER LOGIN PASSWORD 'first'").await.unwrap();
    let mut written = config(&lending.target);
    (written["username"], written["password"]) = (json!("lender"), json!("first"));
    let _ = server.post("database/config/pg", written).await.expect(204);
    let lent = lending.lend().await;
    let elsewhere = postgres::Server::start(Version::Distribution);
    let mut moved = config(&elsewhere);
    moved["moved"] = json!(false);
    let _ = server.post("database/config/pg", moved).await.expect(204);
    for sql in [
        "ALTER ROLE lender PASSWORD 'by hand'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lender'",
    ] {
        superuser.execute(sql).await.unwrap();
    }
    let revoke = json!({ "lease_id": lent.lease_id, "sync": true });
    let refused = server.post("sys/leases/revoke", revoke).await;
    assert!(refused.status >= 400, "{}", refused.text);
    lending.log_in(&lent).await.unwrap();

    let gone = server.get("sys/abandon/database/pg").await.expect(200);
    let generation = gone.at("/data/generations/0/generation");
    let write = |password: &str| json!({ "generation": generation, "password": password });
    let wrong = server.post("database/config/pg", write("guessed")).await.expect(400);
    assert!(!wrong.text.contains("guessed"), "{}", wrong.text);
    let unknown = json!({ "generation": "none", "password": "by hand" });
    let unknown = server.post("database/config/pg", unknown).await.expect(404);
    assert!(unknown.errors().contains("`leasehold abandon database/pg`"), "{}", unknown.text);
    let _ = server.post("database/config/pg", write("by hand")).await.expect(204);
    lending.until_no_users().await;
    let other = lending.lend().await;
    elsewhere.log_in(&other.username, &other.password, "postgres").await.unwrap();
}

#[tokio::test]
async fn a_disabled_mount_leaves_no_credential_behind() {
    let lending = Lending::start().await;
    let lent = futures_util::future::join_all((0..5).map(|_| lending.lend())).await;
    let _ = lending.server.delete("sys/mounts/database").await.expect(204);
    let closed = lending.server.get("database/creds/app").await.expect(404);
    assert!(closed.errors().starts_with("no handler for route"));
    lending.until_no_users().await;
    lending.log_in(&lent[0]).await.unwrap_err();
}
