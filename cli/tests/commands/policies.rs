//! `policy`: what is sent, what is shown, and what works without a server.

use crate::support::{Run, Server, envelope};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const APP: &str = "path \"database/creds/app\" {\n  capabilities = [\"read\"]\n}\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

#[test]
fn policies_are_listed_read_written_and_deleted() {
    let listed = envelope(&json!({ "keys": ["default", "root"] }));
    let read = envelope(&json!({ "name": "app", "policy": "# text" }));
    let server = Server::with(&[(200, &listed), (200, &read), (204, ""), (204, "")]);
    assert_eq!(Run::at(&server, &["policy", "list"]).run().ok(), "default\nroot\n");
    assert_eq!(Run::at(&server, &["policy", "read", "App"]).run().ok(), "# text\n");
    let folder = folder(&[("app.hcl", APP)]);
    let file = path(&folder, "app.hcl");
    let written = Run::at(&server, &["policy", "write", "app", &file]).run().ok();
    assert_eq!(written, "Success! Wrote the policy: app\n");
    let deleted = Run::at(&server, &["policy", "delete", "app"]).run().ok();
    assert_eq!(deleted, "Success! Deleted the policy (if it existed): app\n");
    let seen = server.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/sys/policies/acl?list=true",
            "GET /v1/sys/policies/acl/app",
            "POST /v1/sys/policies/acl/app",
            "DELETE /v1/sys/policies/acl/app",
        ]
    );
    assert_eq!(seen[2].body, json!({ "policy": APP }));
}

#[test]
fn a_policy_with_a_star_that_means_nothing_is_written_with_a_warning() {
    let told = r#"{"warnings":["line 1: path \"a/*/b\": a `*` means something at the end only"]}"#;
    let server = Server::with(&[(200, told)]);
    let folder = folder(&[("app.hcl", "path \"a/*/b\" { policy = \"read\" }")]);
    let outcome = Run::at(&server, &["policy", "write", "app", &path(&folder, "app.hcl")]).run();
    assert_eq!(outcome.exit, 0);
    assert!(outcome.err.contains("  * line 1: path \"a/*/b\": a `*` means something at the end"));
}

#[test]
fn files_are_formatted_or_only_checked() {
    let odd = "path \"a\"{capabilities=[\"read\"]}";
    let folder = folder(&[("odd.hcl", odd), ("app.hcl", APP), ("bad.hcl", "path \"a\" {")]);
    let (odd_file, app) = (path(&folder, "odd.hcl"), path(&folder, "app.hcl"));
    let nobody = Server::with(&[]);
    let checked = Run::at(&nobody, &["policy", "fmt", "-check", &odd_file, &app]).run();
    assert_eq!((checked.exit, checked.out.as_str()), (1, format!("{odd_file}\n").as_str()));
    assert_eq!(fs::read_to_string(Path::new(&odd_file)).expect("the file"), odd);
    let formatted = Run::at(&nobody, &["policy", "fmt", &odd_file, &app]).run().ok();
    assert_eq!(formatted, format!("Success! Formatted the policy: {odd_file}\n"));
    let now = fs::read_to_string(Path::new(&odd_file)).expect("the file");
    assert_eq!(now, "path \"a\" {\n  capabilities = [\"read\"]\n}\n");
    let bad = Run::at(&nobody, &["policy", "fmt", &path(&folder, "bad.hcl")]).run();
    assert_eq!(bad.exit, 1);
    assert!(bad.err.contains("bad.hcl: policy:1: a `{` is not closed by a `}`"), "{bad:?}");
    assert_eq!(nobody.lines(), Vec::<String>::new());
}

#[test]
fn cases_are_put_to_policies_without_a_server() {
    let cases =
        "case \"reads\" { path = \"database/creds/app\" capability = \"read\" allowed = true }
case \"deletes\" { path = \"database/creds/app\" capability = \"delete\" allowed = true }";
    let folder = folder(&[("cases.hcl", cases), ("app.hcl", APP)]);
    let (cases, app) = (path(&folder, "cases.hcl"), path(&folder, "app.hcl"));
    let nobody = Server::with(&[]);
    let outcome = Run::at(&nobody, &["policy", "test", &cases, &app]).run();
    let why = "policy `app`, line 1, path \"database/creds/app\" grants read, and not delete";
    let shown =
        format!("ok    reads\nFAIL  deletes\n      {cases}:2: {why}\n\n2 cases, 1 failed\n");
    assert_eq!((outcome.exit, outcome.out), (1, shown));
    let json = Run::at(&nobody, &["policy", "test", "-format=json", &cases, &app]).run();
    let told: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((&told["failed"], &told["cases"][0]["passed"]), (&json!(1), &json!(true)));
    assert_eq!(nobody.lines(), Vec::<String>::new());
}

