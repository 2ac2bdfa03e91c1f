//! How much memory the bodies of requests may take together, whoever sends them.

use leasehold_core::limits::BODIES_MAX;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that all bodies share.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget(Arc<AtomicUsize>);

/// What one body takes of it, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// Begins with nothing.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Takes so much in all, unless the others leave too little; then it keeps what it has.
    #[must_use]
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let grown = self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            taken.checked_add(more).filter(|taken| *taken <= BODIES_MAX)
        });
        if grown.is_ok() {
            self.bytes = self.bytes.saturating_add(more);
        }
        grown.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_all_is_given_back() {
        let budget = Budget::default();
        let mut first = budget.share();
        let mut second = budget.share();
        assert!(first.grow_to(BODIES_MAX - 10));
        assert!(first.grow_to(5) && first.grow_to(BODIES_MAX - 10));
        assert!(second.grow_to(10));
        assert!(!second.grow_to(11));
        drop(first);
        assert!(second.grow_to(BODIES_MAX));
        drop(second);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
