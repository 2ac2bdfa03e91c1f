//! Lending from a MySQL-like server, over HTTP.

use crate::lending::Lent;
use leasehold_integration_tests::mariadb;
use leasehold_integration_tests::server::Server;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_of_mysql_is_lent_renewed_and_revoked() {
    let (server, target) = (Server::dev(), mariadb::Server::start());
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    let _ = server.post("database/config/my", target.config()).await.expect(204);
    let role = json!({
        "db_name": "my",
        "creation_statements":
            "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON mysql.* TO '{{name}}'@'%';",
        "default_ttl": "1h", "max_ttl": "24h",
    });
    let _ = server.post("database/roles/app", role).await.expect(204);
    let shown = server.get("database/config/my").await.expect(200);
    assert!(!shown.text.contains("root's own"), "{}", shown.text);
    let details = &shown.data()["connection_details"];
    assert_eq!(details["connection_url"], target.template_url());

    let lent = Lent::of(&server.get("database/creds/app").await);
    let mut session = target.log_in(&lent.username, &lent.password).await.expect("it logs in");
    let ask = "SELECT COUNT(*) FROM mysql.global_priv";
    sqlx::raw_sql(ask).execute(&mut session).await.expect("it may do what its role grants");
    let lease = json!({ "lease_id": lent.lease_id, "increment": "2h", "sync": true });
    let renewed = server.post("sys/leases/renew", lease.clone()).await.expect(200);
    assert_eq!(renewed.at("/lease_id"), lent.lease_id);
    let _ = server.post("sys/leases/revoke", lease).await.expect(204);
    sqlx::raw_sql(ask).execute(&mut session).await.expect_err("its session has ended");
    target.log_in(&lent.username, &lent.password).await.expect_err("it logs in no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_are_of_the_same_kind_and_what_is_left_out_says_why() {
    let (server, target) = (Server::dev(), mariadb::Server::start());
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    for alias in ["mysql-aurora-database-plugin", "mysql-rds-database-plugin"] {
        let mut config = target.config();
        config["plugin_name"] = json!(alias);
        let _ = server.post(&format!("database/config/{alias}"), config).await.expect(204);
    }
    let mut config = target.config();
    config["plugin_name"] = json!("mysql-legacy-database-plugin");
    let refused = server.post("database/config/old", config).await.expect(400);
    assert!(refused.text.contains("mysql-legacy-database-plugin"), "{}", refused.text);
    let mut config = target.config();
    config["password"] = json!("wrong one");
    let refused = server.post("database/config/wrong", config).await.expect(400);
    assert!(refused.text.contains("let the administrator in"), "{}", refused.text);
    assert!(!refused.text.contains("wrong one"), "{}", refused.text);
}
