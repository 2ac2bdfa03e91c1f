//! The real server for tests: the binary in a process of its own, on a free port, in a temporary folder.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "test support: whatever is not as expected fails the test at once"
)]

use crate::store_suite;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The root token of every server that is started with `-dev`.
pub const ROOT: &str = "root";
/// How long a server may take to say that it has started: a loaded machine may need a while.
const STARTS_WITHIN: Duration = Duration::from_mins(1);
/// How long a server may take to end: what it allows itself, and some.
const ENDS_WITHIN: u32 = 3000;

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    address: String,
    log: PathBuf,
    client: Client,
    /// What requests come with unless they say otherwise.
    pub token: String,
    /// Where it keeps its log, if that is to go with it.
    pub folder: Option<tempfile::TempDir>,
}

/// Where a server keeps its things between runs.
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
    /// The body, parsed; `null` if there is none.
    pub body: Value,
}

impl Answer {
    /// Returns the data of the envelope.
    #[must_use]
    pub fn data(&self) -> &Value {
        &self.body["data"]
    }

    /// Returns the errors as one text.
    #[must_use]
    pub fn errors(&self) -> String {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
    }

    /// Returns a text in the body by its JSON pointer.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Fails the test unless the status is this one.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

/// Which build of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// What is shipped.
    Plain,
    /// The one that can be told where to end itself.
    KillPoints,
}

/// A server ended before it had started.
#[derive(Debug)]
pub struct NotStarted {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its log meanwhile.
    pub log: String,
}

impl Build {
    /// Returns the binary, built from the sources as they are.
    pub fn binary(self) -> &'static Path {
        static PLAIN: OnceLock<PathBuf> = OnceLock::new();
        static KILL_POINTS: OnceLock<PathBuf> = OnceLock::new();
        match self {
            Self::Plain => PLAIN.get_or_init(|| match std::env::var_os("LEASEHOLD_BINARY") {
                Some(named) => named.into(),
                None => built("leasehold", &[]),
            }),
            Self::KillPoints => KILL_POINTS
                .get_or_init(|| built("leasehold-kill-points", &["--features", "kill-points"])),
        }
    }
}

fn built(name: &str, features: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.parent().and_then(Path::parent).expect("a test is in `deps`");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "-p", "leasehold", "--bin", name]).args(features);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(build.status().expect("cargo runs").success(), "`{name}` could not be built");
    profile.join(name)
}

/// Returns a command of the binary that knows no server.
#[must_use]
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(Build::Plain.binary());
    command.args(arguments).env_remove("VAULT_ADDR").env_remove("VAULT_TOKEN").stdin(Stdio::null());
    command
}

