//! Tests of what a line shows, and of what it must not.

use super::*;
use serde_json::json;

const NOW: Timestamp = Timestamp(0);

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, b"k")
}

fn read(line: Result<String, serde_json::Error>) -> Value {
    serde_json::from_str(&line.unwrap()).unwrap()
}

fn asked_for() -> Asked {
    Asked {
        id: "r".into(),
        operation: Operation::Update,
        path: "database/config/pg".into(),
        mount: Some(AskedMount {
            point: "database/".into(),
            kind: "database".into(),
            accessor: "database_1".into(),
        }),
        data: Some(
            json!({ "password": "canary-1", "list": ["canary-2", { "deep": "canary-3" }], "n": 7 }),
        ),
        remote_address: "::1".into(),
        remote_port: 5,
    }
}

fn who(key: &hmac::Key) -> Who {
    let holder = Holder {
        accessor: hidden(key, "a"),
        display_name: "token-x".into(),
        policies: vec!["root".into()],
        metadata: BTreeMap::new(),
        ttl: 60,
        issued_at: NOW.rfc3339(),
    };
    let client_token = Some(hidden(key, "canary-token"));
    Who { client_token, holder: Some(holder), allowed: true }
}

#[test]
fn no_string_of_a_body_or_secret_is_in_the_line() {
    let (key, asked_for) = (key(), asked_for());
    let secret = Secret::new(vec![("password", Field::Hidden(SecretText::new("canary-4".into())))]);
    let answer = Answer::secret("database/creds/app/x".into(), &secret, &key);
    let line = answered(&asked_for, Some(&who(&key)), &answer, NOW, &key).unwrap();
    assert!(!line.contains("canary"), "{line}");
    let told = Answer::data(Some(json!({ "a": ["canary-5"] })));
    let told = answered(&asked_for, None, &told, NOW, &key).unwrap();
    assert!(!told.contains("canary"), "{told}");
    assert!(!asked(&asked_for, None, None, NOW, &key).unwrap().contains("canary"));
    for shown in [
        format!("{asked_for:?}"),
        format!("{:?}", Answer::data(asked_for.data.clone())),
        format!("{:?}", Answer::data(Some(json!({ "auth": { "client_token": "canary" } })))),
    ] {
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn a_line_has_the_fields_of_vaults() {
    let key = key();
    let (token, accessor) = (hidden(&key, "canary-token"), hidden(&key, "a"));
    let auth = json!({
        "client_token": token,
        "accessor": accessor,
        "display_name": "token-x",
        "policies": ["root"],
        "token_policies": ["root"],
        "policy_results": { "allowed": true },
        "token_type": "service",
        "token_ttl": 60,
        "token_issue_time": NOW.rfc3339(),
    });
    let request = json!({
        "id": "r",
        "operation": "update",
        "mount_point": "database/",
        "mount_type": "database",
        "mount_accessor": "database_1",
        "client_token": token,
        "client_token_accessor": accessor,
        "namespace": { "id": "root" },
        "path": "database/config/pg",
        "data": {
            "password": hidden(&key, "canary-1"),
            "list": [hidden(&key, "canary-2"), { "deep": hidden(&key, "canary-3") }],
            "n": 7,
        },
        "remote_address": "::1",
        "remote_port": 5,
    });
    let line = read(asked(&asked_for(), Some(&who(&key)), None, NOW, &key));
    let time = NOW.rfc3339();
    assert_eq!(line, json!({ "time": time, "type": "request", "auth": auth, "request": request }));

    let answer = Answer::lease("l".into());
    let line = read(answered(&asked_for(), Some(&who(&key)), &answer, NOW, &key));
    let response = json!({ "secret": { "lease_id": "l" } });
    assert_eq!(
        line,
        json!({
            "time": time, "type": "response", "auth": auth, "request": request, "response": response,
        })
    );
}

#[test]
fn a_token_that_is_told_is_recorded_as_auth() {
    let key = key();
    let told = json!({
        "client_token": "canary", "accessor": "b", "display_name": "token-y", "policies": ["p"], "other": "c",
    });
    let answer = Answer::data(Some(json!({ "auth": told })));
    let line = read(answered(&asked_for(), Some(&who(&key)), &answer, NOW, &key));
    let auth = json!({
        "client_token": hidden(&key, "canary"),
        "accessor": hidden(&key, "b"),
        "display_name": "token-y",
        "policies": ["p"],
        "other": hidden(&key, "c"),
    });
    assert_eq!(line["response"], json!({ "auth": auth }));
    let plain = Answer::data(Some(json!({ "auth": "canary", "b": 1 })));
    let line = read(answered(&asked_for(), None, &plain, NOW, &key));
    let data = json!({ "auth": hidden(&key, "canary"), "b": 1 });
    assert_eq!(line["response"], json!({ "data": data }));
}

#[test]
fn who_is_refused_is_told_apart_by_the_hash_of_what_they_sent() {
    let key = key();
    let guess = SecretText::new("canary".into());
    let stranger = Who::stranger(Some(&guess), &key);
    let line = read(asked(&asked_for(), Some(&stranger), Some("no"), NOW, &key));
    assert_eq!(line["request"]["client_token"], hidden(&key, "canary"));
    assert_eq!(line["auth"], json!({ "policy_results": { "allowed": false } }));
    assert_eq!(line["error"], "no");
    let none = read(asked(&asked_for(), Some(&Who::stranger(None, &key)), None, NOW, &key));
    assert_eq!(none["request"].get("client_token"), None);
    let denied = read(asked(&asked_for(), Some(&who(&key).denied()), None, NOW, &key));
    assert_eq!(denied["auth"]["policy_results"]["allowed"], false);
    assert_eq!(denied["auth"]["display_name"], "token-x");
}
