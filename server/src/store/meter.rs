//! What a store counts of its writes.

use leasehold_core::metrics::{Counter, Histogram};
use leasehold_core::store::StoreError;
use std::time::Duration;

/// How a store's writes went.
#[derive(Debug)]
pub struct StoreMeter {
    /// How long groups took until they were durable.
    pub times: Histogram,
    /// How many batches shared one commit.
    pub groups: Histogram,
    outcomes: [Counter; 4],
}

impl Default for StoreMeter {
    fn default() -> Self {
        Self {
            times: Histogram::of_times(),
            groups: Histogram::of_sizes(),
            outcomes: Default::default(),
        }
    }
}

impl StoreMeter {
    /// Notes a group of batches that were written together, or were to be.
    pub fn group(&self, batches: usize, took: Duration) {
        self.groups.size(batches);
        self.times.time(took);
    }

    /// Notes what became of a batch.
    pub fn told<T>(&self, outcome: &Result<T, StoreError>) {
        let [written, conflict, refused, uncertain] = &self.outcomes;
        let counter = match outcome {
            Ok(_) => written,
            Err(StoreError::Conflict) => conflict,
            Err(StoreError::Refused(_)) => refused,
            Err(StoreError::Uncertain(_)) => uncertain,
        };
        counter.one();
    }

    /// Returns how many batches had each outcome.
    pub fn outcomes(&self) -> [(&'static str, u64); 4] {
        let [written, conflict, refused, uncertain] = &self.outcomes;
        [
            ("written", written.value()),
            ("conflict", conflict.value()),
            ("refused", refused.value()),
            ("uncertain", uncertain.value()),
        ]
    }
}
