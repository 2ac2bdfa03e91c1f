//! How long a lease or a token lives.

use super::LeaseError;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// From now until `lapses_at`, never past `ceiling`.
///
/// **Invariant:** `lapses_at <= ceiling`, and no function here raises `ceiling` (law 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    lapses_at: Timestamp,
    ceiling: Timestamp,
}

impl Term {
    /// A term that begins now.
    #[must_use]
    pub fn starting(ttl: Duration, ceiling: Timestamp, now: Timestamp) -> Self {
        Self { lapses_at: now.plus(whole_seconds(ttl)).min(ceiling), ceiling }
    }

    /// A term that ends at a time somebody else has set.
    #[must_use]
    pub fn until(lapses_at: Timestamp) -> Self {
        Self { lapses_at, ceiling: lapses_at }
    }

    /// The same term begun again, under the lower of its ceiling and `ceiling`.
    pub fn renewed(
        self,
        ttl: Duration,
        ceiling: Timestamp,
        now: Timestamp,
    ) -> Result<Self, LeaseError> {
        let ceiling = self.ceiling.min(ceiling);
        // Less than a second would be told as a `lease_duration` of 0, which clients read as "never ends"
        // (CVE-2021-32923).
        if ceiling.since(now) < Duration::from_secs(1) {
            return Err(LeaseError::PastCeiling);
        }
        Ok(Self { lapses_at: now.plus(whole_seconds(ttl)).min(ceiling), ceiling: self.ceiling })
    }

    /// The same term, which somebody else knows to end later; never past its ceiling.
    #[must_use]
    pub fn known_until(self, lapses_at: Timestamp) -> Self {
        Self { lapses_at: self.lapses_at.max(lapses_at.min(self.ceiling)), ..self }
    }

    /// When the term ends unless renewed.
    #[must_use]
    pub fn lapses_at(self) -> Timestamp {
        self.lapses_at
    }

    /// When it ends however often it is renewed.
    #[must_use]
    pub fn ceiling(self) -> Timestamp {
        self.ceiling
    }

    /// Returns the whole seconds that are left.
    #[must_use]
    pub fn seconds_left(self, now: Timestamp) -> u64 {
        self.lapses_at.since(now).as_secs()
    }
}

fn whole_seconds(ttl: Duration) -> Duration {
    Duration::from_secs(ttl.as_secs().max(1))
}
