//! What the tests with a real PostgreSQL share: a target, a role, and how logins fare.

use leasehold_integration_tests::postgres::{self, Version};
use leasehold_integration_tests::server::{Answer, Server};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, Row};
use std::time::Duration;

/// A server that lends from a PostgreSQL of its own.
pub(crate) struct Lending {
    pub(crate) server: Server,
    pub(crate) target: postgres::Server,
}

/// A credential, as its caller has it.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    pub(crate) lease_id: String,
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Lent {
    #[track_caller]
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text);
        Self {
            lease_id: answer.at("/lease_id").to_owned(),
            username: answer.at("/data/username").to_owned(),
            password: answer.at("/data/password").to_owned(),
        }
    }
}

/// Returns what an operator writes for a target at this server.
pub(crate) fn config(target: &postgres::Server) -> Value {
    target.config()
}

/// Returns what an operator writes for a role.
pub(crate) fn role(ttl: &str, max: &str) -> Value {
    json!({
        "db_name": "pg",
        "creation_statements":
            "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';",
        "default_ttl": ttl,
        "max_ttl": max,
    })
}

impl Lending {
    pub(crate) async fn start() -> Self {
        Self::on(Server::dev()).await
    }

    /// Sets up a mount, a target and a role at a server.
    pub(crate) async fn on(server: Server) -> Self {
        let target = postgres::Server::start(Version::Distribution);
        let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
        let _ = server.post("database/config/pg", config(&target)).await.expect(204);
        let _ = server.post("database/roles/app", role("1h", "24h")).await.expect(204);
        Self { server, target }
    }

    pub(crate) async fn lend(&self) -> Lent {
        Lent::of(&self.server.get("database/creds/app").await)
    }

    pub(crate) async fn log_in(&self, lent: &Lent) -> Result<PgConnection, sqlx::Error> {
        self.target.log_in(&lent.username, &lent.password, "postgres").await
    }

    /// Returns the users at the target that this server made.
    pub(crate) async fn users(&self) -> Vec<String> {
        let mut superuser = self.target.superuser("postgres").await;
        let found = superuser
            .fetch_all("SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'v-%' ORDER BY 1")
            .await
            .unwrap();
        superuser.close().await.unwrap();
        found.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until no user is left at the target that this server made.
    pub(crate) async fn until_no_users(&self) {
        until("no user is left", async || self.users().await.is_empty()).await;
    }
}

/// Waits until something is so. An issue whose answer nobody knows of takes a minute to be settled; nothing
/// takes longer.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(2), waiting).await;
    assert!(waited.is_ok(), "in vain until {what}");
}

/// Returns the commands of the tour in README.md, as they are typed.
fn tour() -> String {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, tour) = readme.split_once("\n## A tour\n").unwrap();
    let (tour, _) = tour.split_once("\n## ").unwrap();
    tour.lines().filter_map(|line| line.strip_prefix("$ ")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_tour_of_the_readme_works_as_it_is_written() {
    let lending = Lending::start().await;
    let tour = tour();
    assert!(tour.starts_with("leasehold read database/creds/app\n"), "{tour}");
    let binary = std::fs::read_link(format!("/proc/{}/exe", lending.server.pid())).unwrap();
    let folder = binary.parent().unwrap().display();
    let home = tempfile::tempdir().unwrap();
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-e", "-x", "-c", &tour]).current_dir(home.path());
    shell.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()));
    shell.env("HOME", home.path()).env("VAULT_TOKEN", &lending.server.token);
    shell.env("VAULT_ADDR", format!("http://{}", lending.server.address()));
    let done = shell.output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stdout));
    assert_eq!(lending.users().await, [""; 0]);
}
