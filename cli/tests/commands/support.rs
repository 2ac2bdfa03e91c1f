//! A server that answers as it was told, and a way to run the binary against it.

use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// How long a server waits for the rest of a request; far longer than loopback takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Method and path with its query: `GET /v1/x?list=true`.
    pub(crate) line: String,
    /// Headers, their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body, `Null` if there was none.
    pub(crate) body: Value,
}

/// A server that gives its answers one after the other.
pub(crate) struct Server {
    pub(crate) address: String,
    seen: Receiver<Seen>,
}

impl Server {
    /// Starts a server with these answers: status, and body.
    pub(crate) fn with(answers: &[(u16, &str)]) -> Self {
        let answers = answers.iter().map(|(status, body)| answer(*status, body, ""));
        Self::with_raw(answers.collect())
    }

    /// Starts a server that sends these bytes.
    pub(crate) fn with_raw(mut answers: VecDeque<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, seen) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
                let Some(request) = read_request(&mut BufReader::new(&stream)) else { continue };
                let _ = sender.send(request);
                let unexpected = || answer(500, r#"{"errors":["one request too many"]}"#, "");
                let text = answers.pop_front().unwrap_or_else(unexpected);
                let _ = stream.write_all(text.as_bytes());
            }
        });
        Self { address, seen }
    }

    /// Returns the requests so far, as lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// Returns the requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }
}

/// Writes an answer with further headers, each ended by a line break.
pub(crate) fn answer(status: u16, body: &str, headers: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// Reads one request; nothing, if the other side only opened a connection.
pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<Seen> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|length| *length > 0)?;
    let mut words = first.split_whitespace();
    let line = format!("{} {}", words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |text| text.parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).expect("a JSON body")
    };
    Some(Seen { line, headers, body })
}

/// An envelope around `data`.
pub(crate) fn envelope(data: &Value) -> String {
    json!({
        "request_id": "r-1", "lease_id": "", "renewable": false, "lease_duration": 0,
        "data": data, "wrap_info": null, "warnings": null, "auth": null
    })
    .to_string()
}

/// What a run of the binary left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    /// The standard output of a run that should have worked.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.exit, 0, "{self:?}");
        self.out
    }
}

/// A run of the binary, with an environment of its own.
pub(crate) struct Run {
    command: Command,
    home: TempDir,
    stdin: String,
}

impl Run {
    /// A run with these arguments and an empty environment.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let home = TempDir::new().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
        command.env_clear().env("HOME", home.path()).current_dir(home.path()).args(arguments);
        Self { command, home, stdin: String::new() }
    }

    /// A run with these arguments that knows a server and a token.
    pub(crate) fn at(server: &Server, arguments: &[&str]) -> Self {
        Self::of(arguments).env("VAULT_ADDR", &server.address).env("VAULT_TOKEN", "tok-1")
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Puts a file into the home directory, which is also the current one.
    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.home.path().join(name), content).expect("a file");
        self
    }

    /// Gives this to standard input.
    pub(crate) fn stdin(self, text: &str) -> Self {
        Self { stdin: text.to_owned(), ..self }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Outcome {
        self.run_and_keep().0
    }

    /// Runs it to its end and keeps its home directory.
    pub(crate) fn run_and_keep(mut self) -> (Outcome, TempDir) {
        let command =
            self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        let mut stdin = child.stdin.take().expect("its standard input");
        // A command that reads nothing may be gone already.
        let _ = stdin.write_all(self.stdin.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("its end");
        let outcome = Outcome {
            exit: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        };
        (outcome, self.home)
    }
}
