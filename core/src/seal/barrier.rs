//! Seals values: AES-256-GCM with a random nonce, bound to the key under which the value is kept.
//!
//! A sealed value is `version (1 byte) | key id (4, big endian) | nonce (12) | ciphertext | tag (16)`.
//! The store's key is associated data, so that a value moved under another key does not open.
//! NIST SP 800-38D section 8.3 allows 2^32 random nonces under one key, so what is sealed is counted, and a new key
//! begins before then.

use super::RootKey;
use crate::chance::Chance;
use crate::secret::Locked;
use crate::store::{Key, Value};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use parking_lot::RwLock;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const HEAD: usize = 5;

/// The value was not sealed by a key of ours, or not under this key of the store, or was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value cannot be opened")]
pub struct Unreadable;

/// One key that seals.
pub struct SealingKey {
    id: u32,
    key: LessSafeKey,
}

/// As many keys as a page holds.
type KeyPage = Zeroizing<[[u8; 32]; KEYS_OF_PAGE]>;
const KEYS_OF_PAGE: usize = 128;

/// All keys of an installation. What a cipher makes of a key lies in memory that cannot be locked, so that is made for
/// each value, in a part of the time that the value takes, and wiped.
#[derive(Debug)]
pub struct Barrier {
    /// What opens the ring that the keys are from.
    root: RootKey,
    keys: RwLock<Keys>,
}

#[derive(Debug)]
struct Keys {
    /// In the order of their ids, which begin with 1.
    all: Vec<Locked<KeyPage>>,
    /// The id of the last one.
    last: u32,
    /// What the last one has sealed. Raised under the lock for reading, so that no seal counts for another key.
    seals: AtomicU64,
    /// Up to how many seals of which key the store knows of.
    reserved: (u32, u64),
}

impl Barrier {
    /// Seals with the last key, opens with any.
    #[must_use]
    pub fn new<'a>(root: RootKey, keys: impl IntoIterator<Item = &'a [u8; 32]>) -> Self {
        Self { root, keys: RwLock::new(Keys::of(keys)) }
    }

    /// Seals a value.
    ///
    /// # Errors
    /// The ring is empty.
    pub fn seal(&self, at: &Key, plain: &[u8], chance: &dyn Chance) -> Result<Value, Unreadable> {
        let key = {
            let keys = self.keys.read();
            keys.seals.fetch_add(1, Ordering::Relaxed);
            keys.key(keys.last).ok_or(Unreadable)?
        };
        Ok(key.seal(at, plain, chance))
    }

    /// Opens a value.
    pub fn open(&self, at: &Key, sealed: &Value) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        self.key_of(sealed).ok_or(Unreadable)?.open(at, sealed)
    }

    /// Tells whether a value may be under a key that is not known here: another node may have added it.
    pub(crate) fn lacks_key_of(&self, sealed: &Value) -> bool {
        sealed.0.first() == Some(&VERSION) && self.key_of(sealed).is_none()
    }

    fn key_of(&self, sealed: &Value) -> Option<SealingKey> {
        self.keys.read().key(id_of_key(sealed)?)
    }

    /// The key that opens the ring.
    pub(crate) fn root(&self) -> &RootKey {
        &self.root
    }

    /// Takes up a ring with more keys. One with fewer was read before another that is known already.
    pub(super) fn take<'a>(&self, ring: impl IntoIterator<Item = &'a [u8; 32]>) {
        let (mut keys, ring) = (self.keys.write(), Keys::of(ring));
        if ring.last > keys.last {
            *keys = Keys { reserved: keys.reserved, ..ring };
        }
    }

    /// Returns the id of the key that seals, and how many values it has sealed at most.
    pub(super) fn seals(&self) -> (u32, u64) {
        let keys = self.keys.read();
        (keys.last, keys.seals.load(Ordering::Relaxed))
    }

    /// Counts on from what others may have sealed with a key.
    pub(super) fn count_from(&self, key: u32, seals: u64) {
        let keys = self.keys.read();
        if keys.last == key {
            keys.seals.fetch_add(seals, Ordering::Relaxed);
        }
    }

    /// Returns up to how many seals of which key the store knows of.
    pub(super) fn reserved(&self) -> (u32, u64) {
        self.keys.read().reserved
    }

    /// The store knows now of so many seals of a key.
    pub(super) fn reserve(&self, key: u32, seals: u64) {
        self.keys.write().reserved = (key, seals);
    }
}

