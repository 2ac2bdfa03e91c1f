//! Measures what the PostgreSQL engine adds to, and takes off, the bare SQL: rates on one server, in one run.
//!
//! `cargo run --release -p leasehold-integration-tests --example postgres_rates [16|18]`; the distribution's
//! version without an argument. The server waits for its disk, as servers do.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement prints its numbers, and ends at the first thing that is not as expected"
)]

use leasehold_core::engine::{Engine as _, Issue};
use leasehold_engines::postgres::{Postgres, Role};
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE, prepared, revocation};
use leasehold_integration_tests::postgres::{SUPERUSER, SUPERUSER_PASSWORD, Server, Version};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many connections both sides have.
const CONNECTIONS: usize = 4;

type Issues = Vec<Issue<Postgres>>;

#[tokio::main]
async fn main() {
    let version = match std::env::args().nth(1).as_deref() {
        Some("16") => Version::V16,
        Some("18") => Version::V18,
        _ => Version::Distribution,
    };
    let server = Arc::new(Server::start_with(version, &["-c", "log_statement=none"]));
    let mut superuser = server.superuser("postgres").await;
    let setting = "CREATE ROLE readonly NOLOGIN; CREATE ROLE plain LOGIN CREATEROLE PASSWORD 'plain'; \
        GRANT pg_signal_backend TO plain; GRANT readonly TO plain WITH ADMIN OPTION";
    sqlx::raw_sql(setting).execute(&mut superuser).await.expect("the setting");
    for login in [(SUPERUSER, SUPERUSER_PASSWORD), ("plain", "plain")] {
        println!("as {} on {version:?}", login.0);
        for (iterations, batch, total) in [(4096, 5, 1500), (1, 64, 12_800)] {
            let role = role(iterations);
            let raw_one = raw_issues(&server, login, &role, 1, total.min(4000)).await;
            let raw_batch = raw_issues(&server, login, &role, batch, total).await;
            let engine = Arc::new(open(&server, login));
            let (rate, issues) = engine_issues(&engine, &role, batch, total).await;
            println!(
                "  {iterations:>4} iterations: bare, one each {raw_one:>7.0}/s; bare, {batch} together {raw_batch:>7.0}/s; \
                 engine, {batch} together {rate:>7.0}/s"
            );
            let rate = engine_revocations(&engine, &issues).await;
            let raw = raw_drops(&server, &role, issues.len()).await;
            println!(
                "       revocations of {}: bare DROP ROLE, 1000 together {raw:>7.0}/s; engine, 1000 together {rate:>7.0}/s",
                issues.len()
            );
        }
    }
}

fn role(iterations: u32) -> Arc<Role> {
    let fields = json!({"grant_roles": ["readonly"], "scram_iterations": iterations});
    Arc::new(Postgres::role(fields.as_object().expect("an object")).expect("a role"))
}

fn open(server: &Server, login: (&str, &str)) -> Postgres {
    let fields: Value = json!({
        "connection_url": server.template_url("postgres"), "username": login.0, "password": login.1,
        "max_open_connections": CONNECTIONS,
    });
    let config = Postgres::config(fields.as_object().expect("an object")).expect("a configuration");
    Postgres::open(config, suite::origin(), suite::clock()).expect("a target")
}

fn rate(number: usize, took: Duration) -> f64 {
    number as f64 / took.as_secs_f64()
}

/// Sends the same statements as the engine in loops that do nothing else but draw a password and compute
/// a verifier for each, and removes what they made.
async fn raw_issues(
    server: &Arc<Server>,
    login: (&str, &str),
    role: &Arc<Role>,
    batch: usize,
    total: usize,
) -> f64 {
    let verifier = verifier(server, role).await;
    let mut tasks = tokio::task::JoinSet::new();
    let engine = Arc::new(open(server, login));
    let started = Instant::now();
    for task in 0..CONNECTIONS {
        let (server, verifier) = (Arc::clone(server), verifier.clone());
        let (engine, role) = (Arc::clone(&engine), Arc::clone(role));
        let (user, password) = (login.0.to_owned(), login.1.to_owned());
        tasks.spawn(async move {
            let mut connection =
                server.log_in(&user, &password, "postgres").await.expect("it logs in");
            for turn in 0..total.div_ceil(CONNECTIONS).div_ceil(batch) {
                let drawn: Issues = (0..batch)
                    .map(|_| prepared(&*engine, &role, ("bench", "bench"), PATIENCE))
                    .collect();
                run(&mut connection, raw_sql(task, turn, drawn.len(), &verifier)).await;
            }
            connection.close().await.expect("it ends");
        });
    }
    tasks.join_all().await;
    let rate = rate(total, started.elapsed());
    drop_raw(server, usize::MAX).await;
    rate
}

