//! The key ring as it is stored: which keys there are, since when, and when the next one is due.
//!
//! | key | record |
//! |---|---|
//! | `seal/keyring` | the ring, sealed under the root key |
//! | `seal/count` | how often its last key may have sealed; in the clear, for it says nothing else |
//!
//! A random nonce is safe for a bounded number of values under one key, so what is sealed is counted. To write the
//! count down with every value would double the writes; it is raised in blocks, before a block is begun, and a process
//! that ends has used up its block whatever it did. So the count that is stored is never too low.

use super::barrier::{Barrier, SealingKey, Unreadable};
use super::{RootKey, SealError, Unsealed};
use crate::backup::BackupKey;
use crate::chance::Chance;
use crate::ids::InstallationId;
use crate::limits::{RING_KEYS_MAX, SEALS_BLOCK, SEALS_MAX};
use crate::secret::Locked;
use crate::store::{Batch, Key, Revision, Store, StoreError, Value};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The key ring, open.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct KeyRing {
    #[zeroize(skip)]
    pub(super) installation: InstallationId,
    /// The data keys; the last one seals, all of them open. The id of a key is its place, from 1.
    keys: Vec<RingKey>,
    pub(super) token_key: [u8; 32],
    #[zeroize(skip)]
    #[serde(default)]
    rotation: Rotation,
}

/// One data key.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(from = "StoredKey")]
struct RingKey {
    key: [u8; 32],
    /// Not known of the first key of an installation that is older than this field.
    #[zeroize(skip)]
    installed_at: Option<Timestamp>,
}

/// A data key as this release and as the ones before keep it.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredKey {
    Bare([u8; 32]),
    Dated { key: [u8; 32], installed_at: Option<Timestamp> },
}

impl From<StoredKey> for RingKey {
    fn from(stored: StoredKey) -> Self {
        match stored {
            StoredKey::Bare(key) => Self { key, installed_at: None },
            StoredKey::Dated { key, installed_at } => Self { key, installed_at },
        }
    }
}

/// When a new key is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Whether any of what follows is heeded. [`SEALS_MAX`] always is.
    pub enabled: bool,
    /// After how many values.
    pub seals_max: u64,
    /// After how long; zero for never.
    pub interval: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { enabled: true, seals_max: SEALS_MAX, interval: Duration::ZERO }
    }
}

/// How the key that seals is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its id.
    pub key: u32,
    /// Since when it seals.
    pub installed_at: Timestamp,
    /// How many values it has sealed at most.
    pub seals: u64,
}

/// How often a key may have sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    key: u32,
    seals: u64,
}

pub(super) fn ring_at() -> Key {
    Key(b"seal/keyring".to_vec())
}

fn count_at() -> Key {
    Key(b"seal/count".to_vec())
}

/// A ring that was read, and the root key that opened it.
pub(super) struct Opened {
    pub(super) ring: KeyRing,
    pub(super) revision: Revision,
}

impl KeyRing {
    /// Draws the first ring of an installation.
    pub(super) fn draw(installation: InstallationId, now: Timestamp, chance: &dyn Chance) -> Self {
        Self {
            installation,
            keys: vec![RingKey::draw(now, chance)],
            token_key: drawn(chance),
            rotation: Rotation::default(),
        }
    }

    /// Makes this the ring of another installation, which opens the same records and seals under a key of its own.
    pub(super) fn become_a_copy(
        &mut self,
        installation: InstallationId,
        now: Timestamp,
        chance: &dyn Chance,
    ) {
        self.installation = installation;
        self.token_key = drawn(chance);
        self.begin_key(now, chance);
    }

    /// Adds a key, which seals from now on, and which nobody has who opened the ring before.
    pub(super) fn begin_key(&mut self, now: Timestamp, chance: &dyn Chance) {
        self.keys.push(RingKey::draw(now, chance));
    }

