//! `lease revoke -job` and `lease job`: mass revocations that are begun, followed, paused and resumed.

use crate::support::{Run, Server, envelope};
use serde_json::{Value, json};

const ID: &str = "01jdx3m5k8v2q7t4w9y6z1b0ce";

fn job(state: &str, more: &Value) -> String {
    let job = json!({
        "id": ID, "prefix": "database/creds/app", "state": state, "asked_by": "root",
        "asked_at": "2026-11-22T17:27:53Z", "done_at": null, "leases": 5, "marked": 5, "gone": 3,
        "tried": 2, "waiting": 0, "errors": [],
    });
    let fields = job.as_object().into_iter().chain(more.as_object()).flatten();
    envelope(&fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[test]
fn a_mass_revocation_is_followed_to_its_end_and_says_once_what_is_in_the_way() {
    let begun = job("running", &json!({ "leases": null, "marked": 0, "gone": null, "tried": 0 }));
    let stuck = json!({ "errors": [{ "target": "database/shop", "lease_id": "l", "error": "it is down" }] });
    let stuck = job("running", &stuck);
    let done = job("done", &json!({ "gone": 5, "tried": 0 }));
    let server = Server::with(&[(200, &begun), (200, &stuck), (200, &stuck), (200, &done)]);
    let arguments = ["lease", "revoke", "-prefix", "-job", "database/creds/app"];
    let outcome = Run::at(&server, &arguments).run();
    assert_eq!(
        outcome.err,
        format!(
            "Mass revocation {ID} of database/creds/app goes on without this command: leasehold lease job follow {ID}\n\
             database/shop: it is down; it is tried again until it succeeds\n"
        )
    );
    assert_eq!(outcome.ok(), "Success! The credentials of 5 leases are gone: database/creds/app\n");
    let seen = server.seen();
    assert_eq!(seen[0].line, "PUT /v1/sys/revocations");
    assert_eq!(seen[0].body, json!({ "prefix": "database/creds/app" }));
    assert_eq!(seen[1].line, format!("GET /v1/sys/revocations/{ID}"));
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_mass_revocation_of_a_target_may_only_be_named() {
    let begun = job("running", &json!({ "leases": null }));
    let server = Server::with(&[(200, &begun)]);
    let arguments =
        ["lease", "revoke", "-target", "-job", "-detach", "database/shop", "-format=json"];
    let out = Run::at(&server, &arguments).run().ok();
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["data"]["id"], ID);
    assert_eq!(server.seen()[0].body, json!({ "target": "database/shop" }));
}

#[test]
fn a_mass_revocation_that_is_paused_says_how_it_goes_on_and_is_no_success_to_follow() {
    let paused = job("paused", &json!({ "waiting": 7 }));
    let server = Server::with(&[(200, &paused), (200, &paused), (200, &paused)]);
    let told = format!(
        "Mass revocation {ID} of database/creds/app is paused.\n\
         3 of 5 gone, 2 marked and still tried, 7 not marked yet\n\
         \n\
         Next:\n    leasehold lease job resume {ID}\n"
    );
    assert_eq!(Run::at(&server, &["lease", "job", "pause", ID]).run().ok(), told);
    assert_eq!(Run::at(&server, &["lease", "job", "resume", ID]).run().ok(), told);
    let followed = Run::at(&server, &["lease", "job", "follow", ID]).run();
    assert_eq!((followed.exit, followed.out), (2, told));
    let path = format!("/v1/sys/revocations/{ID}");
    let asked = [format!("PUT {path}/pause"), format!("PUT {path}/resume"), format!("GET {path}")];
    assert_eq!(server.lines(), asked);
}

#[test]
fn mass_revocations_are_listed_in_a_table() {
    let info = json!({ "id": ID, "target": "database/shop", "state": "done", "asked_by": "token-ann",
        "asked_at": "2026-11-22T17:27:53Z", "leases": 5, "marked": 5 });
    let some = envelope(&json!({ "keys": [ID], "key_info": { ID: info } }));
    let none = envelope(&json!({ "keys": [], "key_info": {} }));
    let server = Server::with(&[(200, &some), (200, &none)]);
    let out = Run::at(&server, &["lease", "job", "list"]).run().ok();
    assert!(out.starts_with("Id  ") && out.contains("the target database/shop    done"), "{out}");
    let out = Run::at(&server, &["lease", "job", "list"]).run().ok();
    assert_eq!(out, "No mass revocation goes on, and none was done within a day.\n");
}

#[test]
fn a_job_of_one_lease_or_one_that_is_waited_for_twice_is_refused_here() {
    for flags in
        [&["-job"][..], &["-target"], &["-job", "-sync", "-prefix"], &["-detach", "-prefix"]]
    {
        let server = Server::with(&[]);
        let arguments = [&["lease", "revoke"][..], flags, &["database/creds/app"]].concat();
        let outcome = Run::at(&server, &arguments).run();
        assert_eq!((outcome.exit, server.lines().len()), (1, 0), "{flags:?}: {outcome:?}");
    }
}
