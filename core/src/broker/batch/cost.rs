//! How many members a batch may have, from what its last ones cost.

use std::time::Duration;

/// What a member of a batch costs the target, as measured; a moving average.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Microseconds of one connection.
    each_us: u64,
}

impl Default for Cost {
    /// Nothing is known yet; 3 ms is what a PostgreSQL login with 4,096 SCRAM iterations costs.
    fn default() -> Self {
        Self { each_us: 3_000 }
    }
}

impl Cost {
    /// Notes that a batch took so long.
    pub(super) fn note(&mut self, members: usize, took: Duration) {
        // The clock counts milliseconds; what takes less is taken for half of one.
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(500);
        let members = u64::try_from(members).unwrap_or(u64::MAX).max(1);
        let each_us = took_us.checked_div(members).unwrap_or(took_us);
        self.each_us = self.each_us.saturating_mul(3).saturating_add(each_us) / 4;
    }

    /// Returns how many members take about `time`, at least one.
    pub(super) fn members(self, time: Duration, most: usize) -> usize {
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let members = time_us.checked_div(self.each_us).unwrap_or(u64::MAX);
        usize::try_from(members).unwrap_or(usize::MAX).clamp(1, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(20);

    #[test]
    fn an_expensive_member_makes_small_batches_and_a_cheap_one_large_ones() {
        let mut cost = Cost::default();
        assert_eq!(cost.members(TIME, 64), 6);
        for _ in 0..20 {
            cost.note(64, Duration::from_millis(4));
        }
        assert_eq!(cost.members(TIME, 64), 64);
        for _ in 0..20 {
            cost.note(1, Duration::from_secs(1));
        }
        assert_eq!(cost.members(TIME, 64), 1);
    }
}
