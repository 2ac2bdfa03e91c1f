//! `read`, `write`, `list`, `delete`: what goes out and what is shown.

use crate::support::{Run, Server, envelope};
use serde_json::json;

const CREDENTIAL: &str = r#"{"request_id":"73335db0","lease_id":"database/creds/app/6gs1",
    "renewable":true,"lease_duration":3600,"data":{"password":"DF-d","username":"v-app"},
    "wrap_info":null,"warnings":null,"auth":null}"#;

#[test]
fn a_credential_is_read_with_one_get_and_shown_as_a_table() {
    let server = Server::with(&[(200, CREDENTIAL)]);
    let out = Run::at(&server, &["read", "database/creds/app"]).run().ok();
    assert_eq!(
        out,
        "Key                Value\n\
         ---                -----\n\
         lease_id           database/creds/app/6gs1\n\
         lease_duration     1h\n\
         lease_renewable    true\n\
         password           DF-d\n\
         username           v-app\n"
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line, "GET /v1/database/creds/app");
    assert_eq!(seen[0].headers["x-vault-token"], "tok-1");
    assert_eq!(seen[0].headers["x-vault-request"], "true");
    assert!(seen[0].body.is_null());
}

#[test]
fn json_is_the_envelope_in_vaults_order() {
    let server = Server::with(&[(200, CREDENTIAL)]);
    let out = Run::at(&server, &["read", "-format=json", "database/creds/app"]).run().ok();
    assert_eq!(
        out,
        r#"{
  "request_id": "73335db0",
  "lease_id": "database/creds/app/6gs1",
  "lease_duration": 3600,
  "renewable": true,
  "data": {
    "password": "DF-d",
    "username": "v-app"
  },
  "warnings": null
}
"#
    );
}

#[test]
fn a_field_is_bare_and_has_no_newline_in_a_pipe() {
    for (field, value) in
        [("password", "DF-d"), ("lease_duration", "3600"), ("lease_id", "database/creds/app/6gs1")]
    {
        let server = Server::with(&[(200, CREDENTIAL)]);
        let flag = format!("-field={field}");
        assert_eq!(Run::at(&server, &["read", &flag, "database/creds/app"]).run().ok(), value);
    }
}

#[test]
fn a_field_may_be_json() {
    let server = Server::with(&[(200, CREDENTIAL), (200, CREDENTIAL)]);
    let run = |field| Run::at(&server, &["read", "-format=json", field, "database/creds/app"]);
    assert_eq!(run("-field=password").run().ok(), "\"DF-d\"\n");
    let out = run("-field=data").run().ok();
    assert_eq!(out, "{\n  \"password\": \"DF-d\",\n  \"username\": \"v-app\"\n}\n");
}

#[test]
fn a_field_that_is_not_there_is_an_error_that_names_those_that_are() {
    let server = Server::with(&[(200, CREDENTIAL)]);
    let outcome = Run::at(&server, &["read", "-field=pasword", "database/creds/app"]).run();
    assert_eq!((outcome.exit, outcome.out.as_str()), (1, ""));
    assert_eq!(
        outcome.err,
        "Field \"pasword\" not present in secret\n\n\
         It has: lease_id, lease_duration, lease_renewable, password, username.\n"
    );
}