impl Keys {
    fn of<'a>(ring: impl IntoIterator<Item = &'a [u8; 32]>) -> Self {
        let (mut all, mut last) = (Vec::<Locked<KeyPage>>::new(), 0_u32);
        for key in ring {
            let place = last as usize % KEYS_OF_PAGE;
            if place == 0 {
                all.push(Locked::new(Zeroizing::new([[0; 32]; KEYS_OF_PAGE])));
            }
            if let Some(slot) = all.last_mut().and_then(|page| page.get_mut(place)) {
                slot.copy_from_slice(key);
            }
            last = last.saturating_add(1);
        }
        Self { all, last, seals: AtomicU64::new(0), reserved: (0, 0) }
    }

    fn key(&self, id: u32) -> Option<SealingKey> {
        let place = id.checked_sub(1).filter(|_| id <= self.last)? as usize;
        let page = self.all.get(place.checked_div(KEYS_OF_PAGE)?)?;
        page.get(place % KEYS_OF_PAGE).map(|key| SealingKey::new(id, key))
    }
}

impl SealingKey {
    /// Takes a key. Its id is written into every value it seals.
    ///
    /// # Panics
    /// Never: the length of the key is its type.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "`new` fails only for a key of another length than 32 bytes"
    )]
    pub fn new(id: u32, bytes: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are a key");
        Self { id, key: LessSafeKey::new(key) }
    }

    /// Seals a value to be kept under `at`.
    ///
    /// # Panics
    /// On a value over 64 GiB, which no limit of this crate lets through.
    #[expect(clippy::expect_used, reason = "sealing fails only for values over 64 GiB")]
    pub fn seal(&self, at: &Key, plain: &[u8], chance: &dyn Chance) -> Value {
        let mut nonce = [0; NONCE_LEN];
        chance.fill(&mut nonce);
        let spare = AES_256_GCM.tag_len();
        let mut sealed =
            Vec::with_capacity(plain.len().saturating_add(HEAD + NONCE_LEN).saturating_add(spare));
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.id.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let (_, body) = sealed.split_at_mut(HEAD + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(at.0.as_slice());
        let tag =
            self.key.seal_in_place_separate_tag(nonce, aad, body).expect("the value is small");
        sealed.extend_from_slice(tag.as_ref());
        Value(sealed)
    }

    /// Opens a value kept under `at`.
    pub fn open(&self, at: &Key, sealed: &Value) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        if sealed.0.first() != Some(&VERSION) {
            return Err(Unreadable);
        }
        let nonce = sealed.0.get(HEAD..HEAD + NONCE_LEN).ok_or(Unreadable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unreadable)?;
        let body = sealed.0.get(HEAD + NONCE_LEN..).ok_or(Unreadable)?;
        let mut plain = Zeroizing::new(body.to_vec());
        let aad = Aad::from(at.0.as_slice());
        let opened = self.key.open_in_place(nonce, aad, &mut plain).map_err(|_| Unreadable)?.len();
        plain.truncate(opened);
        Ok(plain)
    }
}

/// Returns the id of the key that a value says it was sealed by.
#[must_use]
pub fn id_of_key(sealed: &Value) -> Option<u32> {
    sealed.0.get(1..HEAD).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes)
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;

    fn key(text: &str) -> Key {
        Key(text.as_bytes().to_vec())
    }

    #[test]
    fn a_sealed_value_opens_only_where_it_was_kept_and_unaltered() {
        let barrier = Barrier::new(RootKey::new([1; 32]), &[[7; 32]]);
        let sealed = barrier.seal(&key("a"), b"open sesame", &Counting::default()).unwrap();
        assert_eq!(&**barrier.open(&key("a"), &sealed).unwrap(), b"open sesame");
        assert_eq!(barrier.open(&key("b"), &sealed).unwrap_err(), Unreadable);
        for at in 0..sealed.0.len() {
            let mut altered = sealed.clone();
            altered.0[at] ^= 1;
            assert!(barrier.open(&key("a"), &altered).is_err(), "byte {at}");
            assert!(barrier.open(&key("a"), &Value(sealed.0[..at].to_vec())).is_err());
        }
        assert!(!sealed.0.windows(6).any(|window| window == b"sesame"));
    }
}
