//! Real MariaDB servers for tests: each test has its own, in a temporary folder, on a free port.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a server that does not start fails the test at once"
)]

use crate::process::{free_port, hand_over, run_as, unprivileged};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// The administrator of every test server, who may do everything.
pub const ROOT: &str = "root";
/// Its password.
pub const ROOT_PASSWORD: &str = "root's own \"password\"";

/// Another who may do everything, by the same password; the recorded exchanges name this one.
pub const RECORDED: &str = "adm";

/// How often a server is looked after until it is up, 20 ms apart: a loaded machine may need a while.
const STARTS_WITHIN: u32 = 1500;

/// Who the server runs as, where the tests run as root.
const USERS: [&str; 2] = ["mysql", "nobody"];

/// What keeps a server small; the template is made with the same.
const SMALL: [&str; 6] = [
    "--innodb-log-file-size=4M",
    "--innodb-buffer-pool-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--aria-pagecache-buffer-size=8M",
    "--skip-name-resolve",
];

/// Gives the administrators a password, at every start.
const INIT: &str = "DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1', 'root'@'localhost';\n\
    CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY 'root\\'s own \"password\"';\n\
    GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;\n\
    CREATE USER IF NOT EXISTS 'adm'@'%' IDENTIFIED BY 'root\\'s own \"password\"';\n\
    GRANT ALL ON *.* TO 'adm'@'%' WITH GRANT OPTION;\n";

/// A running server. It is stopped and removed when dropped.
#[derive(Debug)]
pub struct Server {
    folder: tempfile::TempDir,
    settings: Vec<String>,
    process: Mutex<Child>,
    port: u16,
}

impl Server {
    /// Starts a server.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// Starts a server with settings and files of its own: names in its data folder, and texts.
    #[must_use]
    pub fn start_with(settings: &[&str], files: &[(&str, &str)]) -> Self {
        let folder =
            tempfile::Builder::new().prefix("leasehold-my-").tempdir().expect("a temporary folder");
        hand_over(folder.path(), &USERS);
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(template()).arg(folder.path().join("data"));
        assert!(
            run_as(&mut copy, &USERS).status().expect("cp runs").success(),
            "the template could not be copied"
        );
        for (name, text) in files.iter().copied().chain([("init.sql", INIT)]) {
            let path = folder.path().join("data").join(name);
            fs::write(&path, text).expect("the server's file is written");
            hand_over(&path, &USERS);
        }
        let settings: Vec<_> = settings.iter().map(|&setting| setting.to_owned()).collect();
        // A port that was free a moment ago may be taken; then another one is.
        let mut port = free_port();
        let mut process = launch(folder.path(), port, &settings);
        for _ in 0..5 {
            if comes_up(&mut process, folder.path(), port) {
                return Self { folder, settings, process: Mutex::new(process), port };
            }
            port = free_port();
            process = launch(folder.path(), port, &settings);
        }
        panic!("no MariaDB server could be started: {}", log(folder.path()))
    }

    /// Returns its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the `connection_url` for a user, as an operator writes it.
    #[must_use]
    pub fn template_url(&self) -> String {
        format!("{{{{username}}}}:{{{{password}}}}@tcp(127.0.0.1:{})/", self.port)
    }

    /// Returns what an operator writes for a target at this server.
    #[must_use]
    pub fn config(&self) -> Value {
        json!({
            "plugin_name": "mysql-database-plugin",
            "allowed_roles": "*",
            "connection_url": self.template_url(),
            "username": ROOT,
            "password": ROOT_PASSWORD,
        })
    }

    /// Logs in over TCP.
    pub async fn log_in(&self, user: &str, password: &str) -> Result<MySqlConnection, sqlx::Error> {
        log_in_at(self.port, user, password).await
    }

    /// Logs in as the administrator.
    pub async fn root(&self) -> MySqlConnection {
        self.log_in(ROOT, ROOT_PASSWORD).await.expect("root logs in")
    }

    /// Returns what the server wrote into its record of every statement, which `--general-log` starts.
    #[must_use]
    pub fn statements(&self) -> String {
        let record = fs::read(self.folder.path().join("data/statements")).unwrap_or_default();
        String::from_utf8_lossy(&record).into_owned()
    }

