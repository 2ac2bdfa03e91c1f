//! The headers of a request in its line.

use super::super::Veil;
use super::body::Long;
use super::{TOKENS_BEGIN, hidden};
use crate::audit::AskedHeader;
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The headers of a request that are recorded.
pub(super) struct Headers<'a> {
    pub(super) all: &'a [AskedHeader],
    pub(super) veil: Veil<'a>,
    /// Beyond how many bytes they are not shown in parts at all.
    pub(super) whole_max: usize,
}

/// The values of one of them.
struct HeaderValues<'a>(&'a AskedHeader, Veil<'a>);

impl Headers<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether they would make a line longer than they may. Each value takes a few bytes, however short it is, and a
    /// keyed hash 76.
    fn are_too_long(&self) -> bool {
        let size = |header: &AskedHeader| {
            let each = if header.is_hidden { 76 } else { 4 };
            header
                .values
                .iter()
                .fold(0_usize, |sum, value| sum.saturating_add(value.len()).saturating_add(each))
        };
        let sum = self.all.iter().map(size).fold(0, usize::saturating_add);
        sum > self.whole_max
    }
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.are_too_long() {
            let all: BTreeMap<_, _> =
                self.all.iter().map(|header| (&header.name, &header.values)).collect();
            let all = serde_json::to_value(all).map_err(serde::ser::Error::custom)?;
            return Long::of(&all, self.veil)?.serialize(serializer);
        }
        let values = |header| HeaderValues(header, self.veil);
        serializer.collect_map(self.all.iter().map(|header| (&header.name, values(header))))
    }
}

impl Serialize for HeaderValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(header, veil) = self;
        let has_token = |text: &str| TOKENS_BEGIN.iter().any(|begin| text.contains(begin));
        serializer.collect_seq(header.values.iter().map(|value| {
            if header.is_hidden || has_token(value) {
                Cow::Owned(hidden(veil.key, value))
            } else {
                Cow::Borrowed(value.as_str())
            }
        }))
    }
}
