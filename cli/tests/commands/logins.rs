//! `login`, and the files in which a token waits for later commands.

use crate::support::{Run, Server, envelope};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

fn looked_up() -> String {
    envelope(&json!({
        "id": "hvs.mine", "accessor": "acc", "policies": ["root"], "meta": null, "ttl": 0,
        "renewable": false, "path": "auth/token/root"
    }))
}

#[test]
fn a_login_checks_the_token_and_keeps_it_for_its_owner_alone() {
    for (arguments, stdin) in [
        (&["login", "hvs.mine"][..], ""),
        (&["login", "token=hvs.mine"], ""),
        (&["login", "-"], "hvs.mine\n"),
        (&["login", "@token.txt"], ""),
        (&["login", "-method=token", "hvs.mine"], ""),
    ] {
        let server = Server::with(&[(200, &looked_up())]);
        let run = Run::of(arguments).env("VAULT_ADDR", &server.address).stdin(stdin);
        let run = run.file(".vault-token", "vaults").file("token.txt", "hvs.mine\n");
        let (outcome, home) = run.file(".leasehold-token", "the one before").run_and_keep();
        assert_eq!(outcome.err, "", "{arguments:?}");
        let out = outcome.ok();
        assert!(out.starts_with("Success! You are now authenticated."), "{out}");
        assert!(out.contains("\ntoken                hvs.mine\n"), "{out}");
        assert!(out.contains("\ntoken_duration       ∞\n"), "{out}");
        let seen = server.seen();
        assert_eq!(seen[0].line, "GET /v1/auth/token/lookup-self");
        assert_eq!(seen[0].headers["x-vault-token"], "hvs.mine");

        let file = home.path().join(".leasehold-token");
        assert_eq!(std::fs::read_to_string(&file).expect("the file"), "hvs.mine");
        let mode = std::fs::metadata(&file).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let vaults = std::fs::read_to_string(home.path().join(".vault-token"));
        assert_eq!(vaults.expect("the file"), "vaults");
        let left = std::fs::read_dir(home.path()).expect("the home").count();
        assert_eq!(left, 3, "a temporary file was left behind");
    }
}

