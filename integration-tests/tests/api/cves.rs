//! Flaws that others were found to have, each under the number that they are known by: what a caller would do to use
//! one, and that nothing comes of it. `docs/THREATS.md` lists all of them, with those that are tested elsewhere.

use crate::lending::{Lending, config, role};
use leasehold_integration_tests::postgres::{self, SUPERUSER_PASSWORD, Version};
use leasehold_integration_tests::server::{Answer, Place, Server};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What a hostile name would do if anybody took it for SQL: this role is there, and is to stay as it is.
const INJECTED: &str = "\"; ALTER ROLE bystander SUPERUSER; --";
const LOGIN: &str = "LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";

/// Makes a token that carries one policy of this text and no other.
async fn holder(server: &Server, name: &str, policy: &str) -> String {
    let text = json!({ "policy": policy });
    let _ = server.post(&format!("sys/policies/acl/{name}"), text).await.expect(204);
    let wanted = json!({ "policies": [name], "no_default_policy": true, "ttl": "1h" });
    let made = server.post("auth/token/create", wanted).await.expect(200);
    made.at("/auth/client_token").to_owned()
}

async fn put(server: &Server, token: &str, path: &str, body: Value) -> Answer {
    server.ask(token, "PUT", path, body).await
}

async fn is_good(server: &Server, token: &str) -> bool {
    server.ask(token, "GET", "auth/token/lookup-self", Value::Null).await.status == 200
}

/// How many tokens there are.
async fn tokens(server: &Server) -> usize {
    let listed = server.list("auth/token/accessors").await.expect(200);
    listed.data()["keys"].as_array().unwrap().len()
}

async fn run(session: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(session).await.unwrap();
}

/// Puts a role at the target that hostile names are after.
async fn bystander(target: &postgres::Server) {
    let mut superuser = target.superuser("postgres").await;
    superuser.execute("CREATE ROLE bystander NOLOGIN").await.unwrap();
}

/// Checks that nobody got to it.
async fn nothing_was_injected(target: &postgres::Server) {
    let mut superuser = target.superuser("postgres").await;
    let told = "SELECT rolsuper FROM pg_roles WHERE rolname = 'bystander'";
    let told = superuser.fetch_one(told).await.unwrap();
    assert!(!told.get::<bool, _>(0), "what was a name was run as a statement");
}

/// The old paths, and those that took their place.
const TWINS: [(&str, &str); 4] = [
    ("sys/renew", "sys/leases/renew"),
    ("sys/revoke", "sys/leases/revoke"),
    ("sys/revoke-prefix/database", "sys/leases/revoke-prefix/database"),
    ("sys/revoke-force/database", "sys/leases/revoke-force/database"),
];
const ANYTHING: &str =
    r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }"#;

#[tokio::test]
async fn cve_2026_45808_an_old_path_is_asked_about_like_the_one_that_took_its_place() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let lent = lending.lend().await;
    let named = json!({ "lease_id": lent.lease_id });
    for (number, (old, new)) in TWINS.into_iter().enumerate() {
        for (asked, twin) in [(old, new), (new, old)] {
            let but = format!("{ANYTHING}\npath \"{asked}*\" {{ capabilities = [\"deny\"] }}");
            let only = format!("path \"{twin}*\" {{ capabilities = [\"update\", \"sudo\"] }}");
            let weak = format!("path \"{asked}*\" {{ capabilities = [\"update\"] }}");
            let mut texts = vec![but, only];
            // What ends the leases of others by their prefix takes `sudo` as well.
            if number >= 2 {
                texts.push(weak);
            }
            for text in texts {
                let token = holder(server, "some", &text).await;
                let _ = put(server, &token, asked, named.clone()).await.expect(403);
                let below = format!("{asked}/{}", lent.lease_id);
                let _ = put(server, &token, &below, json!({})).await.expect(403);
            }
            let _ = put(server, "", asked, named.clone()).await.expect(403);
        }
    }
    let held = server.post("sys/leases/lookup", named.clone()).await.expect(200);
    assert_eq!(held.data()["last_renewal"], Value::Null);
    lending.log_in(&lent).await.unwrap();
    let _ = put(server, &server.token, "sys/renew", named.clone()).await.expect(200);
    let _ = put(server, &server.token, "sys/revoke-prefix/database", json!({})).await.expect(204);
    assert!(lending.users().await.is_empty());
}