impl Server {
    /// Returns a client command of the binary, for this server and by its token.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.env("LEASEHOLD_ADDR", format!("http://{}", self.address));
        command.env("LEASEHOLD_TOKEN", &self.token);
        command
    }

    /// Starts a server that keeps everything in memory.
    #[must_use]
    pub fn dev() -> Self {
        Self::dev_with(&[])
    }

    /// Starts a server that keeps everything in memory, with further arguments.
    #[must_use]
    pub fn dev_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = format!("-dev-root-token-id={ROOT}");
        let dev = ["server", "-dev", &root, "-dev-listen-address=127.0.0.1:0"];
        let arguments = dev.iter().chain(arguments);
        let mut command = Command::new(Build::Plain.binary());
        command.args(arguments);
        let mut server = Self::start(command, folder.path()).expect("a server starts");
        ROOT.clone_into(&mut server.token);
        server.folder = Some(folder);
        server
    }

    fn start(mut command: Command, folder: &Path) -> Result<Self, NotStarted> {
        let log = folder.join("log");
        let errors = File::options().create(true).append(true).open(&log).expect("a log");
        let before = fs::metadata(&log).map_or(0, |log| log.len());
        let mut process = command
            .env_remove("VAULT_ADDR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("the server runs");
        let output = process.stdout.take().expect("the output is piped");
        let Some(address) = address_in(output) else {
            let status = process.wait().expect("the process is ours");
            let log = fs::read(&log).unwrap_or_default();
            let skipped = usize::try_from(before).unwrap_or(usize::MAX);
            let log = String::from_utf8_lossy(log.get(skipped..).unwrap_or_default()).into_owned();
            return Err(NotStarted { status, log });
        };
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(90)).build();
        let client = client.expect("a client");
        let token = String::new();
        Ok(Self { process, address, log, client, token, folder: None })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns what it wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks with a method and a body, by a token; no token if it is empty.
    pub async fn ask(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let body = (!body.is_null()).then(|| body.to_string());
        self.send(token, method, path, &[], body.unwrap_or_default().into_bytes()).await
    }

    /// Asks with a body as it is, and with headers.
    pub async fn send(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let url = format!("http://{}/v1/{path}", self.address);
        let mut request = self.client.request(method, url).body(body);
        if !token.is_empty() {
            request = request.header("X-Vault-Token", token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("the answer is whole");
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status, headers, text, body }
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&self.token, "GET", path, Value::Null).await
    }

    /// Lists.
    pub async fn list(&self, path: &str) -> Answer {
        self.ask(&self.token, "LIST", path, Value::Null).await
    }

    /// Writes.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(&self.token, "POST", path, body).await
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(&self.token, "DELETE", path, Value::Null).await
    }

    /// Sends bytes as they are, on a connection of their own, and returns what comes back until the server
    /// closes it.
    #[must_use]
    pub fn raw(&self, bytes: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes.as_bytes()).expect("the server reads");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Opens a connection.
    #[must_use]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
        stream
    }

    /// Tells it to end, and waits until it has.
    #[must_use]
    pub fn end(mut self) -> ExitStatus {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        for _ in 0..ENDS_WITHIN {
            if let Some(status) = self.process.try_wait().expect("the process is ours") {
                return status;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the server did not end: {}", self.log())
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Returns how it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("the process is ours")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.process.id()).expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("it runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads where a server listens from what it tells at its start; `None` if it ends before it has started.
fn address_in(output: impl Read + Send + 'static) -> Option<String> {
    let (found, finds) = mpsc::channel();
    // The thread reads on, so that the server never waits for somebody to read.
    thread::spawn(move || {
        let mut address = None;
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("(addr: \"") {
                let listens = rest.split('"').next().unwrap_or_default().to_owned();
                address.get_or_insert(listens);
            }
            if line.contains("server started!")
                && let Some(address) = address.take()
            {
                let _ = found.send(address);
            }
        }
    });
    finds.recv_timeout(STARTS_WITHIN).ok()
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// Makes a place with a configuration and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::with("")
    }

    /// Makes a place with further lines of configuration. `{folder}` stands for the place.
    #[must_use]
    pub fn with(lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Self { folder };
        let written = format!(
            "storage \"embedded\" {{ path = \"{{folder}}/store\" }}\n\
             seal \"file\" {{ path = \"{{folder}}/root.key\" }}\n\
             listener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_disable = true\n}}\n\
             audit \"file\" \"first\" {{\n options {{ file_path = \"{{folder}}/audit\" }}\n}}\n{lines}\n"
        );
        place.configure(&written);
        place
    }

    /// Makes a place for a store that people open with their shares.
    #[must_use]
    pub fn unsealed_by_people() -> Self {
        let place = Self::new();
        let written = fs::read_to_string(place.path("config.hcl")).expect("a configuration");
        let lines: Vec<_> = written.lines().filter(|line| !line.starts_with("seal ")).collect();
        place.configure(&lines.join("\n"));
        place
    }

    /// Writes the configuration anew. `{folder}` stands for the place.
    pub fn configure(&self, written: &str) {
        let written = written.replace("{folder}", &self.path("").display().to_string());
        fs::write(self.path("config.hcl"), written).expect("a configuration");
    }

    /// Returns the path of something in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.folder.path().to_owned() } else { self.folder.path().join(name) }
    }

    /// Waits until nobody holds the store, which this process has held itself.
    pub fn wait_until_free(&self) {
        store_suite::wait_until_free(&self.path("store"));
    }

    /// Starts a server, or returns why it does not start.
    pub fn try_start(&self) -> Result<Server, String> {
        let started = self.try_start_by(Command::new(Build::Plain.binary()));
        started.map_err(|NotStarted { status, log }| format!("{status:?}: {log}"))
    }

    /// Starts a server by this command, which is given the arguments.
    pub fn try_start_by(&self, mut command: Command) -> Result<Server, NotStarted> {
        let config = format!("-config={}", self.path("config.hcl").display());
        command.args(["server", &config]);
        Server::start(command, &self.path(""))
    }

    /// Starts a server.
    #[must_use]
    pub fn start(&self) -> Server {
        self.try_start().expect("the server starts")
    }

    /// Starts a server and initializes its store; its requests come with the root token.
    pub async fn found(&self) -> Server {
        let mut server = self.start();
        let made =
            server.post("sys/init", serde_json::json!({ "secret_shares": 5 })).await.expect(200);
        made.at("/root_token").clone_into(&mut server.token);
        server
    }

    /// Starts a server again, for requests with this token.
    #[must_use]
    pub fn again(&self, token: &str) -> Server {
        let mut server = self.start();
        token.clone_into(&mut server.token);
        server
    }
}