    /// Returns the batch that keeps the ring in place of what was there, if a new key begins.
    pub(super) fn put_with_new_key(
        &self,
        was: Option<Revision>,
        root: &RootKey,
        chance: &dyn Chance,
    ) -> Result<Batch, SealError> {
        let none = Count { key: self.last_id(), seals: 0 };
        let none = serde_json::to_vec(&none).map_err(|_| SealError::WrongKey)?;
        Ok(self.put(was, root, chance)?.put(count_at(), Value(none)))
    }

    /// Returns the batch that keeps the ring in place of what was there.
    pub(super) fn put(
        &self,
        was: Option<Revision>,
        root: &RootKey,
        chance: &dyn Chance,
    ) -> Result<Batch, SealError> {
        let plain = Zeroizing::new(serde_json::to_vec(self).map_err(|_| SealError::WrongKey)?);
        let sealed = SealingKey::new(0, root.expose()).seal(&ring_at(), &plain, chance);
        Ok(Batch::default().expect(ring_at(), was).put(ring_at(), sealed))
    }

    /// Reads a ring as it is stored.
    pub(super) fn read(root: &RootKey, sealed: &Value) -> Result<Self, SealError> {
        let plain = SealingKey::new(0, root.expose())
            .open(&ring_at(), sealed)
            .map_err(|Unreadable| SealError::WrongKey)?;
        serde_json::from_slice(&plain).map_err(|_| SealError::WrongKey)
    }

    /// Returns what can be done with it.
    pub(super) fn unsealed(&self, root: &RootKey) -> Unsealed {
        Unsealed {
            barrier: Arc::new(Barrier::new(root.clone(), self.sealing_keys())),
            installation: self.installation,
            token_key: Arc::new(Locked::new(hmac::Key::new(hmac::HMAC_SHA256, &self.token_key))),
            backup_key: BackupKey::of(root),
        }
    }

    fn sealing_keys(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.keys.iter().map(|key| &key.key)
    }

    fn last_id(&self) -> u32 {
        u32::try_from(self.keys.len()).unwrap_or(u32::MAX)
    }

    /// Since when the last key seals. Installations that never had another key had it from their beginning, which
    /// their name tells.
    fn installed_at(&self) -> Timestamp {
        let named = || self.installation.made_at();
        self.keys.last().and_then(|key| key.installed_at).unwrap_or_else(named)
    }
}

impl RingKey {
    fn draw(now: Timestamp, chance: &dyn Chance) -> Self {
        Self { key: drawn(chance), installed_at: Some(now) }
    }
}

fn drawn(chance: &dyn Chance) -> [u8; 32] {
    let mut bytes = [0; 32];
    chance.fill(&mut bytes);
    bytes
}

/// Reads the ring of an installation.
pub(super) async fn open(store: &dyn Store, root: &RootKey) -> Result<Opened, SealError> {
    let (sealed, revision) = store.get(&ring_at()).await?.ok_or(SealError::NotInitialized)?;
    Ok(Opened { ring: KeyRing::read(root, &sealed)?, revision })
}

/// Adds a key, which seals from now on, if all is as a batch expects. What earlier keys sealed they open as before.
pub(crate) async fn rotate(
    store: &dyn Store,
    barrier: &Barrier,
    now: Timestamp,
    chance: &dyn Chance,
    Batch { expected, .. }: Batch,
) -> Result<(), SealError> {
    let Opened { mut ring, revision } = open(store, barrier.root()).await?;
    if ring.keys.len() >= RING_KEYS_MAX {
        return Err(SealError::RingFull);
    }
    ring.begin_key(now, chance);
    let mut batch = ring.put_with_new_key(Some(revision), barrier.root(), chance)?;
    batch.expected.extend(expected);
    // A key that is worn out endangers all that it has sealed: a full disk is no reason to go on with it.
    batch.spends_reserve = true;
    store.commit(batch).await?;
    barrier.take(ring.sealing_keys());
    Ok(())
}

