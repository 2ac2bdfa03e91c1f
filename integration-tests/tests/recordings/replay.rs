//! Plays a recorded scenario against a server of its own, byte for byte as a client would send it.

use crate::compare::{Loose, TTL_SLACK};
use crate::differences::{Differences, Wording};
use leasehold_integration_tests::mariadb;
use leasehold_integration_tests::postgres::{self, Version};
use leasehold_integration_tests::redis;
use leasehold_integration_tests::server::{Place, ROOT, Server};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What became of each step, by its number; a pause is none.
pub(crate) type Played = BTreeMap<usize, Outcome>;

/// What became of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The answer was as recorded.
    Same,
    /// It was not; why.
    Different(String),
    /// It needs what an earlier step did not give.
    Impossible,
}

/// An answer, as it came.
struct Answer {
    status: u64,
    headers: BTreeMap<String, String>,
    text: String,
}

struct Player {
    server: Server,
    /// What `{{name}}` stands for.
    bound: BTreeMap<String, String>,
    /// What will stand for something once its step is played.
    promised: BTreeSet<String>,
    products: BTreeSet<String>,
    /// Kept until the last step.
    _targets: Vec<Target>,
    _place: Option<Place>,
}

/// Plays a scenario to its end.
pub(crate) fn play(folder: &Path, name: &str, listed: &Differences) -> Played {
    let file = folder.join(format!("{name}.json"));
    let text = fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", file.display()));
    let mut scenario: Value = serde_json::from_str(&text).expect("a recording is JSON");
    listed.put_stand_ins(name, &mut scenario);
    let steps = scenario["steps"].as_array().expect("a recording has steps");
    let mut client = Player::new(&scenario, steps, listed);
    let mut played = Played::new();
    for (number, step) in steps.iter().enumerate() {
        if let Some(seconds) = step["sleep_s"].as_f64() {
            // Part of what is replayed: time that the recorded client let pass.
            std::thread::sleep(Duration::from_secs_f64(seconds));
        }
        if step["request"].is_object() {
            let wording = listed.wording(name, number);
            played.insert(number, client.step(step, wording));
        }
    }
    played
}

/// A server that credentials are lent at.
enum Target {
    Postgres(postgres::Server),
    MariaDb(mariadb::Server),
    Redis(redis::Server),
}

impl Target {
    fn start(kind: &str) -> Self {
        match kind {
            "postgres" => Self::Postgres(postgres::Server::start(Version::V18)),
            "mysql" => Self::MariaDb(mariadb::Server::start()),
            "redis" => Self::Redis(redis::Server::start(redis::Users::Nowhere)),
            other => panic!("no test server of the kind {other:?} is there"),
        }
    }

    /// Returns what recordings call it.
    fn names(&self) -> [(String, String); 4] {
        let (kind, port, user, password) = match self {
            Self::Postgres(server) => {
                ("pg", server.port(), postgres::SUPERUSER, postgres::SUPERUSER_PASSWORD)
            }
            // The recording has the user by this name.
            Self::MariaDb(server) => {
                ("mysql", server.port(), mariadb::RECORDED, mariadb::ROOT_PASSWORD)
            }
            Self::Redis(server) => ("redis", server.port(), "default", redis::PASSWORD),
        };
        [("host", "127.0.0.1"), ("port", &port.to_string()), ("user", user), ("password", password)]
            .map(|(of, value)| (format!("{kind}_{of}"), value.to_owned()))
    }

    /// Does at a target what the recording found done there.
    fn prepare(&self, sql: &str) {
        let Self::Postgres(target) = self else { panic!("only PostgreSQL is prepared") };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut superuser = target.superuser("postgres").await;
            let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut superuser).await;
            done.expect("the target is prepared");
        });
    }
}

impl Player {
    fn new(scenario: &Value, steps: &[Value], listed: &Differences) -> Self {
        let (server, place) = match scenario["server"].as_str() {
            Some("dev") => (Server::dev(), None),
            Some("fresh") => {
                let place = Place::unsealed_by_people();
                (place.start(), Some(place))
            }
            other => panic!("no server is called {other:?}"),
        };
        let scratch = server.folder.as_ref().map(|folder| folder.path().display().to_string());
        let mut bound = BTreeMap::from([
            ("root".to_owned(), ROOT.to_owned()),
            ("run".to_owned(), "replay".to_owned()),
            ("dir".to_owned(), scratch.unwrap_or_default()),
        ]);
        let mut targets = Vec::new();
        for needed in scenario["needs"].as_array().into_iter().flatten() {
            let target = Target::start(needed.as_str().unwrap_or_default());
            if let Some(sql) = scenario["before"].as_str() {
                target.prepare(sql);
            }
            bound.extend(target.names());
            targets.push(target);
        }
        let captures = steps.iter().filter_map(|step| step["capture"].as_object());
        let promised = captures.flat_map(|names| names.keys().cloned()).collect();
        let products = listed.products();
        Self { server, bound, promised, products, _targets: targets, _place: place }
    }

