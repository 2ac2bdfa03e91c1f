//! `token`: create, look up, renew, revoke.

use crate::support::{Run, Server, envelope};
use serde_json::{Value, json};

fn auth() -> String {
    json!({
        "request_id": "r-1", "lease_id": "", "renewable": false, "lease_duration": 0,
        "data": null, "wrap_info": null, "warnings": ["capped"],
        "auth": {
            "client_token": "hvs.new", "accessor": "acc", "policies": ["app", "default"],
            "token_policies": ["app", "default"], "identity_policies": [],
            "metadata": {"team": "blue"}, "lease_duration": 3600, "renewable": true
        }
    })
    .to_string()
}

#[test]
fn a_token_is_made_by_the_role_that_is_named() {
    let server = Server::with(&[(200, &auth())]);
    Run::at(&server, &["token", "create", "-role=ci", "-ttl=1h"]).run().ok();
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /v1/auth/token/create/ci");
    assert_eq!(seen[0].body, json!({"ttl": "3600s"}));
}

#[test]
fn what_a_token_may_do_at_a_path_is_told_of_the_own_one_and_of_others() {
    let answer = envelope(&json!({ "capabilities": ["update", "read"] }));
    let cases = [
        (&["a/b"][..], "capabilities-self", json!({"paths": ["a/b"]})),
        (&["-", "a/b"], "capabilities", json!({"paths": ["a/b"], "token": "hvs.x"})),
        (
            &["-accessor", "acc", "a/b"],
            "capabilities-accessor",
            json!({"paths": ["a/b"], "accessor": "acc"}),
        ),
    ];
    for (arguments, path, body) in cases {
        let server = Server::with(&[(200, &answer)]);
        let run = Run::at(&server, &[&["token", "capabilities"][..], arguments].concat());
        assert_eq!(run.stdin("hvs.x\n").run().ok(), "read, update\n");
        let seen = server.seen();
        assert_eq!(seen[0].line, format!("POST /v1/sys/{path}"));
        assert_eq!(seen[0].body, body, "{arguments:?}");
    }
    let nobody = Server::with(&[]);
    for arguments in [&["-accessor", "acc"][..], &[], &["a", "b", "c"]] {
        let run = Run::at(&nobody, &[&["token", "capabilities"][..], arguments].concat());
        assert_eq!(run.run().exit, 1, "{arguments:?}");
    }
}

#[test]
fn a_token_is_made_with_what_was_said_and_nothing_else() {
    let cases = [
        (&[][..], json!({})),
        (
            &["-policy=app", "-policy", "ops", "-ttl=1h"],
            json!({"policies": ["app", "ops"], "ttl": "3600s"}),
        ),
        (
            &["-orphan", "-no-default-policy", "-renewable=false", "-use-limit=3"],
            json!({"no_parent": true, "no_default_policy": true, "renewable": false,
                   "num_uses": 3}),
        ),
        (
            &["-period=90", "-explicit-max-ttl=2h", "-display-name=billing", "-type=service"],
            json!({"period": "90s", "explicit_max_ttl": "7200s", "display_name": "billing",
                   "type": "service"}),
        ),
        (
            &["-metadata=team=blue", "-metadata", "owner=@who"],
            json!({"meta": {"team": "blue", "owner": "ann"}}),
        ),
        (&["-id=-"], json!({"id": "my-id"})),
        (&["-entity-alias=ann"], json!({"entity_alias": "ann"})),
    ];
    for (flags, body) in cases {
        let server = Server::with(&[(200, &auth())]);
        let run = Run::at(&server, &[&["token", "create"][..], flags].concat());
        run.file("who", "ann").stdin("my-id\n").run().ok();
        let seen = server.seen();
        assert_eq!(seen[0].line, "POST /v1/auth/token/create");
        assert_eq!(seen[0].body, body, "{flags:?}");
    }
}

#[test]
fn a_new_token_is_shown_with_its_policies_or_alone() {
    let server = Server::with(&[(200, &auth()), (200, &auth())]);
    let outcome = Run::at(&server, &["token", "create"]).run();
    assert!(outcome.err.contains("  * capped\n"), "{outcome:?}");
    assert_eq!(
        outcome.ok(),
        "Key                  Value\n\
         ---                  -----\n\
         token                hvs.new\n\
         token_accessor       acc\n\
         token_duration       1h\n\
         token_renewable      true\n\
         token_policies       [\"app\",\"default\"]\n\
         identity_policies    []\n\
         policies             [\"app\",\"default\"]\n\
         token_meta_team      blue\n"
    );
    assert_eq!(Run::at(&server, &["token", "create", "-field=token"]).run().ok(), "hvs.new");
}