#[tokio::test]
async fn cve_2026_55774_what_is_allowed_for_one_lease_is_done_to_no_other() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let _ = server.post("database/roles/other", role("1h", "24h")).await.expect(204);
    let (mine, theirs) = (lending.lend().await, server.get("database/creds/other").await);
    let (mine, theirs) = (mine.lease_id, theirs.expect(200).at("/lease_id").to_owned());
    let allowed = "/database/creds/app/*\" { capabilities = [\"update\", \"sudo\"] }\n";
    let verbs = ["sys/leases/renew", "sys/renew", "sys/leases/revoke", "sys/revoke"];
    let rules = verbs.iter().chain(&["sys/leases/lookup"]);
    let rules: Vec<_> = rules.map(|verb| format!("path \"{verb}{allowed}")).collect();
    let token = holder(server, "mine", &rules.concat()).await;
    let (_, id) = theirs.rsplit_once('/').unwrap();
    let disguised = format!("database/creds/app/{id}");
    for verb in verbs.iter().chain(&["sys/leases/lookup"]) {
        let below = |lease: &str| format!("{verb}/{lease}");
        for (path, body, status) in [
            // In the body alone, in the path alone, in both, and both ways round.
            ((*verb).to_owned(), json!({ "lease_id": theirs }), 403),
            (below(&theirs), json!({}), 403),
            (below(&theirs), json!({ "lease_id": mine }), 403),
            (below(&mine), json!({ "lease_id": theirs }), 400),
            (format!("{}?lease_id={theirs}", below(&mine)), json!({}), 400),
        ] {
            let refused = put(server, &token, &path, body.clone()).await;
            assert_eq!(refused.status, status, "{path} {body}: {}", refused.text);
        }
        // Under the path of a lease of one's own, in each way of writing it.
        for lease in [disguised.clone(), format!("{disguised}/"), disguised.to_uppercase()] {
            let refused = put(server, &token, &below(&lease), json!({})).await;
            assert!((400..500).contains(&refused.status), "{verb} {lease}: {}", refused.text);
        }
    }
    let held = server.post("sys/leases/lookup", json!({ "lease_id": theirs })).await.expect(200);
    assert_eq!(held.data()["last_renewal"], Value::Null);
    let _ = put(server, &token, &format!("sys/renew/{mine}"), json!({})).await.expect(200);
    let _ = put(server, &token, &format!("sys/revoke/{mine}"), json!({})).await.expect(204);
    assert_eq!(lending.users().await.len(), 1);
}

