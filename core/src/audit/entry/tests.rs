//! Tests of what a line shows, and of what it must not.

use super::*;
use serde_json::json;

const NOW: Timestamp = Timestamp(0);

fn key() -> Locked<hmac::Key> {
    Locked::new(hmac::Key::new(hmac::HMAC_SHA256, b"k"))
}

fn veil(key: &Locked<hmac::Key>) -> Veil<'_> {
    Veil { key, at: 0 }
}

fn by(key: &Locked<hmac::Key>, text: &str) -> Hidden {
    Hidden::by(std::slice::from_ref(key), text)
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
        headers: Vec::new(),
        from: Some(ClientAddress::new("[::1]:5".parse().unwrap())),
    }
}

fn who(key: &Locked<hmac::Key>) -> Who {
    let holder = Holder {
        accessor: by(key, "a"),
        display_name: "token-x".into(),
        policies: vec!["root".into()],
        token_policies: vec!["root".into()],
        identity_policies: Vec::new(),
        entity_id: String::new(),
        metadata: BTreeMap::new(),
        kind: "service",
        ttl: 60,
        issued_at: NOW.rfc3339(),
    };
    let client_token = Some(by(key, "canary-token"));
    Who { client_token, holder: Some(holder), allowed: true, granting: Arc::default() }
}

#[test]
fn no_string_of_a_body_or_secret_is_in_the_line() {
    let (key, asked_for) = (key(), asked_for());
    let secret = Secret::new(vec![("password", Field::Hidden(SecretText::new("canary-4".into())))]);
    let answer = Answer::secret("database/creds/app/x".into(), &secret, std::slice::from_ref(&key));
    let line = answered(&asked_for, Some(&who(&key)), &answer, NOW, veil(&key)).unwrap();
    assert!(!line.contains("canary"), "{line}");
    let told = Answer::data(Some(json!({ "a": ["canary-5"] })));
    let told = answered(&asked_for, None, &told, NOW, veil(&key)).unwrap();
    assert!(!told.contains("canary"), "{told}");
    assert!(!asked(&asked_for, None, None, NOW, veil(&key)).unwrap().contains("canary"));
    for shown in [
        format!("{asked_for:?}"),
        format!("{:?}", Answer::data(asked_for.data.clone())),
        format!("{:?}", Answer::data(Some(json!({ "auth": { "client_token": "canary" } })))),
    ] {
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn a_number_is_hidden_in_what_callers_wrote_themselves() {
    let key = key();
    let line = |answer: Answer| read(line::answered(&asked_for(), None, &answer, NOW, veil(&key)));
    let data = || Some(json!({ "n": 12345 }));
    assert_eq!(line(Answer::data(data()))["response"]["data"]["n"], 12345);
    assert_eq!(line(Answer::theirs(data()))["response"]["data"]["n"], hidden(&key, "12345"));
}

#[test]
fn a_token_in_a_path_is_hidden() {
    let key = key();
    let hash = hidden(&key, "hvs.abc");
    let path = "auth/token/lookup/hvs.abc/x".to_owned();
    let asked = Asked { path, ..asked_for() };
    let error = "no handler for route \"auth/token/lookup/hvs.abc/x\"";
    let line = read(line::asked(&asked, None, Some(error), NOW, veil(&key)));
    assert_eq!(line["request"]["path"], format!("auth/token/lookup/{hash}/x"));
    assert_eq!(line["error"], format!("no handler for route \"auth/token/lookup/{hash}/x\""));
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
            "n": hidden(&key, "7"),
        },
        "remote_address": "::1",
        "remote_port": 5,
    });
    let line = read(asked(&asked_for(), Some(&who(&key)), None, NOW, veil(&key)));
    let time = NOW.rfc3339();
    assert_eq!(line, json!({ "time": time, "type": "request", "auth": auth, "request": request }));

    let answer = Answer::lease("l".into());
    let line = read(answered(&asked_for(), Some(&who(&key)), &answer, NOW, veil(&key)));
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
    let line = read(answered(&asked_for(), Some(&who(&key)), &answer, NOW, veil(&key)));
    let auth = json!({
        "client_token": hidden(&key, "canary"),
        "accessor": hidden(&key, "b"),
        "display_name": "token-y",
        "policies": ["p"],
        "other": hidden(&key, "c"),
    });
    assert_eq!(line["response"], json!({ "auth": auth }));
    let plain = Answer::data(Some(json!({ "auth": "canary", "b": 1 })));
    let line = read(answered(&asked_for(), None, &plain, NOW, veil(&key)));
    let data = json!({ "auth": hidden(&key, "canary"), "b": 1 });
    assert_eq!(line["response"], json!({ "data": data }));
}

