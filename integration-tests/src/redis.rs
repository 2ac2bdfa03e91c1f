//! Redis servers of the tests' own: each on a free port, in a temporary folder, with a password.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "support of tests: what cannot be set up fails the test at once"
)]

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{
    Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, RedisError, Value,
};
use serde_json::{Value as Json, json};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// The administrator that every server has.
pub const ADMINISTRATOR: &str = "default";
/// Their password.
pub const PASSWORD: &str = "ad:min/pass@word?";

/// How often it is looked whether a server answers, 20 ms apart.
const STARTS_WITHIN: usize = 500;

/// Where a server keeps its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// Nowhere: a restart forgets them.
    Nowhere,
    /// In an `aclfile`.
    AclFile,
    /// In its configuration, if it is told to write that.
    Config,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    port: u16,
    process: Mutex<Child>,
    program: &'static str,
    arguments: Vec<String>,
}

impl Server {
    /// Starts one.
    #[must_use]
    pub fn start(users: Users) -> Self {
        Self::start_with(users, &[])
    }

    /// Starts one with further settings, each a word of the command line.
    #[must_use]
    pub fn start_with(users: Users, settings: &[&str]) -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut arguments = Vec::new();
        match users {
            Users::Nowhere => {
                arguments.extend(["--requirepass".to_owned(), PASSWORD.to_owned()]);
            }
            Users::AclFile => {
                let text = format!("user {ADMINISTRATOR} on ~* &* +@all >{PASSWORD}\n");
                fs::write(path("users.acl"), text).expect("the file is written");
                arguments.extend(["--aclfile".to_owned(), path("users.acl")]);
            }
            Users::Config => {
                let text = format!("requirepass \"{PASSWORD}\"\n");
                fs::write(path("redis.conf"), text).expect("the file is written");
                arguments.push(path("redis.conf"));
            }
        }
        let own = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"];
        arguments.extend(own.map(str::to_owned));
        arguments.extend(["--masterauth".to_owned(), PASSWORD.to_owned()]);
        arguments.extend(settings.iter().map(|&setting| setting.to_owned()));
        Self::launch(folder, "redis-server", arguments)
    }

    /// Starts a server that is a replica of another.
    #[must_use]
    pub fn replica_of(primary: &Self, users: Users) -> Self {
        let port = primary.port.to_string();
        Self::start_with(users, &["--replicaof", "127.0.0.1", &port])
    }

    /// Starts a Sentinel that watches a primary, called `it`.
    #[must_use]
    pub fn sentinel_of(primary: &Self) -> Self {
        let folder = folder();
        let text = format!(
            "sentinel monitor it 127.0.0.1 {} 1\nsentinel auth-pass it {PASSWORD}\n\
             sentinel down-after-milliseconds it 500\nsentinel failover-timeout it 2000\n",
            primary.port
        );
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, text).expect("the file is written");
        let arguments = [file.display().to_string(), "--sentinel".to_owned()];
        let local = ["--bind", "127.0.0.1", "--protected-mode", "no"].map(str::to_owned);
        Self::launch(folder, "redis-server", arguments.into_iter().chain(local).collect())
    }

    fn launch(folder: TempDir, program: &'static str, arguments: Vec<String>) -> Self {
        // Between looking for a free port and using it another may take it, so it is tried again.
        let port = free_port();
        let process = Mutex::new(spawn(program, folder.path(), port, &arguments));
        let mut server = Self { folder, port, process, program, arguments };
        for _ in 0..5 {
            if server.comes_up() {
                return server;
            }
            server.port = free_port();
            let (folder, port) = (server.folder.path(), server.port);
            server.process = Mutex::new(spawn(program, folder, port, &server.arguments));
        }
        panic!("no server could be started: {}", server.log())
    }

    /// Starts a node that is to be in a cluster.
    #[must_use]
    pub fn cluster_node() -> Self {
        // By default the nodes talk on a port so far away that there may be none.
        let bus = free_port().to_string();
        Self::start_with(Users::Nowhere, &["--cluster-enabled", "yes", "--cluster-port", &bus])
    }

    /// Returns its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns where it keeps files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns what an operator writes for a target at this server.
    #[must_use]
    pub fn config(&self) -> Json {
        json!({
            "plugin_name": "redis-database-plugin",
            "allowed_roles": "*",
            "host": "127.0.0.1",
            "port": self.port,
            "username": ADMINISTRATOR,
            "password": PASSWORD,
        })
    }

    /// Logs in, so that the password is checked.
    pub async fn log_in(
        &self,
        user: &str,
        password: &str,
    ) -> Result<MultiplexedConnection, RedisError> {
        log_in_at(self.port, user, password).await
    }

    /// Asks something as the administrator.
    pub async fn ask(&self, words: &[&str]) -> Result<Value, RedisError> {
        let mut connection = self.log_in(ADMINISTRATOR, PASSWORD).await?;
        ask(&mut connection, words).await
    }

    /// Asks something as the administrator that is answered in a text.
    pub async fn text(&self, words: &[&str]) -> String {
        let said = self.ask(words).await;
        let said = said.unwrap_or_else(|error| panic!("{words:?}: {error}"));
        redis::from_redis_value(said).expect("it is a text")
    }

    /// Whether it answers now, and says something: a Sentinel ends all connections of a server that it promotes.
    pub async fn says(&self, words: &[&str], what: &str) -> bool {
        let said = self.ask(words).await;
        let said = said.and_then(|said| Ok(redis::from_redis_value::<String>(said)?));
        said.is_ok_and(|said| said.contains(what))
    }

    /// Returns the names of all users.
    pub async fn users(&self) -> Vec<String> {
        let said = self.ask(&["ACL", "USERS"]).await.expect("users are listed");
        redis::from_redis_value(said).expect("they are texts")
    }

    /// Returns what the server wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Suspends the server, as a machine that is being moved does.
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

    /// Starts it again on the same port, after a crash if it runs.
    pub fn restart(&self) {
        self.kill();
        *self.process.lock() = spawn(self.program, self.folder.path(), self.port, &self.arguments);
        assert!(self.comes_up(), "the server did not come up again: {}", self.log());
    }

    fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.process.lock().id()).unwrap_or(i32::MAX))
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let _ = nix::sys::signal::kill(self.pid(), signal);
    }

    /// Waits until the server takes connections; false if it ended instead.
    fn comes_up(&self) -> bool {
        for _ in 0..STARTS_WITHIN {
            if !matches!(self.process.lock().try_wait(), Ok(None)) {
                return false;
            }
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
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

/// Logs in to the server on this port of 127.0.0.1.
pub async fn log_in_at(
    port: u16,
    user: &str,
    password: &str,
) -> Result<MultiplexedConnection, RedisError> {
    let settings = RedisConnectionInfo::default().set_username(user).set_password(password);
    let info = ConnectionAddr::Tcp("127.0.0.1".to_owned(), port).into_connection_info()?;
    let client = Client::open(info.set_redis_settings(settings))?;
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_response_timeout(Some(Duration::from_secs(20)));
    client.get_multiplexed_async_connection_with_config(&patient).await
}

/// Asks something over a connection.
pub async fn ask(
    connection: &mut MultiplexedConnection,
    words: &[&str],
) -> Result<Value, RedisError> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query_async(connection).await
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("leasehold-redis-").tempdir().expect("a temporary folder")
}

fn spawn(program: &str, folder: &Path, port: u16, arguments: &[String]) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log"));
    let log = log.expect("a log");
    let error = log.try_clone().expect("a second handle of the log");
    let program = found(program);
    // A file goes first, and the port may be one for TLS.
    let (files, settings): (Vec<_>, Vec<_>) =
        arguments.iter().enumerate().partition(|(at, word)| {
            *at == 0 && Path::new(word).extension().is_some_and(|kind| kind == "conf")
        });
    let has_port = arguments.iter().any(|word| word == "--tls-port");
    let mut command = Command::new(&program);
    command.args(files.into_iter().map(|(_, word)| word));
    if has_port {
        let own = |(_, word): &(usize, &String)| {
            if word.as_str() == "own" { port.to_string() } else { (*word).clone() }
        };
        command.args(settings.iter().map(own)).args(["--port", "0"]);
    } else {
        command
            .args(settings.into_iter().map(|(_, word)| word))
            .args(["--port", &port.to_string()]);
    }
    command.current_dir(folder).stdin(Stdio::null()).stdout(log).stderr(error);
    command.spawn().expect("the server's program runs")
}

fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/bin")]);
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("there is no `{program}`; install the package `redis-server`"))
}

fn free_port() -> u16 {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|on| on.local_addr());
    bound.expect("a free port on 127.0.0.1").port()
}