#[tokio::test]
async fn cve_2026_40264_an_accessor_opens_nothing_by_itself() {
    let server = Server::dev();
    let wanted = json!({ "policies": ["default"], "ttl": "1h" });
    let made = server.post("auth/token/create", wanted.clone()).await.expect(200);
    let (victim, accessor) = (made.at("/auth/client_token"), made.at("/auth/accessor"));
    let own =
        async || server.ask(victim, "GET", "auth/token/lookup-self", Value::Null).await.expect(200);
    let expires = own().await.at("/data/expire_time").to_owned();
    let other = server.post("auth/token/create", wanted).await.expect(200);
    let other = other.at("/auth/client_token").to_owned();
    let by_accessor = [
        "auth/token/lookup-accessor",
        "auth/token/renew-accessor",
        "auth/token/revoke-accessor",
        "sys/capabilities-accessor",
    ];
    // As an accessor, as a token in the body, as the token itself, and as somebody's name.
    for token in ["", "hvs.unknown", other.as_str(), accessor] {
        for path in by_accessor {
            let body = json!({ "accessor": accessor, "paths": "sys/mounts", "increment": "9h" });
            let _ = put(&server, token, path, body).await.expect(403);
        }
        for path in ["auth/token/lookup", "auth/token/renew", "auth/token/revoke", "sys/whois"] {
            let body = json!({ "token": accessor, "name": accessor });
            let _ = put(&server, token, path, body).await.expect(403);
        }
    }
    assert!(!is_good(&server, accessor).await);
    // To know it is nothing even for those who may do everything with tokens.
    for path in ["auth/token/lookup", "auth/token/renew"] {
        let refused = server.post(path, json!({ "token": accessor })).await;
        assert!(refused.status >= 400, "{path}: {}", refused.text);
    }
    let _ = server.post("auth/token/revoke", json!({ "token": accessor })).await;
    assert_eq!(own().await.at("/data/expire_time"), expires);
    // One of these rights is not another.
    let rule = format!("path \"{}\" {{ capabilities = [\"update\"] }}", by_accessor[0]);
    let reader = holder(&server, "reader", &rule).await;
    let named = json!({ "accessor": accessor });
    let seen = put(&server, &reader, by_accessor[0], named.clone()).await.expect(200);
    assert_eq!(seen.at("/data/id"), "", "the text of a token is not told by its accessor");
    for path in &by_accessor[1..] {
        let _ = put(&server, &reader, path, named.clone()).await.expect(403);
    }
    // A wrapping is opened by its token, and not by what names it.
    let wrap = [("X-Vault-Wrap-TTL", "5m")];
    let wrapped = server.send(&server.token, "POST", "auth/token/create", &wrap, Vec::new()).await;
    let wrapped = json!({ "token": wrapped.expect(200).at("/wrap_info/accessor") });
    let _ = server.post("sys/wrapping/unwrap", wrapped).await.expect(400);
}

/// A borrower names what they make as they like; the administrator disposes of it.
#[tokio::test]
async fn cve_2026_39946_names_that_a_borrower_gave_are_names_when_it_is_revoked() {
    let lending = Lending::start().await;
    bystander(&lending.target).await;
    let mut able = role("1h", "24h");
    able["creation_statements"] = json!(format!("CREATE ROLE \"{{{{name}}}}\" CREATEDB {LOGIN}"));
    let _ = lending.server.post("database/roles/app", able).await.expect(204);
    let lent = lending.lend().await;
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let database = format!("d{INJECTED}");
    let mut session = lending.log_in(&lent).await.unwrap();
    run(&mut session, format!("CREATE DATABASE {}", quoted(&database))).await;
    let mut inside =
        lending.target.log_in(&lent.username, &lent.password, &database).await.unwrap();
    // The first two are what it took where schemas were named unquoted in a `REVOKE`.
    let revoked = "x\" FROM CURRENT_USER; ALTER ROLE bystander SUPERUSER; --";
    let others = [INJECTED, "'; ALTER ROLE bystander SUPERUSER; --", "$$;\n\\", "%s{{name}}"];
    for name in ["x", revoked].into_iter().chain(others) {
        let name = quoted(name);
        for made in [
            format!("CREATE SCHEMA {name}"),
            format!("CREATE TABLE {name}.{name} ({name} int)"),
            format!("CREATE SEQUENCE {name}.{}", quoted("s\"'")),
            format!("CREATE TYPE {name}.{} AS ENUM ({})", quoted("t\"'"), "'a'"),
        ] {
            run(&mut inside, made).await;
        }
    }
    let named = json!({ "lease_id": lent.lease_id });
    let _ = lending.server.post("sys/leases/revoke", named).await.expect(204);
    assert!(lending.users().await.is_empty());
    nothing_was_injected(&lending.target).await;
    let mut superuser = lending.target.superuser(&database).await;
    let kept = format!("SELECT count(*) FROM {0}.{0}", quoted(INJECTED));
    let kept = superuser.fetch_one(sqlx::raw_sql(AssertSqlSafe(kept))).await.unwrap();
    assert_eq!(kept.get::<i64, _>(0), 0);
}

