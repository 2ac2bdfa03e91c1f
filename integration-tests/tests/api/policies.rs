//! Policies over HTTP: what they open, what they leave shut, and that no way of writing a path is a way around them.

use crate::lending::Lending;
use leasehold_integration_tests::server::{Answer, Server};
use serde_json::{Value, json};
use sqlx::Executor as _;

const DENIED: &str = "1 error occurred:\n\t* permission denied\n\n";

async fn write(server: &Server, name: &str, text: &str) {
    let path = format!("sys/policies/acl/{name}");
    let _ = server.post(&path, json!({ "policy": text })).await.expect(204);
}

/// Makes a token that carries these policies and no other.
async fn holder(server: &Server, policies: &[&str]) -> String {
    let wanted = json!({ "policies": policies, "no_default_policy": true, "ttl": "1h" });
    let made = server.post("auth/token/create", wanted).await.expect(200);
    made.at("/auth/client_token").to_owned()
}

fn is_denied(answer: &Answer) -> bool {
    answer.status == 403 && answer.errors() == DENIED
}

#[tokio::test]
async fn a_policy_opens_what_it_says_and_nothing_else() {
    let server = Server::dev();
    let _ = server.post("sys/mounts/db", json!({ "type": "database" })).await.expect(204);
    write(&server, "mounts", r#"path "sys/mounts" { capabilities = ["read"] }"#).await;
    let token = holder(&server, &["mounts"]).await;
    let _ = server.ask(&token, "GET", "sys/mounts", Value::Null).await.expect(200);
    for (method, path) in [
        ("GET", "sys/mounts/db"),
        ("POST", "sys/mounts/other"),
        ("GET", "sys/policies/acl/mounts"),
        ("LIST", "sys/policies/acl"),
        ("POST", "sys/capabilities"),
        ("GET", "db/creds/app"),
        ("GET", "nope/a"),
    ] {
        let answer = server.ask(&token, method, path, Value::Null).await;
        assert!(is_denied(&answer), "{method} {path}: {answer:?}");
    }
    write(&server, "mounts", r#"path "sys/mounts" { policy = "deny" }"#).await;
    assert!(is_denied(&server.ask(&token, "GET", "sys/mounts", Value::Null).await));
}

#[tokio::test]
async fn a_rule_that_does_not_mean_what_it_seems_to_is_written_with_a_warning() {
    let server = Server::dev();
    for path in ["sys/policies/acl/odd", "sys/policy/odd"] {
        let odd = json!({ "policy": r#"path "db/*/app" { capabilities = ["read"] }"# });
        let written = server.post(path, odd).await.expect(200);
        let told = "line 1: path \"db/*/app\": a `*` means something at the end only; here it stands for itself, and `+` \
                    for one segment";
        assert_eq!(written.body["warnings"], json!([told]));
    }
    let kept = server.get("sys/policies/acl/odd").await.expect(200);
    assert_eq!(kept.at("/data/policy"), r#"path "db/*/app" { capabilities = ["read"] }"#);
    write(&server, "plain", r#"path "db/+/app*" { capabilities = ["read"] }"#).await;
}

#[tokio::test]
async fn cve_2026_3605_no_way_of_writing_a_path_leads_around_a_deny() {
    let server = Server::dev();
    let _ = server.post("sys/mounts/db", json!({ "type": "database" })).await.expect(204);
    write(
        &server,
        "nearly-all",
        r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }
        path "sys/mounts/db" { capabilities = ["deny"] }
        path "db/roles/*" { capabilities = ["deny"] }
        path "sys/policies/acl/secret" { capabilities = ["deny"] }"#,
    )
    .await;
    write(&server, "secret", "# canary").await;
    let token = holder(&server, &["nearly-all"]).await;
    for (method, path) in [
        ("GET", "sys/mounts/db"),
        ("GET", "sys/mounts/db/"),
        ("GET", "sys/mounts/d%62"),
        ("GET", "sys%2Fmounts%2Fdb"),
        ("GET", "sys/mounts/db%2f"),
        ("GET", "sys/mounts/db?help"),
        ("DELETE", "sys/mounts/db/"),
        ("LIST", "db/roles"),
        ("LIST", "db/roles/"),
        ("GET", "db/roles?list=true"),
        ("GET", "db/roles/?list=1"),
        ("POST", "db/roles/app"),
        ("GET", "sys/policies/acl/secret"),
        ("GET", "sys/policies/acl/secret/"),
        ("GET", "sys/policies/acl/%73ecret"),
    ] {
        let answer = server.ask(&token, method, path, json!({})).await;
        assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
    }
    for path in [
        "sys/mounts/x/../db",
        "sys/mounts//db",
        "sys/./mounts/db",
        "sys/mounts/%2e%2e/mounts/db",
        "sys/mounts/x%2f..%2fdb",
        "/sys/mounts/db",
        "sys/mounts/db//",
    ] {
        let raw = format!(
            "GET /v1/{path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\nConnection: close\r\n\r\n"
        );
        let answer = server.raw(&raw);
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
    }
    let _ = server.get("sys/mounts/db").await.expect(200);
}

#[tokio::test]
async fn cve_2025_64761_a_policy_cannot_be_read_or_changed_under_another_way_of_writing_its_name() {
    let server = Server::dev();
    write(
        &server,
        "writer",
        r#"path "sys/policies/acl/*" { capabilities = ["read", "update", "delete"] }
        path "sys/policies/acl/admin" { capabilities = ["deny"] }
        path "sys/policy/*" { capabilities = ["deny"] }"#,
    )
    .await;
    write(&server, "admin", "# canary").await;
    let token = holder(&server, &["writer"]).await;
    for name in ["admin", "Admin", "ADMIN", "%20admin", "admin%20"] {
        let path = format!("sys/policies/acl/{name}");
        for method in ["GET", "POST", "DELETE"] {
            let body = json!({ "policy": "# taken over" });
            let answer = server.ask(&token, method, &path, body).await;
            assert_eq!(answer.status, 403, "{method} {name}: {answer:?}");
        }
        let old = server.ask(&token, "GET", &format!("sys/policy/{name}"), Value::Null).await;
        assert_eq!(old.status, 403);
    }
    let kept = server.get("sys/policies/acl/admin").await.expect(200);
    assert_eq!(kept.data()["policy"], "# canary");
}

#[tokio::test]
async fn a_rule_that_is_written_in_capitals_speaks_of_the_name_that_it_means() {
    let server = Server::dev();
    for (path, body) in [
        ("sys/auth/userpass", json!({ "type": "userpass" })),
        ("sys/auth/approle", json!({ "type": "approle" })),
        ("auth/userpass/users/root-admin", json!({ "password": "first" })),
        ("auth/approle/role/myapp", json!({})),
    ] {
        let _ = server.post(path, body).await.expect(204);
    }
    let text = r#"
        path "auth/userpass/users/*" { capabilities = ["create", "read", "update"] }
        path "auth/userpass/users/Root-Admin" { capabilities = ["deny"] }
        path "auth/approle/role/MyApp/secret-id" { capabilities = ["update"] }"#;
    write(&server, "helpdesk", text).await;
    let token = holder(&server, &["helpdesk"]).await;
    for name in ["root-admin", "Root-Admin", "ROOT-ADMIN", "root-admin/password"] {
        let path = format!("auth/userpass/users/{name}");
        let body = json!({ "password": "taken-over" });
        let refused = server.ask(&token, "POST", &path, body).await;
        let is_below = name.contains('/');
        assert_eq!(refused.status, if is_below { 204 } else { 403 }, "{name}: {refused:?}");
        let asked = json!({ "token": token, "path": path });
        let told = server.post("sys/capabilities", asked).await.expect(200);
        let denied = json!(["deny"]);
        assert_eq!(told.data()["capabilities"] == denied, !is_below, "{name}");
    }
    for name in ["MyApp", "myapp"] {
        let path = format!("auth/approle/role/{name}/secret-id");
        let _ = server.ask(&token, "POST", &path, json!({})).await.expect(200);
    }
    // Two methods whose paths differ in nothing but case would share rules.
    for path in ["sys/auth/Userpass", "sys/auth/USERPASS/more", "sys/auth/TOKEN"] {
        let refused = server.post(path, json!({ "type": "userpass" })).await.expect(400);
        assert!(refused.errors().contains("already in use"), "{path}: {refused:?}");
    }
}

#[tokio::test]
async fn protected_paths_need_sudo_beside_the_right() {
    let server = Server::dev();
    let _ = server.post("sys/mounts/db", json!({ "type": "database" })).await.expect(204);
    let all = r#"["create", "read", "update", "delete", "list"]"#;
    write(&server, "all", &format!("path \"*\" {{ capabilities = {all} }}")).await;
    let sudo = all.replace(']', ", \"sudo\"]");
    write(&server, "sudo", &format!("path \"*\" {{ capabilities = {sudo} }}")).await;
    let (plain, strong) = (holder(&server, &["all"]).await, holder(&server, &["sudo"]).await);
    for (method, path) in [
        ("LIST", "auth/token/accessors"),
        ("POST", "auth/token/create-orphan"),
        ("POST", "auth/token/revoke-orphan"),
        ("LIST", "sys/leases/lookup/"),
        ("LIST", "sys/leases/lookup"),
        ("LIST", "sys/leases/lookup/db/"),
        ("PUT", "sys/leases/revoke-prefix/db"),
        ("PUT", "sys/leases/revoke-force/db"),
        ("PUT", "sys/revoke-prefix/db"),
        ("PUT", "sys/revoke-force/db"),
        ("GET", "sys/leases?type=irrevocable"),
        ("POST", "sys/mounts/db/tune"),
        ("POST", "sys/clock/accept"),
        ("GET", "sys/storage/backup"),
        ("POST", "sys/storage/take-over/db/pg"),
    ] {
        let refused = server.ask(&plain, method, path, json!({})).await;
        assert_eq!(refused.status, 403, "{method} {path}");
        if path != "sys/storage/backup" {
            let opened = server.ask(&strong, method, path, json!({})).await;
            assert_ne!(opened.status, 403, "{method} {path}: {opened:?}");
        }
    }
    let _ = server.ask(&plain, "GET", "sys/mounts/db/tune", Value::Null).await.expect(200);
}

#[tokio::test]
async fn nobody_gives_more_than_they_have_without_sudo() {
    let server = Server::dev();
    let create = |capabilities: &str| {
        format!("path \"auth/token/create\" {{ capabilities = {capabilities} }}")
    };
    write(&server, "maker", &create(r#"["update"]"#)).await;
    write(&server, "chief", &create(r#"["update", "sudo"]"#)).await;
    write(&server, "other", "# nothing").await;
    let wanted = json!({ "policies": ["maker"], "ttl": "1h" });
    let made = server.post("auth/token/create", wanted).await.expect(200);
    let maker = made.at("/auth/client_token").to_owned();
    let chief = holder(&server, &["chief"]).await;
    let subset = "child policies must be subset of parent";
    let privileges = |what: &str| format!("root or sudo privileges required to {what}");
    for (wanted, told) in [
        (json!({ "policies": ["other"] }), subset.to_owned()),
        (json!({ "policies": ["maker", "Other "] }), subset.to_owned()),
        (json!({ "policies": ["root"] }), subset.to_owned()),
        (json!({ "policies": [" Root"] }), subset.to_owned()),
        (json!({ "no_parent": true }), privileges("create orphan token")),
        (json!({ "period": "1h" }), privileges("create periodic token")),
        (json!({ "id": "mine" }), privileges("specify token id")),
    ] {
        let refused = server.ask(&maker, "POST", "auth/token/create", wanted.clone()).await;
        assert_eq!(refused.expect(400).errors(), told, "{wanted}");
    }
    for (token, wanted, given) in [
        (&maker, json!({}), json!(["default", "maker"])),
        (&maker, json!({ "policies": ["maker"] }), json!(["default", "maker"])),
        (&maker, json!({ "policies": ["default"] }), json!(["default"])),
        (&maker, json!({ "no_default_policy": true }), json!(["maker"])),
        (&chief, json!({}), json!(["chief"])),
        (
            &chief,
            json!({ "policies": ["other"], "no_parent": true, "period": "1h" }),
            json!(["default", "other"]),
        ),
        (&chief, json!({ "policies": ["other"], "id": "chosen" }), json!(["default", "other"])),
    ] {
        let made = server.ask(token, "POST", "auth/token/create", wanted.clone()).await;
        assert_eq!(made.expect(200).body["auth"]["policies"], given, "{wanted}");
    }
    let root =
        server.ask(&chief, "POST", "auth/token/create", json!({ "policies": ["ROOT"] })).await;
    let told = "root tokens may not be created without parent token being root";
    assert_eq!(root.expect(400).errors(), told);
    let short = server.post("auth/token/create", json!({ "ttl": "1h" })).await.expect(200);
    let short = short.at("/auth/client_token").to_owned();
    let forever = server.ask(&short, "POST", "auth/token/create", json!({})).await.expect(400);
    assert_eq!(forever.errors(), "expiring root tokens cannot create non-expiring root tokens");
    let many: Vec<_> = (0..300).map(|number| format!("p{number}")).collect();
    let refused = server.post("auth/token/create", json!({ "policies": many })).await.expect(400);
    assert_eq!(refused.errors(), "a token carries at most 256 policies");
    let odd = server.post("auth/token/create", json!({ "policies": ["r\u{43e}\u{43e}t"] })).await;
    assert!(odd.expect(400).errors().contains("printable ASCII"));
}

#[tokio::test]
async fn what_a_request_is_sent_with_is_decided_as_well() {
    let server = Server::dev();
    write(
        &server,
        "short",
        r#"path "auth/token/create" { capabilities = ["update"]
            required_parameters = ["ttl"]
            allowed_parameters = { "ttl" = ["5m"], "display_name" = ["app-*"], "policies" = [] }
            denied_parameters = { "policies" = ["default"] } }"#,
    )
    .await;
    let token = holder(&server, &["short"]).await;
    for (wanted, status) in [
        (json!({ "ttl": "5m" }), 200),
        (json!({ "ttl": "5m", "display_name": "app-1", "policies": ["short"] }), 200),
        (json!({}), 403),
        (json!({ "ttl": "10m" }), 403),
        (json!({ "ttl": "5m", "meta": {} }), 403),
        (json!({ "ttl": "5m", "TTL": "10m" }), 403),
        (json!({ "ttl": "5m", "policies": ["short", "default"] }), 403),
    ] {
        let answer = server.ask(&token, "POST", "auth/token/create", wanted.clone()).await;
        assert_eq!(answer.status, status, "{wanted}: {answer:?}");
    }
    let query = server.ask(&token, "POST", "auth/token/create?ttl=5m&period=1h", Value::Null).await;
    assert_eq!(query.status, 403, "what is in the query is a parameter too");
}

#[tokio::test]
async fn a_token_learns_what_it_may_do() {
    let server = Server::dev();
    write(
        &server,
        "app",
        r#"path "db/creds/+" { capabilities = ["read"] }
        path "db/*" { capabilities = ["list", "update", "create"] }
        path "db/roles/app" { policy = "deny" }"#,
    )
    .await;
    let token = holder(&server, &["app"]).await;
    let paths = json!({ "paths": ["db/creds/x", "db/roles/app", "db/x/y", "none"] });
    let own = server.ask(&token, "POST", "sys/capabilities-self", paths.clone()).await.expect(200);
    let granted = json!({
        "db/creds/x": ["read"], "db/roles/app": ["deny"], "db/x/y": ["create", "list", "update"], "none": ["deny"],
    });
    assert_eq!(*own.data(), granted);
    assert_eq!(own.body["db/creds/x"], json!(["read"]), "shown twice");
    let one = json!({ "token": token, "path": "db/creds/x" });
    let by_text = server.post("sys/capabilities", one).await.expect(200);
    assert_eq!(*by_text.data(), json!({ "capabilities": ["read"], "db/creds/x": ["read"] }));
    let seen = server.ask(&token, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    let mut by_accessor = paths;
    by_accessor["accessor"] = json!(seen.at("/data/accessor"));
    let answer = server.post("sys/capabilities-accessor", by_accessor).await.expect(200);
    assert_eq!(*answer.data(), granted);
    let root = server.post("sys/capabilities-self", json!({ "paths": "a" })).await.expect(200);
    assert_eq!(root.data()["capabilities"], json!(["root"]));
    for (path, body, status) in [
        ("sys/capabilities", json!({ "paths": "a" }), 400),
        ("sys/capabilities", json!({ "paths": "a", "token": "nope" }), 400),
        ("sys/capabilities-self", json!({}), 400),
        ("sys/capabilities-accessor", json!({ "paths": "a", "accessor": "nope" }), 400),
    ] {
        let _ = server.post(path, body).await.expect(status);
    }
    let all =
        server.ask(&token, "GET", "sys/internal/ui/resultant-acl", Value::Null).await.expect(200);
    assert_eq!(
        *all.data(),
        json!({
            "root": false,
            "exact_paths": { "db/roles/app": { "capabilities": ["deny"] } },
            "glob_paths": {
                "db/": { "capabilities": ["create", "list", "update"] },
                "db/creds/+": { "capabilities": ["read"] },
            },
        })
    );
    let root = server.get("sys/internal/ui/resultant-acl").await.expect(200);
    assert_eq!(*root.data(), json!({ "root": true }));
}

#[tokio::test]
async fn a_policy_that_cannot_be_is_refused_and_changes_nothing() {
    let server = Server::dev();
    write(&server, "app", "# first").await;
    let long = "#".repeat(300_000);
    for (body, told) in [
        (json!({ "policy": "path \"a\" {" }), "failed to parse policy: line 1: "),
        (
            json!({ "policy": "path \"a\" { capabilities = [\"read\"]\n x = 1 }" }),
            "line 2: path \"a\": invalid key \"x\"",
        ),
        (json!({ "policy": long }), "at most 262144 bytes"),
        (json!({ "policy": "" }), "'policy' parameter not supplied or empty"),
        (json!({ "policy": "", "ttl": "1h" }), "`ttl` of a policy is not supported"),
        (json!({ "policy": ["x"] }), "expected type 'string'"),
    ] {
        let refused = server.post("sys/policies/acl/app", body).await.expect(400);
        assert!(refused.errors().contains(told), "{told}: {}", refused.errors());
    }
    for name in ["root", "Root", "%20ROOT"] {
        let path = format!("sys/policies/acl/{name}");
        let refused = server.post(&path, json!({ "policy": "# mine" })).await.expect(400);
        assert_eq!(refused.errors(), "cannot update \"root\" policy");
    }
    let kept = server.get("sys/policies/acl/app").await.expect(200);
    assert_eq!((&kept.data()["policy"], &kept.data()["version"]), (&json!("# first"), &json!(1)));
}

#[tokio::test]
async fn why_something_is_refused_is_told_to_who_may_read_the_policies() {
    let server = Server::dev();
    write(
        &server,
        "reader",
        "path \"sys/policies/acl/+\" { capabilities = [\"read\"] }\npath \"sys/mounts\" { capabilities = [\"list\"] }",
    )
    .await;
    let token = holder(&server, &["reader"]).await;
    let refused = server.ask(&token, "GET", "sys/mounts", Value::Null).await.expect(403);
    let why = "policy `reader`, line 2, path \"sys/mounts\" grants list, and not read";
    assert_eq!(
        refused.errors(),
        format!("2 errors occurred:\n\t* permission denied\n\t* {why}\n\n")
    );
}

/// What is asked for at a path by who may only create there, and by who may only change what is there.
#[tokio::test]
async fn to_write_what_is_not_there_takes_create_and_to_change_it_takes_update() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let mut superuser = lending.target.superuser("postgres").await;
    superuser.execute("CREATE ROLE billing LOGIN PASSWORD 'the old one'").await.unwrap();
    for kind in ["userpass", "approle"] {
        let _ = server.post(&format!("sys/auth/{kind}"), json!({ "type": kind })).await.expect(204);
    }
    let holder = async |capability: &str| {
        let policy = format!("path \"*\" {{ capabilities = [\"{capability}\"] }}");
        let name = format!("may-{capability}");
        let path = format!("sys/policies/acl/{name}");
        let _ = server.post(&path, json!({ "policy": policy })).await.expect(204);
        let wanted = json!({ "policies": [name], "no_default_policy": true });
        let made = server.post("auth/token/create", wanted).await;
        made.expect(200).at("/auth/client_token").to_owned()
    };
    let (creator, changer) = (holder("create").await, holder("update").await);
    let ask = async |token: &str, path: &str, body: &Value| {
        server.ask(token, "POST", path, body.clone()).await.status
    };
    let fixed = json!({ "db_name": "pg", "username": "billing", "rotation_period": "1h" });
    for (path, body) in [
        ("database/config/other", crate::lending::config(&lending.target)),
        ("database/roles/new", crate::lending::role("1h", "24h")),
        ("database/static-roles/fixed", fixed),
        ("auth/userpass/users/Ann", json!({ "password": "right" })),
        ("auth/approle/role/New", json!({ "token_ttl": "5m" })),
        ("auth/token/roles/new", json!({ "orphan": true })),
    ] {
        assert_eq!(ask(&changer, path, &body).await, 403, "{path} is not there");
        assert_eq!(ask(&creator, path, &body).await, 204, "{path}");
        assert_eq!(ask(&creator, path, &body).await, 403, "{path} is there");
        assert_eq!(ask(&changer, path, &body).await, 204, "{path}");
    }
    // Each token has a cubbyhole of its own.
    let kept = json!({ "a": "b" });
    assert_eq!(ask(&changer, "cubbyhole/x", &kept).await, 403);
    for (name, status) in [("x", 204), ("x", 403), ("x/y", 204)] {
        assert_eq!(ask(&creator, &format!("cubbyhole/{name}"), &kept).await, status, "{name}");
    }
    // A part of what is not there, and what Vault makes no difference for, is changed.
    let password = "length = 20\nrule \"charset\" { charset = \"abcdefghij\" }";
    for (path, body) in [
        ("auth/userpass/users/ann/password", json!({ "password": "other" })),
        ("auth/approle/role/new/token-ttl", json!({ "token_ttl": "6m" })),
        ("identity/entity/name/ann", json!({})),
        ("identity/group/name/ops", json!({})),
        ("sys/policies/acl/new", json!({ "policy": "path \"x\" { capabilities = [\"read\"] }" })),
        ("sys/policies/password/new", json!({ "policy": password })),
        ("sys/quotas/rate-limit/new", json!({ "rate": 1000 })),
        ("sys/mounts/new", json!({ "type": "database" })),
    ] {
        assert_eq!(ask(&creator, path, &body).await, 403, "{path}");
        assert!(matches!(ask(&changer, path, &body).await, 200 | 204), "{path}");
    }
}
