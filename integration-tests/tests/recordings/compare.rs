//! Compares an answer with the recorded one: what a client may rely on must be there, of the same kind and
//! with the same value. More may be there.

use serde_json::Value;
use std::collections::BTreeSet;

/// How much a TTL may differ, in seconds: as long as a step takes on a loaded machine.
pub(crate) const TTL_SLACK: u64 = 2;

/// What is compared less strictly than by value.
#[derive(Debug, Default)]
pub(crate) struct Loose {
    /// Pointers whose value differed between two recordings.
    pub(crate) varies: BTreeSet<String>,
    /// Keys whose value names the product or the release, or counts what a server does by itself.
    pub(crate) products: BTreeSet<String>,
    /// What both errors or warnings begin with, where the rest may be in other words.
    pub(crate) begins: Option<String>,
}

impl Loose {
    /// Returns what differs, one line for each place.
    pub(crate) fn differences(&self, recorded: &Value, ours: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.walk("", "", recorded, ours, &mut found);
        found
    }

    fn walk(&self, at: &str, key: &str, recorded: &Value, ours: &Value, found: &mut Vec<String>) {
        if self.varies.contains(at) || self.products.contains(key) {
            if (kind(recorded), is_empty(recorded)) != (kind(ours), is_empty(ours)) {
                found.push(told(at, recorded, ours));
            }
            return;
        }
        match (recorded, ours) {
            (Value::String(one), Value::String(other)) if self.differ_in_words(at, one, other) => {}
            (Value::Object(recorded), Value::Object(ours)) => {
                for (key, recorded) in recorded {
                    let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                    match ours.get(key) {
                        Some(ours) => self.walk(&at, key, recorded, ours, found),
                        // A key named after something that differs from run to run.
                        None if self.varies.contains(&at) => {}
                        None => found.push(format!("{at}: missing, recorded was {recorded}")),
                    }
                }
            }
            (Value::Array(all), Value::Array(own)) if all.len() == own.len() => {
                for (number, (recorded, ours)) in all.iter().zip(own).enumerate() {
                    self.walk(&format!("{at}/{number}"), "", recorded, ours, found);
                }
            }
            (Value::Number(one), Value::Number(other))
                if matches!(key, "ttl" | "lease_duration") =>
            {
                let near = one.as_u64().zip(other.as_u64());
                if near.is_none_or(|(one, other)| one.abs_diff(other) > TTL_SLACK) {
                    found.push(told(at, recorded, ours));
                }
            }
            _ if recorded == ours => {}
            _ => found.push(told(at, recorded, ours)),
        }
    }

    fn differ_in_words(&self, at: &str, one: &str, other: &str) -> bool {
        let begins = |begins: &String| one.starts_with(begins) && other.starts_with(begins);
        let in_words = ["/errors/", "/warnings/"].iter().any(|list| at.starts_with(list));
        in_words && self.begins.as_ref().is_some_and(begins)
    }
}

fn told(at: &str, recorded: &Value, ours: &Value) -> String {
    let place = if at.is_empty() { "the body" } else { at };
    format!("{place}: recorded was {recorded}, ours is {ours}")
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

#[test]
fn a_comparison_sees_what_a_client_would_see() {
    use serde_json::json;
    let loose = Loose {
        varies: BTreeSet::from(["/id".to_owned(), "/mounts/a~1b".to_owned()]),
        products: BTreeSet::from(["version".to_owned()]),
        begins: Some("cannot ".to_owned()),
    };
    for (one, other, number) in [("cannot a", "cannot b", 0), ("a", "b", 1), ("cannot a", "b", 1)] {
        let (one, other) = (json!({ "errors": [one] }), json!({ "errors": [other] }));
        assert_eq!(loose.differences(&one, &other).len(), number, "{one} {other}");
    }
    let recorded = json!({ "id": "x", "ttl": 60, "list": [1, null], "version": "2", "a": {} });
    let same = json!({ "id": "y", "ttl": 58, "list": [1, null], "version": "0", "a": {}, "b": 1 });
    assert_eq!(loose.differences(&recorded, &same), [""; 0]);
    for (key, value) in [
        ("id", json!("")),
        ("id", json!(1)),
        ("ttl", json!(57)),
        ("ttl", json!("60")),
        ("list", json!([1])),
        ("list", json!([2, null])),
        ("version", json!(null)),
        ("a", json!(null)),
    ] {
        let mut other = same.clone();
        other[key] = value;
        assert_eq!(loose.differences(&recorded, &other).len(), 1, "{key}");
        other.as_object_mut().unwrap().remove(key);
        let missing = usize::from(key != "id");
        assert_eq!(loose.differences(&recorded, &other).len(), missing, "{key}");
    }
}