    fn step(&mut self, step: &Value, wording: Option<Wording>) -> Outcome {
        let mut request = step["request"].clone();
        let mut recorded = step["response"].clone();
        self.fill(&mut request);
        self.fill(&mut recorded);
        let written = request.to_string();
        if self.promised.iter().any(|name| written.contains(&format!("{{{{{name}}}}}"))) {
            return Outcome::Impossible;
        }
        let answer = self.ask(&request);
        let json: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        for (name, pointer) in step["capture"].as_object().into_iter().flatten() {
            if let Some(value) = json.pointer(pointer.as_str().unwrap()).and_then(Value::as_str) {
                self.promised.remove(name);
                self.bound.insert(name.clone(), value.to_owned());
            }
        }
        let varies = step["varies"].as_array().into_iter().flatten();
        let varies = varies.filter_map(|pointer| Some(pointer.as_str()?.to_owned())).collect();
        let mut loose = Loose { varies, products: self.products.clone(), begins: None };
        let mut found = compared(&recorded, &answer, &json, &loose);
        if let Some(Wording { begins, sometimes }) = wording {
            if found.is_empty() && !sometimes {
                return Outcome::Different("only its words were to differ, and do not".to_owned());
            }
            loose.begins = Some(begins);
            found = compared(&recorded, &answer, &json, &loose);
        }
        if found.is_empty() { Outcome::Same } else { Outcome::Different(found.join("; ")) }
    }

    /// Puts in what is bound, in every text below.
    fn fill(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                for (name, bound) in &self.bound {
                    *text = text.replace(&format!("{{{{{name}}}}}"), bound);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.fill(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Sends a request as it is: a client library would mend the path of some.
    fn ask(&self, request: &Value) -> Answer {
        let text = |name: &str| request[name].as_str().unwrap_or_default();
        let mut headers = String::new();
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            write!(headers, "{name}: {}\r\n", value.as_str().unwrap()).unwrap();
        }
        let body = if request["body"].is_null() {
            text("raw_body").to_owned()
        } else {
            headers.push_str("Content-Type: application/json\r\n");
            request["body"].to_string()
        };
        let (method, path, length) = (text("method"), text("path"), body.len());
        let address = self.server.address();
        let sent = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        Answer::read(&self.server.raw(&sent))
    }
}

impl Answer {
    fn read(raw: &str) -> Self {
        let (head, text) = raw.split_once("\r\n\r\n").expect("an answer has a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.and_then(|status| status.parse().ok()).expect("an answer has a status"),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            text: text.to_owned(),
        }
    }
}

fn compared(recorded: &Value, answer: &Answer, json: &Value, loose: &Loose) -> Vec<String> {
    let mut found = Vec::new();
    if recorded["status"] != answer.status {
        found.push(format!(
            "status: recorded was {}, ours is {}",
            recorded["status"], answer.status
        ));
    }
    for (name, value) in recorded["headers"].as_object().into_iter().flatten() {
        let ours = answer.headers.get(name).map(String::as_str);
        let seconds = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
        // A time that is told in whole seconds, as of a lease.
        let near = (name == "retry-after").then(|| seconds(ours).zip(seconds(value.as_str())));
        let is_near = near.flatten().is_some_and(|(one, other)| one.abs_diff(other) <= TTL_SLACK);
        if ours != value.as_str() && !is_near {
            found.push(format!("header {name}: recorded was {value}, ours is {ours:?}"));
        }
    }
    match (recorded.get("json"), recorded.get("text").and_then(Value::as_str)) {
        (Some(body), _) => found.extend(loose.differences(body, json)),
        (None, Some(text)) if text != answer.text => {
            found.push(format!("text: recorded was {text:?}, ours is {:?}", answer.text));
        }
        // An error may be explained where the recorded one was not.
        (None, None) if !answer.text.is_empty() && answer.status < 400 => {
            found.push(format!("body: recorded was none, ours is {:?}", answer.text));
        }
        (None, _) => {}
    }
    found
}
