//! Flags and environment, as Vault's users write them; and the help.

use crate::support::{Run, Server, envelope};
use serde_json::json;

#[test]
fn flags_may_stand_anywhere_in_either_style() {
    let body = envelope(&json!({"a": "1"}));
    for arguments in [
        &["read", "-field=a", "kv/x"][..],
        &["read", "-field", "a", "kv/x"],
        &["read", "--field=a", "kv/x"],
        &["read", "--field", "a", "kv/x"],
        &["read", "kv/x", "-field=a"],
        &["read", "-field=b", "-field=a", "kv/x"],
        &["read", "-field=a", "--", "kv/x"],
    ] {
        let server = Server::with(&[(200, &body)]);
        assert_eq!(Run::at(&server, arguments).run().ok(), "1", "{arguments:?}");
        assert_eq!(server.lines(), ["GET /v1/kv/x"]);
    }
}

#[test]
fn data_may_look_like_flags() {
    let server = Server::with(&[(204, "")]);
    Run::at(&server, &["write", "kv/x", "a=-5", "b=-field=x", "--", "-c=1"]).run().ok();
    assert_eq!(server.seen()[0].body, json!({"a": "-5", "b": "-field=x", "-c": "1"}));
}

#[test]
fn an_unknown_flag_suggests_the_known_one_and_is_exit_code_1() {
    let outcome = Run::of(&["read", "-fromat=json", "kv/x"]).run();
    assert_eq!((outcome.exit, outcome.out.as_str()), (1, ""));
    assert!(outcome.err.contains("'-fromat'"), "{}", outcome.err);
    assert!(outcome.err.contains("'-format'"), "{}", outcome.err);
    let outcome = Run::of(&["read", "-tokne=hvs.s3cret", "kv/x"]).run();
    assert!(!outcome.err.contains("s3cret"), "{}", outcome.err);
}

#[test]
fn an_unknown_command_suggests_the_known_one() {
    let outcome = Run::of(&["leese"]).run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.contains("'lease'"), "{}", outcome.err);
}

#[test]
fn our_variables_go_before_vaults_and_flags_before_both() {
    let body = envelope(&json!({"a": "1"}));
    let server = Server::with(&[(200, &body), (200, &body), (200, &body)]);
    let run = |arguments: &[&str]| {
        Run::of(arguments)
            .env("VAULT_ADDR", "http://127.0.0.1:1")
            .env("LEASEHOLD_ADDR", &server.address)
            .env("VAULT_TOKEN", "vaults")
            .file(".leasehold-token", "files\n")
            .file(".vault-token", "vault-files\n")
    };
    run(&["read", "kv/x"]).env("LEASEHOLD_TOKEN", "ours").run().ok();
    run(&["read", "kv/x", "-token=flags"]).env("LEASEHOLD_TOKEN", "ours").run().ok();
    run(&["read", "kv/x"]).env("VAULT_TOKEN", "").run().ok();
    let tokens: Vec<_> =
        server.seen().into_iter().map(|seen| seen.headers["x-vault-token"].clone()).collect();
    assert_eq!(tokens, ["ours", "flags", "files"]);
}

#[test]
fn without_a_token_none_is_sent() {
    let server = Server::with(&[(200, &envelope(&json!({"a": "1"})))]);
    Run::of(&["read", "kv/x", "-address", &server.address]).run().ok();
    assert!(!server.seen()[0].headers.contains_key("x-vault-token"));
}

#[test]
fn the_form_may_come_from_the_environment() {
    let body = envelope(&json!({"keys": ["a"]}));
    let server = Server::with(&[(200, &body), (200, &body)]);
    let out = Run::at(&server, &["list", "kv"]).env("VAULT_FORMAT", "json").run().ok();
    assert_eq!(out, "[\n  \"a\"\n]\n");
    let outcome = Run::at(&server, &["list", "kv"]).env("VAULT_FORMAT", "pretty").run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.contains("`pretty` is not offered"), "{}", outcome.err);
    let outcome = Run::at(&server, &["list", "-format=xml", "kv"]).run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.contains("`table`, `json`, `yaml` or `raw`"), "{}", outcome.err);
}

#[test]
fn a_proxy_is_not_asked_for_a_server_on_this_machine() {
    let server = Server::with(&[(200, &envelope(&json!({"a": "1"})))]);
    let run = Run::at(&server, &["read", "kv/x"]).env("HTTP_PROXY", "http://127.0.0.1:1");
    run.env("http_proxy", "http://127.0.0.1:1").run().ok();
}

#[test]
fn help_is_shown_for_everything() {
    for arguments in [
        &["read"][..],
        &["write"],
        &["list"],
        &["delete"],
        &["lease"],
        &["lease", "lookup"],
        &["lease", "list"],
        &["lease", "renew"],
        &["lease", "revoke"],
        &["secrets"],
        &["secrets", "list"],
        &["secrets", "enable"],
        &["secrets", "disable"],
        &["secrets", "tune"],
        &["secrets", "move"],
        &["auth"],
        &["auth", "list"],
        &["auth", "enable"],
        &["auth", "disable"],
        &["auth", "tune"],
        &["auth", "move"],
        &["token"],
        &["token", "create"],
        &["token", "lookup"],
        &["token", "renew"],
        &["token", "revoke"],
        &["login"],
        &["completions"],
        &["man"],
        &["operator", "init"],
        &["operator", "clock"],
        &["operator", "accept-clock"],
        &["server"],
        &["status"],
    ] {
        for help in ["-h", "-help", "--help"] {
            let out = Run::of(&[arguments, &[help]].concat()).run().ok();
            assert!(out.contains("Usage: leasehold"), "{arguments:?}");
            assert!(!out.contains(" --"), "{arguments:?}: {out}");
        }
    }
}

#[test]
fn the_commands_are_listed_in_groups_when_none_is_given() {
    let outcome = Run::of(&[]).run();
    assert_eq!((outcome.exit, outcome.err.as_str()), (1, ""));
    assert!(outcome.out.contains("\nLeases:\n  lease "), "{}", outcome.out);
    assert_eq!(Run::of(&["-help"]).run().ok(), outcome.out);
    assert_eq!(Run::of(&["help"]).run().ok(), outcome.out);
}

#[test]
fn the_version_is_told_in_every_spelling() {
    let version = format!("Leasehold v{}\n", env!("CARGO_PKG_VERSION"));
    for spelling in ["version", "-version", "--version", "-v"] {
        assert_eq!(Run::of(&[spelling]).run().ok(), version);
    }
}