/// An operator names accounts, groups and databases that are there already, whatever they are called.
#[tokio::test]
async fn cve_2023_0620_names_in_a_configuration_are_names() {
    let server = Server::dev();
    let target = postgres::Server::start(Version::Distribution);
    bystander(&target).await;
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let [administrator, group, database] = ["a", "g", "d"].map(|name| format!("{name}{INJECTED}"));
    let mut superuser = target.superuser("postgres").await;
    for made in [
        format!("CREATE ROLE {} CREATEROLE LOGIN PASSWORD 'its own'", quoted(&administrator)),
        format!("GRANT pg_signal_backend TO {}", quoted(&administrator)),
        format!("CREATE ROLE {}", quoted(&group)),
        format!("GRANT {} TO {} WITH ADMIN OPTION", quoted(&group), quoted(&administrator)),
        format!("CREATE DATABASE {}", quoted(&database)),
    ] {
        run(&mut superuser, made).await;
    }
    let written = |name: &str| name.replace('\\', "\\\\").replace('\'', "\\'");
    let mut hostile = config(&target);
    hostile["connection_url"] = json!(format!(
        "host=127.0.0.1 port={} dbname='{}' user={{{{username}}}} password={{{{password}}}} sslmode=disable",
        target.port(),
        written(&database)
    ));
    hostile["username"] = json!(administrator);
    hostile["password"] = json!("its own");
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    let _ = server.post("database/config/pg", hostile).await.expect(204);
    let lends = json!({ "db_name": "pg", "grant_roles": [group] });
    let _ = server.post("database/roles/app", lends).await.expect(204);
    let lent = crate::lending::Lent::of(&server.get("database/creds/app").await);
    let mut session = target.log_in(&lent.username, &lent.password, &database).await.unwrap();
    let member = "SELECT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid \
                  WHERE m.member = current_user::regrole";
    assert_eq!(session.fetch_one(member).await.unwrap().get::<String, _>(0), group);
    for verb in ["renew", "revoke"] {
        let named = json!({ "lease_id": lent.lease_id });
        let done = server.post(&format!("sys/leases/{verb}"), named).await;
        assert!(matches!(done.status, 200 | 204), "{verb}: {}", done.text);
    }
    target.log_in(&lent.username, &lent.password, &database).await.unwrap_err();
    nothing_was_injected(&target).await;
}

/// Everything below a folder, with its length.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push((entry.path().display().to_string(), entry.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn cve_2025_6000_no_caller_names_a_file_of_the_servers() {
    let place = Place::new();
    let server = place.found().await;
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    let names = || files(&place.path("")).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let before = names();
    let planted = place.path("planted").display().to_string();
    for (path, body) in [
        (
            "sys/audit/evil",
            json!({ "type": "file", "options": { "file_path": planted, "mode": "0755", "prefix": "#!/bin/sh\n" } }),
        ),
        ("sys/audit/evil", json!({ "type": "socket", "options": { "address": planted } })),
        ("sys/audit/first", json!({ "type": "file", "options": { "file_path": planted } })),
        ("sys/plugins/catalog/evil", json!({ "command": planted, "sha256": "00" })),
        ("sys/plugins/catalog/database/evil", json!({ "command": "../../planted" })),
        ("sys/storage/backup", json!({ "path": planted })),
        ("sys/mounts/evil", json!({ "type": planted })),
        ("sys/mounts/evil", json!({ "type": "plugin", "plugin_name": planted })),
        ("sys/auth/evil", json!({ "type": planted })),
        ("database/config/evil", json!({ "plugin_name": planted, "connection_url": "x" })),
    ] {
        let refused = server.post(path, body.clone()).await;
        assert!((400..500).contains(&refused.status), "{path} {body}: {}", refused.text);
    }
    assert_eq!(names(), before);

    // Nor is one read for a caller: the server's own key would let them in wherever it lets the server in.
    let key = place.path("root.key").display().to_string();
    for parameter in ["sslrootcert", "sslcert", "sslkey"] {
        for url in [
            format!("postgresql://u:p@127.0.0.1:1/d?{parameter}={key}"),
            format!("host=127.0.0.1 port=1 user=u password=p {parameter}={key}"),
            format!("host=127.0.0.1 port=1 user=u password=p {parameter}=/dev/zero"),
            format!("host=127.0.0.1 port=1 user=u password=p {parameter}=root.key"),
        ] {
            let target = json!({
                "plugin_name": "postgresql-database-plugin", "connection_url": url,
                "verify_connection": false,
            });
            let refused = server.post("database/config/evil", target).await.expect(400);
            assert!(refused.errors().contains(parameter), "{url}: {}", refused.text);
            assert!(!refused.text.contains(&key), "{}", refused.text);
        }
    }
}

