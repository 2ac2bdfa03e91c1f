//! What answers look like: Vault's clients read them by name and by type.

use super::lending::{Lending, until};
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
    assert_eq!(listed.data().as_object().unwrap().len(), 4);

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
        "type": "shamir", "initialized": true, "sealed": false, "t": 1, "n": 1, "progress": 0, "nonce": "",
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
    expected["warnings"] = json!([
        "Policy \"a\" does not exist",
        "Policy \"b\" does not exist",
        "Endpoint ignored these unrecognized parameters: [other]",
    ]);
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

#[tokio::test]
async fn a_mount_is_tuned_field_by_field() {
    let server = Server::dev();
    let config = json!({ "default_lease_ttl": "30m", "max_lease_ttl": "2h" });
    let wanted = json!({ "type": "database", "description": "d", "options": { "k": "v" }, "config": config });
    let _ = server.post("sys/mounts/db", wanted).await.expect(204);
    let tune = async |tune: Value| server.post("sys/mounts/db/tune", tune).await;
    let _ = tune(json!({ "default_lease_ttl": "45m", "description": "e" })).await.expect(204);
    let tuned = server.get("sys/mounts/db/tune").await.expect(200);
    let expected = json!({
        "default_lease_ttl": 2700, "max_lease_ttl": 7200, "force_no_cache": false, "description": "e",
        "options": { "k": "v" },
    });
    assert_eq!(tuned.data(), &expected);
    let shown = server.get("sys/mounts/db").await.expect(200);
    assert_eq!(shown.data()["config"]["default_lease_ttl"], 2700);

    for (path, body, error) in [
        (
            "db",
            json!({ "default_lease_ttl": "3h" }),
            "backend max lease TTL of 7200 would be less than backend default lease TTL of 10800",
        ),
        (
            "db",
            json!({ "default_lease_ttl": "bad" }),
            "strconv.ParseInt: parsing \"ba\": invalid syntax",
        ),
        ("db", json!({ "max_lease_ttl": "-1" }), "cannot provide negative value '-1'"),
        ("db", json!({ "max_lease_ttl": "999999h" }), "a lease TTL may be at most 876000h"),
        (
            "nope",
            json!({ "description": "x" }),
            "tune of path \"nope/\" failed: no mount entry found",
        ),
        ("sys", json!({ "description": "x" }), "cannot tune \"sys/\""),
    ] {
        let refused = server.post(&format!("sys/mounts/{path}/tune"), body).await.expect(400);
        assert_eq!(refused.errors(), error);
    }
    assert_eq!(server.get("sys/mounts/db/tune").await.expect(200).data(), &expected);

    let ignored = tune(json!({ "listing_visibility": "unauth", "max_lease_ttl": "" })).await;
    let warning = "Endpoint ignored these unrecognized parameters: [listing_visibility]";
    assert_eq!(ignored.expect(200).body["warnings"], json!([warning]));
    let _ = tune(json!({ "options": { "k": "", "l": "w" } })).await.expect(204);
    let tuned = server.get("sys/mounts/db/tune").await.expect(200);
    assert_eq!(tuned.data()["max_lease_ttl"], 2_764_800);
    assert_eq!(tuned.data()["options"], json!({ "l": "w" }));
}

#[tokio::test]
async fn the_mounts_are_shown_to_those_who_may_use_them() {
    let server = Server::dev();
    let _ = server.post("sys/mounts/team/db", json!({ "type": "database" })).await.expect(204);
    let made = server.post("auth/token/create", json!({ "policies": "default" })).await.expect(200);
    let path = "sys/internal/ui/mounts";
    let nothing = json!({ "auth": {}, "secret": {} });
    let shown = server.ask("", "GET", path, Value::Null).await.expect(200);
    assert_eq!(fixed(&shown, &["/request_id"]), envelope(&nothing));
    let _ = server.ask("wrong", "GET", path, Value::Null).await.expect(403);
    let shown = server.get(path).await.expect(200);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&shown.data()["secret"]), ["cubbyhole/", "identity/", "sys/", "team/db/"]);
    let listed = server.get("sys/mounts").await.expect(200);
    assert_eq!(listed.data(), &shown.data()["secret"]);
    for name in ["cubbyhole", "identity"] {
        let one = server.get(&format!("sys/mounts/{name}")).await.expect(200);
        assert_eq!(one.data(), &listed.data()[&format!("{name}/")]);
    }
    assert_eq!(keys(&shown.data()["auth"]), ["token/"]);
    // The policy `default` is about these; its rules for an entity are none for who has none.
    let own = server.ask(made.at("/auth/client_token"), "GET", path, Value::Null).await.expect(200);
    assert_eq!(keys(&own.data()["secret"]), ["cubbyhole/", "sys/"]);
    assert_eq!(keys(&own.data()["auth"]), ["token/"]);
    let methods = server.get("sys/auth").await.expect(200);
    assert_eq!(methods.data()["token/"], shown.data()["auth"]["token/"]);
    assert_eq!(methods.data()["token/"]["config"]["token_type"], "default-service");

    let denied = |path: &str| {
        format!(
            "preflight capability check returned 403, please ensure client's policies grant access to path {path:?}"
        )
    };
    let missing = server.get("sys/internal/ui/mounts/nope").await.expect(403);
    assert_eq!(missing.errors(), denied("nope/"));
    let token = made.at("/auth/client_token");
    let hidden = server.ask(token, "GET", "sys/internal/ui/mounts/team/db/x", Value::Null).await;
    assert_eq!(hidden.expect(403).errors(), denied("team/db/x/"));
}

