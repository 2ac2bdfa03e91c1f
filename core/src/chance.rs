//! The one source of chance.

use std::fmt;

/// Draws random bytes. Nothing else in this crate may.
pub trait Chance: fmt::Debug + Send + Sync {
    /// Fills `bytes` from a generator fit for keys and passwords.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Chance + '_ {
    /// Draws a number below `bound`, each as likely as any other; zero if `bound` is zero.
    pub fn below(&self, bound: u32) -> u32 {
        // Numbers past the last whole multiple of `bound` are drawn again: a plain remainder would
        // make the low ones likelier, and passwords are drawn with this.
        let whole =
            u32::MAX.checked_rem(bound).map_or(u32::MAX, |rest| u32::MAX.saturating_sub(rest));
        loop {
            let mut bytes = [0; 4];
            self.fill(&mut bytes);
            let drawn = u32::from_le_bytes(bytes);
            if drawn < whole || bound == 0 {
                return drawn.checked_rem(bound).unwrap_or(0);
            }
        }
    }
}

/// A predictable source for tests.
#[cfg(test)]
pub(crate) mod testing {
    use super::Chance;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// Counts up, byte by byte.
    #[derive(Debug, Default)]
    pub(crate) struct Counting(AtomicU8);

    impl Chance for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
        }
    }
}
