//! Leases at MariaDB and at Redis, each beside a bare loop at the same server.

use crate::server::{CALLERS, CONNECTIONS, Leasehold, rate};
use leasehold_integration_tests::{mariadb, redis as redis_server};
use redis::{Pipeline, cmd};
use redis_server::{ADMINISTRATOR, PASSWORD, Users};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::time::Instant;

/// How many a bare loop drops by one statement, as `docs/RATES.md` says.
const DROPPED_TOGETHER: usize = 50;

/// Rates per second, and what was left at the target and in the store.
pub(crate) struct Round {
    /// A bare loop creates.
    pub(crate) bare_issue: f64,
    /// A bare loop removes.
    pub(crate) bare_revoke: f64,
    /// Leases issued.
    pub(crate) issue: f64,
    /// Leases revoked, by prefix.
    pub(crate) revoke: f64,
    /// Credentials and leases that are there afterwards.
    pub(crate) left: usize,
}

/// Measures MariaDB: `CREATE USER` and `GRANT` over one connection, then the same by leases.
pub(crate) async fn mariadb(leases: usize) -> Round {
    let target = mariadb::Server::start();
    let mut root = target.root().await;
    let prepare =
        "CREATE DATABASE app; CREATE ROLE readonly; GRANT SELECT ON app.* TO readonly".to_owned();
    let run = async |root: &mut sqlx::mysql::MySqlConnection, sql: String| {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(root).await.unwrap();
    };
    run(&mut root, prepare).await;
    let names: Vec<_> =
        (0..leases).map(|at| format!("'bare-0123456789012345678-{at}'@'%'")).collect();
    let began = Instant::now();
    for name in &names {
        run(&mut root, format!("CREATE USER {name} IDENTIFIED BY 'a password of twenty'")).await;
        run(&mut root, format!("GRANT SELECT ON app.* TO {name}")).await;
    }
    let bare_issue = leases as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for part in names.chunks(DROPPED_TOGETHER) {
        run(&mut root, format!("DROP USER {}", part.join(", "))).await;
    }
    let bare_revoke = leases as f64 / began.elapsed().as_secs_f64();

    let statements = "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON app.* TO '{{name}}'@'%'";
    let (issue, revoke, left) =
        through(target.config(), json!({ "creation_statements": statements }), leases).await;
    let users = "SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'v-%'";
    let users: i64 = sqlx::query_scalar(users).fetch_one(&mut root).await.unwrap();
    Round { bare_issue, bare_revoke, issue, revoke, left: left + usize::try_from(users).unwrap() }
}

/// Measures Redis: `ACL SETUSER`, as many in a pipeline as there are callers, then the same by leases.
pub(crate) async fn redis(users: Users, leases: usize) -> Round {
    let target = redis_server::Server::start(users);
    let mut administrator = target.log_in(ADMINISTRATOR, PASSWORD).await.unwrap();
    let names: Vec<_> = (0..leases).map(|at| format!("bare-{at}")).collect();
    let verifier = "#9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let began = Instant::now();
    for part in names.chunks(CALLERS) {
        let mut commands = Pipeline::new();
        for name in part {
            let words = ["SETUSER", name, "on", verifier, "~*", "+@read"];
            commands.add_command(cmd("ACL").arg(&words).clone());
        }
        let _: Vec<String> = commands.query_async(&mut administrator).await.unwrap();
    }
    let bare_issue = leases as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for part in names.chunks(CALLERS) {
        let _: i64 =
            cmd("ACL").arg("DELUSER").arg(part).query_async(&mut administrator).await.unwrap();
    }
    let bare_revoke = leases as f64 / began.elapsed().as_secs_f64();
    if users == Users::AclFile {
        // As on a server that has been in use: as long as nothing was ever written, no revocation needs a writing.
        target.ask(&["ACL", "SAVE"]).await.unwrap();
    }

    let rules = json!({ "creation_statements": r#"["~*", "+@read"]"# });
    let (issue, revoke, left) = through(target.config(), rules, leases).await;
    let there = target.users().await.iter().filter(|name| name.starts_with("v-")).count();
    Round { bare_issue, bare_revoke, issue, revoke, left: left + there }
}

/// Issues and revokes by the real binary; returns both rates, and how many leases are left.
async fn through(mut config: Value, mut role: Value, leases: usize) -> (f64, f64, usize) {
    let server = Leasehold::start().await;
    config["max_open_connections"] = json!(CONNECTIONS);
    role["default_ttl"] = json!("1h");
    server.lend(&config, role).await;
    let creds = ("GET", "database/creds/app", "");
    let issue = rate(&server.address, leases, creds, &server.token).await;
    let revoke = server.revoke_all(leases).await;
    (issue, revoke, server.leases_left().await)
}
