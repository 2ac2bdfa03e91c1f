//! Reads the fields of a request as Vault does: a number or its text, a list or a text with commas.

use super::error::Refusal;
use leasehold_core::duration::{DurationError, parse_seconds};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// The fields of a request.
pub(super) struct Fields<'a> {
    fields: Option<&'a Map<String, Value>>,
    /// What an endpoint has looked for: all that it knows.
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(fields: &'a Map<String, Value>) -> Self {
        Self { fields: Some(fields), known: RefCell::default() }
    }

    pub(super) fn none() -> Self {
        Self { fields: None, known: RefCell::default() }
    }

    fn look(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(name);
        self.fields?.get(name).filter(|value| !value.is_null())
    }

    /// Whether there is a field.
    pub(super) fn is_set(&self, name: &'static str) -> bool {
        self.look(name).is_some()
    }

    /// The same, of one that is not read by this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.is_some_and(|fields| fields.get(name).is_some_and(|value| !value.is_null()))
    }

    /// Returns a field that is written as a text.
    pub(super) fn as_text(&self, name: &'static str) -> Option<&'a str> {
        self.look(name)?.as_str()
    }

    /// Reads a text; a number or a truth value is taken as it is written.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, Refusal> {
        match self.look(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(flag)) => Ok(Some(if *flag { "1" } else { "0" }.to_owned())),
            Some(value @ (Value::Null | Value::Array(_) | Value::Object(_))) => Err(wrong(
                name,
                &format!("'' expected type 'string', got unconvertible type '{}'", go_kind(value)),
            )),
        }
    }

    /// Reads yes or no.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.look(name) else { return Ok(None) };
        let flag = match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
                "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
                _ => None,
            },
            Value::Number(number) => number.as_i64().map(|number| number != 0),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        flag.map(Some).ok_or_else(|| wrong(name, "expected a truth value"))
    }

    /// Reads a whole number.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.look(name) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if text.is_empty() => Some(0),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.map(Some).ok_or_else(|| wrong(name, "expected a whole number"))
    }

    /// Reads a number with or without a fraction.
    pub(super) fn decimal(&self, name: &'static str) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.look(name) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.map(Some).ok_or_else(|| wrong(name, "expected a number"))
    }

    /// Reads a span of time, and leaves what is wrong with it to be told.
    pub(super) fn span(&self, name: &'static str) -> Result<Option<Duration>, DurationError> {
        self.look(name).map(parse_seconds).transpose()
    }

    /// Reads a span of time.
    pub(super) fn ttl(&self, name: &'static str) -> Result<Option<Duration>, Refusal> {
        self.span(name).map_err(|error| {
            Refusal::bad(format!("Field validation failed: {}", error.in_field(name)))
        })
    }

    /// Reads a list of texts; a single text is split at its commas.
    pub(super) fn texts(&self, name: &'static str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(value) = self.look(name) else { return Ok(None) };
        let texts = match value {
            Value::Array(items) => items
                .iter()
                .map(|item| match item {
                    Value::String(text) => Some(text.clone()),
                    Value::Number(number) => Some(number.to_string()),
                    Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
                })
                .collect(),
            Value::String(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Some(parts.map(str::to_owned).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        texts.map(Some).ok_or_else(|| wrong(name, "expected a list of texts"))
    }

    /// Reads fields within a field.
    pub(super) fn object(
        &self,
        name: &'static str,
    ) -> Result<Option<&'a Map<String, Value>>, Refusal> {
        match self.look(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(fields)),
            Some(
                value @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)),
            ) => Err(wrong(
                name,
                &format!(
                    "'' expected type 'map[string]interface {{}}', got unconvertible type '{}'",
                    go_kind(value)
                ),
            )),
        }
    }

    /// Reads texts by name.
    pub(super) fn pairs(&self, name: &'static str) -> Result<BTreeMap<String, String>, Refusal> {
        if let Some(Value::String(text)) = self.look(name) {
            return match text.split_once('=') {
                None if text.is_empty() => Ok(BTreeMap::new()),
                None => Err(wrong(name, &format!("invalid key pair {text:?}"))),
                Some((key, value)) => Ok(BTreeMap::from([(key.to_owned(), value.to_owned())])),
            };
        }
        let pairs = self.object(name)?.into_iter().flatten().map(|(key, value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            Value::Number(number) => Ok((key.clone(), number.to_string())),
            Value::Bool(flag) => Ok((key.clone(), flag.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(wrong(name, &format!("the value of {key:?} is no text")))
            }
        });
        pairs.collect()
    }

    /// Returns what nobody has looked for yet.
    pub(super) fn rest(&self) -> Map<String, Value> {
        let known = self.known.borrow();
        let all = self.fields.into_iter().flatten();
        let rest = all.filter(|(name, _)| !known.contains(&name.as_str()));
        rest.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Returns the warning about fields that nobody knows.
    pub(super) fn ignored(&self) -> Option<String> {
        let rest = self.rest();
        let names: Vec<_> = rest.keys().map(String::as_str).collect();
        let list = names.join(" ");
        (!names.is_empty())
            .then(|| format!("Endpoint ignored these unrecognized parameters: [{list}]"))
    }
}

fn wrong(name: &str, message: &str) -> Refusal {
    Refusal::bad(format!(
        "Field validation failed: error converting input for field {name:?}: {message}"
    ))
}

/// Returns Go's name for the kind of a value, as Vault's messages have it.
fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "json.Number",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn fields_are_read_in_the_ways_clients_write_them() {
        let written = map(json!({
            "text": "x", "number": 5, "flag": "true", "off": false, "list": "a, b,,c", "array": ["a", "b"],
            "ttl": "90m", "seconds": 60, "meta": { "k": "v", "n": 1 }, "pair": "k=v", "nothing": null, "other": 1,
        }));
        let fields = Fields::new(&written);
        assert_eq!(fields.text("text").ok().flatten().as_deref(), Some("x"));
        assert_eq!(fields.text("number").ok().flatten().as_deref(), Some("5"));
        assert_eq!(fields.flag("flag").ok().flatten(), Some(true));
        assert_eq!(fields.flag("off").ok().flatten(), Some(false));
        assert_eq!(fields.texts("list").ok().flatten().unwrap(), ["a", "b", "c"]);
        assert_eq!(fields.texts("array").ok().flatten().unwrap(), ["a", "b"]);
        assert_eq!(fields.ttl("ttl").ok().flatten(), Some(Duration::from_mins(90)));
        assert_eq!(fields.ttl("seconds").ok().flatten(), Some(Duration::from_mins(1)));
        assert_eq!(fields.pairs("meta").ok().unwrap().len(), 2);
        assert_eq!(fields.pairs("pair").ok().unwrap()["k"], "v");
        assert_eq!(fields.text("nothing").ok().flatten(), None);
        assert_eq!(
            fields.ignored().as_deref(),
            Some("Endpoint ignored these unrecognized parameters: [other]")
        );
    }

    #[test]
    fn a_field_of_the_wrong_kind_is_named() {
        let written = map(json!({ "a": [1], "b": "x", "c": -5 }));
        let fields = Fields::new(&written);
        let message = |refusal: Refusal| {
            String::from_utf8(refusal.into_reply().body).unwrap().replace('\\', "")
        };
        assert!(message(fields.text("a").unwrap_err()).contains("for field \"a\""));
        assert!(message(fields.flag("b").unwrap_err()).contains("for field \"b\""));
        assert!(message(fields.object("b").unwrap_err()).contains("unconvertible type 'string'"));
        assert!(message(fields.ttl("c").unwrap_err()).contains(
            "Field validation failed: error converting input for field \"c\": cannot provide negative value '-5'"
        ));
    }
}
