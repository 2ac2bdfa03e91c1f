//! What this process has in hand that only one may do at a time.

use parking_lot::Mutex;
use std::collections::BTreeSet;

/// What somebody is at work on. Whoever comes second is told so, and does not wait.
#[derive(Debug)]
pub(super) struct InHand<K: Ord>(Mutex<BTreeSet<K>>);

/// Something is in hand until this is dropped.
#[derive(Debug)]
pub(super) struct Held<'a, K: Ord> {
    in_hand: &'a InHand<K>,
    key: K,
}

impl<K: Ord> Default for InHand<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Clone> InHand<K> {
    /// Takes something in hand, unless somebody else has it.
    pub(super) fn take(&self, key: K) -> Option<Held<'_, K>> {
        let is_free = self.0.lock().insert(key.clone());
        // Made only then: one that is dropped gives back what somebody else has.
        is_free.then(|| Held { in_hand: self, key })
    }
}

impl<K: Ord> Drop for Held<'_, K> {
    fn drop(&mut self) {
        self.in_hand.0.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_hand_is_nobody_elses_however_often_they_ask() {
        let in_hand = InHand::default();
        let held = in_hand.take("app");
        assert!(held.is_some());
        for _ in 0..2 {
            assert!(in_hand.take("app").is_none());
            assert!(in_hand.take("other").is_some());
        }
        drop(held);
        assert!(in_hand.take("app").is_some());
    }
}
