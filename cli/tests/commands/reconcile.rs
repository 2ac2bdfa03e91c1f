//! `reconcile`, `rehearse` and `abandon`: what a comparison, a rehearsal and what is left of a target look like, and what
//! is asked.

use crate::support::{Run, Server, envelope};
use serde_json::json;

fn compared() -> String {
    envelope(&json!({
        "target": "database/shop", "compared_at": "2026-11-22T17:27:53Z", "credentials": 7, "young": 0,
        "orphan": 1, "look_alike": 0, "missing": 0, "altered": 1, "stuck": 0, "more": false,
        "differences": [
            { "kind": "orphan", "username": "v-1", "lease": "l1", "role": null, "why": ["it is on no lease"] },
            { "kind": "altered", "username": "v-2", "lease": "l2", "role": "app", "why": ["+ superuser", "- reads"] },
        ],
        "plan": "01jdx3m5k8v2q7t4w9y6z1b0ce", "plan_expires_at": "2026-11-22T17:37:53Z",
    }))
}

#[test]
fn differences_are_shown_with_what_to_do_and_are_exit_code_2() {
    let server = Server::with(&[(200, &compared())]);
    let outcome = Run::at(&server, &["reconcile", "database/shop"]).run();
    assert_eq!(outcome.exit, 2, "{outcome:?}");
    assert_eq!(
        outcome.out,
        "Kind       Username    Role    Lease    Why\n\
         ----       --------    ----    -----    ---\n\
         orphan     v-1         n/a     l1       it is on no lease\n\
         altered    v-2         app     l2       + superuser; - reads\n\
         \n\
         Of 7 credentials at database/shop: 1 orphan, 1 altered.\n\
         To repair, within ten minutes: leasehold reconcile database/shop -plan=01jdx3m5k8v2q7t4w9y6z1b0ce\n\
         Those that were altered are lent: -kinds=altered revokes them.\n"
    );
    assert_eq!(server.lines(), ["PUT /v1/sys/reconcile/database/shop"]);
}

#[test]
fn a_target_that_agrees_is_exit_code_0() {
    let agreed = envelope(&json!({
        "target": "database/shop", "credentials": 7, "young": 0, "differences": [], "plan": "p",
    }));
    let server = Server::with(&[(200, &agreed)]);
    let out = Run::at(&server, &["reconcile", "database/shop"]).run().ok();
    assert_eq!(out, "database/shop and the leases agree: 7 credentials.\n");
}

#[test]
fn a_repair_says_what_it_did() {
    let repaired = envelope(&json!({ "removed": 2, "ended": 1, "tried": 0, "changed": 1 }));
    let server = Server::with(&[(200, &repaired)]);
    let arguments = ["reconcile", "-plan=p", "-kinds=orphan,altered", "-force", "database/shop"];
    let out = Run::at(&server, &arguments).run().ok();
    assert_eq!(
        out,
        "Success! 2 credentials are being removed, 1 leases of missing ones end, 0 revocations are tried again.\n\
         1 were no longer as they had been shown, and were left alone.\n"
    );
    let asked = json!({ "plan": "p", "force": true, "kinds": ["orphan", "altered"] });
    assert_eq!(server.seen()[0].body, asked);
}

#[test]
fn a_plan_without_its_target_is_not_asked_for() {
    let outcome = Run::of(&["reconcile", "-plan=p"]).run();
    assert_eq!(outcome.exit, 1, "{outcome:?}");
}

#[test]
fn a_rehearsal_shows_each_step_and_what_is_lacking() {
    let failed = envelope(&json!({
        "role": "database/app", "ok": false, "failed": "no login", "username": "v-1", "rights": [],
        "lacks": ["run `GRANT …`"],
        "steps": [
            { "step": "issue", "ms": 12, "failed": null },
            { "step": "log_in", "ms": 3, "failed": "no login" },
        ],
    }));
    let server = Server::with(&[(200, &failed)]);
    let outcome = Run::at(&server, &["rehearse", "database/app"]).run();
    assert_eq!(outcome.exit, 2, "{outcome:?}");
    assert_eq!(
        outcome.out,
        "Step      Outcome    Took     What was seen\n\
         ----      -------    ----     -------------\n\
         issue     ok         12 ms    a credential was issued\n\
         log_in    FAILED     3 ms     no login\n\
         \n\
         database/app does NOT work. What there may be of it is on a lease until it is gone.\n\
         * run `GRANT …`\n"
    );
    assert_eq!(server.lines(), ["PUT /v1/sys/rehearse/database/app"]);
}

#[test]
fn a_rehearsal_of_what_is_only_refused_says_so() {
    let worked = envelope(&json!({
        "role": "aws/deploy", "ok": true, "failed": null, "username": "s-1", "rights": [], "lacks": [],
        "steps": [
            { "step": "log_in", "ms": 3, "failed": null, "note": null },
            { "step": "revoke", "ms": 4, "failed": null, "note": "it is refused until it ends by itself" },
        ],
    }));
    let server = Server::with(&[(200, &worked)]);
    let out = Run::at(&server, &["rehearse", "aws/deploy"]).run().ok();
    assert_eq!(
        out,
        "Step      Outcome    Took    What was seen\n\
         ----      -------    ----    -------------\n\
         log_in    ok         3 ms    it logs in\n\
         revoke    ok         4 ms    it is refused until it ends by itself\n\
         \n\
         aws/deploy works: its credentials live, and are refused once they are revoked.\n"
    );
}

#[test]
fn what_would_be_abandoned_is_shown_and_nothing_is_asked_for_without_yes() {
    let left = envelope(&json!({
        "target": "database/shop",
        "generations": [{ "generation": "g-1", "leases": 3, "abandoned": null }],
    }));
    let server = Server::with(&[(200, &left)]);
    let out = Run::at(&server, &["abandon", "-reason=scrapped", "database/shop"]).run().ok();
    assert_eq!(
        out,
        "Generation    Leases    Abandoned    By     Because\n\
         ----------    ------    ---------    --     -------\n\
         g-1           3         n/a          n/a    n/a\n\
         \n\
         Nothing was changed. These leases end, and their credentials are left where they are, by:\n\
         leasehold abandon -yes -reason=... database/shop\n"
    );
    assert_eq!(server.lines(), ["GET /v1/sys/abandon/database/shop"]);
}

#[test]
fn a_target_is_abandoned_with_a_reason_and_by_yes() {
    let outcome = Run::of(&["abandon", "-yes", "database/shop"]).run();
    assert_eq!(outcome.exit, 1, "{outcome:?}");
    let done = envelope(&json!({ "generation": "g-1", "leases": 3, "abandoned": {} }));
    let server = Server::with(&[(200, &done)]);
    let arguments = ["abandon", "-yes", "-reason=scrapped", "database/shop"];
    let out = Run::at(&server, &arguments).run().ok();
    assert_eq!(
        out,
        "Success! database/shop is abandoned: the 3 leases that it has left end without asking it.\n"
    );
    assert_eq!(server.seen()[0].body, json!({ "reason": "scrapped", "generation": null }));
}
