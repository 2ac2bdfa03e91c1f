//! Where a world's chance comes from: everything is drawn from one seed.

use leasehold_core::chance::Chance;
use parking_lot::Mutex;
use std::time::Duration;

/// A generator with a seed.
#[derive(Debug)]
pub struct Dice(Mutex<fastrand::Rng>);

impl Dice {
    /// The same seed draws the same.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    /// Returns a number below `bound`, which is not 0.
    pub fn below(&self, bound: usize) -> usize {
        if bound <= 1 { 0 } else { self.0.lock().usize(..bound) }
    }

    /// Whether something comes to pass that does so in `per_mille` of a thousand cases.
    pub fn happens(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.0.lock().u32(..1000) < per_mille
    }

    /// Returns one of several.
    pub fn one_of<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Returns a span between two, in milliseconds, short ones more often than long ones.
    pub fn span(&self, from: Duration, to: Duration) -> Duration {
        let width = to.saturating_sub(from).as_secs_f64();
        let drawn = self.0.lock().f64();
        let span = from + Duration::from_secs_f64(width * drawn * drawn);
        Duration::from_millis(u64::try_from(span.as_millis()).unwrap())
    }

    /// Returns the seed of something that is to draw by itself.
    pub fn seed(&self) -> u64 {
        self.0.lock().u64(..)
    }
}

impl Chance for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill(bytes);
    }
}