#[test]
fn who_is_refused_is_told_apart_by_the_hash_of_what_they_sent() {
    let key = key();
    let guess = SecretText::new("canary".into());
    let stranger = Who::stranger(Some(&guess), std::slice::from_ref(&key));
    let line = read(asked(&asked_for(), Some(&stranger), Some("no"), NOW, veil(&key)));
    assert_eq!(line["request"]["client_token"], hidden(&key, "canary"));
    assert_eq!(line["auth"], json!({ "policy_results": { "allowed": false } }));
    assert_eq!(line["error"], "no");
    let none = read(asked(
        &asked_for(),
        Some(&Who::stranger(None, std::slice::from_ref(&key))),
        None,
        NOW,
        veil(&key),
    ));
    assert_eq!(none["request"].get("client_token"), None);
    let denied = read(asked(&asked_for(), Some(&who(&key).denied()), None, NOW, veil(&key)));
    assert_eq!(denied["auth"]["policy_results"]["allowed"], false);
    assert_eq!(denied["auth"]["display_name"], "token-x");
}

#[test]
fn each_device_hides_with_its_own_key() {
    let keys = [b"a", b"b"].map(|key| Locked::new(hmac::Key::new(hmac::HMAC_SHA256, key)));
    let guess = SecretText::new("canary".into());
    let secret = Secret::new(vec![("password", Field::Open("canary".into()))]);
    let stranger = Who::stranger(Some(&guess), &keys);
    let answer = Answer::secret("l".into(), &secret, &keys);
    for (at, key) in keys.iter().enumerate() {
        let line = answered(&asked_for(), Some(&stranger), &answer, NOW, Veil { key, at });
        let line = read(line);
        assert_eq!(line["request"]["client_token"], hidden(key, "canary"));
        assert_eq!(line["response"]["data"]["password"], hidden(key, "canary"));
        assert_eq!(line["request"]["data"]["n"], hidden(key, "7"));
    }
}

