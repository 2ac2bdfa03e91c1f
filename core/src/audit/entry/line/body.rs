//! The body of a request, and what is told: the values in their line.

use super::super::Veil;
use super::hidden;
use crate::limits::AUDITED_VALUE_BYTES;
use serde::ser::{Serialize, Serializer};
use serde_json::Value;

/// A body: its values hidden each by itself, up to bounds that keep a line from growing with whatever is sent.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) value: &'a Value,
    pub(super) veil: Veil<'a>,
    /// Whether it was sent to us. Clients may write a password that is all digits as a number, so numbers are
    /// hidden there as well.
    pub(super) sent: bool,
    /// Beyond how many bytes it is not shown in parts at all.
    pub(super) whole_max: usize,
}

/// A value whose strings are written as their keyed hashes; booleans and the names of fields stay.
#[derive(Clone, Copy)]
pub(super) struct Leaves<'a> {
    pub(super) value: &'a Value,
    pub(super) veil: Veil<'a>,
    pub(super) sent: bool,
}

/// The value of one field of a body.
struct Part<'a>(Leaves<'a>);

/// What stands for a value that is too long to be shown in parts.
#[derive(serde::Serialize)]
pub(super) struct Long {
    hmac: String,
    length: usize,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { value, veil, sent, whole_max } = *self;
        let part = |value| Part(Leaves { value, veil, sent });
        match value {
            _ if is_longer(value, whole_max) => Long::of(value, veil)?.serialize(serializer),
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, part(value))))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => part(value).serialize(serializer),
        }
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Leaves { value, veil, .. } = self.0;
        if is_longer(value, AUDITED_VALUE_BYTES) {
            Long::of(value, veil)?.serialize(serializer)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl Long {
    pub(super) fn of<E: serde::ser::Error>(value: &Value, veil: Veil<'_>) -> Result<Self, E> {
        let written;
        let text = match value {
            Value::String(text) => text,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => {
                written = serde_json::to_string(value).map_err(E::custom)?;
                &written
            }
        };
        Ok(Self { hmac: hidden(veil.key, text), length: text.len() })
    }
}

/// Tells whether a value takes more than about so many bytes; looks at no more of it than that takes.
fn is_longer(value: &Value, max: usize) -> bool {
    fn left(value: &Value, room: usize) -> Option<usize> {
        match value {
            Value::Null | Value::Bool(_) => room.checked_sub(4),
            Value::Number(_) => room.checked_sub(8),
            Value::String(text) => room.checked_sub(text.len()),
            Value::Array(items) => {
                items.iter().try_fold(room, |room, item| left(item, room.checked_sub(1)?))
            }
            Value::Object(fields) => fields.iter().try_fold(room, |room, (name, value)| {
                left(value, room.checked_sub(name.len())?.checked_sub(1)?)
            }),
        }
    }
    left(value, max).is_none()
}

impl Serialize for Leaves<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let leaf = |value| Leaves { value, ..*self };
        match self.value {
            Value::String(text) => serializer.serialize_str(&hidden(self.veil.key, text)),
            Value::Number(number) if self.sent => {
                serializer.serialize_str(&hidden(self.veil.key, &number.to_string()))
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(leaf)),
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, leaf(value))))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.value.serialize(serializer),
        }
    }
}
