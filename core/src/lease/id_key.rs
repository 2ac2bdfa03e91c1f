//! Ids of leases that no other installation can make.
//!
//! A mark at a target is text that anybody may write who administers that target. Whoever removes what bears it must
//! know that it was not written by somebody else (law 9). While the lease is stored it says so; after a restore, or
//! once its history is forgotten, only the id itself can.

use crate::chance::Chance;
use crate::ids::LeaseId;
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use std::fmt;

/// What the key is derived for; no token's text begins so.
const DERIVED_FOR: &[u8] = b"\xfflease ids";
/// How much of an id is of chance and time; the rest is the keyed hash of it. 32 bits are enough: whoever guesses must
/// write each guess into the catalog of a target, and is reported.
const DRAWN_BYTES: usize = 12;

/// Makes ids of leases, and tells those it made from all others.
pub struct IdKey(hmac::Key);

impl IdKey {
    /// Derives it from the key that hashes tokens: it lasts as long as the installation, through restores.
    #[must_use]
    pub fn new(token_key: &hmac::Key) -> Self {
        let derived = hmac::sign(token_key, DERIVED_FOR);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// Makes an id that no other lease has: 48 bits of time, 42 of chance, and their hash.
    pub fn draw(&self, now: Timestamp, chance: &dyn Chance) -> LeaseId {
        self.signed(LeaseId::new(now, chance))
    }

    /// Tells whether an id was made by this key.
    #[must_use]
    pub fn made(&self, id: LeaseId) -> bool {
        self.signed(id) == id
    }

    fn signed(&self, id: LeaseId) -> LeaseId {
        let mut bytes = *id.bytes();
        let (drawn, hash) = bytes.split_at_mut(DRAWN_BYTES);
        let signature = hmac::sign(&self.0, drawn);
        hash.iter_mut().zip(signature.as_ref()).for_each(|(to, from)| *to = *from);
        LeaseId::from_bytes(bytes)
    }
}

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;

    fn key(byte: u8) -> IdKey {
        IdKey::new(&hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]))
    }

    #[test]
    fn an_id_tells_who_made_it() {
        let (ours, theirs) = (key(1), key(2));
        let chance = Counting::default();
        let now = Timestamp(1_795_314_365_000);
        let ids: Vec<_> = (0..100).map(|_| ours.draw(now, &chance)).collect();
        assert!(ids.iter().all(|id| ours.made(*id) && !theirs.made(*id)));
        assert_eq!(ids[0].made_at(), now);
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 100);
    }

    #[test]
    fn an_id_that_was_changed_anywhere_is_nobodys() {
        let key = key(1);
        let id = key.draw(Timestamp(1_795_314_365_000), &Counting::default());
        for at in 0..16 {
            let mut bytes = *id.bytes();
            bytes[at] ^= 1;
            assert!(!key.made(LeaseId::from_bytes(bytes)), "{at}");
        }
    }
}