#[tokio::test]
async fn cve_2025_12044_nothing_is_read_of_a_sender_who_asks_too_often() {
    let place = Place::new();
    let server = place.found().await;
    let _ = server.post("sys/auth/userpass", json!({ "type": "userpass" })).await.expect(204);
    let limit = json!({ "path": "auth/userpass", "rate": 1, "interval": "1h" });
    let _ = server.post("sys/quotas/rate-limit/logins", limit).await.expect(204);
    let path = "auth/userpass/login/ann";
    let deep = format!("{{\"password\":{}{}}}", "[".repeat(500), "]".repeat(500)).into_bytes();
    let read = server.send("", "POST", path, &[], deep.clone()).await.expect(400);
    assert!(read.errors().contains("nests deeper"), "{}", read.text);
    let refused = server.send("", "POST", path, &[], deep).await.expect(429);
    assert!(refused.errors().contains("rate limit quota exceeded"), "{}", refused.text);
    // Whoever announces a body is answered before it comes.
    let head = format!(
        "POST /v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{{\"password\":"
    );
    let answer = server.raw(&head);
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
}

#[tokio::test]
async fn ghsa_rh46_vc3j_w2w3_no_method_or_header_reaches_what_the_server_does_by_itself() {
    let lending = Lending::start().await;
    let server = &lending.server;
    let lent = lending.lend().await;
    let _ = server.post("sys/auth/userpass", json!({ "type": "userpass" })).await.expect(204);
    let user = json!({ "password": "right", "token_policies": "default" });
    let _ = server.post("auth/userpass/users/ann", user).await.expect(204);
    let before = tokens(server).await;
    // Vault's names for what its core asks of engines, and of methods.
    for method in
        ["REVOKE", "RENEW", "ROLLBACK", "ALIAS-LOOKAHEAD", "RESOLVE-ROLE", "HELP", "PATCH"]
    {
        for path in ["database/creds/app", "auth/userpass/login/ann", "sys/mounts", "nope"] {
            for token in [server.token.as_str(), ""] {
                let body = json!({ "lease_id": lent.lease_id, "password": "right" });
                let refused = server.ask(token, method, path, body).await;
                assert_eq!(refused.status, 405, "{method} {path}: {}", refused.text);
            }
        }
    }
    // A login inside another request, as OpenBao takes it.
    let inline = [
        ("X-Vault-Inline-Auth-Path", "auth/userpass/login/ann"),
        ("X-Vault-Inline-Auth-Operation", "revoke"),
        (
            "X-Vault-Inline-Auth-Parameter-password",
            "eyJrZXkiOiJwYXNzd29yZCIsInZhbHVlIjoicmlnaHQifQ",
        ),
    ];
    for operation in ["update", "revoke", "rollback"] {
        let mut headers = inline;
        headers[1].1 = operation;
        for path in ["sys/mounts", "auth/token/lookup-self", "database/creds/app"] {
            let _ = server.send("", "GET", path, &headers, Vec::new()).await.expect(403);
        }
    }
    assert_eq!(tokens(server).await, before);
    lending.log_in(&lent).await.unwrap();
    assert_eq!(lending.users().await.len(), 1);
}

