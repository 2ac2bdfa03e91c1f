//! A PostgreSQL server with an engine opened on it, and what tests ask of both.

use leasehold_core::engine::{Engine as _, EngineError, Issue, Origin};
use leasehold_engines::postgres::{Config, Handle, Postgres, Role};
use leasehold_integration_tests::engine_suite::way::Way;
use leasehold_integration_tests::engine_suite::{
    self as suite, Login, Opening, PATIENCE, Site, prepared,
};
use leasehold_integration_tests::postgres::{SUPERUSER, SUPERUSER_PASSWORD, Server, Version};
use serde_json::{Map, Value, json};
use sqlx::Row as _;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::BTreeSet;
use std::sync::Arc;
/// The administrator who is no superuser.
pub(crate) const ADMINISTRATOR: &str = "lease\"admin";
pub(crate) const ADMINISTRATOR_PASSWORD: &str = "ad:min/pass@word?";

pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) engine: Arc<Postgres>,
    pub(crate) origin: Origin,
    pub(crate) role: Arc<Role>,
    /// What the operator wrote of the target.
    fields: Value,
}

impl Site for Place {
    type Engine = Postgres;
    type Session = PgConnection;

    fn engine(&self) -> &Arc<Postgres> {
        &self.engine
    }

    fn role(&self) -> Arc<Role> {
        Arc::clone(&self.role)
    }

    fn name(&self, handle: &Handle) -> String {
        handle.name().to_owned()
    }

    async fn log_in(&self, login: &Login) -> Result<PgConnection, String> {
        let session = self.server.log_in(&login.username, &login.password, "app").await;
        session.map_err(|error| error.to_string())
    }

    async fn works(&self, session: &mut PgConnection) -> bool {
        sqlx::raw_sql("SELECT * FROM books").fetch_all(session).await.is_ok()
    }

    async fn credentials(&self) -> BTreeSet<String> {
        let mut superuser = self.server.superuser("app").await;
        let rows =
            sqlx::raw_sql("SELECT rolname::text FROM pg_roles").fetch_all(&mut superuser).await;
        rows.expect("roles are listed").iter().map(|row| row.get(0)).collect()
    }

    async fn plant(&self, name: &str) {
        self.run("app", &format!("CREATE ROLE \"{name}\" LOGIN PASSWORD 'somebody else'")).await;
    }

    /// From version 16 on, whoever did not make a role needs leave to alter it.
    async fn make_account(&self, name: &str) {
        self.plant(name).await;
        let administrator = self.fields["username"].as_str().expect("it is a text");
        if administrator != SUPERUSER {
            let administrator = administrator.replace('"', "\"\"");
            let grant = format!("GRANT \"{name}\" TO \"{administrator}\" WITH ADMIN OPTION");
            self.run("app", &grant).await;
        }
    }

    async fn lock_out(&self, name: &str) {
        self.run("app", &format!("ALTER ROLE \"{name}\" NOLOGIN")).await;
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn port(&self) -> u16 {
        self.server.port()
    }

    fn opened_again(&self, opening: &Opening) -> Arc<Postgres> {
        let mut fields = self.fields.clone();
        let url = self.server.template_url("app");
        let port = |port: u16| format!(":{port}/");
        fields["connection_url"] =
            json!(url.replace(&port(self.server.port()), &port(opening.port)));
        let opened = Postgres::open(config(&fields), opening.origin, Arc::clone(&opening.clock));
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
    /// Runs statements as the superuser.
    pub(crate) async fn run(&self, database: &str, sql: &str) {
        let mut superuser = self.server.superuser(database).await;
        let ran = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut superuser).await;
        ran.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Asks a question as the superuser that is answered in one text.
    pub(crate) async fn ask(&self, database: &str, sql: &str) -> String {
        let mut superuser = self.server.superuser(database).await;
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut superuser).await;
        row.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0)
    }

    /// Issues one credential by a role of its own.
    pub(crate) async fn issue_by(
        &self,
        role: &Arc<Role>,
    ) -> (Issue<Postgres>, Result<Login, EngineError>) {
        let issue = prepared(&*self.engine, role, ("tester", "app"), PATIENCE);
        let answer = self.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
        (issue, answer.map(|secret| Login::of(&secret)))
    }

