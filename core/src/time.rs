//! The one source of time, and how times are written.

pub mod watch;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Tells the time. Nothing else in this crate may.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the time: the wall clock as it was when the process began, carried on by a clock that
    /// counts suspension and that nobody can step. Only [`Clock::advance_to`] moves it.
    fn now(&self) -> Timestamp;

    /// Returns what the system's wall clock says now, steps included. Compared with [`Clock::now`],
    /// never used to decide a term.
    fn wall(&self) -> Timestamp;

    /// Moves the time forward to `at`; never back. Done at a start, and when an operator accepts the wall clock.
    fn advance_to(&self, at: Timestamp);
}

/// A point in time, in milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns this point moved forward, or the last one that can be named.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// Returns this point moved back, or the epoch.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// Returns the time from `earlier` until this point; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns how many milliseconds this point is after `other`; below zero if it is before.
    #[must_use]
    pub fn millis_after(self, other: Self) -> i64 {
        let after = i64::try_from(self.0.saturating_sub(other.0)).unwrap_or(i64::MAX);
        let before = i64::try_from(other.0.saturating_sub(self.0)).unwrap_or(i64::MAX);
        after.saturating_sub(before)
    }

    /// Returns the whole seconds since the epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the time in UTC as RFC 3339 writes it, with nine digits as Vault's clients expect.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.utc().to_rfc3339_opts(SecondsFormat::Nanos, true)
    }

    /// Returns the time as a calendar date in UTC; times past the year 262142 become that year's end.
    #[must_use]
    pub fn utc(self) -> DateTime<Utc> {
        i64::try_from(self.0)
            .ok()
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
