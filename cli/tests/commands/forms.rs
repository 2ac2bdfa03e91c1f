//! The forms of a result: YAML, raw, and wrapped.

use crate::support::{Run, Server, envelope};
use serde_json::json;

#[test]
fn an_answer_as_yaml_has_its_keys_in_order() {
    let server = Server::with(&[(200, &envelope(&json!({"b": ["x", "yes"], "a": "1"})))]);
    let out = Run::at(&server, &["read", "-format=yaml", "kv/x"]).run().ok();
    assert_eq!(
        out,
        "data:\n  a: \"1\"\n  b:\n  - x\n  - \"yes\"\n\
         lease_duration: 0\nlease_id: \"\"\nrenewable: false\nrequest_id: r-1\nwarnings: null\n"
    );
}

#[test]
fn lists_mounts_and_fields_have_their_yaml() {
    let keys = envelope(&json!({"keys": ["app", "b/"]}));
    let server = Server::with(&[(200, &keys), (200, &keys)]);
    let out = Run::at(&server, &["list", "-format=yaml", "kv"]).run().ok();
    assert_eq!(out, "- app\n- b/\n");
    let out = Run::at(&server, &["read", "-format=yaml", "-field=keys", "kv"]).run().ok();
    assert_eq!(out, "- app\n- b/\n");
    let mounts = envelope(&json!({"database/": {"type": "database"}}));
    let server = Server::with(&[(200, &mounts)]);
    let out = Run::at(&server, &["secrets", "list", "-format=yaml"]).run().ok();
    assert_eq!(out, "database/:\n  type: database\n");
    let server = Server::with(&[(200, r#"{"sealed":false}"#), (404, r#"{"errors":[]}"#)]);
    assert_eq!(Run::at(&server, &["status", "-format=yaml"]).run().ok(), "sealed: false\n");
}

#[test]
fn the_raw_form_is_the_answer_letter_for_letter() {
    let body = "{\"request_id\":\"r\",  \"data\":{\"keys\":[\"a\"],\"n\":1.50},\n \"extra\":null}";
    for arguments in [&["read", "kv"][..], &["list", "kv"], &["secrets", "list"]] {
        let server = Server::with(&[(200, body)]);
        let out = Run::at(&server, &[arguments, &["-format=raw"]].concat()).run().ok();
        assert_eq!(out, body, "{arguments:?}");
    }
    let server = Server::with(&[(200, body)]);
    let out = Run::at(&server, &["read", "-format=raw", "-field=keys", "kv"]).run().ok();
    assert_eq!(out, "[\"a\"]");
}

#[test]
fn a_wish_for_wrapping_reaches_the_server_whose_refusal_is_shown() {
    let refusal = r#"{"errors":["response wrapping is not supported"]}"#;
    for (flag, variable) in [(Some("-wrap-ttl=5m"), ""), (None, "300")] {
        let server = Server::with(&[(400, refusal)]);
        let mut arguments = vec!["read", "database/creds/app"];
        arguments.extend(flag);
        let outcome = Run::at(&server, &arguments).env("VAULT_WRAP_TTL", variable).run();
        assert_eq!(outcome.exit, 2);
        assert!(outcome.err.contains("* response wrapping is not supported"), "{outcome:?}");
        assert_eq!(server.seen()[0].headers["x-vault-wrap-ttl"], "300s");
    }
}

#[test]
fn what_is_unwrapped_is_shown_as_if_it_had_come_open() {
    let body = envelope(&json!({"password": "s3cret", "username": "u"}));
    let server = Server::with(&[(200, &body), (200, &body), (200, &body)]);
    let out = Run::at(&server, &["unwrap", "-field=password", "hvs.w"]).run().ok();
    assert_eq!(out, "s3cret");
    let out = Run::at(&server, &["unwrap", "-"]).stdin("hvs.w\n").run().ok();
    assert!(out.contains("password    s3cret\n"), "{out}");
    Run::at(&server, &["unwrap"]).run().ok();
    let seen = server.seen();
    assert!(seen.iter().all(|seen| seen.line == "PUT /v1/sys/wrapping/unwrap"));
    let named = json!({"token": "hvs.w"});
    assert_eq!((&seen[0].body, &seen[1].body), (&named, &named));
    assert!(seen[2].body.is_null(), "the token to act with is the one that is opened");
}

#[test]
fn a_secret_that_came_open_instead_of_wrapped_is_not_shown() {
    let id = "database/creds/app/01jdx3m5k8v2q7t4w9y6z1b0ce";
    let body = json!({"request_id": "r", "lease_id": id, "renewable": true,
        "lease_duration": 60, "data": {"password": "s3cret"}, "wrap_info": null});
    let server = Server::with(&[(200, &body.to_string())]);
    let outcome = Run::at(&server, &["read", "-wrap-ttl=60", "database/creds/app"]).run();
    assert_eq!((outcome.exit, outcome.out.as_str()), (2, ""));
    assert!(!outcome.err.contains("s3cret"), "{outcome:?}");
    assert!(outcome.err.contains(&format!("leasehold lease revoke {id}")), "{outcome:?}");
}

#[test]
fn a_wrapped_answer_is_shown_and_a_wish_of_zero_is_none() {
    let body = json!({"request_id": "", "lease_id": "", "renewable": false, "lease_duration": 0,
        "data": null, "wrap_info": {"token": "hvs.wrap", "ttl": 60}});
    let server = Server::with(&[(200, &body.to_string()), (200, &envelope(&json!({"a": "1"})))]);
    let out = Run::at(&server, &["read", "-wrap-ttl=60", "kv/x"]).run().ok();
    assert!(out.contains("wrapping_token        hvs.wrap\n"), "{out}");
    Run::at(&server, &["read", "-wrap-ttl=0", "kv/x"]).run().ok();
    assert!(!server.seen()[1].headers.contains_key("x-vault-wrap-ttl"));
}
