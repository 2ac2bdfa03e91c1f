//! The real binary, with the embedded store on disk and an audit file, and callers of it.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How many ask at once.
pub(crate) const CALLERS: usize = 64;
/// What a target gets unless its configuration says otherwise.
pub(crate) const CONNECTIONS: usize = 4;

/// What is asked: method, path, and body.
pub(crate) type Ask = (&'static str, &'static str, &'static str);

/// The real binary, with the embedded store on disk and an audit file.
pub(crate) struct Leasehold {
    process: Child,
    pub(crate) address: String,
    pub(crate) token: String,
    _folder: tempfile::TempDir,
}

impl Drop for Leasehold {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Leasehold {
    /// Starts one that nobody has configured.
    pub(crate) async fn start() -> Self {
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
        let init: Value = serde_json::from_str(&init).unwrap();
        server.token = String::from(init["root_token"].as_str().unwrap());
        server
    }

    /// Configures a target, and a role `app` that lends its logins.
    pub(crate) async fn lend(&self, config: &Value, mut role: Value) {
        self.ask("POST", "sys/mounts/database", r#"{"type":"database"}"#).await;
        self.ask("POST", "database/config/target", &config.to_string()).await;
        role["db_name"] = "target".into();
        self.ask("POST", "database/roles/app", &role.to_string()).await;
    }

    /// Revokes all by prefix and waits for the confirmation; returns the rate.
    pub(crate) async fn revoke_all(&self, leases: usize) -> f64 {
        let began = Instant::now();
        self.ask("PUT", "sys/leases/revoke-prefix/database/creds/app", r#"{"sync":true}"#).await;
        leases as f64 / began.elapsed().as_secs_f64()
    }

    /// Returns how many leases there are.
    pub(crate) async fn leases_left(&self) -> usize {
        let listed = self.ask("LIST", "sys/leases/lookup/database/creds/app", "").await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed["data"]["keys"].as_array().map_or(0, Vec::len)
    }

    /// Asks once, and returns the body of the answer.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut line = Line::open(&self.address, &self.token).await;
        let (status, body) = line.ask(method, path, body).await;
        assert!(status < 300 || status == 404, "{method} {path}: {status} {body}");
        body
    }
}

/// Makes one request many times, from many callers at once; returns the rate in requests per second.
pub(crate) async fn rate(
    address: &str,
    count: usize,
    (method, path, body): Ask,
    token: &str,
) -> f64 {
    let next = Arc::new(AtomicUsize::new(0));
    let mut lines = Vec::new();
    for _ in 0..CALLERS {
        lines.push(Line::open(address, token).await);
    }
    let began = Instant::now();
    let callers = lines.into_iter().map(|mut line| {
        let next = Arc::clone(&next);
        tokio::spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < count {
                let (status, body) = line.ask(method, path, body).await;
                assert_eq!(status, 200, "{method} {path}: {body}");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    count as f64 / began.elapsed().as_secs_f64()
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
