//! What keeps the store's values secret: a root key, and under it a key ring.
//!
//! The root key seals one record, the key ring; the ring's keys seal everything else. Sealed is a
//! type: without an [`Unsealed`] there is no [`crate::broker::Broker`].

pub mod barrier;

use crate::backup::BackupKey;
use crate::chance::Chance;
use crate::ids::InstallationId;
use crate::store::{Batch, Key, Revision, Store, StoreError, Value};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use barrier::{Barrier, SealingKey, Unreadable};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The key that opens the key ring. Kept outside the store.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

/// What an installation can do once its key ring is open.
#[derive(Clone, Debug)]
pub struct Unsealed {
    /// Seals and opens records.
    pub barrier: Arc<Barrier>,
    /// Which installation this is.
    pub installation: InstallationId,
    /// Hashes tokens.
    pub token_key: hmac::Key,
    /// Hashes what the audit must not show.
    pub audit_key: hmac::Key,
    /// Proves backups.
    pub backup_key: BackupKey,
}

/// The store cannot be initialized or unsealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is a key ring already.
    #[error("the store is already initialized")]
    AlreadyInitialized,
    /// There is no key ring yet.
    #[error("the store is not initialized; run `leasehold operator init`")]
    NotInitialized,
    /// The root key does not open the key ring.
    #[error(
        "the root key does not open this store; it belongs to another one, or the key ring is damaged"
    )]
    WrongKey,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RootKey {
    /// Takes a key from where it is kept.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Draws a new one.
    pub fn draw(chance: &dyn Chance) -> Self {
        let mut bytes = [0; 32];
        chance.fill(&mut bytes);
        Self(bytes)
    }

    /// Shows the key, for writing it where it is kept.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}

/// The key ring as it is stored, sealed under the root key.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct KeyRing {
    #[zeroize(skip)]
    installation: InstallationId,
    /// The data keys; the last one seals, all of them open.
    keys: Vec<[u8; 32]>,
    token_key: [u8; 32],
    audit_key: [u8; 32],
}

fn ring_at() -> Key {
    Key(b"seal/keyring".to_vec())
}

/// Tells whether there is a key ring.
pub async fn is_initialized(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.get(&ring_at()).await?.is_some())
}

/// Makes an installation of an empty store: its key ring, and with it in one batch whatever `first` makes.
/// Two that try at once leave one winner.
pub async fn initialize(
    store: &dyn Store,
    root: &RootKey,
    now: Timestamp,
    chance: &dyn Chance,
    first: impl FnOnce(&Unsealed, Batch) -> Result<Batch, StoreError>,
) -> Result<Unsealed, SealError> {
    let draw = || {
        let mut bytes = [0; 32];
        chance.fill(&mut bytes);
        bytes
    };
    let installation = InstallationId::new(now, chance);
    let ring = KeyRing { installation, keys: vec![draw()], token_key: draw(), audit_key: draw() };
    let sealed = ring.seal(root, chance)?;
    let unsealed = ring.open(root);
    let batch = Batch::default().expect(ring_at(), None).put(ring_at(), sealed);
    store.commit(first(&unsealed, batch)?).await.map_err(|error| match error {
        StoreError::Conflict => SealError::AlreadyInitialized,
        StoreError::Refused(_) | StoreError::Uncertain(_) => SealError::Store(error),
    })?;
    Ok(unsealed)
}

/// Makes another installation of a store that was copied, and in the same batch whatever `first` makes. Records open
/// as before; no token of the original has a name here, and nothing at a target bears the mark of this installation.
pub async fn found_copy(
    store: &dyn Store,
    root: &RootKey,
    now: Timestamp,
    chance: &dyn Chance,
    first: impl FnOnce(&Unsealed, Batch) -> Result<Batch, StoreError>,
) -> Result<Unsealed, SealError> {
    let (mut ring, revision) = open_ring(store, root).await?;
    ring.installation = InstallationId::new(now, chance);
    chance.fill(&mut ring.token_key);
    chance.fill(&mut ring.audit_key);
    let sealed = ring.seal(root, chance)?;
    let unsealed = ring.open(root);
    let batch = Batch::default().expect(ring_at(), Some(revision)).put(ring_at(), sealed);
    store.commit(first(&unsealed, batch)?).await?;
    Ok(unsealed)
}

/// Opens the key ring of an installation.
pub async fn unseal(store: &dyn Store, root: &RootKey) -> Result<Unsealed, SealError> {
    let (ring, _) = open_ring(store, root).await?;
    Ok(ring.open(root))
}

async fn open_ring(store: &dyn Store, root: &RootKey) -> Result<(KeyRing, Revision), SealError> {
    let (sealed, revision) = store.get(&ring_at()).await?.ok_or(SealError::NotInitialized)?;
    let plain = SealingKey::new(0, root.expose())
        .open(&ring_at(), &sealed)
        .map_err(|Unreadable| SealError::WrongKey)?;
    let ring = serde_json::from_slice(&plain).map_err(|_| SealError::WrongKey)?;
    Ok((ring, revision))
}

impl KeyRing {
    fn seal(&self, root: &RootKey, chance: &dyn Chance) -> Result<Value, SealError> {
        let plain = Zeroizing::new(serde_json::to_vec(self).map_err(|_| SealError::WrongKey)?);
        Ok(SealingKey::new(0, root.expose()).seal(&ring_at(), &plain, chance))
    }

    fn open(&self, root: &RootKey) -> Unsealed {
        let keys = (1_u32..).zip(&self.keys).map(|(id, key)| SealingKey::new(id, key)).collect();
        Unsealed {
            barrier: Arc::new(Barrier::new(keys)),
            installation: self.installation,
            token_key: hmac::Key::new(hmac::HMAC_SHA256, &self.token_key),
            audit_key: hmac::Key::new(hmac::HMAC_SHA256, &self.audit_key),
            backup_key: BackupKey::of(root),
        }
    }
}
