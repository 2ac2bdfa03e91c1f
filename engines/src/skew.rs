//! How far a target's clock is from ours, so that everything told to it is in its own time.

use leasehold_core::time::Timestamp;

/// What has to be added to our time to get the target's, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skew(i64);

impl Skew {
    /// Computes the skew from what the target said the time was between two looks at our own clock.
    pub(crate) fn measured(before: Timestamp, target: Timestamp, after: Timestamp) -> Self {
        let middle = before.plus(after.since(before).checked_div(2).unwrap_or_default());
        let ahead = i64::try_from(target.since(middle).as_millis()).unwrap_or(i64::MAX);
        let behind = i64::try_from(middle.since(target).as_millis()).unwrap_or(i64::MAX);
        Self(ahead.saturating_sub(behind))
    }

    /// Returns our time as the target's clock shows it.
    pub(crate) fn to_target(self, ours: Timestamp) -> Timestamp {
        Timestamp(ours.0.saturating_add_signed(self.0))
    }

    /// Returns the target's time as our clock shows it.
    pub(crate) fn to_ours(self, target: Timestamp) -> Timestamp {
        Timestamp(target.0.saturating_add_signed(self.0.saturating_neg()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skew_leads_there_and_back() {
        for target in [90_000, 100_010, 120_000] {
            let skew = Skew::measured(Timestamp(100_000), Timestamp(target), Timestamp(100_020));
            assert_eq!(skew.to_target(Timestamp(100_010)), Timestamp(target));
            assert_eq!(skew.to_ours(Timestamp(target)), Timestamp(100_010));
        }
    }
}
