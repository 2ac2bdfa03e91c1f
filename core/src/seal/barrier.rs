//! Seals values: AES-256-GCM with a random nonce, bound to the key under which the value is kept.
//!
//! A sealed value is `version (1 byte) | key id (4, big endian) | nonce (12) | ciphertext | tag (16)`.
//! The store's key is associated data, so that a value moved under another key does not open.
//! NIST SP 800-38D section 8.3 allows 2^32 random nonces under one key; the key id leaves room for rotation.

use crate::chance::Chance;
use crate::store::{Key, Value};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fmt;
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

/// All keys of an installation.
#[derive(Debug)]
pub struct Barrier {
    keys: Vec<SealingKey>,
}

impl Barrier {
    /// Seals with the last key, opens with any.
    #[must_use]
    pub fn new(keys: Vec<SealingKey>) -> Self {
        Self { keys }
    }

    /// Seals a value.
    ///
    /// # Errors
    /// The ring is empty.
    pub fn seal(&self, at: &Key, plain: &[u8], chance: &dyn Chance) -> Result<Value, Unreadable> {
        Ok(self.keys.last().ok_or(Unreadable)?.seal(at, plain, chance))
    }

    /// Opens a value.
    pub fn open(&self, at: &Key, sealed: &Value) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let id = sealed.0.get(1..HEAD).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes);
        let key = self.keys.iter().find(|key| Some(key.id) == id).ok_or(Unreadable)?;
        key.open(at, sealed)
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
        let barrier = Barrier::new(vec![SealingKey::new(1, &[7; 32])]);
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
