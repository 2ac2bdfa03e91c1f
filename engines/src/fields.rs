//! Reads the fields an operator wrote, each by its type, and refuses those nobody asked for.

use leasehold_core::duration::parse_seconds;
use leasehold_core::engine::FieldError;
use leasehold_core::engine::naming::Template;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The fields of one request. Every field that is read is crossed off.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    written: &'a Map<String, Value>,
    known: BTreeSet<&'static str>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(written: &'a Map<String, Value>) -> Self {
        Self { written, known: BTreeSet::new() }
    }

    /// Returns a field that was written and is not null.
    fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.insert(name);
        self.written.get(name).filter(|value| !value.is_null())
    }

    /// Returns a text; the empty one if it was not written.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, FieldError> {
        match self.value(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(FieldError(format!("`{name}` must be a string"))),
        }
    }

    /// Returns a truth, which Vault's command line sends as a string.
    pub(crate) fn truth(&mut self, name: &'static str) -> Result<bool, FieldError> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(Value::String(text)) if text == "true" || text == "1" => Ok(true),
            Some(Value::String(text)) if text == "false" || text == "0" || text.is_empty() => {
                Ok(false)
            }
            Some(_) => Err(FieldError(format!("`{name}` must be true or false"))),
        }
    }

    /// Returns a whole number, which Vault's command line sends as a string.
    pub(crate) fn number(&mut self, name: &'static str) -> Result<Option<i64>, FieldError> {
        let wrong = || FieldError(format!("`{name}` must be a whole number"));
        match self.value(name) {
            None => Ok(None),
            Some(Value::Number(number)) => number.as_i64().map(Some).ok_or_else(wrong),
            Some(Value::String(text)) => text.trim().parse().map(Some).map_err(|_| wrong()),
            Some(_) => Err(wrong()),
        }
    }

    /// Returns a span: whole seconds, or a text such as `1h30m`.
    pub(crate) fn span(&mut self, name: &'static str) -> Result<Duration, FieldError> {
        let Some(value) = self.value(name) else { return Ok(Duration::ZERO) };
        parse_seconds(value).map_err(|error| FieldError(error.in_field(name)))
    }

    /// Returns texts: a list of strings, or a single one.
    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, FieldError> {
        let wrong = || FieldError(format!("`{name}` must be a string or a list of strings"));
        let texts = match self.value(name) {
            None => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(wrong()),
        };
        Ok(texts.into_iter().filter(|text| !text.trim().is_empty()).collect())
    }

    /// Returns texts by name.
    pub(crate) fn pairs(
        &mut self,
        name: &'static str,
    ) -> Result<BTreeMap<String, String>, FieldError> {
        let wrong = || FieldError(format!("`{name}` must be strings by name"));
        match self.value(name) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(pairs)) => pairs
                .iter()
                .map(|(key, value)| Ok((key.clone(), value.as_str().ok_or_else(wrong)?.to_owned())))
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// Returns a template of names; `None` if it was not written, or is empty.
    pub(crate) fn template(&mut self, name: &'static str) -> Result<Option<Template>, FieldError> {
        let source = self.text(name)?;
        if source.is_empty() {
            return Ok(None);
        }
        let template = Template::parse(&source);
        template.map(Some).map_err(|error| FieldError(format!("`{name}`: {error}")))
    }

    /// Refuses what was written and never read: a misspelt field would silently do nothing.
    pub(crate) fn finish(self, what: &str) -> Result<(), FieldError> {
        let unknown = self.written.keys().find(|name| !self.known.contains(name.as_str()));
        let Some(unknown) = unknown else { return Ok(()) };
        let known: Vec<_> = self.known.iter().map(|name| format!("`{name}`")).collect();
        Err(FieldError(format!("{what} has no field `{unknown}`; it has {}", known.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_field_nobody_reads_is_refused_by_name() {
        let written = of(&json!({"username": "a", "usrname": "b"}));
        let mut fields = Fields::new(&written);
        assert_eq!(fields.text("username").unwrap(), "a");
        let refused = fields.finish("a target of this kind").unwrap_err();
        assert!(refused.0.contains("`usrname`") && refused.0.contains("`username`"), "{refused}");
    }

    #[test]
    fn a_single_text_stands_for_a_list() {
        let written = of(&json!({"one": "a", "many": ["a", "", "b"], "wrong": 3}));
        let mut fields = Fields::new(&written);
        assert_eq!(fields.texts("one").unwrap(), ["a"]);
        assert_eq!(fields.texts("many").unwrap(), ["a", "b"]);
        assert!(fields.texts("wrong").is_err());
        assert!(fields.texts("none").unwrap().is_empty());
    }
}
