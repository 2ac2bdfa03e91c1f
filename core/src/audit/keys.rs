//! The keys of one audit device: one hides texts in its lines, one signs its chain.
//!
//! They are the device's own, drawn once and sealed in the store. What two devices show cannot be put together, and
//! the key ring can be rotated without breaking a record in two. Each line names the version of the keys it was
//! made with.

use super::hex;
use crate::chance::Chance;
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The version of the first keys of a device.
const FIRST: u32 = 1;

/// The keys of one device, as they are kept.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct DeviceKeys {
    version: u32,
    hiding: [u8; 32],
    signing: [u8; 32],
    #[zeroize(skip)]
    made_at: Timestamp,
}

/// What signs the chain of one device.
pub struct ChainKey {
    /// Which keys of the device these are.
    pub version: u32,
    pair: Ed25519KeyPair,
}

impl DeviceKeys {
    /// Draws the first keys of a device.
    #[must_use]
    pub fn draw(chance: &dyn Chance, made_at: Timestamp) -> Self {
        let (mut hiding, mut signing) = ([0; 32], [0; 32]);
        chance.fill(&mut hiding);
        chance.fill(&mut signing);
        Self { version: FIRST, hiding, signing, made_at }
    }

    /// Returns what hides texts.
    #[must_use]
    pub fn veil(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.hiding)
    }

    /// Returns what signs the chain.
    ///
    /// # Panics
    /// Never: the length of the seed is its type.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a seed is refused only for another length than 32")]
    pub fn chain(&self) -> ChainKey {
        let pair = Ed25519KeyPair::from_seed_unchecked(&self.signing).expect("32 bytes are a seed");
        ChainKey { version: self.version, pair }
    }
}

impl ChainKey {
    /// Returns what checks its signatures, as operators keep it.
    #[must_use]
    pub fn public(&self) -> String {
        hex::text(self.pair.public_key().as_ref())
    }

    pub(super) fn public_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(super) fn sign(&self, text: &str) -> String {
        hex::text(self.pair.sign(text.as_bytes()).as_ref())
    }
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