    pub(crate) fn open(&self, more: &Value) -> Postgres {
        let fields = fields_of(&self.server, (SUPERUSER, SUPERUSER_PASSWORD), more);
        Postgres::open(config(&fields), self.origin, suite::clock()).expect("the target opens")
    }
}

pub(crate) fn fields_of(server: &Server, login: (&str, &str), more: &Value) -> Value {
    let mut fields = json!({
        "connection_url": server.template_url("app"), "username": login.0, "password": login.1,
    });
    let more = more.as_object().cloned().unwrap_or_default();
    fields.as_object_mut().expect("it is an object").extend(more);
    fields
}

pub(crate) fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("it is an object")
}

pub(crate) fn config(fields: &Value) -> Config {
    Postgres::config(object(fields)).expect("the configuration is accepted")
}

pub(crate) fn role(fields: &Value) -> Arc<Role> {
    Arc::new(Postgres::role(object(fields)).expect("the role is accepted"))
}

/// Starts a server with something to read and something to be granted.
pub(crate) async fn place_of(server: Server, login: (&str, &str), more: &Value) -> Arc<Place> {
    let origin = suite::origin();
    let mut superuser = server.superuser("postgres").await;
    let prepared = "CREATE DATABASE app";
    sqlx::raw_sql(prepared).execute(&mut superuser).await.expect("a database");
    let mut superuser = server.superuser("app").await;
    let prepared = "CREATE TABLE books (title text); CREATE TABLE notes (line text); CREATE ROLE readonly NOLOGIN; \
        GRANT SELECT ON books TO readonly";
    sqlx::raw_sql(prepared).execute(&mut superuser).await.expect("tables");
    if login.0 != SUPERUSER {
        let sql = format!(
            "CREATE ROLE \"{}\" LOGIN CREATEROLE PASSWORD '{}'; GRANT pg_signal_backend TO \"{0}\"; \
             GRANT readonly TO \"{0}\" WITH ADMIN OPTION",
            login.0.replace('"', "\"\""),
            login.1
        );
        let sql = sql.replace("\"{0}\"", &format!("\"{}\"", login.0.replace('"', "\"\"")));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut superuser).await.expect("an administrator");
    }
    let fields = fields_of(&server, login, more);
    let engine = Arc::new(
        Postgres::open(config(&fields), origin, suite::clock()).expect("the target opens"),
    );
    // One round keeps the tests fast; what a password is worth is tested elsewhere.
    let role = role(&json!({"grant_roles": ["readonly"], "scram_iterations": 1}));
    Arc::new(Place { server, engine, origin, role, fields })
}

pub(crate) async fn place(version: Version) -> Arc<Place> {
    place_of(Server::start(version), (SUPERUSER, SUPERUSER_PASSWORD), &Value::Null).await
}

/// A target whose credentials are made, renewed and removed by an operator's own statements.
pub(crate) async fn place_by_statements() -> Arc<Place> {
    let mut place = place(Version::Distribution).await;
    let own = Arc::get_mut(&mut place).expect("nobody else has it");
    own.role = role(&json!({
        "creation_statements": "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; \
            GRANT readonly TO \"{{name}}\";",
        "renew_statements": "ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}';",
        "revocation_statements": "DROP ROLE IF EXISTS \"{{name}}\";",
        "scram_iterations": 1,
    }));
    place
}

pub(crate) async fn place_without_superuser(version: Version) -> Arc<Place> {
    place_of(Server::start(version), (ADMINISTRATOR, ADMINISTRATOR_PASSWORD), &Value::Null).await
}

/// Makes a role whose statements grant directly, as most of Vault's users write them.
pub(crate) fn granting_directly() -> Arc<Role> {
    role(&json!({
        "creation_statements": "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';\n\
            -- a comment; with a semicolon\n\
            GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"{{name}}\";\n\
            INSERT INTO notes VALUES ('made; for ''{{name}}''');",
        "scram_iterations": 1,
    }))
}
