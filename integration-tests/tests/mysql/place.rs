//! A MariaDB server with an engine opened on it, and what tests ask of both.

use leasehold_core::engine::{Engine as _, EngineError, Issue, Origin};
use leasehold_engines::mysql::{Config, Handle, MySql, Role};
use leasehold_integration_tests::engine_suite::way::Way;
use leasehold_integration_tests::engine_suite::{
    self as suite, Login, Opening, PATIENCE, Site, prepared,
};
use leasehold_integration_tests::mariadb::{ROOT, ROOT_PASSWORD, Server};
use serde_json::{Map, Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row as _};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The administrator who may do what is needed and no more.
pub(crate) const ADMINISTRATOR: &str = "lease'@dmin";
pub(crate) const ADMINISTRATOR_PASSWORD: &str = "ad:min/pass@word?'\\";

pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) engine: Arc<MySql>,
    pub(crate) origin: Origin,
    pub(crate) role: Arc<Role>,
    /// What the operator wrote of the target.
    fields: Value,
}

impl Site for Place {
    type Engine = MySql;
    type Session = MySqlConnection;

    fn engine(&self) -> &Arc<MySql> {
        &self.engine
    }

    fn role(&self) -> Arc<Role> {
        Arc::clone(&self.role)
    }

    fn name(&self, handle: &Handle) -> String {
        handle.name().to_owned()
    }

    async fn log_in(&self, login: &Login) -> Result<MySqlConnection, String> {
        let session = self.server.log_in(&login.username, &login.password).await;
        session.map_err(|error| error.to_string())
    }

    async fn works(&self, session: &mut MySqlConnection) -> bool {
        sqlx::raw_sql("SELECT * FROM app.books").fetch_all(session).await.is_ok()
    }

    async fn credentials(&self) -> BTreeSet<String> {
        let rows = sqlx::raw_sql("SELECT User FROM mysql.global_priv")
            .fetch_all(&mut self.server.root().await)
            .await;
        rows.expect("users are listed").iter().map(|row| row.get_unchecked(0)).collect()
    }

    async fn plant(&self, name: &str) {
        self.run(&format!("CREATE USER '{name}'@'%' IDENTIFIED BY 'somebody else'")).await;
    }

    async fn lock_out(&self, name: &str) {
        self.run(&format!("ALTER USER '{name}'@'%' ACCOUNT LOCK")).await;
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn port(&self) -> u16 {
        self.server.port()
    }

    fn opened_again(&self, opening: &Opening) -> Arc<MySql> {
        let mut fields = self.fields.clone();
        let url = format!("{{{{username}}}}:{{{{password}}}}@tcp(127.0.0.1:{})/", opening.port);
        fields["connection_url"] = json!(url);
        let opened = MySql::open(config(&fields), opening.origin, Arc::clone(&opening.clock));
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

impl Place {
    /// Runs statements as root.
    pub(crate) async fn run(&self, sql: &str) {
        run(&mut self.server.root().await, sql).await;
    }

    /// Asks a question as root that is answered in one text, or in none.
    pub(crate) async fn ask(&self, sql: &str) -> Option<String> {
        let mut root = self.server.root().await;
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(&mut root).await;
        let row = row.unwrap_or_else(|error| panic!("{sql}: {error}"))?;
        row.get_unchecked(0)
    }

    /// Returns the hosts for which there is such a user.
    pub(crate) async fn hosts(&self, name: &str) -> Option<String> {
        let sql = "SELECT GROUP_CONCAT(Host ORDER BY Host SEPARATOR ' ') FROM mysql.global_priv WHERE User = ";
        self.ask(&format!("{sql}'{name}'")).await
    }

    /// Issues one credential by a role of its own.
    pub(crate) async fn issue_by(
        &self,
        role: &Arc<Role>,
    ) -> (Issue<MySql>, Result<Login, EngineError>) {
        let issue = prepared(&*self.engine, role, ("tester", "app"), PATIENCE);
        let answer = self.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
        (issue, answer.map(|secret| Login::of(&secret)))
    }

    /// Opens the target once more, with other fields.
    pub(crate) fn open(&self, more: &Value) -> MySql {
        let fields = fields_of(&self.server, (ROOT, ROOT_PASSWORD), more);
        MySql::open(config(&fields), self.origin, suite::clock()).expect("the target opens")
    }
}

pub(crate) async fn run(session: &mut MySqlConnection, sql: &str) {
    let ran = sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await;
    ran.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub(crate) fn fields_of(server: &Server, login: (&str, &str), more: &Value) -> Value {
    let mut fields = json!({
        "connection_url": server.template_url(), "username": login.0, "password": login.1,
    });
    let more = more.as_object().cloned().unwrap_or_default();
    fields.as_object_mut().expect("it is an object").extend(more);
    fields
}

pub(crate) fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("it is an object")
}

pub(crate) fn config(fields: &Value) -> Config {
    MySql::config(object(fields)).expect("the configuration is accepted")
}

pub(crate) fn role(fields: &Value) -> Arc<Role> {
    Arc::new(MySql::role(object(fields)).expect("the role is accepted"))
}

/// Makes a role as most of Vault's users write them.
pub(crate) fn by_statements() -> Arc<Role> {
    role(&json!({
        "creation_statements": "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; \
            GRANT SELECT ON app.* TO '{{name}}'@'%';",
    }))
}

/// Opens a target on a server with something to read and something to be granted.
pub(crate) async fn place_of(server: Server, login: (&str, &str), role: Arc<Role>) -> Arc<Place> {
    let origin = suite::origin();
    let mut root = server.root().await;
    let prepared = "CREATE DATABASE app; CREATE TABLE app.books (title text); CREATE TABLE app.notes (line text); \
        CREATE ROLE readonly; GRANT SELECT ON app.* TO readonly";
    run(&mut root, prepared).await;
    if login.0 != ROOT {
        run(&mut root, "CREATE USER 'lease\\'@dmin'@'%' IDENTIFIED BY 'ad:min/pass@word?\\'\\\\'")
            .await;
        for (what, more) in NEEDED {
            run(&mut root, &format!("GRANT {what} TO 'lease\\'@dmin'@'%' {more}")).await;
        }
    }
    let fields = fields_of(&server, login, &Value::Null);
    let engine = MySql::open(config(&fields), origin, suite::clock()).expect("the target opens");
    Arc::new(Place { server, engine: Arc::new(engine), origin, role, fields })
}

/// What an administrator needs who is not root.
pub(crate) const NEEDED: [(&str, &str); 6] = [
    ("CREATE USER ON *.*", ""),
    ("PROCESS ON *.*", ""),
    ("CONNECTION ADMIN ON *.*", ""),
    ("SELECT ON mysql.global_priv", ""),
    ("UPDATE ON mysql.*", ""),
    ("readonly", "WITH ADMIN OPTION"),
];

pub(crate) fn granting() -> Arc<Role> {
    role(&json!({"grant_roles": ["readonly"]}))
}

pub(crate) async fn place() -> Arc<Place> {
    place_of(Server::start(), (ROOT, ROOT_PASSWORD), granting()).await
}

pub(crate) async fn place_by_statements() -> Arc<Place> {
    place_of(Server::start(), (ROOT, ROOT_PASSWORD), by_statements()).await
}

pub(crate) async fn place_without_root() -> Arc<Place> {
    place_of(Server::start(), (ADMINISTRATOR, ADMINISTRATOR_PASSWORD), granting()).await
}
