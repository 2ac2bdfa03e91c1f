//! What a rule says of the parameters of a request: which there must be, which may be, which must not.
//!
//! Values are compared by their text, so that `5` and `"5"` are the same here as they are to an endpoint. Of a list,
//! every value must be allowed, and none may be denied. A text with commas, which many endpoints read as a list, is
//! denied for each of its parts as well, and a pattern that allows it must allow each part. Names of policies are the
//! same in any case and with space around them.

use crate::mount::{matches, matches_in_any_case};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

/// Stands for every parameter.
const ANY: &str = "*";
/// More than any number is written in, in bytes: the longest has 17 digits, a sign, a point and an exponent.
const DIGITS_MAX: usize = 40;

/// Parameters in lower case, each with the values it is about; with none it is about any.
pub(super) type Constraints = BTreeMap<String, Vec<Value>>;

/// What a rule says of parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parameters {
    /// Nothing but these, if there are any.
    pub(super) allowed: Constraints,
    /// None of these.
    pub(super) denied: Constraints,
    /// All of these.
    pub(super) required: BTreeSet<String>,
}

/// What a request does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong<'a> {
    /// A parameter is required and missing.
    Missing(&'a str),
    /// A parameter, or its value, is denied.
    Denied(&'a str),
    /// A parameter, or its value, is not among those that are allowed.
    NotAllowed(&'a str),
}

impl Parameters {
    /// Adds what another rule of the same path says, as Vault does.
    pub(super) fn merge(&mut self, other: &Self) {
        merge(&mut self.allowed, &other.allowed);
        merge(&mut self.denied, &other.denied);
        self.required.extend(other.required.iter().cloned());
    }

    /// Says what a request does wrong.
    pub(super) fn fault_of<'a>(
        &'a self,
        sent: Option<&'a Map<String, Value>>,
    ) -> Option<Wrong<'a>> {
        let has =
            |name: &str| sent.into_iter().flatten().any(|(key, _)| key.eq_ignore_ascii_case(name));
        let missing = self.required.iter().find(|name| !has(name));
        missing.map(|name| Wrong::Missing(name)).or_else(|| self.unwanted_of(sent))
    }

    /// Says which of the parameters that are sent should not be.
    pub(super) fn unwanted_of<'a>(
        &'a self,
        sent: Option<&'a Map<String, Value>>,
    ) -> Option<Wrong<'a>> {
        let mut sent = sent.into_iter().flatten();
        let denied_all = self.denied.contains_key(ANY);
        let allowed_all = self.allowed.is_empty() || self.allowed.contains_key(ANY);
        sent.find_map(|(name, value)| {
            let kind = Kind::of(name);
            let denied = constraint(&self.denied, name);
            if denied_all || denied.is_some_and(|values| any_is_among(value, kind, values)) {
                return Some(Wrong::Denied(name));
            }
            let fits = constraint(&self.allowed, name)
                .map_or(allowed_all, |values| all_are_among(value, kind, values));
            (!fits).then_some(Wrong::NotAllowed(name))
        })
    }
}

/// Adds to constraints others of the same path.
pub(super) fn merge(into: &mut Constraints, from: &Constraints) {
    for (name, values) in from {
        match into.get_mut(name) {
            None => {
                into.insert(name.clone(), values.clone());
            }
            // About any value is about these as well.
            Some(known) if known.is_empty() || values.is_empty() => known.clear(),
            Some(known) => known.extend(values.iter().cloned()),
        }
    }
}

/// Returns what is said of a parameter, in whatever case it was sent.
fn constraint<'a>(constraints: &'a Constraints, name: &str) -> Option<&'a Vec<Value>> {
    constraints.get(name).or_else(|| {
        constraints
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, values)| values)
    })
}

/// How values of a parameter are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As they are written.
    Plain,
    /// As names of policies, each of which can be written in several ways.
    Policies,
}

impl Kind {
    /// Parameters that name policies end so: `policies`, `token_policies`, `allowed_policies` and the like.
    fn of(name: &str) -> Self {
        const END: &[u8] = b"policies";
        let at = name.len().checked_sub(END.len());
        let end = at.and_then(|at| name.as_bytes().get(at..));
        if end.is_some_and(|end| end.eq_ignore_ascii_case(END)) {
            Self::Policies
        } else {
            Self::Plain
        }
    }