/// Takes up keys that another node has added. Where the ring itself does not open any more, as after another root key has
/// come, that is an error: nobody can tell then whether what is under an unknown key is damaged.
pub(crate) async fn refresh(store: &dyn Store, barrier: &Barrier) -> Result<(), StoreError> {
    match open(store, barrier.root()).await {
        Ok(Opened { ring, .. }) => {
            barrier.take(ring.sealing_keys());
            Ok(())
        }
        Err(SealError::Store(error)) => Err(error),
        Err(error) => Err(StoreError::Refused(error.to_string())),
    }
}

/// Tells how the key that seals is.
pub(crate) async fn status(store: &dyn Store, barrier: &Barrier) -> Result<KeyStatus, SealError> {
    let Opened { ring, .. } = open(store, barrier.root()).await?;
    let (key, seals) = barrier.seals();
    Ok(KeyStatus { key, installed_at: ring.installed_at(), seals })
}

/// Returns when a new key is due.
pub(crate) async fn rotation(store: &dyn Store, barrier: &Barrier) -> Result<Rotation, SealError> {
    Ok(open(store, barrier.root()).await?.ring.rotation)
}

/// Says when a new key is due, if all is as a batch expects.
pub(crate) async fn set_rotation(
    store: &dyn Store,
    barrier: &Barrier,
    rotation: Rotation,
    chance: &dyn Chance,
    Batch { expected, .. }: Batch,
) -> Result<(), SealError> {
    let Opened { mut ring, revision } = open(store, barrier.root()).await?;
    ring.rotation = rotation;
    let mut batch = ring.put(Some(revision), barrier.root(), chance)?;
    batch.expected.extend(expected);
    store.commit(batch).await?;
    Ok(())
}

/// Begins to count what is sealed, where the last process may have left off. A store whose count nobody kept counts
/// as worn out, so that it gets a new key soon.
pub(crate) async fn begin_count(store: &dyn Store, barrier: &Barrier) -> Result<(), StoreError> {
    let (key, _) = barrier.seals();
    let stored = store.get(&count_at()).await?;
    let stored = stored.and_then(|(value, _)| serde_json::from_slice::<Count>(&value.0).ok());
    let seals = stored.filter(|stored| stored.key == key).map_or(SEALS_MAX, |stored| stored.seals);
    barrier.count_from(key, seals);
    if let Err(error) = reserve(store, barrier).await {
        // A store that cannot be written opens all the same: it is tried again every minute.
        tracing::warn!(%error, "what is sealed cannot be counted ahead yet");
    }
    Ok(())
}

/// Keeps the stored count ahead of what is sealed until it is looked at again.
pub(crate) async fn reserve(store: &dyn Store, barrier: &Barrier) -> Result<(), StoreError> {
    let (key, seals) = barrier.seals();
    let (reserved_of, reserved) = barrier.reserved();
    if reserved_of == key && reserved.saturating_sub(seals) > SEALS_BLOCK / 2 {
        return Ok(());
    }
    let count = Count { key, seals: seals.saturating_add(SEALS_BLOCK) };
    let value =
        serde_json::to_vec(&count).map_err(|error| StoreError::Refused(error.to_string()))?;
    let batch = Batch::default().put(count_at(), Value(value));
    store.commit(Batch { spends_reserve: true, ..batch }).await?;
    barrier.reserve(key, count.seals);
    Ok(())
}

/// Tells whether a new key is due.
pub(crate) fn is_due(rotation: Rotation, status: KeyStatus, now: Timestamp) -> bool {
    let Rotation { enabled, seals_max, interval } = rotation;
    let worn = status.seals >= if enabled { seals_max.min(SEALS_MAX) } else { SEALS_MAX };
    let old = enabled && !interval.is_zero() && now.since(status.installed_at) >= interval;
    worn || old
}

#[cfg(test)]
#[path = "ring/tests.rs"]
mod tests;
