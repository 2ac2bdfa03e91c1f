//! Issues and revokes ten thousand leases through the real binary, beside the same SQL in a bare loop.
//!
//! Run by `cargo xtask bench`. Server, load and PostgreSQL share one machine, so only the ratios mean
//! anything; each round measures both sides, and the medians of the rounds are told.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark: it measures time, prints, and stops at the first thing that is not as it should be"
)]

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_integration_tests::postgres::{SUPERUSER, SUPERUSER_PASSWORD, Server, Version};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const CALLERS: usize = 64;
/// What a target gets unless its configuration says otherwise.
const CONNECTIONS: usize = 4;
/// The bare loop is fastest with two for each core.
const BARE_CONNECTIONS: usize = 4;

fn main() {
    let leases = setting("LEASEHOLD_BENCH_LEASES").unwrap_or(10_000);
    let rounds = setting("LEASEHOLD_BENCH_ROUNDS").unwrap_or(3);
    let only = setting("LEASEHOLD_BENCH_ITERATIONS");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!(
        "{leases} leases, {CALLERS} callers, {CONNECTIONS} connections to PostgreSQL, audit to a file"
    );
    println!(
        "medians of {rounds} rounds; `bare` is the same SQL in a loop, one transaction each, verifier included\n"
    );
    println!(
        "{:>12} {:>10} {:>10} {:>10} {:>14} {:>12}",
        "iterations", "bare/s", "issue/s", "ratio", "revoke/s", "left behind"
    );
    for iterations in [4096, 1] {
        if only.is_some_and(|only| only != iterations) {
            continue;
        }
        let iterations = u32::try_from(iterations).unwrap();
        let measured: Vec<_> =
            (0..rounds).map(|_| runtime.block_on(round(iterations, leases))).collect();
        let median = |of: fn(&Round) -> f64| {
            let mut values: Vec<f64> = measured.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (bare, issue, revoke) = (median(|r| r.bare), median(|r| r.issue), median(|r| r.revoke));
        let left: usize = measured.iter().map(|round| round.left).sum();
        println!(
            "{iterations:>12} {bare:>10.0} {issue:>10.0} {:>10.2} {revoke:>14.0} {left:>12}",
            issue / bare
        );
    }
    println!("\nagainst the loop at 4096 iterations, see the first line's `bare/s`");
}

/// Reads a number from the environment: how many leases, how many rounds, which iterations only.
fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// Rates per second, and what was left at the target and in the store.
struct Round {
    bare: f64,
    issue: f64,
    revoke: f64,
    left: usize,
}

async fn round(iterations: u32, leases: usize) -> Round {
    let postgres = Server::start_with(Version::Distribution, &["-c", "fsync=on"]);
    let mut admin = postgres.superuser("postgres").await;
    admin.execute("CREATE ROLE readonly").await.unwrap();
    let bare = bare_loop(&postgres, iterations, leases.min(iterations_leases(iterations))).await;

    let server = Leasehold::start(&postgres, iterations).await;
    let issue = server.issue(leases).await;
    assert_eq!(leased_roles(&mut admin).await, leases, "not every lease has a role");
    let revoke = server.revoke_prefix(leases).await;
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

/// The real binary, with the embedded store on disk and an audit file.
struct Leasehold {
    process: Child,
    address: String,
    token: String,
    _folder: tempfile::TempDir,
}

impl Drop for Leasehold {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Leasehold {
    async fn start(postgres: &Server, iterations: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let process = launch(folder.path(), &address);
        let mut server = Self { process, address, token: String::new(), _folder: folder };
        for _ in 0..500 {
            if TcpStream::connect(&server.address).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let init = server.ask("PUT", "sys/init", "{}").await;
        let init: serde_json::Value = serde_json::from_str(&init).unwrap();
        server.token = init["root_token"].as_str().unwrap().to_owned();
        server.ask("POST", "sys/mounts/database", r#"{"type":"database"}"#).await;
        let config = serde_json::json!({
            "plugin_name": "postgresql-database-plugin",
            "connection_url": postgres.template_url("postgres"),
            "username": SUPERUSER,
            "password": SUPERUSER_PASSWORD,
            "allowed_roles": "*",
            "max_open_connections": CONNECTIONS,
        });
        server.ask("POST", "database/config/pg", &config.to_string()).await;
        let role = serde_json::json!({
            "db_name": "pg", "grant_roles": ["readonly"], "scram_iterations": iterations, "default_ttl": "1h",
        });
        server.ask("POST", "database/roles/app", &role.to_string()).await;
        server
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut line = Line::open(&self.address, &self.token).await;
        let (status, body) = line.ask(method, path, body).await;
        assert!(status < 300 || status == 404, "{method} {path}: {status} {body}");
        body
    }

    /// Issues from many callers at once; returns the rate.
    async fn issue(&self, leases: usize) -> f64 {
        let next = Arc::new(AtomicUsize::new(0));
        let mut lines = Vec::new();
        for _ in 0..CALLERS {
            lines.push(Line::open(&self.address, &self.token).await);
        }
        let began = Instant::now();
        let callers = lines.into_iter().map(|mut line| {
            let next = Arc::clone(&next);
            tokio::spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < leases {
                    let (status, body) = line.ask("GET", "database/creds/app", "").await;
                    assert_eq!(status, 200, "{body}");
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
        leases as f64 / began.elapsed().as_secs_f64()
    }

    /// Revokes them all by prefix and waits for the confirmation; returns the rate.
    async fn revoke_prefix(&self, leases: usize) -> f64 {
        let began = Instant::now();
        self.ask("PUT", "sys/leases/revoke-prefix/database/creds/app", r#"{"sync":true}"#).await;
        leases as f64 / began.elapsed().as_secs_f64()
    }

    async fn leases_left(&self) -> usize {
        let listed = self.ask("LIST", "sys/leases/lookup/database/creds/app", "").await;
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        listed["data"]["keys"].as_array().map_or(0, Vec::len)
    }
}

fn launch(folder: &Path, address: &str) -> Child {
    let at = |name: &str| folder.join(name).display().to_string();
    let config = format!(
        "storage \"embedded\" {{ path = \"{}\" }}\nseal \"file\" {{ path = \"{}\" }}\n\
         listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n}}\n\
         audit \"file\" \"main\" {{\n  options {{ file_path = \"{}\" }}\n}}\nlog_level = \"warn\"\n",
        at("store"),
        at("root.key"),
        at("audit.log"),
    );
    let file = folder.join("leasehold.hcl");
    fs::write(&file, config).unwrap();
    Command::new(binary())
        .arg("server")
        .arg(format!("-config={}", file.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the release binary starts: build it with `cargo build --release -p leasehold`")
}

fn binary() -> PathBuf {
    let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/leasehold");
    std::env::var_os("LEASEHOLD_BINARY").map_or(release, PathBuf::from)
}

/// One caller's connection. A client of forty lines, so that the load costs little beside the server.
struct Line {
    stream: TcpStream,
    token: String,
    read: Vec<u8>,
}

impl Line {
    async fn open(address: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, token: token.to_owned(), read: Vec::with_capacity(4096) }
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{method} /v1/{path} HTTP/1.1\r\nHost: bench\r\nX-Vault-Token: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.read.clear();
        loop {
            let head_end = self.read.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = head_end {
                let head = std::str::from_utf8(&self.read[..end]).unwrap().to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
                if self.read.len() >= end + 4 + length {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    let body =
                        String::from_utf8(self.read[end + 4..end + 4 + length].to_vec()).unwrap();
                    return (status, body);
                }
            }
            assert!(
                self.stream.read_buf(&mut self.read).await.unwrap() > 0,
                "the server closed the connection"
            );
        }
    }
}
