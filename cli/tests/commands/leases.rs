//! `lease`: look up, list, renew, revoke.

use crate::support::{Run, Server, envelope};
use serde_json::{Value, json};

const ID: &str = "database/creds/app/01jdx3m5k8v2q7t4w9y6z1b0ce";

#[test]
fn a_lease_is_looked_up_by_its_id() {
    let data = json!({
        "id": ID, "issue_time": "2026-11-22T02:26:05Z", "expire_time": "2026-11-22T03:26:05Z",
        "last_renewal": null, "renewable": true, "ttl": 3599
    });
    let server = Server::with(&[(200, &envelope(&data))]);
    let out = Run::at(&server, &["lease", "lookup", ID]).run().ok();
    assert!(out.contains("\nlast_renewal    n/a\n"), "{out}");
    assert!(out.ends_with("\nttl             59m59s\n"), "{out}");
    let seen = server.seen();
    assert_eq!(seen[0].line, "PUT /v1/sys/leases/lookup");
    assert_eq!(seen[0].body, json!({ "lease_id": ID }));
}

#[test]
fn an_unknown_lease_is_the_servers_error() {
    let server = Server::with(&[(400, r#"{"errors":["invalid lease"]}"#)]);
    let outcome = Run::at(&server, &["lease", "lookup", "nope"]).run();
    assert_eq!(outcome.exit, 2);
    let expected = format!(
        "Error looking up lease nope: Error making API request.\n\n\
         URL: PUT {}/v1/sys/leases/lookup\nCode: 400. Errors:\n\n* invalid lease\n",
        server.address
    );
    assert_eq!(outcome.err, expected);
}

#[test]
fn leases_are_listed_level_by_level() {
    let body = envelope(&json!({"keys": ["app/"]}));
    let server = Server::with(&[(200, &body), (200, &body), (404, r#"{"errors":[]}"#)]);
    let out = Run::at(&server, &["lease", "list", "database/creds/"]).run().ok();
    assert_eq!(out, "Keys\n----\napp/\n");
    Run::at(&server, &["lease", "list"]).run().ok();
    let outcome = Run::at(&server, &["lease", "list", "none"]).run();
    assert_eq!((outcome.exit, outcome.err.as_str()), (2, "No leases found under none\n"));
    assert_eq!(
        server.lines(),
        [
            "GET /v1/sys/leases/lookup/database/creds?list=true",
            "GET /v1/sys/leases/lookup?list=true",
            "GET /v1/sys/leases/lookup/none?list=true"
        ]
    );
}

#[test]
fn a_lease_is_renewed_with_its_increment_in_seconds() {
    let body = json!({"request_id": "r", "lease_id": ID, "renewable": true,
        "lease_duration": 7200, "data": null, "warnings": ["capped"]})
    .to_string();
    for (flags, increment) in [
        (&[][..], 0),
        (&["-increment=2h"], 7200),
        (&["-increment", "90"], 90),
        (&["--increment", "1h30m"], 5400),
        (&["-i=60"], 60),
    ] {
        let server = Server::with(&[(200, &body)]);
        let arguments = [&["lease", "renew"][..], flags, &[ID]].concat();
        let outcome = Run::at(&server, &arguments).run();
        assert!(outcome.err.contains("  * capped\n"), "{outcome:?}");
        assert_eq!(
            outcome.ok(),
            format!(
                "Key                Value\n---                -----\nlease_id           {ID}\n\
                 lease_duration     2h\nlease_renewable    true\n"
            )
        );
        let seen = server.seen();
        assert_eq!(seen[0].line, "PUT /v1/sys/leases/renew");
        assert_eq!(seen[0].body, json!({ "lease_id": ID, "increment": increment }));
    }
}

#[test]
fn an_increment_that_is_none_is_refused_here() {
    for increment in ["-increment=-5", "-increment=soon", "-increment=5x"] {
        let server = Server::with(&[]);
        let outcome = Run::at(&server, &["lease", "renew", increment, ID]).run();
        assert_eq!(outcome.exit, 1, "{outcome:?}");
        assert!(outcome.err.contains("-increment <SPAN>"), "{outcome:?}");
        assert_eq!(server.lines().len(), 0);
    }
}

#[test]
fn each_kind_of_revocation_has_its_path_body_and_words() {
    const QUEUED: &str = "All revocation operations queued successfully!\n";
    let revoked = format!("Success! Revoked lease: {ID}\n");
    let cases: [(&[&str], u16, &str, Value, &str); 7] = [
        (
            &[ID],
            202,
            "revoke/database/creds/app/01jdx3m5k8v2q7t4w9y6z1b0ce",
            json!({"sync": false}),
            QUEUED,
        ),
        (
            &["-sync", ID],
            204,
            "revoke/database/creds/app/01jdx3m5k8v2q7t4w9y6z1b0ce",
            json!({"sync": true}),
            &revoked,
        ),
        (
            &["-prefix", "database/creds"],
            202,
            "revoke-prefix/database/creds",
            json!({"sync": false}),
            QUEUED,
        ),
        (
            &["-prefix", "-sync", "database"],
            204,
            "revoke-prefix/database",
            json!({"sync": true}),
            "Success! Revoked any leases with prefix: database\n",
        ),
        (
            &["-prefix", "-sync", "database"],
            202,
            "revoke-prefix/database",
            json!({"sync": true}),
            QUEUED,
        ),
        (
            &["-force", "-prefix", "database"],
            204,
            "revoke-force/database",
            Value::Null,
            "Success! Force revoked any leases with prefix: database\n",
        ),
        (&["database", "-prefix", "-f"], 202, "revoke-force/database", Value::Null, QUEUED),
    ];
    for (arguments, status, path, body, words) in cases {
        let server = Server::with(&[(status, "")]);
        let arguments = [&["lease", "revoke"][..], arguments].concat();
        assert_eq!(Run::at(&server, &arguments).run().ok(), words, "{arguments:?}");
        let seen = server.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].line, format!("PUT /v1/sys/leases/{path}"));
        assert_eq!(seen[0].body, body, "{arguments:?}");
    }
}

#[test]
fn a_revocation_that_left_something_is_not_called_a_success() {
    let warned = json!({ "warnings": ["2 leases could not be revoked yet"] }).to_string();
    for (flags, done) in [
        (&["-sync"][..], "Revoked lease"),
        (&["-sync", "-prefix"], "Revoked any leases with prefix"),
        (&["-force", "-prefix"], "Force revoked any leases with prefix"),
    ] {
        let server = Server::with(&[(200, &warned)]);
        let arguments = [&["lease", "revoke"][..], flags, &["aws/sts"]].concat();
        let outcome = Run::at(&server, &arguments).run();
        assert_eq!(outcome.exit, 0, "{outcome:?}");
        assert_eq!(outcome.out, format!("{done}, but for what the warnings tell: aws/sts\n"));
        assert!(outcome.err.contains("* 2 leases could not be revoked yet"), "{outcome:?}");
    }
}

#[test]
fn force_is_only_for_prefixes() {
    let server = Server::with(&[]);
    let outcome = Run::at(&server, &["lease", "revoke", "-force", ID]).run();
    assert_eq!(outcome.exit, 1);
    assert_eq!(outcome.err, "Specifying -force requires also specifying -prefix\n");
    assert_eq!(server.lines().len(), 0);
}

#[test]
fn a_revocation_that_fails_says_which() {
    for (flags, words) in [
        (&[][..], "revoking lease"),
        (&["-prefix"], "revoking leases with prefix"),
        (&["-prefix", "-force"], "force revoking leases with prefix"),
    ] {
        let server = Server::with(&[(500, r#"{"errors":["target is down"]}"#)]);
        let arguments = [&["lease", "revoke"][..], flags, &["x/y"]].concat();
        let outcome = Run::at(&server, &arguments).run();
        assert_eq!((outcome.exit, outcome.out.as_str()), (2, ""));
        let expected = format!("Error {words} x/y: Error making API request.");
        assert!(outcome.err.starts_with(&expected), "{outcome:?}");
        assert!(outcome.err.contains("\n\n* target is down\n"), "{outcome:?}");
    }
}

#[test]
fn whois_names_the_entity_behind_a_token_where_there_is_one() {
    let holder = |entity: Value| {
        let token = json!({
            "display_name": "userpass-ann", "accessor": "a", "policies": ["app"], "entity": entity,
        });
        envelope(&json!({ "leases": [], "token": token, "more": false }))
    };
    let (known, unknown) = (holder(json!({ "id": "e1", "name": "Ann B." })), holder(Value::Null));
    let server = Server::with(&[(200, &known), (200, &unknown)]);
    let shown = Run::at(&server, &["whois", "a"]).run().ok();
    assert!(shown.contains("Ann B.") && shown.contains("e1"), "{shown}");
    let shown = Run::at(&server, &["whois", "a"]).run().ok();
    assert!(!shown.contains("entity"), "{shown}");
}

#[test]
fn whois_says_whether_a_death_was_proven() {
    let lease = |proof: Value| {
        let lease = json!({"lease_id": ID, "proof_of_death": proof, "holder": {}});
        envelope(&json!({"leases": [lease], "token": null}))
    };
    let at = "2026-11-22T02:26:05Z";
    let answers = [
        lease(json!({"proven": true, "by": "login", "time": at})),
        lease(json!({"proven": false, "why": "the target was away"})),
        lease(Value::Null),
    ];
    let server = Server::with(&answers.each_ref().map(|body| (200, body.as_str())));
    for told in [
        Some("proven by login, 2026-11-22T02:26:05Z"),
        Some("not proven: the target was away"),
        None,
    ] {
        let shown = Run::at(&server, &["whois", ID]).run().ok();
        let line = shown.lines().find_map(|line| line.strip_prefix("proof_of_death"));
        assert_eq!(line.map(str::trim), told, "{shown}");
    }
}