#[test]
fn warnings_go_to_standard_error() {
    let body = CREDENTIAL.replace(r#""warnings":null"#, r#""warnings":["TTL is capped"]"#);
    let server = Server::with(&[(200, &body)]);
    let outcome = Run::at(&server, &["read", "-field=username", "database/creds/app"]).run();
    assert_eq!((outcome.exit, outcome.out.as_str()), (0, "v-app"));
    assert_eq!(
        outcome.err,
        "WARNING! The following warnings were returned by the server:\n\n  * TTL is capped\n\n"
    );
}

#[test]
fn parameters_of_a_read_go_into_the_query() {
    let server = Server::with(&[(200, &envelope(&json!({"a": 1})))]);
    Run::at(&server, &["read", "kv/data/a", "version=2", "q=x y&z"]).run().ok();
    assert_eq!(server.lines(), ["GET /v1/kv/data/a?q=x+y%26z&version=2"]);
}

#[test]
fn paths_are_sent_as_they_are_meant() {
    for (path, line) in [
        ("/kv/a/", "GET /v1/kv/a"),
        ("kv/a b?c#d%2f", "GET /v1/kv/a%20b%3Fc%23d%252f"),
        ("kv//a", "GET /v1/kv//a"),
    ] {
        let server = Server::with(&[(200, &envelope(&json!({"a": 1})))]);
        Run::at(&server, &["read", path]).run().ok();
        assert_eq!(server.lines(), [line]);
    }
    for path in ["kv/../sys/mounts", "./kv", "", "/"] {
        let server = Server::with(&[]);
        let outcome = Run::at(&server, &["read", path]).run();
        assert_ne!(outcome.exit, 0, "{path}");
        assert_eq!(server.lines().len(), 0, "{path}");
    }
}

#[test]
fn an_address_may_have_a_path_of_its_own() {
    let server = Server::with(&[(200, &envelope(&json!({"a": 1})))]);
    let address = format!("{}/behind/", server.address);
    Run::of(&["read", "kv/a", "-address", &address]).run().ok();
    assert_eq!(server.lines(), ["GET /v1/../behind/v1/kv/a".replace("/v1/../", "/")]);
}

#[test]
fn what_is_not_there_is_exit_code_2() {
    let server = Server::with(&[(404, r#"{"errors":[]}"#)]);
    let outcome = Run::at(&server, &["read", "kv/nope"]).run();
    assert_eq!((outcome.exit, outcome.out.as_str()), (2, ""));
    assert_eq!(outcome.err, "No value found at kv/nope\n");

    let server = Server::with(&[(404, r#"{"errors":["no handler for route \"x/y\""]}"#)]);
    let outcome = Run::at(&server, &["list", "x/y"]).run();
    assert_eq!(outcome.exit, 2);
    assert_eq!(
        outcome.err,
        "No value found at x/y\n\n* no handler for route \"x/y\"\n\n\
         `leasehold secrets list` shows what is mounted where.\n"
    );
}

#[test]
fn a_404_with_data_is_shown() {
    let body = envelope(&json!({"data": null, "metadata": {"destroyed": true}}));
    let server = Server::with(&[(404, &body)]);
    let out = Run::at(&server, &["read", "secret/data/gone"]).run().ok();
    assert!(out.contains(r#"{"destroyed":true}"#), "{out}");
}

#[test]
fn an_answer_without_an_envelope_is_shown_whole() {
    let server = Server::with(&[(200, r#"{"initialized":true}"#)]);
    let out = Run::at(&server, &["read", "sys/init"]).run().ok();
    assert_eq!(out, "Key            Value\n---            -----\ninitialized    true\n");
}

#[test]
fn values_are_written_with_one_put() {
    let server = Server::with(&[(204, "")]);
    let arguments = [
        "write",
        "database/roles/app",
        "db_name=shop",
        "creation_statements=one",
        "creation_statements=two",
        "note=@note.txt",
        "literal=\\@x",
        "password=-",
        "empty=",
        "equals=a=b",
    ];
    let run = Run::at(&server, &arguments).file("note.txt", "line\n").stdin("s3cret");
    assert_eq!(run.run().ok(), "Success! Data written to: database/roles/app\n");
    let seen = server.seen();
    assert_eq!(seen[0].line, "PUT /v1/database/roles/app");
    assert_eq!(seen[0].headers["content-type"], "application/json");
    assert_eq!(
        seen[0].body,
        json!({
            "db_name": "shop", "creation_statements": ["one", "two"], "note": "line\n",
            "literal": "@x", "password": "s3cret", "empty": "", "equals": "a=b"
        })
    );
}

#[test]
fn a_whole_object_comes_from_a_file_or_standard_input() {
    let object = json!({"ttl": 60, "list": [1, {"a": null}]});
    let server = Server::with(&[(204, ""), (204, "")]);
    let run = Run::at(&server, &["write", "kv/a", "@body.json", "more=x"]);
    run.file("body.json", &object.to_string()).run().ok();
    Run::at(&server, &["write", "kv/a", "-"]).stdin(&object.to_string()).run().ok();
    let seen = server.seen();
    assert_eq!(seen[0].body, json!({"ttl": 60, "list": [1, {"a": null}], "more": "x"}));
    assert_eq!(seen[1].body, object);
}

#[test]
fn a_write_needs_data_or_force() {
    let server = Server::with(&[(204, ""), (204, "")]);
    let outcome = Run::at(&server, &["write", "database/rotate-root/shop"]).run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.starts_with("Must supply data or use -force\n"), "{}", outcome.err);
    assert_eq!(server.lines().len(), 0);
    for force in ["-f", "-force"] {
        Run::at(&server, &["write", force, "database/rotate-root/shop"]).run().ok();
        assert_eq!(server.seen()[0].body, json!({}));
    }
}

#[test]
fn bad_data_is_refused_before_anything_is_sent() {
    for (arguments, error) in [
        (&["write", "kv/a", "a=@nope.txt"][..], "the file `nope.txt` cannot be read: No such file"),
        (&["write", "kv/a", "@nope.json"], "the file `nope.json` cannot be read: No such file"),
        (&["write", "kv/a", "a=1", "hunter2"], "argument 2 of the data has no `=`"),
        (&["write", "kv/a", "=hunter2"], "argument 1 of the data has no name"),
        (&["write", "kv/a", "a=-", "b=-"], "standard input (`-`) can be used only once"),
        (&["write", "kv/a", "-"], "standard input is not a JSON object: line 1, column"),
    ] {
        let server = Server::with(&[]);
        let outcome = Run::at(&server, arguments).stdin("not json").run();
        assert_eq!((outcome.exit, outcome.out.as_str()), (1, ""), "{arguments:?}");
        let expected = format!("Failed to parse K=V data: {error}");
        assert!(outcome.err.starts_with(&expected), "{}", outcome.err);
        assert!(!outcome.err.contains("hunter2"), "{}", outcome.err);
        assert_eq!(server.lines().len(), 0);
    }
}

#[test]
fn what_a_write_returns_is_shown_and_json_of_nothing_is_nothing() {
    let body = json!({"request_id": "r", "lease_id": "", "lease_duration": 0, "data": null,
        "auth": {"client_token": "hvs.1", "accessor": "a", "lease_duration": 3600,
                 "renewable": true, "policies": ["default"], "metadata": null}});
    let server = Server::with(&[(200, &body.to_string()), (204, "")]);
    let login = ["write", "-field=token", "auth/userpass/login/ann", "password=x"];
    assert_eq!(Run::at(&server, &login).run().ok(), "hvs.1");
    assert_eq!(Run::at(&server, &["write", "-format=json", "kv/a", "b=c"]).run().ok(), "");
}

#[test]
fn keys_are_listed_with_a_get_in_both_forms() {
    let body = envelope(&json!({"keys": ["app", "sub/"]}));
    let server =
        Server::with(&[(200, &body), (200, &body), (200, &envelope(&json!({"keys": []})))]);
    let out = Run::at(&server, &["list", "database/roles/"]).run().ok();
    assert_eq!(out, "Keys\n----\napp\nsub/\n");
    let out = Run::at(&server, &["list", "-format", "json", "database/roles"]).run().ok();
    assert_eq!(out, "[\n  \"app\",\n  \"sub/\"\n]\n");
    assert_eq!(Run::at(&server, &["list", "database/roles"]).run().exit, 2);
    assert_eq!(server.lines(), ["GET /v1/database/roles?list=true"; 3]);
}

#[test]
fn a_path_is_deleted() {
    let server = Server::with(&[(204, "")]);
    let out = Run::at(&server, &["delete", "database/roles/app"]).run().ok();
    assert_eq!(out, "Success! Data deleted (if it existed) at: database/roles/app\n");
    assert_eq!(server.lines(), ["DELETE /v1/database/roles/app"]);
}

#[test]
fn what_would_steer_the_terminal_is_shown_instead() {
    let server = Server::with(&[(200, &envelope(&json!({"a": "x\u{1b}[2Jy"})))]);
    let out = Run::at(&server, &["read", "kv/a"]).run().ok();
    assert!(out.ends_with("a      x\\u{1b}[2Jy\n"), "{out}");
}

#[test]
fn what_a_path_is_for_is_told_as_the_server_tells_it() {
    let help =
        json!({ "help": "Request:        a/b\n\nLends.\n", "openapi": {}, "see_also": null });
    let server = Server::with(&[(200, &help.to_string())]);
    let out = Run::at(&server, &["path-help", "/a/b"]).run().ok();
    assert_eq!(out, "Request:        a/b\n\nLends.\n");
    assert_eq!(server.lines(), ["GET /v1/a/b?help=1"]);
}
