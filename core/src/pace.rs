//! What a target gets now: everything while it answers, one probe at a time while it does not.

use crate::lease::backoff;
use crate::time::Timestamp;

/// How one target has been doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    failures: u32,
    rest_until: Timestamp,
}

/// Leases that a target is probed with after it failed.
const PROBE: usize = 8;

impl Pace {
    /// How many leases may be revoked at the target now.
    #[must_use]
    pub fn allowance(self, now: Timestamp, limit: usize) -> usize {
        match self.failures {
            0 => limit,
            _ if now < self.rest_until => 0,
            _ => PROBE.min(limit),
        }
    }

    /// When the target may be asked again.
    #[must_use]
    pub fn rest_until(self) -> Timestamp {
        self.rest_until
    }

    /// The target answered.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// The target could not be reached. Failures while it rests are of the same outage and count once.
    pub fn unreachable(&mut self, now: Timestamp) {
        if now >= self.rest_until {
            self.failures = self.failures.saturating_add(1);
            self.rest_until = now.plus(backoff::after(self.failures));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RETRY_FIRST;

    #[test]
    fn a_target_that_fails_rests_and_is_then_probed() {
        let mut pace = Pace::default();
        assert_eq!(pace.allowance(Timestamp(0), 500), 500);
        pace.unreachable(Timestamp(1000));
        pace.unreachable(Timestamp(1001));
        assert_eq!(pace.allowance(Timestamp(1002), 500), 0);
        assert_eq!(pace.rest_until(), Timestamp(1000).plus(RETRY_FIRST));
        assert_eq!(pace.allowance(pace.rest_until(), 500), PROBE);
        pace.answered();
        assert_eq!(pace.allowance(Timestamp(1003), 500), 500);
    }
}