#[test]
fn a_line_does_not_grow_with_what_is_sent() {
    let key = key();
    let long = "x".repeat(5000);
    let many: Vec<_> = (0..2000).map(|number| json!([number, true])).collect();
    let data = json!({ "long": long, "many": many, "short": ["a"] });
    let sent = Asked { data: Some(data.clone()), ..asked_for() };
    let shown = json!({
        "long": { "hmac": hidden(&key, &long), "length": 5000 },
        "many": { "hmac": hidden(&key, &data["many"].to_string()), "length": data["many"].to_string().len() },
        "short": [hidden(&key, "a")],
    });
    let line = asked(&sent, Some(&who(&key)), None, NOW, veil(&key)).unwrap();
    assert!(line.len() < 2000, "{}", line.len());
    assert_eq!(read(Ok(line))["request"]["data"], shown);

    // Of a stranger, the body as a whole.
    let sent = Asked { data: Some(json!({ "a".repeat(1100): 1 })), ..asked_for() };
    let text = sent.data.as_ref().unwrap().to_string();
    let stranger = Who::stranger(None, std::slice::from_ref(&key));
    let line = read(asked(&sent, Some(&stranger), None, NOW, veil(&key)));
    let shown = json!({ "hmac": hidden(&key, &text), "length": text.len() });
    assert_eq!(line["request"]["data"], shown);
    let line = read(asked(&sent, Some(&who(&key)), None, NOW, veil(&key)));
    assert!(line["request"]["data"].as_object().unwrap().contains_key(&"a".repeat(1100)));
    let told = Answer::data(Some(json!({ "keys": vec!["a"; 5000] })));
    let line = answered(&asked_for(), Some(&who(&key)), &told, NOW, veil(&key)).unwrap();
    assert!(line.len() < 2500, "{}", line.len());

    // Of whoever has a token as well: many values, and names of fields, which are shown as they are.
    let many: Map<_, _> = (0..2000).map(|number| (number.to_string(), json!("x"))).collect();
    for data in [
        Value::Object(many),
        json!({ "list": vec!["x"; 1000] }),
        json!({ "list": vec![7; 400] }),
        json!({ "a".repeat(17_000): 1 }),
        json!({ "\u{1}".repeat(3000): 1 }),
        json!({ "deep": { "b".repeat(4000): "c" }, "c".repeat(4000): [], "d".repeat(9000): {} }),
    ] {
        let text = data.to_string();
        let shown = json!({ "hmac": hidden(&key, &text), "length": text.len() });
        let told = Answer::theirs(Some(data.clone()));
        let told = answered(&asked_for(), Some(&who(&key)), &told, NOW, veil(&key)).unwrap();
        assert_eq!(read(Ok(told))["response"]["data"], shown);
        let sent = Asked { data: Some(data), ..asked_for() };
        let line = asked(&sent, Some(&who(&key)), None, NOW, veil(&key)).unwrap();
        assert_eq!(read(Ok(line))["request"]["data"], shown);
    }
    let many = json!({ "list": vec!["x"; 30], "n": vec![7; 30], "no": vec![true; 30] });
    let sent = Asked { data: Some(many), ..asked_for() };
    let stranger_is_shown = asked(&sent, Some(&stranger), None, NOW, veil(&key)).unwrap();
    assert!(stranger_is_shown.len() < 1000, "{stranger_is_shown}");
    let line = read(asked(&sent, Some(&who(&key)), None, NOW, veil(&key)));
    assert_eq!(line["request"]["data"]["list"][29], hidden(&key, "x"));
}

#[test]
fn a_line_does_not_grow_with_what_is_noted_on_a_token_nor_with_an_error() {
    let key = key();
    let mut noted = who(&key);
    let holder = noted.holder.as_mut().unwrap();
    holder.display_name = "n".repeat(1 << 20);
    holder.metadata = [("k".to_owned(), "v".repeat(1 << 20))].into();
    let text = json!(holder.metadata).to_string();
    let error = format!("no field `{}`", "é".repeat(1 << 20));
    let line = asked(&asked_for(), Some(&noted), Some(&error), NOW, veil(&key)).unwrap();
    assert!(line.len() < 8000, "{}", line.len());
    let line = read(Ok(line));
    let auth = &line["auth"];
    assert_eq!(auth["display_name"], hidden(&key, &"n".repeat(1 << 20)));
    assert_eq!(auth["metadata"], json!({ "hmac": hidden(&key, &text), "length": text.len() }));
    assert!(error.starts_with(line["error"].as_str().unwrap()));

    let mut noted = who(&key);
    noted.holder.as_mut().unwrap().metadata = [("k".to_owned(), "v".to_owned())].into();
    let line = read(asked(&asked_for(), Some(&noted), None, NOW, veil(&key)));
    assert_eq!(line["auth"]["metadata"], json!({ "k": "v" }));
}

#[test]
fn what_was_sent_is_hidden_in_an_error_that_tells_it_again() {
    let key = key();
    let data = json!({ "ttl": "canary \"1\"", "n": 72_039, "list": ["a", "canary-2, canary-3"], "no": "b" });
    let sent = Asked { data: Some(data), ..asked_for() };
    for error in [
        "invalid duration \"canary \\\"1\\\"\"",
        "`canary \"1\"` is no time",
        "`72039` is too much",
        "no `canary-3` is known",
    ] {
        for line in [
            asked(&sent, None, Some(error), NOW, veil(&key)).unwrap(),
            answered(&sent, None, &Answer::error(error), NOW, veil(&key)).unwrap(),
        ] {
            assert!(!line.contains("canary") && !line.contains("72039"), "{line}");
            assert!(line.contains(r#""error":"#), "{line}");
        }
    }
    let line = read(asked(&sent, None, Some("permission denied"), NOW, veil(&key)));
    assert_eq!(line["error"], "permission denied");
}
