//! Redis servers with an engine opened on them, and what tests ask of both.

use leasehold_core::engine::{Engine as _, EngineError, Issue, Origin};
use leasehold_engines::redis::{Config, Handle, Redis, Role};
use leasehold_integration_tests::engine_suite::way::Way;
use leasehold_integration_tests::engine_suite::{
    self as suite, Login, Opening, PATIENCE, Site, prepared,
};
use leasehold_integration_tests::redis::{ADMINISTRATOR, PASSWORD, Server, Users, ask, log_in_at};
use redis::aio::MultiplexedConnection;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) engine: Arc<Redis>,
    pub(crate) origin: Origin,
    pub(crate) role: Arc<Role>,
    /// What the operator wrote of the target, but for where it is.
    fields: Value,
}

impl Site for Place {
    type Engine = Redis;
    type Session = MultiplexedConnection;

    fn engine(&self) -> &Arc<Redis> {
        &self.engine
    }

    fn role(&self) -> Arc<Role> {
        Arc::clone(&self.role)
    }

    fn name(&self, handle: &Handle) -> String {
        handle.name().to_owned()
    }

    async fn log_in(&self, login: &Login) -> Result<MultiplexedConnection, String> {
        log_in(&self.server, login).await
    }

    async fn works(&self, session: &mut MultiplexedConnection) -> bool {
        works(session).await
    }

    async fn credentials(&self) -> BTreeSet<String> {
        self.server.users().await.into_iter().collect()
    }

    async fn plant(&self, name: &str) {
        let planted = self.server.ask(&["ACL", "SETUSER", name, "on", ">somebody else's"]).await;
        planted.expect("it is planted");
    }

    async fn lock_out(&self, name: &str) {
        self.server.ask(&["ACL", "SETUSER", name, "off"]).await.expect("it is locked out");
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn port(&self) -> u16 {
        self.server.port()
    }

    fn opened_again(&self, opening: &Opening) -> Arc<Redis> {
        let fields = fields_at(opening.port, &self.fields);
        let opened = Redis::open(config(&fields), opening.origin, Arc::clone(&opening.clock));
        Arc::new(opened.expect("the target opens"))
    }

    fn suspend(&self) {
        self.server.suspend();
    }

    fn resume(&self) {
        self.server.resume();
    }

    fn kill(&self, _: &Way) {
        self.server.kill();
    }

    fn restart(&self, _: &Way) {
        self.server.restart();
    }
}

/// Logs in at a server; it must be the one that said who was let in.
pub(crate) async fn log_in(
    server: &Server,
    login: &Login,
) -> Result<MultiplexedConnection, String> {
    let session = log_in_at(server.port(), &login.username, &login.password).await;
    session.map_err(|error| error.to_string())
}

/// Tries what the default rules grant.
pub(crate) async fn works(session: &mut MultiplexedConnection) -> bool {
    ask(session, &["GET", "book"]).await.is_ok()
}

impl Place {
    /// Issues one credential.
    pub(crate) async fn issue(&self) -> (Issue<Redis>, Login) {
        let (issue, answer) = self.issue_by(&self.role).await;
        (issue, answer.expect("it is issued"))
    }

    /// Issues one credential by a role of its own.
    pub(crate) async fn issue_by(
        &self,
        role: &Arc<Role>,
    ) -> (Issue<Redis>, Result<Login, EngineError>) {
        issue_at(&self.engine, role).await
    }

    pub(crate) async fn has(&self, name: &str) -> bool {
        self.server.users().await.iter().any(|user| user == name)
    }
}

pub(crate) async fn issue_at(
    engine: &Redis,
    role: &Arc<Role>,
) -> (Issue<Redis>, Result<Login, EngineError>) {
    let issue = prepared(engine, role, ("tester", "app"), PATIENCE);
    let answer = engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    (issue, answer.map(|secret| Login::of(&secret)))
}

pub(crate) fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("it is an object")
}

pub(crate) fn role(statements: &Value) -> Arc<Role> {
    let fields = json!({ "creation_statements": statements });
    Arc::new(Redis::role(object(&fields)).expect("the role is accepted"))
}

pub(crate) fn config(fields: &Value) -> Config {
    Redis::config(object(fields)).expect("the configuration is accepted")
}

/// Opens an engine with the configuration of a server and more.
pub(crate) fn opened(server: &Server, origin: Origin, more: &Value) -> Redis {
    let fields = fields_at(server.port(), more);
    Redis::open(config(&fields), origin, suite::clock()).expect("the target opens")
}

fn fields_at(port: u16, more: &Value) -> Value {
    let mut fields = json!({
        "host": "127.0.0.1", "port": port, "username": ADMINISTRATOR, "password": PASSWORD,
    });
    let more = more.as_object().cloned().unwrap_or_default();
    let all = fields.as_object_mut().expect("it is an object");
    all.extend(more);
    if all.contains_key("sentinels") {
        all.remove("host");
        all.remove("port");
    }
    fields
}

pub(crate) fn place_at(server: Server, more: &Value) -> Arc<Place> {
    let origin = suite::origin();
    let engine = Arc::new(opened(&server, origin, more));
    Arc::new(Place { server, engine, origin, role: role(&Value::Null), fields: more.clone() })
}

pub(crate) fn place(users: Users) -> Arc<Place> {
    place_at(Server::start(users), &Value::Null)
}

/// Waits until something is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let until = suite::now().plus(PATIENCE.saturating_mul(2));
    while !is_so().await {
        assert!(suite::now() < until, "{what} never came about");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
