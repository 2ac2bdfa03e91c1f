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

/// Lines of which none is proven, in pieces that are linked to each other within themselves.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The first of them, as many as can be honest work.
    lines: Vec<Line>,
    /// How many there are.
    count: u64,
    /// The first and the last of the piece that was not told of yet.
    untold: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Line {
    head: Head,
    /// When it was written, as it says itself.
    at: Option<Timestamp>,
}

impl Tail {
    /// Takes one more line.
    pub(super) fn take(&mut self, head: Head, time: &Value) {
        self.count = self.count.saturating_add(1);
        let first = self.untold.map_or(head.number, |(first, _)| first);
        self.untold = Some((first, head.number));
        if self.count <= LINES_MAX {
            self.lines.push(Line { head, at: read(time) });
        }
    }

    /// All lines are proven.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.count = 0;
        self.untold = None;
    }

    /// Tells whether the line of this number is this one, if it is there. If so, the lines up to it are proven.
    fn prove(&mut self, left: Head) -> Option<bool> {
        let at = self.lines.binary_search_by_key(&left.number, |line| line.head.number).ok()?;
        let is_it = self.lines.get(at).is_some_and(|line| line.head == left);
        if is_it {
            let proven = self.lines.drain(..=at).len();
            self.count = self.count.saturating_sub(u64::try_from(proven).unwrap_or(u64::MAX));
            let next = left.number.saturating_add(1);
            self.untold = self.untold.map(|(first, last)| (first.max(next), last));
            self.untold = self.untold.filter(|(first, last)| first <= last);
        }
        Some(is_it)
    }

    /// Whether a server would have signed a line in the meantime. All pieces count together: somebody who may write
    /// where lines are missing could leave as many as there is room for.
    fn is_too_long(&self) -> bool {
        let is_slow = || {
            let times = self.lines.iter().filter_map(|line| line.at);
            let span = times.clone().min().zip(times.max());
            span.is_some_and(|(first, last)| last.since(first) > WITHIN)
        };
        self.count > LINES_MAX || is_slow()
    }
}

impl Verifier {
    /// Compares a line with the one that a server names as its last before those that are missing.
    pub(super) fn was_left(&mut self, left: Head) {
        let proven = self.proven.filter(|proven| proven.number == left.number);
        match proven.map(|proven| proven == left).or_else(|| self.tail.prove(left)) {
            Some(true) => self.proven = Some(left),
            Some(false) => {
                let number = left.number;
                let message = format!("line {number} is not the one that the server had left");
                self.fault(Kind::Changed, &message);
            }
            // It is among those that are missing, or was proven by a later one.
            None => {}
        }
    }

    /// Tells of lines from which nothing leads to one that is proven. So much as is written in a second can be honest
    /// work, if there is a signed line at all.
    pub(super) fn unproven(&mut self) {
        let Some((first, last)) = self.tail.untold.take() else { return };
        let count = last.saturating_sub(first).saturating_add(1);
        self.report.unsigned = self.report.unsigned.saturating_add(count);
        let lines = if first == last {
            format!("line {first} is")
        } else {
            format!("lines {first} to {last} are")
        };
        if self.proven.is_none() {
            self.fault(Kind::Unsigned, &format!("{lines} linked, and neither they nor any line before is signed by this device: whoever can write to the record could have written all of it"));
        } else if self.tail.is_too_long() {
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
