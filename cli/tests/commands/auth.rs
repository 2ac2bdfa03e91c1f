//! `auth`: what it sends, and what it shows.

use crate::support::{Run, Server, envelope};
use serde_json::json;

#[test]
fn auth_methods_are_listed() {
    let method = json!({
        "accessor": "auth_userpass_1", "type": "userpass", "description": "people",
        "config": { "default_lease_ttl": 3600, "max_lease_ttl": 0 }, "local": false,
        "options": {}, "uuid": "u", "running_plugin_version": "v0",
    });
    let body = envelope(&json!({ "userpass/": method }));
    let server = Server::with(&[(200, &body), (200, &body)]);
    let out = Run::at(&server, &["auth", "list"]).run().ok();
    assert!(out.contains("userpass/") && out.contains("auth_userpass_1"), "{out}");
    let out = Run::at(&server, &["auth", "list", "-detailed"]).run().ok();
    assert!(out.contains("1h") && out.contains("system"), "{out}");
    assert_eq!(server.lines(), ["GET /v1/sys/auth", "GET /v1/sys/auth"]);
}

#[test]
fn an_auth_method_is_enabled_tuned_and_disabled() {
    let server = Server::with(&[(204, ""), (204, ""), (204, "")]);
    let enable = ["auth", "enable", "-path=people", "-max-lease-ttl=8h", "-token-type=service"];
    let out = Run::at(&server, &[&enable[..], &["userpass"]].concat()).run().ok();
    assert_eq!(out, "Success! Enabled userpass auth method at: people/\n");
    let tune = [
        "auth",
        "tune",
        "-user-lockout-threshold=3",
        "-user-lockout-duration=1h",
        "-user-lockout-counter-reset-duration=5m",
        "-user-lockout-disable=false",
        "people/",
    ];
    let out = Run::at(&server, &tune).run().ok();
    assert_eq!(out, "Success! Tuned the auth method at: people/\n");
    let out = Run::at(&server, &["auth", "disable", "people"]).run().ok();
    assert_eq!(out, "Success! Disabled the auth method (if it existed) at: people/\n");
    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /v1/sys/auth/people");
    let config = json!({ "max_lease_ttl": "28800s", "token_type": "service" });
    let wanted = json!({ "type": "userpass", "description": "", "config": config });
    assert_eq!(seen[0].body, wanted);
    assert_eq!(seen[1].line, "POST /v1/sys/auth/people/tune");
    let lockout = json!({
        "lockout_threshold": 3, "lockout_duration": "3600s",
        "lockout_counter_reset_duration": "300s", "lockout_disable": false,
    });
    assert_eq!(seen[1].body, json!({ "user_lockout_config": lockout }));
    assert_eq!(seen[2].line, "DELETE /v1/sys/auth/people");
}

#[test]
fn a_tuning_that_changes_nothing_asks_no_server() {
    let server = Server::with(&[]);
    let outcome = Run::at(&server, &["auth", "tune", "people"]).run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.contains("leasehold read sys/auth/people/tune"), "{outcome:?}");
    assert_eq!(server.lines().len(), 0);
}
