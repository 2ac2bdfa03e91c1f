//! The keys of one audit device: one hides texts in its lines, one signs its chain.
//!
//! They are the device's own, drawn for it and sealed in the store. What two devices show cannot be put together, and
//! the key ring can be rotated without breaking a record in two. Each line names the version of the keys it was
//! made with. Others take over when the store is opened next: within one process a text has one hash. What checks
//! the lines of those before is kept, and what made them is not.

use super::hex;
use crate::chance::Chance;
use crate::secret::{Locked, LockedKey};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The version of the first keys of a device.
const FIRST: u32 = 1;
/// How many versions before are known: exchanged each month, those of eight years.
const BEFORE_MAX: usize = 99;

/// The keys of one device, as they are kept.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct DeviceKeys {
    version: u32,
    hiding: [u8; 32],
    signing: [u8; 32],
    #[zeroize(skip)]
    made_at: Timestamp,
    /// What checks the lines of the versions before, the latest of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[zeroize(skip)]
    before: BTreeMap<u32, String>,
}

/// What signs the chain of one device.
pub struct ChainKey {
    /// Which keys of the device these are.
    pub version: u32,
    public: [u8; 32],
    seed: LockedKey,
}

impl DeviceKeys {
    /// Draws the first keys of a device.
    #[must_use]
    pub fn draw(chance: &dyn Chance, made_at: Timestamp) -> Self {
        let (mut hiding, mut signing) = ([0; 32], [0; 32]);
        chance.fill(&mut hiding);
        chance.fill(&mut signing);
        Self { version: FIRST, hiding, signing, made_at, before: BTreeMap::new() }
    }

    /// Draws the keys that come after these.
    #[must_use]
    pub fn next(&self, chance: &dyn Chance, made_at: Timestamp) -> Self {
        let mut next = Self::draw(chance, made_at);
        next.version = self.version.saturating_add(1);
        next.before = self.public();
        while next.before.len() > BEFORE_MAX {
            next.before.pop_first();
        }
        next
    }

    /// Returns what checks the chain, by version, that of these keys last.
    #[must_use]
    pub fn public(&self) -> BTreeMap<u32, String> {
        let mut public = self.before.clone();
        public.insert(self.version, self.chain().public());
        public
    }

    /// Returns what hides texts.
    #[must_use]
    pub fn veil(&self) -> Locked<hmac::Key> {
        Locked::new(hmac::Key::new(hmac::HMAC_SHA256, &self.hiding))
    }

    /// Returns what signs the chain.
    #[must_use]
    pub fn chain(&self) -> ChainKey {
        let public = pair(&self.signing).public_key().as_ref().try_into().unwrap_or_default();
        let seed = Locked::new(Zeroizing::new(self.signing));
        ChainKey { version: self.version, public, seed }
    }
}

impl ChainKey {
    /// Returns what checks its signatures, as operators keep it.
    #[must_use]
    pub fn public(&self) -> String {
        hex::text(&self.public)
    }

    pub(super) fn public_bytes(&self) -> &[u8] {
        &self.public
    }

    pub(super) fn sign(&self, text: &str) -> String {
        // The pair would lie in memory that is not locked, so it is made for each signature: a few a second.
        hex::text(pair(&self.seed).sign(text.as_bytes()).as_ref())
    }
}

#[expect(clippy::expect_used, reason = "a seed is refused only for another length than 32")]
fn pair(seed: &[u8; 32]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are a seed")
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKeys").field("version", &self.version).finish_non_exhaustive()
    }
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainKey").field("version", &self.version).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;

    #[test]
    fn the_next_keys_are_others_and_tell_what_checks_the_lines_before() {
        let chance = Counting::default();
        let first = DeviceKeys::draw(&chance, Timestamp(1));
        let second = first.next(&chance, Timestamp(2));
        let (one, two) = (first.chain().public(), second.chain().public());
        assert_ne!((&one, first.hiding), (&two, second.hiding));
        assert_eq!(second.chain().version, 2);
        assert_eq!(second.public(), BTreeMap::from([(1, one), (2, two)]));
        let stored = serde_json::to_string(&second).unwrap();
        let read: DeviceKeys = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.public(), second.public());
        // Before keys could be exchanged.
        let old = serde_json::to_string(&first).unwrap();
        assert!(!old.contains("before"));
        assert_eq!(serde_json::from_str::<DeviceKeys>(&old).unwrap().public(), first.public());
    }

    #[test]
    fn a_bounded_number_of_keys_is_remembered_the_latest_of_them() {
        let chance = Counting::default();
        let mut keys = DeviceKeys::draw(&chance, Timestamp(1));
        for _ in 0..150 {
            keys = keys.next(&chance, Timestamp(1));
        }
        let public = keys.public();
        assert_eq!(public.len(), BEFORE_MAX + 1);
        assert_eq!(public.keys().next_back(), Some(&151));
    }
}