#[tokio::test]
async fn a_path_says_what_it_is_for_and_which_methods_it_answers_to() {
    let server = Server::dev();
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    for (path, methods) in [
        ("sys/mounts", "GET, HEAD"),
        ("sys/mounts/database/tune", "GET, HEAD, POST, PUT"),
        ("auth/token/create", "POST, PUT"),
        ("auth/token/accessors", "GET, LIST"),
        ("database/creds/app", "GET"),
        ("database/roles", "GET, LIST"),
        ("database/roles/app", "GET, HEAD, POST, PUT, DELETE"),
        ("database/reset/pg", "POST, PUT"),
    ] {
        let help = server.get(&format!("{path}?help=1")).await.expect(200);
        assert!(help.at("/help").contains(&format!("    {methods}\n")), "{}", help.text);
        assert_eq!(help.body["openapi"]["openapi"], "3.0.2");
        let wrong = if methods.contains("DELETE") { "PATCH" } else { "DELETE" };
        let refused = server.ask("root", wrong, path, Value::Null).await.expect(405);
        let any = "GET, HEAD, LIST, POST, PUT, DELETE";
        let expected = if wrong == "PATCH" { any } else { methods };
        assert_eq!(refused.headers["allow"], expected, "{path}");
        let _ = server.ask("", "GET", &format!("{path}?help=1"), Value::Null).await.expect(403);
        // Who may not ask is not told what there is.
        let denied = server.ask("", "DELETE", path, Value::Null).await.expect(403);
        assert!(!denied.headers.contains_key("allow"));
    }
    let _ = server.get("nope?help=1").await.expect(404);
    let _ = server.get("sys/nope?help=1").await.expect(404);
    let refused = server.ask("", "PUT", "sys/health", Value::Null).await.expect(405);
    assert_eq!(refused.headers["allow"], "GET, HEAD");
    let head = server.ask("root", "HEAD", "sys/mounts", Value::Null).await.expect(200);
    assert_eq!(head.text, "");
}

#[tokio::test]
async fn leases_that_could_not_be_revoked_are_listed_until_they_are() {
    let lending = Lending::start().await;
    let none = json!({ "lease_count": 0, "counts": {} });
    let count = "sys/leases/count?type=irrevocable";
    assert_eq!(lending.server.get(count).await.expect(200).data(), &none);
    let lent = [lending.lend().await, lending.lend().await];
    lending.target.kill();
    for lease in &lent {
        let lease = json!({ "lease_id": lease.lease_id });
        let _ = lending.server.post("sys/revoke", lease).await.expect(502);
    }
    let mount = lending.server.get("sys/mounts/database").await.expect(200);
    let accessor = mount.at("/data/accessor");
    let listed = lending.server.get("sys/leases?type=irrevocable").await.expect(200);
    assert_eq!(listed.data()["lease_count"], 2);
    assert_eq!(listed.data()["counts"], json!({ accessor: 2 }));
    let leases = listed.data()["leases"].as_array().unwrap();
    for lease in leases {
        assert!(lent.iter().any(|lent| lease["lease_id"] == lent.lease_id), "{lease}");
        assert_eq!(lease["mount_id"], accessor);
        assert!(!lease["error"].as_str().unwrap().is_empty(), "{lease}");
    }
    assert_eq!(leases.len(), 2);
    let one = lending.server.get("sys/leases?type=irrevocable&limit=1").await.expect(200);
    assert_eq!(one.data()["leases"].as_array().unwrap().len(), 1);
    assert_eq!(one.body["warnings"], json!(["1 more are not listed; `limit=none` lists all"]));
    for path in ["sys/leases", "sys/leases/count?type=x", "sys/leases?type=irrevocable&limit=x"] {
        let _ = lending.server.get(path).await.expect(400);
    }

    lending.target.restart();
    let reset = lending.server.post("database/reset/pg", Value::Null).await;
    let _ = reset.expect(204);
    let refused = lending.server.post("database/reset/nope", Value::Null).await.expect(400);
    let missing = "failed to find entry for connection with name: \"nope\"";
    assert_eq!(refused.errors(), format!("1 error occurred:\n\t* {missing}\n\n"));
    let _ = lending.server.post("sys/leases/tidy", Value::Null).await.expect(202);
    let _ = lending.server.post("sys/revoke-prefix/database", Value::Null).await.expect(204);
    until("none is listed", async || lending.server.get(count).await.data() == &none).await;
    let again = lending.lend().await;
    let renew = json!({ "lease_id": again.lease_id, "increment": 60 });
    let renewed = lending.server.post("sys/renew", renew).await.expect(200);
    assert_eq!(renewed.body["lease_duration"], 60);
    let path = format!("sys/revoke/{}", again.lease_id);
    let _ = lending.server.post(&path, Value::Null).await.expect(204);
    lending.until_no_users().await;
}
