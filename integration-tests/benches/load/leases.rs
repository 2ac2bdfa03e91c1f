//! Ten thousand leases are issued and revoked, beside the same SQL in a bare loop.

use crate::server::{CONNECTIONS, Leasehold, rate};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_integration_tests::postgres::{Server, Version};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// The bare loop is fastest with two for each core.
const BARE_CONNECTIONS: usize = 4;

/// Rates per second, and what was left at the target and in the store.
pub(crate) struct Round {
    /// The bare loop.
    pub(crate) bare: f64,
    /// Leases issued.
    pub(crate) issue: f64,
    /// Leases revoked, by prefix.
    pub(crate) revoke: f64,
    /// Roles and leases that are there afterwards.
    pub(crate) left: usize,
}

/// Measures both, one after the other.
pub(crate) async fn round(iterations: u32, leases: usize) -> Round {
    let postgres = Server::start_with(Version::Distribution, &["-c", "fsync=on"]);
    let mut admin = postgres.superuser("postgres").await;
    admin.execute("CREATE ROLE readonly").await.unwrap();
    let bare = bare_loop(&postgres, iterations, leases.min(iterations_leases(iterations))).await;

    let server = Leasehold::start().await;
    let mut config = postgres.config();
    config["max_open_connections"] = json!(CONNECTIONS);
    let role = json!({
        "grant_roles": ["readonly"], "scram_iterations": iterations, "default_ttl": "1h",
    });
    server.lend(&config, role).await;
    let issue =
        rate(&server.address, leases, ("GET", "database/creds/app", ""), &server.token).await;
    assert_eq!(leased_roles(&mut admin).await, leases, "not every lease has a role");
    let revoke = server.revoke_all(leases).await;
    let left = leased_roles(&mut admin).await + server.leases_left().await;
    Round { bare, issue, revoke, left }
}

/// Enough for a rate that means something, and no more: one issue at 4,096 iterations costs two milliseconds.
fn iterations_leases(iterations: u32) -> usize {
    if iterations > 100 { 2_000 } else { 10_000 }
}

async fn leased_roles(admin: &mut sqlx::PgConnection) -> usize {
    let row =
        admin.fetch_one("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'").await.unwrap();
    usize::try_from(row.get::<i64, _>(0)).unwrap()
}

/// The same statements, one transaction for each credential, over as many connections as there are callers'
/// turns at the server.
async fn bare_loop(postgres: &Server, iterations: u32, logins: usize) -> f64 {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for _ in 0..BARE_CONNECTIONS {
        connections.push(postgres.superuser("postgres").await);
    }
    let began = Instant::now();
    let mut tasks = Vec::new();
    for mut connection in connections {
        let next = Arc::clone(&next);
        tasks.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= logins {
                    return;
                }
                let name = format!("bare-token-app-{number:026}-1795314365");
                let verifier = verifier(&format!("{number:020}"), iterations);
                let sql = format!(
                    "CREATE ROLE \"{name}\" LOGIN PASSWORD '{verifier}' VALID UNTIL '2099-01-01 00:00:00+00'; \
                     COMMENT ON ROLE \"{name}\" IS 'leasehold:00000000000000000000000000:00000000000000000000000000:{number:026}'; \
                     GRANT readonly TO \"{name}\""
                );
                connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    logins as f64 / began.elapsed().as_secs_f64()
}

/// A SCRAM-SHA-256 verifier as PostgreSQL stores it (RFC 5802, RFC 7677).
fn verifier(password: &str, iterations: u32) -> String {
    let salt = *b"0123456789abcdef";
    let mut salted = [0; 32];
    let count = NonZeroU32::new(iterations).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, &salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let (salt, stored, server) =
        (STANDARD.encode(salt), STANDARD.encode(stored), STANDARD.encode(server));
    format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}")
}
