//! Secrets in every field and of every kind, and that none of them is anywhere afterwards: audit, logs, store, errors.
//!
//! Named after what others have leaked: CVE-2024-8365 (tokens and accessors in the audit), CVE-2025-62513 (bytes and
//! raw bodies in it), CVE-2025-62705 (values of kinds that nobody had thought of).

#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

use crate::lending::Lending;
use leasehold_integration_tests::server::Place;
use serde_json::{Value, json};
use std::fs;

/// In every text; no other text has it.
const CANARY: &str = "c4n4ry";
/// The same as a number, as who has a password of digits may write it.
const NUMBER: u64 = 7_203_948_571_936_405;

/// The canary as bytes are written in JSON.
fn forms() -> Vec<String> {
    let number = NUMBER.to_string();
    vec![CANARY.to_owned(), number, "YzRuNHJ5".to_owned()]
}

fn assert_nowhere(what: &str, text: &[u8]) {
    for line in text.split(|byte| *byte == b'\n') {
        for form in forms() {
            let mut windows = line.windows(form.len());
            let is_there = windows.any(|window| window.eq_ignore_ascii_case(form.as_bytes()));
            assert!(!is_there, "{form} is in {what}: {}", String::from_utf8_lossy(line));
        }
    }
}

/// A body with a canary of every kind under each name.
fn body(names: &[&str], kind: usize) -> Value {
    let kinds = [
        json!(format!("{CANARY}-text")),
        json!(NUMBER),
        json!([format!("{CANARY}-a"), NUMBER, [format!("{CANARY}-b")]]),
        json!({ "in": { "deep": format!("{CANARY}-c"), "n": NUMBER } }),
        json!("YzRuNHJ5"),
        json!(format!("{CANARY}{}", "x".repeat(5000))),
        json!(format!("{CANARY}=pair,{CANARY}")),
    ];
    let fields = names.iter().map(|name| ((*name).to_owned(), kinds[kind].clone()));
    Value::Object(fields.collect())
}

#[tokio::test]
async fn cve_2025_62513_and_62705_no_field_of_any_kind_shows_a_secret() {
    let place = Place::new();
    let lending = Lending::on(place.found().await).await;
    let server = &lending.server;
    let paths: [(&str, &[&str]); 12] = [
        ("sys/mounts/x", &["type", "description", "config", "options"]),
        ("sys/mounts/database/tune", &["description", "default_lease_ttl", "options"]),
        (
            "database/config/pg",
            &["password", "username", "connection_url", "tls_ca", "private_key"],
        ),
        ("database/config/other", &["plugin_name", "password", "connection_url", "allowed_roles"]),
        ("database/roles/app", &["creation_statements", "default_ttl", "username_template"]),
        ("auth/token/create", &["id", "policies", "ttl", "meta", "display_name", "num_uses"]),
        ("auth/token/lookup", &["token"]),
        ("auth/token/revoke-accessor", &["accessor"]),
        ("sys/leases/lookup", &["lease_id"]),
        ("sys/audit-hash/first", &["input"]),
        ("sys/whois", &["name"]),
        ("sys/unknown", &["password", "nobody-knows-it"]),
    ];
    for (path, names) in paths {
        for kind in 0..7 {
            for token in [server.token.as_str(), "wrong", ""] {
                let answer = server.ask(token, "POST", path, body(names, kind)).await;
                // Who wrote a value may be told it again; who has no token sees nothing of it.
                if token != server.token {
                    assert_eq!(answer.status, 403, "{path} {}", answer.text);
                    assert_nowhere(path, answer.text.as_bytes());
                }
            }
        }
    }
    // Bodies that are no JSON, or no object, and what is asked in the query.
    let token = server.token.as_str();
    for raw in [
        format!("{{\"password\":\"{CANARY}"),
        format!("\"{CANARY}\""),
        format!("[\"{CANARY}\",{NUMBER}]"),
        format!("password={CANARY}&n={NUMBER}"),
        format!("{{\"a\":\"\\ud800{CANARY}\"}}"),
    ] {
        for content in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
            let headers = [("Content-Type", content)];
            let sent =
                server.send(token, "POST", "sys/mounts/y", &headers, raw.clone().into_bytes());
            assert_nowhere("an answer", sent.await.text.as_bytes());
        }
    }
    let query = format!("database/creds/nope?password={CANARY}&n={NUMBER}&list={CANARY}");
    let _ = server.get(&query).await;
    let key = format!("{CANARY}-key");
    let headers =
        [("Idempotency-Key", key.as_str()), ("X-Request", CANARY), ("User-Agent", CANARY)];
    let _ = server.send(token, "GET", "database/creds/app", &headers, Vec::new()).await;

    let record = fs::read(place.path("audit")).unwrap();
    assert_nowhere("the audit", &record);
    assert!(record.split(|byte| *byte == b'\n').count() > 400);
    assert_nowhere("the log", server.log().as_bytes());
    assert!(lending.server.end().success());
    for entry in fs::read_dir(place.path("store")).unwrap() {
        assert_nowhere("the store", &fs::read(entry.unwrap().path()).unwrap());
    }
}

#[tokio::test]
async fn cve_2024_8365_no_token_or_accessor_is_in_the_record_whatever_asked_for_it() {
    let place = Place::new();
    let lending = Lending::on(place.found().await).await;
    let server = &lending.server;
    let made = server.post("auth/token/create", json!({ "policies": ["root"] })).await.expect(200);
    let (token, accessor) = (made.at("/auth/client_token"), made.at("/auth/accessor"));
    let lent = server.ask(token, "GET", "database/creds/app", Value::Null).await.expect(200);
    for (path, body) in [
        ("auth/token/lookup", json!({ "token": token })),
        ("auth/token/lookup-accessor", json!({ "accessor": accessor })),
        ("auth/token/renew", json!({ "token": token })),
        ("sys/audit-hash/first", json!({ "input": token })),
        ("sys/whois", json!({ "name": accessor })),
        ("auth/token/revoke-accessor", json!({ "accessor": accessor })),
    ] {
        let _ = server.post(path, body).await;
    }
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let _ = server.send("", "GET", "sys/mounts", &headers, Vec::new()).await.expect(403);
    let record = fs::read_to_string(place.path("audit")).unwrap();
    let log = server.log();
    for secret in [token, accessor, server.token.as_str(), lent.at("/data/password")] {
        assert!(!record.contains(secret), "{secret} is in the audit");
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