    fn matches(self, pattern: &str, sent: &str) -> bool {
        match self {
            Self::Plain => matches(pattern, sent),
            Self::Policies => matches_in_any_case(pattern.trim(), sent.trim()),
        }
    }
}

fn all_are_among(sent: &Value, kind: Kind, values: &[Value]) -> bool {
    if values.is_empty() {
        return true;
    }
    match sent {
        // An empty list often means something of its own, so it must be listed as one.
        Value::Array(items) => {
            values.contains(sent)
                || !items.is_empty() && items.iter().all(|item| is_allowed(item, kind, values))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            is_allowed(sent, kind, values)
        }
    }
}

/// Whether one value is allowed. What a pattern allows may be read as a list, so each part must be allowed as well.
fn is_allowed(sent: &Value, kind: Kind, values: &[Value]) -> bool {
    let may_be_list = |text: &str| text.contains(',') && !values.contains(sent);
    let parts_are_allowed = match sent {
        Value::String(text) if may_be_list(text) => {
            text.split(',').all(|part| is_text_among(part.trim(), kind, values))
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => true,
    };
    parts_are_allowed && is_among(sent, kind, values)
}

fn any_is_among(sent: &Value, kind: Kind, values: &[Value]) -> bool {
    if values.is_empty() || is_among(sent, kind, values) {
        return true;
    }
    match sent {
        Value::Array(items) => items.iter().any(|item| any_is_among(item, kind, values)),
        Value::String(text) => {
            text.contains(',')
                && text.split(',').any(|part| is_text_among(part.trim(), kind, values))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

fn is_among(sent: &Value, kind: Kind, values: &[Value]) -> bool {
    match Text::of(sent) {
        Some(text) => is_text_among(text.as_str(), kind, values),
        None => values.contains(sent),
    }
}

fn is_text_among(sent: &str, kind: Kind, values: &[Value]) -> bool {
    values.iter().any(|value| match value {
        Value::String(pattern) => kind.matches(pattern, sent),
        Value::Number(_) | Value::Bool(_) => {
            Text::of(value).is_some_and(|text| text.as_str() == sent)
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    })
}

/// The text that a plain value is the same as.
enum Text<'a> {
    Written(&'a str),
    Digits(Digits),
}

/// A number, written where it is needed.
struct Digits {
    bytes: [u8; DIGITS_MAX],
    length: usize,
}

impl<'a> Text<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Written(text)),
            Value::Number(number) => {
                let mut digits = Digits { bytes: [0; DIGITS_MAX], length: 0 };
                write!(digits, "{number}").ok().map(|()| Self::Digits(digits))
            }
            Value::Bool(flag) => Some(Self::Written(if *flag { "true" } else { "false" })),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Written(text) => text,
            Self::Digits(Digits { bytes, length }) => {
                let written = bytes.get(..*length).and_then(|bytes| str::from_utf8(bytes).ok());
                written.unwrap_or_default()
            }
        }
    }
}

impl fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length.saturating_add(text.len());
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn constraints(written: Value) -> Constraints {
        serde_json::from_value(written).unwrap()
    }

    fn fits(parameters: &Parameters, sent: Value) -> bool {
        let sent: Map<String, Value> = serde_json::from_value(sent).unwrap();
        parameters.fault_of(Some(&sent)).is_none()
    }

    #[test]
    fn required_parameters_must_be_there() {
        let parameters = Parameters { required: ["k".to_owned()].into(), ..Parameters::default() };
        assert!(fits(&parameters, json!({ "K": 1 })));
        assert!(!fits(&parameters, json!({ "other": 1 })));
        assert!(!fits(&parameters, json!({})));
    }

    #[test]
    fn what_is_not_allowed_is_refused_once_anything_is_listed() {
        let allowed = constraints(
            json!({ "ttl": ["1h", 60], "any": [], "name": ["app-*"], "list": ["a", "b"] }),
        );
        let parameters = Parameters { allowed, ..Parameters::default() };
        for sent in [
            json!({}),
            json!({ "ttl": "1h" }),
            json!({ "TTL": "60" }),
            json!({ "any": { "x": 1 } }),
            json!({ "name": "app-1" }),
            json!({ "list": ["a", "b", "a"] }),
            json!({ "list": "a" }),
        ] {
            assert!(fits(&parameters, sent.clone()), "{sent}");
        }
        for sent in [
            json!({ "other": 1 }),
            json!({ "ttl": "2h" }),
            json!({ "ttl": null }),
            json!({ "name": "my-app" }),
            json!({ "list": ["a", "c"] }),
            json!({ "list": [] }),
            json!({ "list": "a,b" }),
            json!({ "ttl": "1h", "x": 1 }),
        ] {
            assert!(!fits(&parameters, sent.clone()), "{sent}");
        }
    }

    #[test]
    fn a_star_among_the_allowed_lets_others_pass() {
        let parameters = Parameters {
            allowed: constraints(json!({ "*": [], "ttl": ["1h"] })),
            ..Parameters::default()
        };
        assert!(fits(&parameters, json!({ "other": 1, "ttl": "1h" })));
        assert!(!fits(&parameters, json!({ "other": 1, "ttl": "2h" })));
    }

    #[test]
    fn what_is_denied_is_denied_in_every_form() {
        let denied = constraints(json!({
            "policies": ["admin", "ops-*"], "secret": [], "n": [5], "flag": [true],
            "x": [f64::MAX, "-2.2250738585072014e-308"],
        }));
        let parameters = Parameters { denied, ..Parameters::default() };
        for sent in [
            json!({ "policies": "admin" }),
            json!({ "Policies": ["app", "admin"] }),
            json!({ "policies": "app, admin" }),
            json!({ "policies": "ops-1,app" }),
            json!({ "policies": [["admin"]] }),
            json!({ "secret": null }),
            json!({ "n": "5" }),
            json!({ "n": 5 }),
            json!({ "x": json!(f64::MAX).to_string() }),
            json!({ "x": -2.225_073_858_507_201_4e-308 }),
            json!({ "flag": "true" }),
            json!({ "policies": "*", "secret": 1 }),
        ] {
            assert!(!fits(&parameters, sent.clone()), "{sent}");
        }
        for sent in [
            json!({}),
            json!({ "policies": "administrator" }),
            json!({ "n": 6 }),
            json!({ "other": "admin" }),
        ] {
            assert!(fits(&parameters, sent.clone()), "{sent}");
        }
        let all = Parameters { denied: constraints(json!({ "*": [] })), ..Parameters::default() };
        assert!(!fits(&all, json!({ "x": 1 })) && fits(&all, json!({})));
    }

    #[test]
    fn cve_2025_5999_a_policy_is_denied_and_allowed_however_its_name_is_written() {
        let denied = constraints(json!({ "token_policies": ["admin", "Ops-*"] }));
        let parameters = Parameters { denied, ..Parameters::default() };
        for name in ["ADMIN", " admin", "ops-1", "OPS-1", "x, Admin"] {
            assert!(!fits(&parameters, json!({ "token_policies": name })), "{name:?}");
            assert!(!fits(&parameters, json!({ "Token_Policies": ["x", name] })), "{name:?}");
            assert!(fits(&parameters, json!({ "display_name": name })), "{name:?}");
        }
        let allowed = constraints(json!({ "token_policies": ["app-*", "Base"] }));
        let parameters = Parameters { allowed, ..Parameters::default() };
        for (sent, fit) in [
            (json!("APP-1"), true),
            (json!("app-1, app-2"), true),
            (json!(["app-1", " base"]), true),
            (json!("app-1,admin"), false),
            (json!(["app-1,admin"]), false),
            (json!("my-app-1"), false),
        ] {
            assert_eq!(fits(&parameters, json!({ "token_policies": sent })), fit, "{sent}");
        }
    }

    #[test]
    fn a_pattern_allows_no_list_that_it_does_not_allow_each_part_of() {
        let allowed = constraints(json!({ "roles": ["app-*"], "text": ["a,b"] }));
        let parameters = Parameters { allowed, ..Parameters::default() };
        assert!(fits(&parameters, json!({ "roles": "app-1,app-2", "text": "a,b" })));
        assert!(!fits(&parameters, json!({ "roles": "app-1,admin" })));
    }

    #[test]
    fn merging_adds_values_and_any_value_wins() {
        let mut one = Parameters {
            allowed: constraints(json!({ "a": ["1"], "b": ["1"] })),
            ..Parameters::default()
        };
        let two = Parameters {
            allowed: constraints(json!({ "a": ["2"], "b": [], "c": ["3"] })),
            required: ["a".to_owned()].into(),
            ..Parameters::default()
        };
        one.merge(&two);
        assert_eq!(one.allowed, constraints(json!({ "a": ["1", "2"], "b": [], "c": ["3"] })));
        assert!(one.required.contains("a"));
    }
}
