//! The lines behind the last one that is proven: how many they are, and in how long they were written.

use super::{Kind, Verifier};
use crate::audit::chain::{Head, UNSIGNED_MAX};
use crate::time::Timestamp;
use chrono::DateTime;
use serde_json::Value;
use std::time::Duration;

/// More lines are never unsigned by honest work. Once [`UNSIGNED_MAX`] are, the next ones that are handed over begin with
/// a signed one; those before were a mebibyte at most, and no line has less than 256 bytes.
const LINES_MAX: u64 = 2 * UNSIGNED_MAX;
/// Nor are lines of a longer time: each second some are signed. Until they are written they may wait for ten seconds,
/// and signing for what is kept in the store.
const WITHIN: Duration = Duration::from_mins(1);

/// Lines that are linked to each other, and of which none is proven.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) lines: u64,
    /// The first and the last of them.
    pub(super) span: Option<(u64, u64)>,
    /// The earliest and the latest of their times, as they say themselves.
    times: Option<(Timestamp, Timestamp)>,
}

impl Tail {
    /// Takes one more line.
    pub(super) fn take(&mut self, number: u64, time: &Value) {
        self.lines = self.lines.saturating_add(1);
        self.span = Some((self.span.map_or(number, |(first, _)| first), number));
        if let Some(at) = read(time) {
            let (first, last) = self.times.unwrap_or((at, at));
            self.times = Some((first.min(at), last.max(at)));
        }
    }

    /// Whether this line is one of them.
    pub(super) fn holds(&self, number: u64) -> bool {
        self.span.is_some_and(|(first, last)| (first..=last).contains(&number))
    }

    /// Whether a server would have signed a line in the meantime.
    pub(super) fn is_too_long(&self) -> bool {
        let is_slow = self.times.is_some_and(|(first, last)| last.since(first) > WITHIN);
        is_slow || self.lines > LINES_MAX
    }
}

impl Verifier {
    /// Compares a line with what a server has kept of it, which began again without seeing what follows. What is kept is
    /// always a signed line.
    pub(super) fn was_left(&mut self, left: Head) {
        let is_unsigned = self.tail.holds(left.number);
        let is_left = |proven: Head| proven.number != left.number || proven.hash == left.hash;
        if is_unsigned || !self.proven.is_none_or(is_left) {
            let message = format!("line {} is not the one that the server had left", left.number);
            self.fault(Kind::Changed, &message);
        }
    }

    /// Tells of lines from which nothing leads to one that is proven. So much as is written in a second can be honest
    /// work, if there is a signed line at all.
    pub(super) fn unproven(&mut self) {
        let tail = std::mem::take(&mut self.tail);
        let Some((first, last)) = tail.span else { return };
        self.report.unsigned = self.report.unsigned.saturating_add(tail.lines);
        let lines = if first == last {
            format!("line {first} is")
        } else {
            format!("lines {first} to {last} are")
        };
        if self.proven.is_none() {
            self.fault(Kind::Unsigned, &format!("{lines} linked, and neither they nor any line before is signed by this device: whoever can write to the record could have written all of it"));
        } else if tail.is_too_long() {
            self.fault(Kind::Unsigned, &format!("{lines} linked, not signed, and more than a server writes before it signs: somebody else has written them, or taken signed lines away"));
        } else {
            self.notice(Kind::Partial, &format!("{lines} linked, not signed: the server is running, or died or missed lines then; or somebody who can write to the record wrote them"));
        }
    }
}

fn read(time: &Value) -> Option<Timestamp> {
    let time = DateTime::parse_from_rfc3339(time.as_str()?).ok()?;
    time.timestamp_millis().try_into().ok().map(Timestamp)
}
