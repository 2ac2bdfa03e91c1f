//! `status`, `operator init`, `secrets`, and what `server` refuses.

use crate::support::{Run, Server, envelope};
use serde_json::{Value, json};

fn seal_status(sealed: bool) -> String {
    json!({
        "type": "file", "initialized": true, "sealed": sealed, "t": 0, "n": 0, "progress": 0,
        "nonce": "", "version": "0.1.0", "build_date": "", "migration": false,
        "recovery_seal": false, "storage_type": "inmem", "cluster_name": "c", "cluster_id": "i"
    })
    .to_string()
}

#[test]
fn the_status_of_an_unsealed_server_is_exit_code_0() {
    let server = Server::with(&[(200, &seal_status(false)), (200, r#"{"ha_enabled":false}"#)]);
    let out = Run::at(&server, &["status"]).run().ok();
    assert_eq!(
        out,
        "Key             Value\n\
         ---             -----\n\
         Seal Type       file\n\
         Initialized     true\n\
         Sealed          false\n\
         Version         0.1.0\n\
         Storage Type    inmem\n\
         Cluster Name    c\n\
         Cluster ID      i\n\
         HA Enabled      false\n"
    );
    assert_eq!(server.lines(), ["GET /v1/sys/seal-status", "GET /v1/sys/leader"]);
}

#[test]
fn the_status_tells_of_which_key_there_are_shares() {
    for (recovery, row) in [(true, "Total Recovery Shares    3\n"), (false, "Total Shares    3\n")]
    {
        let mut status: Value = serde_json::from_str(&seal_status(false)).expect("JSON");
        (status["n"], status["t"], status["recovery_seal"]) = (3.into(), 2.into(), recovery.into());
        let server = Server::with(&[(200, &status.to_string()), (404, "{}")]);
        let out = Run::at(&server, &["status"]).run().ok();
        assert!(out.contains(row), "{out}");
        assert!(out.lines().any(|line| line.split_whitespace().eq(["Threshold", "2"])), "{out}");
    }
}

#[test]
fn the_status_of_a_sealed_server_is_exit_code_2() {
    let sealed = r#"{"errors":["Vault is sealed"]}"#;
    let server = Server::with(&[(200, &seal_status(true)), (503, sealed)]);
    let outcome = Run::at(&server, &["status", "-format=json"]).run();
    assert_eq!((outcome.exit, outcome.err.as_str()), (2, ""));
    let shown: Value = serde_json::from_str(&outcome.out).expect("JSON");
    assert_eq!(shown["sealed"], true);
}

#[test]
fn a_status_that_is_not_known_is_exit_code_1() {
    let server = Server::with(&[(500, r#"{"errors":["oh"]}"#)]);
    let outcome = Run::at(&server, &["status"]).run();
    assert_eq!((outcome.exit, outcome.out.as_str()), (1, ""));
    assert!(outcome.err.starts_with("Error checking seal status: "), "{outcome:?}");
}

#[test]
fn a_new_server_is_initialized_and_its_token_shown() {
    let none = r#"{"keys":[],"keys_base64":[],"root_token":"hvs.root"}"#;
    let keys = r#"{"keys":[],"recovery_keys_base64":["AA=="],"root_token":"hvs.root"}"#;
    for (flags, made, asked, shown) in [
        (&["-recovery-shares=0"][..], none, json!({ "recovery_shares": 0 }), ""),
        (
            &[],
            keys,
            json!({ "recovery_shares": 5, "recovery_threshold": 3 }),
            "Recovery Key 1: AA==\n\n",
        ),
    ] {
        let server = Server::with(&[(200, &seal_status(true)), (200, made)]);
        let arguments = [&["operator", "init"][..], flags].concat();
        let outcome = Run::at(&server, &arguments).run();
        assert!(outcome.err.is_empty(), "{outcome:?}");
        let out = outcome.ok();
        assert!(out.starts_with(&format!("{shown}Initial Root Token: hvs.root\n\n")), "{out}");
        assert_eq!(out.matches("hvs.root").count(), 1);
        let seen = server.seen();
        assert_eq!((seen[1].line.as_str(), &seen[1].body), ("PUT /v1/sys/init", &asked));
    }
}

#[test]
fn a_shared_seal_shows_its_keys() {
    let body = r#"{"keys":["00","01"],"keys_base64":["AA==","AQ=="],"root_token":"hvs.root"}"#;
    let with_key = body.replace('}', r#","audit_public_keys":{"main":"5aea"}}"#);
    let status = r#"{"type":"shamir","sealed":true}"#;
    let server = Server::with(&[(200, status), (200, body), (200, status), (200, &with_key)]);
    let out = Run::at(&server, &["operator", "init", "-key-shares=2", "-t", "2"]).run().ok();
    let expected = "Unseal Key 1: AA==\nUnseal Key 2: AQ==\n\nInitial Root Token: hvs.root\n";
    assert!(out.starts_with(expected), "{out}");
    assert!(out.contains("\n    leasehold operator unseal\n"), "{out}");
    assert_eq!(server.seen()[1].body, json!({"secret_shares": 2, "secret_threshold": 2}));
    assert!(out.contains("    leasehold audit public-key "), "{out}");
    let out = Run::at(&server, &["operator", "init"]).run().ok();
    let expected = format!("{expected}\nPublic Key of Audit Device main: 5aea\n");
    assert!(out.starts_with(&expected) && !out.contains("audit public-key "), "{out}");
    assert_eq!(server.seen()[1].body, json!({"secret_shares": 5, "secret_threshold": 3}));
}

#[test]
fn the_json_of_an_initialization_is_bare() {
    let made = r#"{"root_token":"hvs.root"}"#;
    let server = Server::with(&[(200, &seal_status(true)), (200, made)]);
    let out = Run::at(&server, &["operator", "init", "-format=json"]).run().ok();
    assert_eq!(out, "{\n  \"root_token\": \"hvs.root\"\n}\n");
}

#[test]
fn asking_whether_a_server_is_initialized_changes_nothing() {
    for (initialized, exit) in [(true, 0), (false, 2)] {
        let server = Server::with(&[(200, &json!({ "initialized": initialized }).to_string())]);
        let outcome = Run::at(&server, &["operator", "init", "-status"]).run();
        assert_eq!(outcome.exit, exit, "{outcome:?}");
        assert_eq!(server.lines(), ["GET /v1/sys/init"]);
    }
    let server = Server::with(&[(500, "")]);
    assert_eq!(Run::at(&server, &["operator", "init", "-status"]).run().exit, 1);
}

#[test]
fn a_share_is_shown_and_how_far_the_unsealing_is() {
    let told = json!({
        "type": "shamir", "initialized": true, "sealed": true, "t": 3, "n": 5, "progress": 1, "nonce": "abc",
    });
    let server = Server::with(&[(200, &told.to_string()), (200, &told.to_string())]);
    let out = Run::at(&server, &["operator", "unseal", "-"]).stdin("c2hhcmU=\n").run().ok();
    for row in ["Sealed             true", "Total Shares       5", "Unseal Progress    1"] {
        assert!(out.contains(row), "{out}");
    }
    let _ = Run::at(&server, &["operator", "unseal", "-reset", "-migrate", "AA"]).run().ok();
    let seen = server.seen();
    assert_eq!(
        (seen[0].line.as_str(), &seen[0].body),
        ("PUT /v1/sys/unseal", &json!({ "key": "c2hhcmU=" }))
    );
    assert_eq!(seen[1].body, json!({ "key": "AA", "reset": true, "migrate": true }));
    let outcome = Run::at(&server, &["operator", "unseal", "-"]).run();
    assert_eq!((outcome.exit, server.seen().len()), (1, 0), "{outcome:?}");
}

#[test]
fn a_server_is_sealed_and_its_keys_are_rotated() {
    let status =
        envelope(&json!({ "term": 2, "install_time": "2026-11-22T00:00:00Z", "encryptions": 7 }));
    let server = Server::with(&[(204, ""), (204, ""), (200, &status), (200, &status)]);
    let out = Run::at(&server, &["operator", "seal"]).run().ok();
    assert_eq!(out, "Success! The server is sealed.\n");
    let out = Run::at(&server, &["operator", "rotate"]).run().ok();
    assert!(
        out.starts_with("Success! Rotated key\n\n") && out.contains("Key Term            2\n"),
        "{out}"
    );
    let out = Run::at(&server, &["operator", "key-status"]).run().ok();
    assert!(out.contains("Encryption Count    7\n"), "{out}");
    let lines = [
        "PUT /v1/sys/seal",
        "PUT /v1/sys/rotate",
        "GET /v1/sys/key-status",
        "GET /v1/sys/key-status",
    ];
    assert_eq!(server.lines(), lines);
}

#[test]
fn holders_make_a_root_token_and_whoever_began_decodes_it() {
    let told = |progress: u8, otp: &str, encoded: &str| {
        json!({ "nonce": "n-1", "started": true, "progress": progress, "required": 2,
                "complete": !encoded.is_empty(), "encoded_token": encoded, "otp": otp })
        .to_string()
    };
    let encoded = "Q0gsNxtkK0QEKXI3UyQ+djk9Blw0Lm8KJCA";
    let server = Server::with(&[
        (200, &told(0, "the-otp", "")),
        (200, &told(0, "", "")),
        (200, &told(2, "", encoded)),
        (204, ""),
        (200, r#"{"nonce":"","started":false}"#),
    ]);
    let out = Run::at(&server, &["operator", "generate-root", "-init"]).run().ok();
    assert!(out.contains("OTP         the-otp\n") && out.contains("Progress    0/2\n"), "{out}");
    let out = Run::at(&server, &["operator", "generate-root", "-"]).stdin("AA==\n").run().ok();
    assert!(out.contains(&format!("Encoded Token    {encoded}\n")), "{out}");
    let _ = Run::at(&server, &["operator", "generate-root", "-cancel", "AA=="]).run().ok();
    let none = Run::at(&server, &["operator", "generate-root", "AA=="]).run();
    assert!(none.exit == 1 && none.err.contains("no root generation has begun"), "{none:?}");
    let seen = server.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
    let attempt = "/v1/sys/generate-root/attempt";
    let expected = [
        format!("PUT {attempt}"),
        format!("GET {attempt}"),
        "PUT /v1/sys/generate-root/update".to_owned(),
        format!("DELETE {attempt}"),
        format!("GET {attempt}"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(seen[2].body, json!({ "nonce": "n-1", "key": "AA==" }));
    assert_eq!(seen[3].body, json!({ "key": "AA==" }));

    let decode = format!("-decode={encoded}");
    let otp = "-otp=0fdrCWcquk3Y8HMDHh64LVYxIm";
    let out = Run::of(&["operator", "generate-root", &decode, otp]).run().ok();
    assert!(out.starts_with("s.") && out.len() == 26, "{out}");
    let wrong = Run::of(&["operator", "generate-root", &decode, "-otp=short"]).run();
    assert!(wrong.exit == 1 && wrong.err.contains("do not fit"), "{wrong:?}");
}

#[test]
fn holders_split_their_key_anew() {
    let begun = r#"{"nonce":"n-1","started":true,"t":2,"n":3,"progress":1,"required":3}"#;
    let done = r#"{"nonce":"n-2","complete":true,"keys_base64":["AA==","AQ=="],"verification_nonce":"n-2"}"#;
    let verified = r#"{"nonce":"n-2","complete":true}"#;
    let server =
        Server::with(&[(200, begun), (200, begun), (200, done), (200, verified), (204, "")]);
    let init = ["operator", "rekey", "-init", "-verify", "-n", "3", "-t", "2", "-target=recovery"];
    let out = Run::at(&server, &init).run().ok();
    assert!(out.contains("Rekey Progress           1/3\n"), "{out}");
    let out = Run::at(&server, &["operator", "rekey", "AA=="]).run().ok();
    assert!(out.starts_with("Key 1: AA==\nKey 2: AQ==\n") && out.contains("-nonce=n-2"), "{out}");
    let out = Run::at(&server, &["operator", "rekey", "-verify", "-nonce=n-2", "AA=="]).run().ok();
    assert!(out.starts_with("Success! The new shares were shown"), "{out}");
    let _ = Run::at(&server, &["operator", "rekey", "-cancel"]).run().ok();
    let seen = server.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
    let expected = [
        "PUT /v1/sys/rekey-recovery-key/init",
        "GET /v1/sys/rekey/init",
        "PUT /v1/sys/rekey/update",
        "PUT /v1/sys/rekey/verify",
        "DELETE /v1/sys/rekey/init",
    ];
    assert_eq!(lines, expected);
    let asked = json!({ "secret_shares": 3, "secret_threshold": 2, "require_verification": true });
    assert_eq!((&seen[0].body, &seen[4].body), (&asked, &json!({})));
    assert_eq!(seen[3].body, json!({ "key": "AA==", "nonce": "n-2" }));
}

fn mounts() -> String {
    envelope(&json!({
        "sys/": {"type": "system", "accessor": "system_1", "description": "system endpoints",
                 "config": {"default_lease_ttl": 0, "max_lease_ttl": 0}},
        "database/": {"type": "database", "accessor": "database_2", "description": "",
                      "config": {"default_lease_ttl": 900, "max_lease_ttl": 28800}, "uuid": "u"}
    }))
}

#[test]
fn mounts_are_listed_by_path() {
    let server = Server::with(&[(200, &mounts())]);
    let out = Run::at(&server, &["secrets", "list"]).run().ok();
    assert_eq!(
        out,
        "Path         Type        Accessor      Description\n\
         ----         ----        --------      -----------\n\
         database/    database    database_2    n/a\n\
         sys/         system      system_1      system endpoints\n"
    );
    assert_eq!(server.lines(), ["GET /v1/sys/mounts"]);
}

#[test]
fn mounts_are_listed_in_detail_and_as_json() {
    let server = Server::with(&[(200, &mounts()), (200, &mounts())]);
    let out = Run::at(&server, &["secrets", "list", "-detailed"]).run().ok();
    assert!(out.contains("database_2    15m            8h"), "{out}");
    assert!(out.contains("system_1      system         system"), "{out}");
    let out = Run::at(&server, &["secrets", "list", "-format=json"]).run().ok();
    let shown: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(shown["database/"]["accessor"], "database_2");
}

#[test]
fn an_engine_is_enabled_and_disabled() {
    let server = Server::with(&[(204, ""), (204, ""), (204, "")]);
    let out = Run::at(&server, &["secrets", "enable", "database"]).run().ok();
    assert_eq!(out, "Success! Enabled the database secrets engine at: database/\n");
    let arguments = [
        "secrets",
        "enable",
        "-path=reports/",
        "-description",
        "short ones",
        "-default-lease-ttl=15m",
        "-max-lease-ttl=8h",
        "database",
    ];
    let out = Run::at(&server, &arguments).run().ok();
    assert_eq!(out, "Success! Enabled the database secrets engine at: reports/\n");
    let out = Run::at(&server, &["secrets", "disable", "reports/"]).run().ok();
    assert_eq!(out, "Success! Disabled the secrets engine (if it existed) at: reports/\n");
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /v1/sys/mounts/database");
    assert_eq!(seen[0].body, json!({"type": "database", "description": "", "config": {}}));
    assert_eq!(seen[1].line, "POST /v1/sys/mounts/reports");
    assert_eq!(
        seen[1].body,
        json!({"type": "database", "description": "short ones",
               "config": {"default_lease_ttl": "900s", "max_lease_ttl": "28800s"}})
    );
    assert_eq!(seen[2].line, "DELETE /v1/sys/mounts/reports");
}

#[test]
fn a_mount_is_moved_and_told_what_does_not_follow() {
    let mut moved: serde_json::Value =
        serde_json::from_str(&envelope(&json!({ "migration_id": "m" }))).unwrap();
    moved["warnings"] = json!(["policies that name the old path grant nothing at the new one"]);
    let moved = moved.to_string();
    let server = Server::with(&[(200, &moved), (200, &moved), (200, &moved)]);
    let outcome = Run::at(&server, &["secrets", "move", "/database/", "team/db"]).run();
    assert!(outcome.err.contains("grant nothing"), "{outcome:?}");
    assert_eq!(outcome.out, "Success! Moved the secrets engine database/ to: team/db/\n");
    for source in ["userpass", "auth/userpass/"] {
        let out = Run::at(&server, &["auth", "move", "-format=json", source, "people"]).run().ok();
        assert!(out.contains(r#""migration_id": "m""#), "{out}");
    }
    let outcome = Run::at(&server, &["secrets", "move", "database", "/"]).run();
    assert!(outcome.exit == 1 && outcome.err.contains("the path is empty"), "{outcome:?}");
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /v1/sys/remount");
    assert_eq!(seen[0].body, json!({ "from": "database/", "to": "team/db/" }));
    for asked in &seen[1..] {
        assert_eq!(asked.body, json!({ "from": "auth/userpass/", "to": "auth/people/" }));
    }
}

#[test]
fn a_server_needs_a_configuration_or_dev() {
    let outcome = Run::of(&["server"]).run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.starts_with("Must specify at least one config path"), "{outcome:?}");
    let outcome = Run::of(&["server", "-config=x.hcl", "-dev-root-token-id=root"]).run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.contains("started with -dev"), "{outcome:?}");
}

#[test]
fn a_mount_is_tuned_only_in_what_is_named() {
    for (flags, body) in [
        (
            &["-default-lease-ttl=1h", "-max-lease-ttl=system"][..],
            json!({"default_lease_ttl": "3600s", "max_lease_ttl": "system"}),
        ),
        (&["-description=-"], json!({"description": "from stdin"})),
        (&["-description="], json!({"description": ""})),
        (
            &["-listing-visibility=hidden", "-options=a=1", "-audit-non-hmac-request-keys=x"],
            json!({"listing_visibility": "hidden", "options": {"a": "1"},
                   "audit_non_hmac_request_keys": ["x"]}),
        ),
    ] {
        let server = Server::with(&[(204, "")]);
        let arguments = [&["secrets", "tune"][..], flags, &["database/"]].concat();
        let out = Run::at(&server, &arguments).stdin("from stdin\n").run().ok();
        assert_eq!(out, "Success! Tuned the secrets engine at: database/\n");
        let seen = server.seen();
        assert_eq!(seen[0].line, "POST /v1/sys/mounts/database/tune");
        assert_eq!(seen[0].body, body);
    }
}

#[test]
fn a_tuning_of_nothing_or_with_no_span_is_refused_here() {
    for (arguments, words) in [
        (&["secrets", "tune", "database"][..], "leasehold read sys/mounts/database/tune"),
        (&["secrets", "tune", "-max-lease-ttl=5x", "database"], "or write `system`"),
        (&["secrets", "tune", "-max-lease-ttl=5m", "/"], "the path is empty"),
    ] {
        let server = Server::with(&[]);
        let outcome = Run::at(&server, arguments).run();
        assert_eq!(outcome.exit, 1, "{outcome:?}");
        assert!(outcome.err.contains(words), "{outcome:?}");
        assert_eq!(server.lines().len(), 0);
    }
}

#[test]
fn a_clock_in_doubt_is_exit_code_2_and_says_what_to_do() {
    let doubt = "issues and renewals wait. see `leasehold operator accept-clock`";
    let clock = |refusing: bool| {
        envelope(&json!({
            "time": "2026-11-22T08:00:00Z", "system_time": "2026-11-22T07:00:00Z",
            "system_ahead_ms": -3_600_000, "accepted_ahead": 0, "highest_time": null,
            "off_since": null, "refusing": refusing, "reason": refusing.then_some(doubt),
            "targets": [{
                "mount": "database/", "name": "app", "ahead_ms": 31_000, "too_far": true,
                "measured_at": "2026-11-22T08:00:00Z"
            }],
        }))
    };
    let server = Server::with(&[(200, &clock(true)), (200, &clock(false))]);
    let outcome = Run::at(&server, &["operator", "clock"]).run();
    assert_eq!((outcome.exit, outcome.err.as_str()), (2, ""));
    assert_eq!(
        outcome.out,
        format!(
            "Key                      Value\n\
             ---                      -----\n\
             Time of Leases           2026-11-22T08:00:00Z\n\
             System's Clock           2026-11-22T07:00:00Z\n\
             System Ahead By          -3600000 ms\n\
             Accepted Ahead           0 s\n\
             Refusing                 true\n\
             database/app Ahead By    31000 ms: too far\n\
             \n{doubt}\n"
        )
    );
    let shown = Run::at(&server, &["operator", "clock", "-format=json"]).run().ok();
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["data"]["refusing"], false);
    assert_eq!(server.lines(), ["GET /v1/sys/clock"; 2]);
}

#[test]
fn a_clock_is_accepted_and_what_became_of_it_shown() {
    let accepted = json!({ "time": "2026-11-22T08:00:00Z", "moved": 0, "accepted_ahead": 3600 });
    let server = Server::with(&[(200, &envelope(&accepted))]);
    let out = Run::at(&server, &["operator", "accept-clock"]).run().ok();
    assert!(out.contains("accepted_ahead    3600\n"), "{out}");
    assert_eq!(server.lines(), ["PUT /v1/sys/clock/accept"]);
}

#[test]
fn the_public_keys_of_audit_devices_are_shown_for_a_file_and_for_eyes() {
    let devices = envelope(&json!({
        "main/": { "type": "file", "public_key": "aa11" },
        "far/": { "type": "http", "public_key": "bb22" },
    }));
    let show = |more: &[&str]| {
        let server = Server::with(&[(200, &devices)]);
        let outcome = Run::at(&server, &[&["audit", "public-key"], more].concat()).run();
        assert_eq!(server.lines(), ["GET /v1/sys/audit"]);
        outcome
    };
    assert_eq!(show(&[]).ok(), "far  bb22\nmain  aa11\n");
    assert_eq!(show(&["main"]).ok(), "aa11\n");
    let told: serde_json::Value =
        serde_json::from_str(&show(&["-format=json"]).ok()).expect("JSON");
    assert_eq!(told, json!({ "main": "aa11", "far": "bb22" }));
    let none = show(&["other"]);
    assert_eq!(none.exit, 1);
    assert!(none.err.contains("there is no audit device `other`"), "{}", none.err);
}

#[test]
fn the_audit_devices_are_listed() {
    let devices = envelope(&json!({
        "main/": { "type": "file", "description": "the record", "public_key": "aa11" },
        "far/": { "type": "http", "description": "", "public_key": "bb22" },
    }));
    let server = Server::with(&[(200, &devices)]);
    let out = Run::at(&server, &["audit", "list"]).run().ok();
    assert_eq!(server.lines(), ["GET /v1/sys/audit"]);
    for shown in ["Path", "far/     http", "main/    file    the record"] {
        assert!(out.contains(shown), "{out}");
    }
    assert!(!out.contains("aa11"), "{out}");
    let none = Run::at(&Server::with(&[(200, &envelope(&json!({})))]), &["audit", "list"]).run();
    assert_eq!((none.exit, none.out.as_str()), (0, ""));
}