#[tokio::test]
async fn cve_2026_46405_a_login_that_is_refused_makes_no_token() {
    let server = Server::dev();
    for kind in ["userpass", "approle"] {
        let _ = server.post(&format!("sys/auth/{kind}"), json!({ "type": kind })).await.expect(204);
    }
    let user = json!({ "password": "right", "token_bound_cidrs": "192.0.2.0/24" });
    let _ = server.post("auth/userpass/users/far", user).await.expect(204);
    let user = json!({ "password": "right" });
    let _ = server.post("auth/userpass/users/ann", user).await.expect(204);
    let role = json!({ "role_id": "known", "secret_id_num_uses": 1 });
    let _ = server.post("auth/approle/role/app", role).await.expect(204);
    let made = server.post("auth/approle/role/app/secret-id", json!({})).await.expect(200);
    let spent = json!({ "role_id": "known", "secret_id": made.at("/data/secret_id") });
    let _ = server.ask("", "POST", "auth/approle/login", spent.clone()).await.expect(200);
    let before = tokens(&server).await;
    for (path, body) in [
        ("auth/userpass/login/ann", json!({ "password": "wrong" })),
        ("auth/userpass/login/ann", json!({})),
        ("auth/userpass/login/nobody", json!({ "password": "right" })),
        ("auth/userpass/login/far", json!({ "password": "right" })),
        ("auth/approle/login", spent),
        ("auth/approle/login", json!({ "role_id": "known" })),
        ("auth/approle/login", json!({ "role_id": "known", "secret_id": "wrong" })),
        ("auth/nope/login", json!({ "password": "right" })),
    ] {
        for headers in [&[][..], &[("X-Vault-Wrap-TTL", "5m")]] {
            let body = body.to_string().into_bytes();
            let refused = server.send("", "POST", path, headers, body).await;
            assert!((400..500).contains(&refused.status), "{path}: {}", refused.text);
            assert!(refused.body.get("auth").is_none() && refused.body.get("wrap_info").is_none());
        }
    }
    assert_eq!(tokens(&server).await, before);
}

/// Takes lines as an audit device over HTTP does, and keeps all that it was sent, headers too.
fn listening(heard: &Arc<Mutex<Vec<u8>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let heard = Arc::clone(heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, heard) = (stream.unwrap(), Arc::clone(&heard));
            std::thread::spawn(move || {
                let mut piece = vec![0; 65536];
                while let Ok(length @ 1..) = stream.read(&mut piece) {
                    heard.lock().unwrap().extend_from_slice(&piece[..length]);
                    // A line ends a request, and so does nothing else: one answer for each.
                    if piece[..length].ends_with(b"\n") {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                    }
                }
            });
        }
    });
    uri
}

#[tokio::test]
async fn cve_2026_4525_no_token_is_passed_on_to_a_target_or_an_audit_device() {
    let heard = Arc::default();
    let uri = listening(&heard);
    let device = format!("audit \"http\" \"far\" {{\n options {{ uri = \"{uri}\" }}\n}}");
    let place = Place::with(&device);
    let server = place.found().await;
    let log_all = ["-c", "fsync=off", "-c", "log_statement=all", "-c", "log_connections=on"];
    let target = postgres::Server::start_with(Version::Distribution, &log_all);
    let _ = server.post("sys/mounts/database", json!({ "type": "database" })).await.expect(204);
    let _ = server.post("database/config/pg", config(&target)).await.expect(204);
    let _ = server.post("database/roles/app", role("1h", "24h")).await.expect(204);
    let token = server.token.clone();
    let bearer = format!("Bearer {token}");
    let headers =
        [("Authorization", bearer.as_str()), ("Cookie", token.as_str()), ("X-Any", &token)];
    let lent = server.send(&token, "GET", "database/creds/app", &headers, Vec::new()).await;
    let lent = crate::lending::Lent::of(&lent);
    let named = json!({ "lease_id": lent.lease_id });
    let _ = server.post("sys/leases/renew", named.clone()).await.expect(200);
    let _ = server.post("sys/leases/revoke", named).await.expect(204);
    assert!(server.end().success());
    let (log, heard) = (target.log(), heard.lock().unwrap());
    let heard = String::from_utf8_lossy(&heard);
    assert!(log.contains(&lent.username) && heard.contains("database/creds/app"), "{heard}");
    for secret in [token.as_str(), &lent.password, SUPERUSER_PASSWORD] {
        assert!(!log.contains(secret), "the target was told");
        assert!(!heard.contains(secret), "the device was told");
    }
    assert!(!heard.to_lowercase().contains("x-vault-token") && !heard.contains("X-Any"));
}
