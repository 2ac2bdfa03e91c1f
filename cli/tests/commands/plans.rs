//! `lease revoke -plan`: what a revocation would take, page by page, and how to do it.

use crate::support::{Run, Server, envelope};
use serde_json::{Value, json};

fn lease(name: &str, more: &Value) -> Value {
    let lease = json!({
        "lease_id": format!("database/creds/app/{name}"), "username": name, "target": "database/shop",
        "state": "held", "expire_time": "2026-11-22T17:27:53Z", "ttl": 3599, "exists": true, "sessions": 0,
        "owns": [], "last_used": null, "error": null,
    });
    let fields = lease.as_object().into_iter().chain(more.as_object()).flatten();
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn page(leases: &[Value], totals: [u64; 8], after: Option<&str>) -> String {
    let [count, in_use, sessions, sessions_unknown, owning, owned, missing, unknown] = totals;
    let totals = json!({
        "leases": count, "in_use": in_use, "sessions": sessions,
        "sessions_unknown": sessions_unknown, "owning": owning, "owned": owned, "missing": missing,
        "unknown": unknown,
    });
    envelope(&json!({ "leases": leases, "totals": totals, "after": after }))
}

fn two_pages() -> [String; 2] {
    let owns = json!([
        { "kind": "table", "in": "app", "count": 7, "names": ["public.books"] },
        { "kind": "view", "in": "app", "count": 1, "names": ["public.v"] },
    ]);
    let down = "the server cannot be reached: refused";
    let unknown = json!({ "exists": null, "sessions": null, "owns": null, "error": down });
    let first = [
        lease("v-used", &json!({ "sessions": 2, "owns": owns })),
        lease("v-gone", &json!({ "exists": false, "state": "revoking" })),
    ];
    let key = json!([{ "kind": "access key", "in": null, "count": 1, "names": ["AKIA1"] }]);
    let key = json!({ "sessions": null, "owns": key, "last_used": "2026-11-22T02:00:00Z" });
    let session = json!({ "exists": null, "sessions": null, "owns": null });
    let second = [
        lease("v-far", &unknown),
        lease("v-key", &key),
        lease("v-session", &session),
        lease("v-\u{1b}[2Jhostile", &unknown),
    ];
    [
        page(&first, [2, 1, 2, 0, 1, 8, 1, 0], Some("m/app/l")),
        page(&second, [4, 0, 0, 2, 1, 1, 0, 2], None),
    ]
}

#[test]
fn a_plan_is_a_table_of_all_pages_with_totals_and_the_way_to_do_it() {
    let [first, second] = two_pages();
    let server = Server::with(&[(200, &first), (200, &second)]);
    let arguments = ["lease", "revoke", "-prefix", "-plan", "/database/creds/app"];
    let out = Run::at(&server, &arguments).run().ok();
    let lines: Vec<_> =
        out.lines().map(|line| line.split("    ").map(str::trim).collect()).collect();
    let cells: Vec<Vec<&str>> = lines
        .into_iter()
        .map(|line: Vec<&str>| line.into_iter().filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(cells[0], ["Credential", "Lease", "Lapses in", "Sessions", "Owns"]);
    let owned = "7 × table in app (public.books, …); 1 × view in app (public.v)";
    assert_eq!(cells[2], ["v-used", "database/creds/app/v-used", "59m59s", "2", owned]);
    let gone = ["v-gone", "database/creds/app/v-gone", "being revoked", "0", "not at the target"];
    assert_eq!(cells[3], gone);
    let far = ["v-far", "database/creds/app/v-far", "59m59s", "not known", "not known"];
    assert_eq!(cells[4], far);
    let key = "1 × access key (AKIA1); last used 2026-11-22T02:00:00Z";
    assert_eq!(cells[5], ["v-key", "database/creds/app/v-key", "59m59s", "n/a", key]);
    assert_eq!(cells[6], ["v-session", "database/creds/app/v-session", "59m59s", "n/a", "n/a"]);
    assert!(!out.contains('\u{1b}'), "{out}");
    let end = "\n\
        6 credentials: 1 in use by 2 sessions, 2 owning 9 objects, 2 whose sessions the target does not tell, \
        1 not at the target, 2 not known.\n\
        database/shop does not tell of 2 credentials: the server cannot be reached: refused\n\
        \n\
        Nothing was revoked. To do it:\n    leasehold lease revoke -prefix -job database/creds/app\n";
    assert!(out.ends_with(end), "{out}");
    let seen = server.seen();
    assert!(seen.iter().all(|seen| seen.line == "PUT /v1/sys/revocations/plan"));
    assert_eq!(seen[0].body, json!({ "prefix": "database/creds/app" }));
    assert_eq!(seen[1].body, json!({ "prefix": "database/creds/app", "after": "m/app/l" }));
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_plan_for_a_program_is_one_document_however_many_pages_there_are() {
    let [first, second] = two_pages();
    let server = Server::with(&[(200, &first), (200, &second)]);
    let arguments = ["lease", "revoke", "-target", "-plan", "database/shop", "-format=json"];
    let shown = Run::at(&server, &arguments).run().ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["data"]["leases"].as_array().unwrap().len(), 6);
    assert_eq!(shown["data"]["totals"]["leases"], 6);
    assert_eq!(shown["data"]["totals"]["owned"], 9);
    assert_eq!(server.seen()[0].body, json!({ "target": "database/shop" }));
}

#[test]
fn a_plan_of_more_than_anybody_reads_shows_the_first_thousand_and_counts_all() {
    let unknown = json!({ "error": "refused" });
    let pages = [(0..999, Some("m/app/l")), (999..1002, None)].map(|(numbers, after)| {
        let count = numbers.len() as u64;
        let leases: Vec<_> = numbers.map(|at| lease(&format!("v-{at}"), &unknown)).collect();
        page(&leases, [count, 0, 0, 0, 0, 0, 0, count], after)
    });
    let server = Server::with(&[(200, &pages[0]), (200, &pages[1])]);
    let outcome = Run::at(&server, &["lease", "revoke", "-prefix", "-plan", "database"]).run();
    assert_eq!(outcome.exit, 0, "{outcome:?}");
    let rows = outcome.out.lines().filter(|line| line.contains("database/creds/app/v-")).count();
    assert_eq!(rows, 1000);
    let told = "These are the first 1000; -format=json shows all of them.";
    assert!(outcome.err.contains(told), "{}", outcome.err);
    assert!(outcome.out.contains("database/shop does not tell of 1002 credentials: refused\n"));
}

#[test]
fn a_plan_of_one_lease_names_it_and_one_of_nothing_says_so() {
    let one = page(&[lease("x", &Value::Null)], [1, 0, 0, 0, 0, 0, 0, 0], None);
    let none = page(&[], [0; 8], None);
    let server = Server::with(&[(200, &one), (200, &none), (404, r#"{"errors":["no lease"]}"#)]);
    let id = "database/creds/app/x";
    let out = Run::at(&server, &["lease", "revoke", "-plan", id]).run().ok();
    assert!(out.contains("1 credential: 0 in use by 0 sessions, 0 owning 0 objects.\n"), "{out}");
    assert!(out.ends_with("\n    leasehold lease revoke database/creds/app/x\n"), "{out}");
    let out = Run::at(&server, &["lease", "revoke", "-prefix", "-plan", "database"]).run().ok();
    assert_eq!(out, "Nothing is lent: database\n");
    let outcome = Run::at(&server, &["lease", "revoke", "-plan", "none"]).run();
    assert_eq!(outcome.exit, 2);
    assert!(outcome.err.starts_with("Error planning the revocation of none: "), "{outcome:?}");
    let seen = server.seen();
    assert_eq!(seen[0].body, json!({ "lease_id": id }));
}

#[test]
fn a_plan_revokes_nothing_whatever_else_is_said() {
    for flags in [
        &["-plan", "-sync"][..],
        &["-plan", "-job", "-prefix"],
        &["-plan", "-prefix", "-force"],
        &["-plan", "-target", "-prefix"],
        &["-plan", "-detach"],
    ] {
        let server = Server::with(&[]);
        let arguments = [&["lease", "revoke"][..], flags, &["database/creds/app"]].concat();
        let outcome = Run::at(&server, &arguments).run();
        assert_eq!((outcome.exit, server.lines().len()), (1, 0), "{flags:?}: {outcome:?}");
    }
}