#[test]
fn standard_input_cannot_be_two_values_of_a_new_token() {
    let run = Run::of(&["token", "create", "-id=-", "-metadata=a=-"]).stdin("x");
    let outcome = run.run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.contains("only once"), "{outcome:?}");
}

#[test]
fn a_token_is_looked_up_and_renewed_by_itself_by_another_and_by_accessor() {
    for (arguments, line, body) in [
        (&["lookup"][..], "GET /v1/auth/token/lookup-self", Value::Null),
        (&["lookup", "hvs.x"], "POST /v1/auth/token/lookup", json!({"token": "hvs.x"})),
        (&["lookup", "-"], "POST /v1/auth/token/lookup", json!({"token": "hvs.stdin"})),
        (&["lookup", "@t"], "POST /v1/auth/token/lookup", json!({"token": "hvs.file"})),
        (
            &["lookup", "-accessor", "acc"],
            "POST /v1/auth/token/lookup-accessor",
            json!({"accessor": "acc"}),
        ),
        (&["renew"], "PUT /v1/auth/token/renew-self", json!({"increment": 0})),
        (
            &["renew", "-increment=1h", "-"],
            "PUT /v1/auth/token/renew",
            json!({"token": "hvs.stdin", "increment": 3600}),
        ),
        (
            &["renew", "-i", "5m", "-accessor", "acc"],
            "POST /v1/auth/token/renew-accessor",
            json!({"accessor": "acc", "increment": 300}),
        ),
    ] {
        let server = Server::with(&[(200, &envelope(&json!({"ttl": 3600})))]);
        let run = Run::at(&server, &[&["token"][..], arguments].concat());
        let out = run.stdin("hvs.stdin\n").file("t", "hvs.file\n").run().ok();
        assert!(out.ends_with("\nttl    1h\n"), "{out}");
        let seen = server.seen();
        assert_eq!((seen[0].line.as_str(), &seen[0].body), (line, &body), "{arguments:?}");
    }
}

#[test]
fn each_kind_of_revocation_of_a_token_has_its_path() {
    for (arguments, line, body) in [
        (&["hvs.x"][..], "PUT /v1/auth/token/revoke", json!({"token": "hvs.x"})),
        (&["-"], "PUT /v1/auth/token/revoke", json!({"token": "hvs.stdin"})),
        (&["-self"], "PUT /v1/auth/token/revoke-self", Value::Null),
        (&["-mode=orphan", "hvs.x"], "PUT /v1/auth/token/revoke-orphan", json!({"token": "hvs.x"})),
        (&["-accessor", "acc"], "POST /v1/auth/token/revoke-accessor", json!({"accessor": "acc"})),
        (
            &["-mode=path", "auth/userpass/login"],
            "PUT /v1/sys/leases/revoke-prefix/auth/userpass/login",
            Value::Null,
        ),
    ] {
        let server = Server::with(&[(204, "")]);
        let run = Run::at(&server, &[&["token", "revoke"][..], arguments].concat());
        let out = run.stdin("hvs.stdin\n").run().ok();
        assert_eq!(out, "Success! Revoked token (if it existed)\n");
        let seen = server.seen();
        assert_eq!((seen[0].line.as_str(), &seen[0].body), (line, &body), "{arguments:?}");
    }
}

#[test]
fn a_revocation_that_could_mean_two_tokens_is_not_sent() {
    for (arguments, words) in [
        (&[][..], "Too few arguments (expected 1 or -self, got 0)"),
        (&["-self", "hvs.x"], "Too many arguments with -self"),
        (&["-self", "-accessor"], "Cannot use -self with -accessor or -mode"),
        (&["-self", "-mode=orphan"], "Cannot use -self with -accessor or -mode"),
        (&["-accessor", "-mode=path", "x"], "Cannot use -accessor with -mode=path"),
        (&["-accessor", "-mode=orphan", "x"], "Cannot use -accessor with -mode"),
        (&["-accessor"], "-accessor wants an accessor"),
        (&["-mode=all", "x"], "orphan"),
    ] {
        let server = Server::with(&[]);
        let outcome = Run::at(&server, &[&["token", "revoke"][..], arguments].concat()).run();
        assert_eq!(outcome.exit, 1, "{outcome:?}");
        assert!(outcome.err.contains(words), "{outcome:?}");
        assert_eq!(server.lines().len(), 0);
    }
}

#[test]
fn an_accessor_without_its_text_is_not_the_own_token() {
    for verb in ["lookup", "renew"] {
        let server = Server::with(&[]);
        let outcome = Run::at(&server, &["token", verb, "-accessor"]).run();
        assert_eq!(outcome.exit, 1);
        assert!(outcome.err.contains("`leasehold token lookup` shows"), "{outcome:?}");
        assert_eq!(server.lines().len(), 0);
    }
}
