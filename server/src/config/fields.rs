//! Reads the fields of one block, each once, and complains about what is left over.

use super::ConfigError;
use leasehold_core::duration;
use serde_json::{Map, Value};
use std::time::Duration;

/// The fields of one block that nobody has read yet.
pub(super) struct Fields {
    left: Map<String, Value>,
    file: String,
    place: String,
}

impl Fields {
    pub(super) fn new(fields: Map<String, Value>, file: &str, place: &str) -> Self {
        Self { left: fields, file: file.to_owned(), place: place.to_owned() }
    }

    /// Returns where these fields are, for messages.
    pub(super) fn place(&self) -> String {
        if self.place.is_empty() {
            self.file.clone()
        } else {
            format!("{}: {}", self.file, self.place)
        }
    }

    /// Says that a field cannot be as it is.
    pub(super) fn wrong(&self, name: &str, message: &str) -> ConfigError {
        ConfigError(format!("{}: `{name}` {message}", self.place()))
    }

    /// Drops a field; tells whether it was there.
    pub(super) fn drop(&mut self, name: &str) -> bool {
        self.left.remove(name).is_some()
    }

    /// Reads a text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ConfigError> {
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                Err(self.wrong(name, "must be a text"))
            }
        }
    }

    /// Reads a text that must be there.
    pub(super) fn needed(&mut self, name: &str) -> Result<String, ConfigError> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.wrong(name, "is needed"))
    }

    /// Reads yes or no, in the ways that Vault's files have it.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, ConfigError> {
        let Some(value) = self.left.remove(name) else { return Ok(None) };
        let read = match &value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" | "" => Some(false),
                _ => None,
            },
            Value::Number(number) => match number.as_u64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                Some(_) | None => None,
            },
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        read.map(Some).ok_or_else(|| self.wrong(name, "must be `true` or `false`"))
    }

    /// Reads a span of time.
    pub(super) fn ttl(&mut self, name: &str) -> Result<Option<Duration>, ConfigError> {
        let Some(value) = self.left.remove(name) else { return Ok(None) };
        let span = duration::parse_seconds(&value);
        span.map(Some).map_err(|error| self.wrong(name, &format!("is no span of time: {error}")))
    }

    /// Reads fields within a field.
    pub(super) fn nested(&mut self, name: &str) -> Result<Self, ConfigError> {
        let place = format!("{} {name}", self.place).trim().to_owned();
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(Self::new(Map::new(), &self.file, &place)),
            Some(Value::Object(fields)) => Ok(Self::new(fields, &self.file, &place)),
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(self.wrong(name, "must hold fields: `{ … }`"))
            }
        }
    }

    /// Complains about what is left over.
    pub(super) fn finish(&self) -> Result<(), ConfigError> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(ConfigError(format!("{}: unknown key `{name}`", self.place()))),
        }
    }
}
