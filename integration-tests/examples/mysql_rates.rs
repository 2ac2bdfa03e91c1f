//! Measures what the MySQL engine adds to, and takes off, the bare SQL: rates on one MariaDB server, in one run.
//!
//! `cargo run --release -p leasehold-integration-tests --example mysql_rates`

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement prints its numbers, and ends at the first thing that is not as expected"
)]

use leasehold_core::engine::{Engine as _, Issue};
use leasehold_engines::mysql::{MySql, Role};
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE, prepared, revocation};
use leasehold_integration_tests::mariadb::{ROOT, ROOT_PASSWORD, Server};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many credentials are made and removed, by either side.
const TOTAL: usize = 3200;

/// How many callers ask at once, which a line makes one batch of.
const TOGETHER: usize = 64;

#[tokio::main]
async fn main() {
    let server = Server::start();
    let mut root = server.root().await;
    run(&mut root, "CREATE DATABASE app; CREATE ROLE readonly; GRANT SELECT ON app.* TO readonly")
        .await;
    let (created, dropped) = raw(&mut root).await;
    println!(
        "bare, one connection: create and grant {created:.0}/s; drop, 50 together {dropped:.0}/s"
    );
    let statements = "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON app.* TO '{{name}}'@'%'";
    for (name, fields) in [
        ("the same statements", json!({ "creation_statements": statements })),
        ("grant_roles", json!({ "grant_roles": ["readonly"] })),
    ] {
        for connections in [1, 4] {
            let role = MySql::role(fields.as_object().expect("an object")).expect("a role");
            let engine = Arc::new(open(&server, connections));
            engine.identity().await.expect("the server is there");
            let (rate, issues) = engine_issues(&engine, &Arc::new(role), connections).await;
            let removed = engine_revocations(&engine, &issues, connections).await;
            println!(
                "engine, {name}, {connections} connections: issue {rate:.0}/s ({:.2} of bare); revoke {removed:.0}/s ({:.2} of bare)",
                rate / created,
                removed / dropped
            );
        }
    }
}

fn open(server: &Server, connections: usize) -> MySql {
    let fields: Value = json!({
        "connection_url": server.template_url(), "username": ROOT, "password": ROOT_PASSWORD,
        "max_open_connections": connections,
    });
    let config = MySql::config(fields.as_object().expect("an object")).expect("a configuration");
    MySql::open(config, suite::origin(), suite::clock()).expect("a target")
}

async fn run(connection: &mut MySqlConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.expect("it runs");
}

/// Sends the statements one by one, as a loop does that does nothing else.
async fn raw(root: &mut MySqlConnection) -> (f64, f64) {
    let names: Vec<_> =
        (0..TOTAL).map(|at| format!("'raw-0123456789012345678-{at}'@'%'")).collect();
    let started = Instant::now();
    for name in &names {
        run(root, &format!("CREATE USER {name} IDENTIFIED BY 'a password of twenty'")).await;
        run(root, &format!("GRANT SELECT ON app.* TO {name}")).await;
    }
    let issued = rate(TOTAL, started.elapsed());
    let started = Instant::now();
    for part in names.chunks(50) {
        run(root, &format!("DROP USER {}", part.join(", "))).await;
    }
    (issued, rate(TOTAL, started.elapsed()))
}

fn rate(number: usize, took: Duration) -> f64 {
    number as f64 / took.as_secs_f64()
}

/// Issues in as many batches at once as there are connections.
async fn engine_issues(
    engine: &Arc<MySql>,
    role: &Arc<Role>,
    connections: usize,
) -> (f64, Vec<Issue<MySql>>) {
    let mut tasks = tokio::task::JoinSet::new();
    let started = Instant::now();
    for _ in 0..connections {
        let (engine, role) = (Arc::clone(engine), Arc::clone(role));
        tasks.spawn(async move {
            let mut done = Vec::new();
            while done.len() < TOTAL.div_ceil(connections) {
                let batch = TOGETHER.div_ceil(connections);
                let asked: Vec<_> = (0..batch)
                    .map(|_| prepared(&*engine, &role, ("bench", "bench"), PATIENCE))
                    .collect();
                let answers = engine.issue(&asked).await;
                assert!(answers.iter().all(Result::is_ok), "{:?}", answers.first());
                done.extend(asked);
            }
            done
        });
    }
    let issues: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    (rate(issues.len(), started.elapsed()), issues)
}

async fn engine_revocations(
    engine: &Arc<MySql>,
    issues: &[Issue<MySql>],
    connections: usize,
) -> f64 {
    let mut tasks = tokio::task::JoinSet::new();
    let started = Instant::now();
    for share in issues.chunks(issues.len().div_ceil(connections)) {
        let engine = Arc::clone(engine);
        let asked: Vec<_> = share.iter().map(revocation).collect();
        tasks.spawn(async move {
            let answers = engine.revoke(&asked).await;
            assert!(answers.iter().all(Result::is_ok), "{:?}", answers.first());
        });
    }
    tasks.join_all().await;
    rate(issues.len(), started.elapsed())
}
