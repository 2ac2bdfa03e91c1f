//! What answers look like: Vault's clients read them by name and by type.

use leasehold_integration_tests::server::{Answer, Server};
use serde_json::{Value, json};

/// Replaces what differs from run to run.
fn fixed(answer: &Answer, varying: &[&str]) -> Value {
    let mut body = answer.body.clone();
    for pointer in varying {
        let value = body.pointer_mut(pointer).unwrap();
        assert!(!value.is_null(), "{pointer}");
        *value = json!("varies");
    }
    body
}

fn envelope(data: &Value) -> Value {
    json!({
        "request_id": "varies", "lease_id": "", "renewable": false, "lease_duration": 0,
        "data": data, "wrap_info": null, "warnings": null, "auth": null,
    })
}

fn database_mount() -> Value {
    json!({
        "accessor": "varies",
        "config": { "default_lease_ttl": 1800, "force_no_cache": false, "max_lease_ttl": 7200 },
        "deprecation_status": "supported", "description": "d", "external_entropy_access": false, "local": false,
        "options": { "k": "v" }, "plugin_version": "", "running_plugin_version": "v0.1.0+builtin.leasehold",
        "running_sha256": "", "seal_wrap": false, "type": "database", "uuid": "varies",
    })
}

#[tokio::test]
async fn a_mount_is_shown_with_all_its_fields_twice() {
    let server = Server::dev();
    let config = json!({ "default_lease_ttl": "30m", "max_lease_ttl": 7200 });
    let wanted = json!({ "type": "database", "description": "d", "options": { "k": "v" }, "config": config });
    let made = server.post("sys/mounts/team/db", wanted).await.expect(204);
    assert_eq!(made.text, "");

    let shown = server.get("sys/mounts/team/db").await.expect(200);
    let varying = ["/request_id", "/accessor", "/uuid", "/data/accessor", "/data/uuid"];
    let mut expected = envelope(&database_mount());
    let on_top = database_mount();
    expected.as_object_mut().unwrap().extend(on_top.as_object().unwrap().clone());
    assert_eq!(fixed(&shown, &varying), expected);
    let accessor = shown.at("/data/accessor").strip_prefix("database_").unwrap();
    assert!(accessor.len() == 8 && accessor.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(shown.headers["cache-control"], "no-store");
    assert_eq!(shown.headers["content-type"], "application/json");
    assert!(shown.text.ends_with("}\n"));

    let listed = server.get("sys/mounts").await.expect(200);
    assert_eq!(listed.body["team/db/"], listed.data()["team/db/"]);
    assert_eq!(listed.data()["team/db/"]["uuid"], shown.body["uuid"]);
    assert_eq!(listed.data()["sys/"]["type"], "system");
    assert_eq!(listed.data().as_object().unwrap().len(), 2);

    let tune = server.get("sys/mounts/team/db/tune").await.expect(200);
    let tuned = json!({
        "default_lease_ttl": 1800, "max_lease_ttl": 7200, "force_no_cache": false, "description": "d",
        "options": { "k": "v" },
    });
    assert_eq!(tune.data(), &tuned);

    let preflight = server.get("sys/internal/ui/mounts/team/db/creds").await.expect(200);
    assert_eq!(preflight.at("/data/path"), "team/db/");

    let _ = server.delete("sys/mounts/team/db").await.expect(204);
    let _ = server.delete("sys/mounts/team/db").await.expect(204);
    let gone = server.get("sys/mounts/team/db").await.expect(400);
    assert_eq!(gone.body, json!({ "errors": ["No secret engine mount at team/db/"] }));
}

#[tokio::test]
async fn a_server_says_how_it_is_without_a_token() {
    let server = Server::dev();
    let health = server.ask("", "GET", "sys/health", Value::Null).await.expect(200);
    let varying = ["/server_time_utc", "/cluster_name", "/cluster_id", "/version"];
    let healthy = json!({
        "initialized": true, "sealed": false, "standby": false, "performance_standby": false,
        "replication_performance_mode": "disabled", "replication_dr_mode": "disabled",
        "server_time_utc": "varies", "version": "varies", "cluster_name": "varies", "cluster_id": "varies",
    });
    assert_eq!(fixed(&health, &varying), healthy);
    assert!(health.body["server_time_utc"].is_u64());

    let status = server.ask("", "GET", "sys/seal-status", Value::Null).await.expect(200);
    let unsealed = json!({
        "type": "dev", "initialized": true, "sealed": false, "t": 0, "n": 0, "progress": 0, "nonce": "",
        "recovery_seal": false, "version": "varies", "build_date": "", "commit_date": "", "migration": false,
        "cluster_name": "varies", "cluster_id": "varies", "storage_type": "inmem",
    });
    assert_eq!(fixed(&status, &["/version", "/cluster_name", "/cluster_id"]), unsealed);
    let leader = server.ask("", "GET", "sys/leader", Value::Null).await.expect(200);
    assert_eq!(leader.body["ha_enabled"], false);
    let init = server.ask("", "GET", "sys/init", Value::Null).await.expect(200);
    assert_eq!(init.body, json!({ "initialized": true }));

    for (path, method, status) in [
        ("sys/health", "HEAD", 200),
        ("sys/health?activecode=299", "GET", 299),
        ("sys/health?standbyok=true&sealedcode=204", "GET", 200),
        ("sys/health?activecode=abc", "GET", 400),
        ("sys/health?activecode=100", "GET", 400),
        ("sys/health", "PUT", 405),
        ("sys/seal-status", "DELETE", 405),
    ] {
        let answer = server.ask("", method, path, Value::Null).await.expect(status);
        assert_eq!(answer.text.is_empty(), method == "HEAD", "{path}");
    }
}

#[tokio::test]
async fn a_token_is_shown_as_vault_shows_it() {
    let server = Server::dev();
    let wanted = json!({
        "ttl": "90m", "meta": { "k": "v" }, "display_name": "My App!", "policies": ["b", "A", "a"], "other": 1,
    });
    let made = server.post("auth/token/create", wanted).await.expect(200);
    let auth = json!({
        "client_token": "varies", "accessor": "varies", "policies": ["a", "b", "default"],
        "token_policies": ["a", "b", "default"], "metadata": { "k": "v" }, "lease_duration": 5400,
        "renewable": true, "entity_id": "", "token_type": "service", "orphan": false, "mfa_requirement": null,
        "num_uses": 0,
    });
    let mut expected = envelope(&Value::Null);
    expected["auth"] = auth;
    expected["warnings"] = json!(["Endpoint ignored these unrecognized parameters: [other]"]);
    assert_eq!(fixed(&made, &["/request_id", "/auth/client_token", "/auth/accessor"]), expected);

    let token = made.at("/auth/client_token");
    let shown = server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    let data = json!({
        "accessor": made.at("/auth/accessor"), "creation_time": "varies", "creation_ttl": 5400,
        "display_name": "token-My-App", "entity_id": "", "expire_time": "varies", "explicit_max_ttl": 0,
        "id": token, "issue_time": "varies", "meta": { "k": "v" }, "num_uses": 0, "orphan": false,
        "path": "auth/token/create", "policies": ["a", "b", "default"], "renewable": true, "ttl": "varies",
        "type": "service",
    });
    let varying = [
        "/request_id",
        "/data/creation_time",
        "/data/expire_time",
        "/data/issue_time",
        "/data/ttl",
    ];
    assert_eq!(fixed(&shown, &varying), envelope(&data));
}