#[test]
fn a_case_about_a_policy_that_is_not_given_is_refused() {
    let cases =
        "case \"a\" { policies = [\"ap\"] path = \"x\" capability = \"read\" allowed = false }";
    let folder = folder(&[("cases.hcl", cases), ("app.hcl", APP)]);
    let arguments = ["policy", "test", &path(&folder, "cases.hcl"), &path(&folder, "app.hcl")];
    let outcome = Run::at(&Server::with(&[]), &arguments).run();
    assert_eq!(outcome.exit, 1);
    assert!(
        outcome.err.contains("cases.hcl:1: no file of the policy `ap` is given"),
        "{outcome:?}"
    );
}

#[test]
fn a_decision_is_explained_from_files_and_from_the_server() {
    let wide = "path \"database/*\" { capabilities = [\"read\", \"list\"] }";
    let folder = folder(&[("app.hcl", APP), ("wide.hcl", wide)]);
    let (app, wide) = (path(&folder, "app.hcl"), path(&folder, "wide.hcl"));
    let arguments =
        ["policy", "explain", "-file", &app, "-file", &wide, "database/creds/app", "list"];
    let out = Run::at(&Server::with(&[]), &arguments).run().ok();
    assert_eq!(
        out,
        "Refused: policy `app`, line 1, path \"database/creds/app\" grants read, and not list\n  \
         yields: policy `wide`, line 1, path \"database/*\" (list, read)\n"
    );
    let own = envelope(&json!({ "policies": ["app"] }));
    let text = envelope(&json!({ "name": "app", "policy": APP }));
    let server = Server::with(&[(200, &own), (200, &text)]);
    let arguments = ["policy", "explain", "-format=json", "database/creds/app", "read"];
    let out = Run::at(&server, &arguments).run().ok();
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&told["allowed"], &told["rules"][0]["policy"]), (&json!(true), &json!("app")));
    assert_eq!(server.lines(), ["GET /v1/auth/token/lookup-self", "GET /v1/sys/policies/acl/app"]);
}

#[test]
fn an_explanation_is_given_what_templates_are_filled_with_and_says_which_stay_unfilled() {
    let own = "path \"database/creds/{{identity.entity.name}}\" { capabilities = [\"read\"] }\n\
               path \"team/{{identity.entity.metadata.team}}/*\" { capabilities = [\"read\"] }";
    let folder = folder(&[("own.hcl", own)]);
    let file = path(&folder, "own.hcl");
    let explain = |more: &[&str]| {
        let arguments = [&["policy", "explain", "-file", file.as_str()], more].concat();
        Run::at(&Server::with(&[]), &arguments).run()
    };
    let out = explain(&["database/creds/ann", "read"]).ok();
    assert!(out.starts_with("Refused: "), "{out}");
    for name in ["identity.entity.name", "identity.entity.metadata.team"] {
        assert!(out.contains(&format!("is not filled in: {name} in policy own\n")), "{out}");
    }
    assert!(out.ends_with("-fact=NAME=VALUE says what is known of whoever asks.\n"), "{out}");
    let ann = "-fact=identity.entity.name=ann";
    let out = explain(&[ann, "-format=json", "database/creds/ann", "read"]).ok();
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["allowed"], json!(true));
    assert_eq!(told["unfilled"].as_array().map(Vec::len), Some(1), "{told}");
    let team = "-fact=identity.entity.metadata.team=shop";
    let out = explain(&[ann, team, "team/shop/x", "read"]).ok();
    assert!(out.starts_with("Allowed: ") && !out.contains("not filled in"), "{out}");
    let unknown = explain(&["-fact=identity.name=ann", "a", "read"]);
    assert_eq!(unknown.exit, 1);
    assert!(unknown.err.contains("is nothing that can be filled in"), "{}", unknown.err);
    assert_eq!(explain(&["-fact=ann", "a", "read"]).exit, 1);
}

#[test]
fn an_explanation_heeds_for_how_long_an_answer_is_to_be_wrapped() {
    let wrapped = "path \"database/creds/app\" {\n  capabilities = [\"read\"]\n  \
                   min_wrapping_ttl = \"1m\"\n  max_wrapping_ttl = \"10m\"\n}";
    let folder = folder(&[("app.hcl", wrapped)]);
    let file = path(&folder, "app.hcl");
    for (ttl, word) in [
        (None, "Refused"),
        (Some("30s"), "Refused"),
        (Some("5m"), "Allowed"),
        (Some("1h"), "Refused"),
    ] {
        let ttl = ttl.map(|ttl| format!("-wrap-ttl={ttl}"));
        let mut arguments = vec!["policy", "explain", "-file", &file];
        arguments.extend(ttl.as_deref());
        arguments.extend(["database/creds/app", "read"]);
        let out = Run::at(&Server::with(&[]), &arguments).run().ok();
        assert!(out.starts_with(word), "{ttl:?}: {out}");
    }
    let arguments = ["policy", "explain", "-file", &file, "-wrap-ttl=soon", "a", "read"];
    assert_eq!(Run::at(&Server::with(&[]), &arguments).run().exit, 1);
}
