//! The body of a request, and what is told: the values in their line.

use super::super::Veil;
use super::hidden;
use crate::limits::AUDITED_VALUE_BYTES;
use serde::ser::{Serialize, Serializer};
use serde_json::Value;

/// What a keyed hash takes of a line, in bytes, with its quotes and the comma behind it.
const HASH_BYTES: usize = 79;
/// What [`Long`] takes.
const LONG_BYTES: usize = 128;
/// What a number takes that is written as it is, or a word.
const PLAIN_BYTES: usize = 24;

/// A body: its values hidden each by itself, up to bounds that keep a line from growing with whatever is sent.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) value: &'a Value,
    pub(super) veil: Veil<'a>,
    /// Whether it was sent to us. Clients may write a password that is all digits as a number, so numbers are
    /// hidden there as well.
    pub(super) sent: bool,
    /// Beyond how many bytes of the line it is not shown in parts at all.
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
            _ if self.takes_more_than(whole_max) => Long::of(value, veil)?.serialize(serializer),
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

impl Body<'_> {
    /// Tells whether it would take more than about so many bytes of the line; looks at no more of it than that takes.
    /// Each string takes as much as its keyed hash, however short it is, and names of fields are written as they are.
    fn takes_more_than(&self, max: usize) -> bool {
        let part_of = |value: &Value, room: usize| {
            if is_longer(value, AUDITED_VALUE_BYTES) {
                room.checked_sub(LONG_BYTES)
            } else {
                self.left_by(value, room)
            }
        };
        let left = match self.value {
            Value::Object(fields) => fields
                .iter()
                .try_fold(max, |room, (name, value)| part_of(value, left_by_name(name, room)?)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => part_of(self.value, max),
        };
        left.is_none()
    }

    /// Returns what a value leaves of so much room in the line; `None` if that is too little for it.
    fn left_by(&self, value: &Value, room: usize) -> Option<usize> {
        match value {
            Value::Null | Value::Bool(_) => room.checked_sub(PLAIN_BYTES),
            Value::Number(_) if !self.sent => room.checked_sub(PLAIN_BYTES),
            Value::Number(_) | Value::String(_) => room.checked_sub(HASH_BYTES),
            Value::Array(items) => {
                items.iter().try_fold(room, |room, item| self.left_by(item, room))
            }
            Value::Object(fields) => fields.iter().try_fold(room, |room, (name, value)| {
                self.left_by(value, left_by_name(name, room)?)
            }),
        }
    }
}

/// Returns what the name of a field leaves of so much room: what JSON escapes in it takes up to six times its bytes.
fn left_by_name(name: &str, room: usize) -> Option<usize> {
    let size = |byte: u8| match byte {
        0..=0x1f => 6_usize,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    name.bytes().try_fold(room, |room, byte| room.checked_sub(size(byte)))?.checked_sub(4)
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