#[test]
fn a_token_that_the_server_refuses_is_not_kept() {
    let server = Server::with(&[(403, r#"{"errors":["permission denied"]}"#)]);
    let run = Run::of(&["login", "hvs.bad"]).env("VAULT_ADDR", &server.address);
    let (outcome, home) = run.file(".leasehold-token", "good").run_and_keep();
    assert_eq!(outcome.exit, 2);
    assert!(outcome.err.starts_with("Error authenticating: "), "{outcome:?}");
    assert!(!outcome.err.contains("hvs.bad"), "{outcome:?}");
    let kept = std::fs::read_to_string(home.path().join(".leasehold-token"));
    assert_eq!(kept.expect("the file"), "good");
}

#[test]
fn a_token_may_be_checked_without_keeping_or_showing_it() {
    for (flags, out) in [
        (&["-token-only"][..], Some("hvs.mine")),
        (&["-no-store", "-field=token_accessor"], Some("acc")),
        (&["-no-store", "-no-print"], Some("")),
        (&["-no-store"], None),
    ] {
        let server = Server::with(&[(200, &looked_up())]);
        let arguments = [&["login"][..], flags, &["hvs.mine"]].concat();
        let run = Run::of(&arguments).env("VAULT_ADDR", &server.address);
        let (outcome, home) = run.run_and_keep();
        let shown = outcome.ok();
        match out {
            Some(out) => assert_eq!(shown, out, "{flags:?}"),
            None => assert!(shown.starts_with("The token is good. It was not stored"), "{shown}"),
        }
        assert!(!home.path().join(".leasehold-token").exists(), "{flags:?}");
    }
}

#[test]
fn a_variable_that_wins_over_the_stored_token_is_named() {
    let server = Server::with(&[(200, &looked_up())]);
    let outcome = Run::at(&server, &["login", "hvs.mine"]).run();
    assert!(outcome.err.contains("WARNING! VAULT_TOKEN is set"), "{outcome:?}");
    assert_eq!(server.seen()[0].headers["x-vault-token"], "hvs.mine");
    outcome.ok();
}

#[test]
fn a_login_as_json_is_what_vaults_client_prints() {
    let server = Server::with(&[(200, &looked_up())]);
    let run = Run::of(&["login", "-format=json", "hvs.mine"]).env("VAULT_ADDR", &server.address);
    let shown: Value = serde_json::from_str(&run.run().ok()).expect("JSON");
    assert_eq!(shown["auth"]["client_token"], "hvs.mine");
    assert_eq!(shown["auth"]["policies"], json!(["root"]));
    assert_eq!(shown["data"], Value::Null);
}

#[test]
fn a_login_that_cannot_work_asks_no_server() {
    for (arguments, words) in [
        (&["login"][..], "leasehold login - < FILE"),
        (&["login", "-"], "the token is empty"),
        (&["login", "one", "two"], "takes one token"),
        (&["login", "-method=ldap", "username=x"], "Unknown auth method: ldap"),
        (&["login", "-method=userpass"], "`username=USERNAME` is missing"),
        (&["login", "-method=userpass", "username=a/b", "password=x"], "`username` holds a `/`"),
        (&["login", "-method=userpass", "username=ann"], "`password=@FILE`"),
        (&["login", "-method=approle", "secret_id=x"], "`role_id=ROLE_ID` is missing"),
    ] {
        let server = Server::with(&[]);
        let outcome = Run::at(&server, arguments).run();
        assert_eq!(outcome.exit, 1, "{outcome:?}");
        assert!(outcome.err.contains(words), "{outcome:?}");
        assert_eq!(server.lines().len(), 0);
    }
}

/// What a server answers to a login.
fn logged_in() -> String {
    json!({
        "request_id": "r", "lease_id": "", "lease_duration": 0, "renewable": false, "data": null,
        "warnings": null, "wrap_info": null,
        "auth": {
            "client_token": "hvs.made", "accessor": "acc", "policies": ["a", "default"],
            "token_policies": ["a", "default"], "metadata": { "username": "ann" },
            "lease_duration": 1800, "renewable": true, "entity_id": "", "token_type": "service",
            "orphan": true, "mfa_requirement": null, "num_uses": 0,
        },
    })
    .to_string()
}

#[test]
fn a_method_is_sent_what_it_takes_and_no_token_and_its_token_is_kept() {
    for (arguments, stdin, line, body) in [
        (
            &["-method=userpass", "username=ann", "password=secret"][..],
            "",
            "PUT /v1/auth/userpass/login/ann",
            json!({ "password": "secret" }),
        ),
        (
            &["-method=userpass", "-path=/people/", "username=ann", "password=-"],
            "se cret \n",
            "PUT /v1/auth/people/login/ann",
            json!({ "password": "se cret " }),
        ),
        (
            &["-method=approle", "role_id=r", "secret_id=@secret.txt"],
            "",
            "PUT /v1/auth/approle/login",
            json!({ "role_id": "r", "secret_id": "s" }),
        ),
    ] {
        let server = Server::with(&[(200, &logged_in())]);
        let run = Run::of(&[&["login"][..], arguments].concat()).stdin(stdin);
        let run = run.env("VAULT_ADDR", &server.address).file("secret.txt", "s\n");
        let (outcome, home) = run.file(".leasehold-token", "the one before").run_and_keep();
        assert_eq!(outcome.err, "", "{arguments:?}");
        let out = outcome.ok();
        assert!(out.starts_with("Success! You are now authenticated."), "{out}");
        let told = |line: &str| line.starts_with("token ") && line.ends_with(" hvs.made");
        assert!(out.lines().any(told), "{out}");
        let seen = server.seen();
        assert_eq!(seen.len(), 1, "{arguments:?}");
        assert_eq!((seen[0].line.as_str(), &seen[0].body), (line, &body));
        assert!(!seen[0].headers.contains_key("x-vault-token"));
        let kept = std::fs::read_to_string(home.path().join(".leasehold-token"));
        assert_eq!(kept.expect("the file"), "hvs.made");
    }
}

#[test]
fn a_login_that_is_refused_leaves_the_token_before_it() {
    let server = Server::with(&[(400, r#"{"errors":["invalid username or password"]}"#)]);
    let arguments = ["login", "-method=userpass", "username=ann", "password=canary"];
    let run = Run::of(&arguments).env("VAULT_ADDR", &server.address);
    let (outcome, home) = run.file(".leasehold-token", "good").run_and_keep();
    assert_eq!(outcome.exit, 2);
    assert!(outcome.err.contains("invalid username or password"), "{outcome:?}");
    assert!(!outcome.err.contains("canary"), "{outcome:?}");
    let kept = std::fs::read_to_string(home.path().join(".leasehold-token"));
    assert_eq!(kept.expect("the file"), "good");
}

#[test]
fn a_token_that_cannot_be_kept_is_a_failure_that_says_so() {
    let server = Server::with(&[(200, &looked_up())]);
    let run = Run::of(&["login", "hvs.mine"]).env("VAULT_ADDR", &server.address);
    let outcome = run.env("HOME", "/nowhere/at/all").run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.starts_with("Error storing token: "), "{outcome:?}");
    assert!(outcome.err.contains("-no-store"), "{outcome:?}");
    assert!(!outcome.err.contains("hvs.mine"), "{outcome:?}");
}

#[test]
fn our_token_file_is_read_before_vaults_and_an_empty_one_is_none() {
    let body = envelope(&json!({"a": "1"}));
    for (ours, vaults, sent) in [
        (Some("ours\n"), Some("vaults"), Some("ours")),
        (None, Some("vaults\n"), Some("vaults")),
        (Some("\n"), Some("vaults"), Some("vaults")),
        (None, None, None),
    ] {
        let server = Server::with(&[(200, &body)]);
        let mut run = Run::of(&["read", "kv/x"]).env("VAULT_ADDR", &server.address);
        for (name, content) in [(".leasehold-token", ours), (".vault-token", vaults)] {
            if let Some(content) = content {
                run = run.file(name, content);
            }
        }
        run.run().ok();
        let seen = server.seen();
        assert_eq!(seen[0].headers.get("x-vault-token").map(String::as_str), sent);
    }
}

#[test]
fn a_token_file_that_is_no_token_is_not_sent() {
    let server = Server::with(&[]);
    let run = Run::of(&["read", "kv/x"]).env("VAULT_ADDR", &server.address);
    let outcome = run.file(".leasehold-token", &"x".repeat(70_000)).run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.contains("holds more than a token"), "{outcome:?}");
    assert_eq!(server.lines().len(), 0);
}