    /// Suspends the server and all its sessions, as a machine that is being moved does.
    pub fn suspend(&self) {
        crate::process::suspend(self.pid());
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(nix::sys::signal::Signal::SIGCONT);
    }

    /// Stops the server at once, as a crash does.
    pub fn kill(&self) {
        let mut process = self.process.lock();
        let _ = process.kill();
        let _ = process.wait();
    }

    /// Starts it again on the same port.
    pub fn restart(&self) {
        self.kill();
        let mut process = self.process.lock();
        *process = launch(self.folder.path(), self.port, &self.settings);
        let up = comes_up(&mut process, self.folder.path(), self.port);
        assert!(up, "the server did not come up again: {}", log(self.folder.path()));
    }

    fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.process.lock().id()).unwrap_or(i32::MAX))
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let _ = nix::sys::signal::kill(self.pid(), signal);
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
) -> Result<MySqlConnection, sqlx::Error> {
    MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .username(user)
        .password(password)
        .ssl_mode(MySqlSslMode::Disabled)
        .disable_statement_logging()
        .connect()
        .await
}

/// Returns the path of a program of the server's package.
fn program(name: &str) -> PathBuf {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&places).collect();
    folders.push(PathBuf::from("/usr/sbin"));
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("no `{name}` on this machine: install it, with `apt-get install mariadb-server`")
    })
}

fn launch(folder: &Path, port: u16, settings: &[String]) -> Child {
    let log =
        fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
    let error = log.try_clone().expect("a second handle of the log");
    let mut command = Command::new(program("mariadbd"));
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--socket={}", folder.join("socket").display()))
        .arg(format!("--pid-file={}", folder.join("pid").display()))
        // A server that starts clears its `tmpdir` of every temporary table, those of others too.
        .arg(format!("--tmpdir={}", folder.display()))
        .arg(format!("--init-file={}", folder.join("data/init.sql").display()))
        .args([&format!("--port={port}"), "--bind-address=127.0.0.1", "--max-connections=300"])
        .arg("--general-log-file=statements")
        .args(SMALL)
        .args(settings)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(error);
    run_as(&mut command, &USERS).spawn().expect("the server's program runs")
}

/// Waits until the server says that it is ready; false if it ended instead.
fn comes_up(process: &mut Child, folder: &Path, port: u16) -> bool {
    let before = log(folder).matches("ready for connections").count();
    let own = process.id().to_string();
    for _ in 0..STARTS_WITHIN {
        if !matches!(process.try_wait(), Ok(None)) {
            return false;
        }
        let pid = fs::read_to_string(folder.join("pid")).unwrap_or_default();
        let ready = pid.trim() == own && std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        if ready || log(folder).matches("ready for connections").count() > before {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("the server did not come up: {}", log(folder))
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// Makes a data folder, or finds the one that was made since the machine started.
fn template() -> PathBuf {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let said = Command::new(program("mariadbd")).arg("--version").output().expect("it runs");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let said: String = said.chars().filter(char::is_ascii_alphanumeric).take(60).collect();
    let user = unprivileged(&USERS).map_or_else(String::new, |(uid, _)| uid.to_string());
    let place =
        std::env::temp_dir().join(format!("leasehold-my-template-{said}-{}-{user}", boot.trim()));
    let ready = place.join("data");
    if ready.join("mysql").is_dir() {
        return ready;
    }
    let folder =
        tempfile::Builder::new().prefix("leasehold-my-").tempdir().expect("a temporary folder");
    hand_over(folder.path(), &USERS);
    let mut command = Command::new(program("mariadb-install-db"));
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}", folder.path().join("data").display()))
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--tmpdir={}", folder.path().display()))
        .args(SMALL)
        .stdin(Stdio::null());
    let made = run_as(&mut command, &USERS).output().expect("mariadb-install-db runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // Whoever is second finds the first one's folder in place, and uses that.
    let made = folder.keep();
    if fs::rename(&made, &place).is_err() {
        let _ = fs::remove_dir_all(&made);
    }
    ready
}
