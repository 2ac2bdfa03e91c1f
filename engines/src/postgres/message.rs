//! The parts that our messages to a server have in common.

use super::quote;
use leasehold_core::time::Timestamp;
use std::time::Duration;

use super::failure::TOO_LATE;
pub(super) use crate::deadline::{Deadline, LAST_END, expiration};
use crate::skew::Skew;

/// How long a message may queue behind others' locks. The server goes on waiting after its client is
/// gone, and everybody else queues behind it; so it is the server that has to give up.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The same for what takes locks on tables, where a queue stops an application. It is tried again.
pub(super) const TABLE_LOCK_WAIT: Duration = Duration::from_millis(200);

impl Deadline {
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

/// Returns a time as our own messages say it.
pub(super) fn end(at: Timestamp) -> String {
    at.min(LAST_END).utc().format("%Y-%m-%d %H:%M:%S%.3f+00").to_string()
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
