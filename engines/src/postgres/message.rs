//! The parts that our messages to a server have in common.

use super::quote;
use leasehold_core::time::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

use super::failure::TOO_LATE;
use super::skew::Skew;

/// How long a message may queue behind others' locks. The server goes on waiting after its client is
/// gone, and everybody else queues behind it; so it is the server that has to give up.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The same for what takes locks on tables, where a queue stops an application. It is tried again.
pub(super) const TABLE_LOCK_WAIT: Duration = Duration::from_millis(200);

/// How much longer than the server we wait, so that its own refusal arrives before we give up.
const GRACE: Duration = Duration::from_millis(500);

/// The last end that is told to a server; it knows later ones, but writes them in ways of its own.
const LAST_END: Timestamp = Timestamp(253_402_300_799_000);

/// Until when a message may run: here, and at the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// In Leasehold's time.
    by: Timestamp,
    /// When we stop waiting, on a clock that nobody steps.
    pub(super) until: Instant,
}

impl Deadline {
    pub(super) fn new(by: Timestamp, now: Timestamp) -> Self {
        let until = Instant::now().checked_add(by.since(now).saturating_add(GRACE));
        // A time that no clock can show is as good as an hour, which nobody waits for.
        Self { by, until: until.unwrap_or_else(|| in_an_hour(Instant::now())) }
    }

    /// Returns what is left; zero if time is up.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).saturating_sub(GRACE)
    }

    pub(super) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// Returns how a message begins: with the limits that hold at the server.
    pub(super) fn limits(&self, lock_wait: Duration) -> String {
        // Zero would mean no limit at all.
        let run = self.left().as_millis().clamp(1, 86_400_000);
        let lock = lock_wait.as_millis();
        format!("SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {run}; ")
    }

    /// Returns how a message ends that may take effect only in time: with a look at the server's
    /// clock, which fails by name. The text is built from the clock's own answer, because an expression
    /// of constants would be computed, and fail, before anybody looks at the time.
    pub(super) fn check(&self, skew: Skew) -> String {
        format!(
            "SELECT CASE WHEN pg_catalog.clock_timestamp() > {}::timestamptz THEN \
             pg_catalog.concat('{TOO_LATE}', pg_catalog.left(pg_catalog.clock_timestamp()::text, 0))::int END",
            quote::literal(&end(skew.to_target(self.by)))
        )
    }
}

fn in_an_hour(now: Instant) -> Instant {
    now.checked_add(Duration::from_hours(1)).unwrap_or(now)
}

/// Returns a time as our own messages say it.
pub(super) fn end(at: Timestamp) -> String {
    at.min(LAST_END).utc().format("%Y-%m-%d %H:%M:%S%.3f+00").to_string()
}

/// Returns a time as Vault's `{{expiration}}` says it. Seconds are cut off: rounding must never
/// lengthen a term.
pub(super) fn expiration(at: Timestamp) -> String {
    at.min(LAST_END).utc().format("%Y-%m-%d %H:%M:%S+0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_server_reads_it() {
        let at = Timestamp(1_795_314_365_678);
        assert_eq!(end(at), "2026-11-22 02:26:05.678+00");
        assert_eq!(expiration(at), "2026-11-22 02:26:05+0000");
        assert_eq!(end(Timestamp(u64::MAX)), "9999-12-31 23:59:59.000+00");
    }
}
