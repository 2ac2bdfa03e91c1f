//! A decision by policies allocates nothing, however many rules there are and whatever is asked.
//!
//! The allocator of this binary counts, so nothing else is tested in it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use allocation_counter::measure;
use leasehold_core::access::policy::{
    Acl, Capability, Facts, Policy, PolicyName, Question, Right, Verdict,
};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

const RULES: &str = r#"
    path "database/creds/app" { capabilities = ["read"] }
    path "database/roles/" { capabilities = ["list"] }
    path "database/static-roles" { capabilities = ["list"] }
    path "database/roles/+/of/*" { capabilities = ["list", "read"] }
    path "database/closed/*" { capabilities = ["deny"] }
    path "identity/entity/name/Ann" { capabilities = ["read"] }
    path "sys/*" { capabilities = ["update"] }
    path "sys/wrapped" { capabilities = ["update"] min_wrapping_ttl = "1m" max_wrapping_ttl = "1h" }
    path "sys/leases/+/renew" {
        capabilities = ["update"]
        required_parameters = ["lease_id"]
        allowed_parameters = { "lease_id" = ["app-*"] "increment" = [60, "1h"] "sync" = [true] "tags" = ["a", "b"] }
    }
    path "auth/token/create" {
        capabilities = ["update"]
        denied_parameters = { "policies" = ["admin", "ops-*"] "period" = [] "num_uses" = [0, 1.5] }
    }
"#;

/// Those, among thousands of others.
fn acl() -> Acl {
    let mut others = String::new();
    for number in 0..2_000 {
        let path = match number % 4 {
            0 => format!("database/creds/app-{number}"),
            1 => format!("database/creds/{number}-*"),
            2 => format!("database/+/{number}/*"),
            _ => format!("sys/leases/+/+/{number}"),
        };
        writeln!(others, "path {path:?} {{ capabilities = [\"read\", \"list\"] }}").unwrap();
    }
    let policy = |name, text| Policy::parse(PolicyName::parse(name).unwrap(), text).unwrap();
    Acl::compile([&policy("rules", RULES), &policy("others", &others)], &Facts::default())
}

fn fields(written: Value) -> Map<String, Value> {
    serde_json::from_value(written).unwrap()
}

/// Decides, and tells whether it was allowed and how often that has allocated.
fn decided(acl: &Acl, question: &Question<'_>) -> (bool, u64) {
    let mut allowed = false;
    let counted = measure(|| {
        let decision = black_box(acl).decide(black_box(question));
        allowed = matches!(black_box(decision.verdict), Verdict::Allowed);
    });
    (allowed, counted.count_total)
}

#[test]
fn the_counter_sees_what_is_allocated() {
    let counted = measure(|| drop(black_box(String::from("a text"))));
    assert_eq!(counted.count_total, 1);
}

#[test]
fn a_decision_allocates_nothing_wherever_and_whatever_is_asked() {
    use Capability::{List, Read, Update};
    let acl = acl();
    let long = format!("database/roles/{}/of/x", "y".repeat(4_000));
    for (path, capability, allowed) in [
        ("database/creds/app", Read, true),
        ("database/creds/1997-anything", Read, true),
        ("database/creds/nobody", Read, false),
        ("database/closed/x", Read, false),
        ("database/any/1998/below/it", Read, true),
        ("sys/anything", Update, true),
        ("nowhere/at/all", Update, false),
        // A name that is the same in any case, as the broker means it.
        ("identity/entity/name/ann", Read, true),
        ("", Read, false),
        // Listed with a `/` and without, whichever the rule has.
        ("database/roles", List, true),
        ("database/roles/", List, true),
        ("database/static-roles", List, true),
        ("database/static-roles/", List, true),
        ("database/roles/x/of", List, true),
        ("database/closed", List, false),
        (&long, List, true),
    ] {
        for right in [Right::Policy, Right::Own, Right::Sudo] {
            let question = Question { path, capability, parameters: None, wrap_ttl: None, right };
            let (is_allowed, allocations) = decided(&acl, &question);
            assert_eq!(allocations, 0, "{capability:?} {path}");
            assert!(right != Right::Policy || is_allowed == allowed, "{capability:?} {path}");
        }
    }
}

#[test]
fn a_decision_on_parameters_allocates_nothing() {
    let acl = acl();
    let (renew, create) = ("sys/leases/x/renew", "auth/token/create");
    for (path, sent, allowed) in [
        (renew, json!({ "lease_id": "app-1", "increment": 60, "sync": "true" }), true),
        (renew, json!({ "LEASE_ID": "app-1", "increment": "60", "tags": ["b", "a"] }), true),
        (renew, json!({ "lease_id": "app-1", "increment": 61 }), false),
        (renew, json!({ "lease_id": "app-1", "other": null }), false),
        (renew, json!({ "increment": 60 }), false),
        (create, json!({ "policies": ["app"], "num_uses": 2, "ttl": { "a": [1.25] } }), true),
        (create, json!({ "policies": "app, ops-1" }), false),
        (create, json!({ "policies": [["admin"]] }), false),
        (create, json!({ "num_uses": "1.5" }), false),
        (create, json!({ "num_uses": 0 }), false),
        (create, json!({ "period": "1h" }), false),
    ] {
        let sent = fields(sent);
        let (capability, right, parameters) = (Capability::Update, Right::Policy, Some(&sent));
        let question = Question { path, capability, parameters, wrap_ttl: None, right };
        assert_eq!(decided(&acl, &question), (allowed, 0), "{path} {sent:?}");
    }
    for (minutes, allowed) in [(0, false), (5, true), (90, false)] {
        let question = Question {
            path: "sys/wrapped",
            capability: Capability::Update,
            parameters: None,
            wrap_ttl: Some(Duration::from_mins(minutes)),
            right: Right::Policy,
        };
        assert_eq!(decided(&acl, &question), (allowed, 0), "{minutes}");
    }
}
