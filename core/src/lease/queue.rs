//! What is due next, soonest first.
//!
//! The queue holds what is due within a horizon and is refilled from the store's ordered index, so
//! that neither memory nor start-up time grows with the number of leases. Deletion is lazy: a renewal
//! leaves its old entry, which is recognized when it comes up, because the stored `due_at` is later.

use crate::time::Timestamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A priority queue over ids of 16 bytes: 24 bytes an entry.
#[derive(Debug, Default)]
pub struct Queue {
    entries: BinaryHeap<Reverse<(Timestamp, [u8; 16])>>,
    /// Everything that is due before this was put into the queue.
    filled_to: Timestamp,
}

impl Queue {
    /// Notes that `id` is due at `at`, if the queue reaches so far; what is due later comes with a refill.
    pub fn push(&mut self, at: Timestamp, id: [u8; 16]) {
        if at < self.filled_to {
            self.entries.push(Reverse((at, id)));
        }
    }

    /// Takes up to `limit` ids that are due, the longest overdue first, each once.
    pub fn pop_due(&mut self, now: Timestamp, limit: usize) -> Vec<[u8; 16]> {
        let mut due = Vec::new();
        while due.len() < limit {
            match self.entries.peek() {
                Some(Reverse((at, id))) if *at <= now => {
                    if due.last() != Some(id) {
                        due.push(*id);
                    }
                    self.entries.pop();
                }
                Some(_) | None => break,
            }
        }
        due
    }

    /// Returns from when to when the store has to be read, if the horizon has come within `ahead`.
    #[must_use]
    pub fn refill_span(
        &self,
        now: Timestamp,
        ahead: std::time::Duration,
        horizon: std::time::Duration,
    ) -> Option<(Timestamp, Timestamp)> {
        (self.filled_to <= now.plus(ahead)).then(|| (self.filled_to, now.plus(horizon)))
    }

    /// Everything that is due before `to` is about to be read from the store and pushed. Called before
    /// the read, so that a lease committed while it runs is in one of the two, or in both.
    pub fn reach(&mut self, to: Timestamp) {
        self.filled_to = self.filled_to.max(to);
    }

    /// The read of that span failed: it is to be read again.
    pub fn retreat(&mut self, span: Option<(Timestamp, Timestamp)>) {
        if let Some((from, _)) = span {
            self.filled_to = self.filled_to.min(from);
        }
    }

    /// When the queue next needs a look: its first entry, or its refill.
    #[must_use]
    pub fn next(&self, ahead: std::time::Duration) -> Timestamp {
        let refill = self.filled_to.minus(ahead);
        self.entries.peek().map_or(refill, |Reverse((at, _))| refill.min(*at))
    }

    /// How many entries there are, stale ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn filled(to: u64) -> Queue {
        let mut queue = Queue::default();
        queue.reach(Timestamp(to));
        queue
    }

    #[test]
    fn what_is_due_comes_out_longest_overdue_first() {
        let mut queue = filled(100);
        for at in [5, 3, 9, 3] {
            queue.push(Timestamp(at), [u8::try_from(at).unwrap(); 16]);
        }
        assert_eq!(queue.pop_due(Timestamp(5), 10), vec![[3; 16], [5; 16]]);
        assert_eq!(queue.pop_due(Timestamp(5), 10), Vec::<[u8; 16]>::new());
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn what_is_due_exactly_at_the_horizon_comes_with_the_refill() {
        let mut queue = filled(100);
        queue.push(Timestamp(100), [1; 16]);
        assert!(queue.is_empty());
        let span =
            queue.refill_span(Timestamp(95), Duration::from_millis(10), Duration::from_millis(50));
        assert_eq!(span, Some((Timestamp(100), Timestamp(145))));
    }

    #[test]
    fn an_entry_takes_24_bytes() {
        assert_eq!(size_of::<Reverse<(Timestamp, [u8; 16])>>(), 24);
    }
}