fn raw_sql(task: usize, turn: usize, batch: usize, verifier: &str) -> String {
    let names: Vec<_> = (0..batch).map(|at| format!("\"raw-{task}-{turn}-{at}\"")).collect();
    let mut sql = String::new();
    for name in &names {
        let _ = write!(
            sql,
            "CREATE ROLE {name} LOGIN PASSWORD '{verifier}' VALID UNTIL '2099-01-01'; COMMENT ON ROLE {name} IS \
             'leasehold:00000000000000000000000000:00000000000000000000000000:00000000000000000000000000'; "
        );
    }
    format!("{sql}GRANT readonly TO {}", names.join(", "))
}

/// Returns a verifier with as many iterations as the role's.
async fn verifier(server: &Arc<Server>, role: &Arc<Role>) -> String {
    let engine = open(server, (SUPERUSER, SUPERUSER_PASSWORD));
    let issue = prepared(&engine, role, ("probe", "probe"), PATIENCE);
    engine.issue(std::slice::from_ref(&issue)).await.remove(0).expect("it is issued");
    let mut superuser = server.superuser("postgres").await;
    let sql =
        format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{}'", issue.handle.name());
    let row =
        sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut superuser).await.expect("a verifier");
    engine.revoke(&[revocation(&issue)]).await.remove(0).expect("it is revoked");
    sqlx::Row::get(&row, 0)
}

async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.expect("it runs");
}

async fn drop_raw(server: &Arc<Server>, most: usize) -> Duration {
    let mut superuser = server.superuser("postgres").await;
    let rows = sqlx::raw_sql("SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'raw-%'")
        .fetch_all(&mut superuser);
    let rows = rows.await.expect("the roles");
    let names: Vec<String> = rows
        .iter()
        .take(most)
        .map(|row| format!("\"{}\"", sqlx::Row::get::<String, _>(row, 0)))
        .collect();
    let started = Instant::now();
    for part in names.chunks(1000) {
        run(&mut superuser, format!("DROP ROLE {}", part.join(", "))).await;
    }
    started.elapsed()
}

async fn raw_drops(server: &Arc<Server>, role: &Arc<Role>, total: usize) -> f64 {
    let verifier = verifier(server, role).await;
    let mut superuser = server.superuser("postgres").await;
    for turn in 0..total.div_ceil(100) {
        run(&mut superuser, raw_sql(9, turn, 100, &verifier)).await;
    }
    rate(total, drop_raw(server, total).await)
}

/// Issues in as many batches at once as there are connections. Preparing and deriving is part of it.
async fn engine_issues(
    engine: &Arc<Postgres>,
    role: &Arc<Role>,
    batch: usize,
    total: usize,
) -> (f64, Issues) {
    engine.identity().await.expect("the server is there");
    let mut tasks = tokio::task::JoinSet::new();
    let started = Instant::now();
    for _ in 0..CONNECTIONS {
        let (engine, role) = (Arc::clone(engine), Arc::clone(role));
        tasks.spawn(async move {
            let mut done = Issues::new();
            while done.len() < total.div_ceil(CONNECTIONS) {
                let asked: Issues = (0..batch)
                    .map(|_| prepared(&*engine, &role, ("bench", "bench"), PATIENCE))
                    .collect();
                let answers = engine.issue(&asked).await;
                assert!(
                    answers.iter().all(Result::is_ok),
                    "{:?}",
                    answers.iter().find(|answer| answer.is_err())
                );
                done.extend(asked);
            }
            done
        });
    }
    let issues: Issues = tasks.join_all().await.into_iter().flatten().collect();
    (rate(issues.len(), started.elapsed()), issues)
}

async fn engine_revocations(engine: &Arc<Postgres>, issues: &Issues) -> f64 {
    let batches: Vec<Vec<_>> =
        issues.chunks(1000).map(|part| part.iter().map(revocation).collect()).collect();
    let started = Instant::now();
    for batch in batches {
        let answers = engine.revoke(&batch).await;
        assert!(
            answers.iter().all(Result::is_ok),
            "{:?}",
            answers.iter().find(|answer| answer.is_err())
        );
    }
    rate(issues.len(), started.elapsed())
}
