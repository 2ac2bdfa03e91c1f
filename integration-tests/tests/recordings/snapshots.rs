//! What the project promises of its own wire shapes: answers kept as files, with what varies masked.
//!
//! A change of a shape is made by running this test with `LEASEHOLD_SNAPSHOTS=write`, and is then seen in
//! the files by whoever reviews it.

use leasehold_integration_tests::postgres::{self, Version};
use leasehold_integration_tests::server::{Answer, Server};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Keys whose values differ from run to run, or from release to release.
const VARYING: [&str; 19] = [
    "accessor",
    "client_token",
    "cluster_id",
    "cluster_name",
    "creation_time",
    "expire_time",
    "id",
    "issue_time",
    "last_renewal",
    "last_renewal_time",
    "lease_id",
    "password",
    "request_id",
    "running_plugin_version",
    "server_time_utc",
    "ttl",
    "username",
    "uuid",
    "version",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots")
}

/// The answers that were taken, under the names of their files.
#[derive(Default)]
struct Snapshots(BTreeSet<String>);

impl Snapshots {
    fn take(&mut self, name: &str, answer: &Answer) {
        self.put(name, &shown(answer));
    }

    fn put(&mut self, name: &str, shown: &Value) {
        let file = folder().join(format!("{name}.json"));
        assert!(self.0.insert(format!("{name}.json")), "{name} is taken twice");
        let text = format!("{}\n", serde_json::to_string_pretty(shown).unwrap());
        if std::env::var("LEASEHOLD_SNAPSHOTS").is_ok_and(|wish| wish == "write") {
            fs::write(&file, &text).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            text,
            kept,
            "{} differs: if that is meant, run the test with LEASEHOLD_SNAPSHOTS=write",
            file.display()
        );
    }

    /// Fails if a file is there that no answer was compared with.
    fn are_all(&self) {
        let files = fs::read_dir(folder()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.collect::<BTreeSet<_>>(), self.0, "a snapshot is of nothing: remove it");
    }
}

fn shown(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    mask(&mut body);
    json!({ "status": answer.status, "body": body })
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if VARYING.contains(&key.as_str()) {
                    mask_one(key, value);
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Keeps the kind of a value, and whether there is one.
fn mask_one(key: &str, value: &mut Value) {
    *value = match &*value {
        Value::String(text) if text.is_empty() => return,
        Value::String(text) => match text.rsplit_once('/') {
            Some((path, _)) if key.ends_with("id") => json!(format!("{path}/<text>")),
            Some(_) | None => json!("<text>"),
        },
        Value::Number(_) => json!("<number>"),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return,
    };
}

/// Sets up a role whose leases live for an hour.
async fn set_up(server: &Server, target: &postgres::Server) {
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    let config = json!({
        "plugin_name": "postgresql-database-plugin", "allowed_roles": "*",
        "connection_url": target.template_url("postgres"),
        "username": postgres::SUPERUSER, "password": postgres::SUPERUSER_PASSWORD,
    });
    let _ = server.post("database/config/pg", config).await.expect(204);
    let role = json!({
        "db_name": "pg", "default_ttl": "1h", "max_ttl": "24h",
        "creation_statements":
            "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';",
    });
    let _ = server.post("database/roles/app", role).await.expect(204);
}

#[tokio::test]
async fn our_own_answers_look_as_they_are_kept() {
    let (server, target) = (Server::dev(), postgres::Server::start(Version::V18));
    set_up(&server, &target).await;
    let mut snapshots = Snapshots::default();

    let lent = server.get("database/creds/app").await;
    snapshots.take("creds", &lent);
    let lease = json!({ "lease_id": lent.at("/lease_id") });
    snapshots.take("lease-lookup", &server.post("sys/leases/lookup", lease.clone()).await);
    snapshots.take("lease-renew", &server.post("sys/leases/renew", lease.clone()).await);
    let capped = json!({ "lease_id": lent.at("/lease_id"), "increment": "99999h", "other": 1 });
    snapshots.take("lease-renew-capped", &server.post("sys/leases/renew", capped).await);
    snapshots.take("lease-revoke", &server.post("sys/leases/revoke", lease).await);

    let wanted = json!({ "ttl": "1h", "meta": { "k": "v" }, "policies": "default" });
    let made = server.post("auth/token/create", wanted).await;
    snapshots.take("token-create", &made);
    let token = made.at("/auth/client_token");
    let own = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await;
    snapshots.take("token-lookup-self", &own);

    snapshots.take("mounts", &server.get("sys/mounts").await);
    snapshots.take("mount", &server.get("sys/mounts/database").await);
    snapshots.take("mount-tune", &server.get("sys/mounts/database/tune").await);
    snapshots.take("role", &server.get("database/roles/app").await);
    snapshots.take("roles", &server.list("database/roles").await);
    let mut config = shown(&server.get("database/config/pg").await);
    config["body"]["data"]["connection_details"]["connection_url"] = json!("<text>");
    snapshots.put("config", &config);
    snapshots.take("seal-status", &server.get("sys/seal-status").await);
    snapshots.take("health", &server.get("sys/health").await);
    snapshots.put("errors", &errors(&server, token).await);
    snapshots.are_all();
}

/// One error of each kind that callers tell apart.
async fn errors(server: &Server, powerless: &str) -> Value {
    let root = server.token.as_str();
    let mut all = Map::new();
    for (name, token, method, path, body) in [
        ("no token", "", "GET", "database/roles/app", Value::Null),
        ("unknown token", "nope", "GET", "database/roles/app", Value::Null),
        ("not allowed", powerless, "GET", "database/roles/app", Value::Null),
        ("nothing there", root, "GET", "database/roles/nope", Value::Null),
        ("no mount", root, "GET", "nope/a", Value::Null),
        ("no such path", root, "GET", "database/nope", Value::Null),
        ("no such method", root, "POST", "database/creds/app", json!({})),
        ("unknown role", root, "GET", "database/creds/nope", Value::Null),
        ("unknown lease", root, "POST", "sys/leases/lookup", json!({ "lease_id": "nope" })),
        ("missing field", root, "POST", "sys/leases/renew", json!({})),
        ("bad ttl", root, "POST", "sys/leases/renew", json!({ "lease_id": "a", "increment": "b" })),
        ("body of the wrong kind", root, "POST", "sys/mounts/x", json!([])),
        ("encoded zero byte", root, "GET", "sys%00mounts", Value::Null),
    ] {
        let answer = server.ask(token, method, path, body).await;
        all.insert(name.to_owned(), shown(&answer));
    }
    Value::Object(all)
}
