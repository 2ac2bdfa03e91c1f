//! Until when something may go on at a target, and how an end is told to one.

use leasehold_core::time::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// How much longer than the server we wait, so that its own refusal arrives before we give up.
const GRACE: Duration = Duration::from_millis(500);

/// The last end that is told to a server; it knows later ones, but writes them in ways of its own.
pub(crate) const LAST_END: Timestamp = Timestamp(253_402_300_799_000);

/// Until when a message may run: here, and at the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// In Leasehold's time.
    pub(crate) by: Timestamp,
    /// When we stop waiting, on a clock that nobody steps.
    pub(crate) until: Instant,
}

impl Deadline {
    pub(crate) fn new(by: Timestamp, now: Timestamp) -> Self {
        let until = Instant::now().checked_add(by.since(now).saturating_add(GRACE));
        // A time that no clock can show is as good as an hour, which nobody waits for.
        Self { by, until: until.unwrap_or_else(|| in_an_hour(Instant::now())) }
    }

    /// Returns what is left; zero if time is up.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).saturating_sub(GRACE)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

fn in_an_hour(now: Instant) -> Instant {
    now.checked_add(Duration::from_hours(1)).unwrap_or(now)
}

/// Returns a time as Vault's `{{expiration}}` says it. Seconds are cut off: rounding must never
/// lengthen a term.
pub(crate) fn expiration(at: Timestamp) -> String {
    at.min(LAST_END).utc().format("%Y-%m-%d %H:%M:%S+0000").to_string()
}
