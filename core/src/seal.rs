//! What keeps the store's values secret: a root key, and under it a key ring.
//!
//! The root key seals one record, the key ring; the ring's keys seal everything else. Sealed is a
//! type: without an [`Unsealed`] there is no [`crate::broker::Broker`].

pub mod barrier;
pub mod keeper;
pub(crate) mod ring;
pub mod shares;
pub mod splits;

pub use ring::{KeyStatus, Rotation};

use crate::backup::BackupKey;
use crate::chance::Chance;
use crate::ids::InstallationId;
use crate::secret::{Locked, LockedKey};
use crate::store::{Batch, Store, StoreError, Value};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use barrier::Barrier;
use ring::{KeyRing, Opened, ring_at};
use splits::{Joined, Purpose, Splits, Stored};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The key that opens the key ring. Kept outside the store.
#[derive(Clone)]
pub struct RootKey(Arc<LockedKey>);

/// What an installation can do once its key ring is open.
#[derive(Clone, Debug)]
pub struct Unsealed {
    /// Seals and opens records.
    pub barrier: Arc<Barrier>,
    /// Which installation this is.
    pub installation: InstallationId,
    /// Hashes tokens.
    pub token_key: Arc<Locked<hmac::Key>>,
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
    /// A record beside the key ring cannot be read.
    #[error("the record `{0}` was altered or damaged; restore the store from a backup")]
    Altered(String),
    /// There are as many keys as there may be.
    #[error("the key ring has {} keys, and takes no more", crate::limits::RING_KEYS_MAX)]
    RingFull,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RootKey {
    /// Takes a key from where it is kept.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Arc::new(Locked::new(Zeroizing::new(bytes))))
    }

    /// Draws a new one.
    pub fn draw(chance: &dyn Chance) -> Self {
        let mut bytes = [0; 32];
        chance.fill(&mut bytes);
        Self::new(bytes)
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
    let ring = KeyRing::draw(InstallationId::new(now, chance), now, chance);
    let unsealed = ring.unsealed(root);
    let batch = ring.put_with_new_key(None, root, chance)?;
    store.commit(first(&unsealed, batch)?).await.map_err(|error| match error {
        StoreError::Conflict => SealError::AlreadyInitialized,
        StoreError::Refused(_) | StoreError::Uncertain(_) => SealError::Store(error),
    })?;
    Ok(unsealed)
}

/// Makes another installation of a store that was copied, and in the same batch whatever `first` makes. Records open
/// as before; no token of the original has a name here, and nothing at a target bears the mark of this installation.
/// It seals under a key of its own, since nobody counts what both seal together.
pub async fn found_copy(
    store: &dyn Store,
    root: &RootKey,
    now: Timestamp,
    chance: &dyn Chance,
    first: impl FnOnce(&Unsealed, Batch) -> Result<Batch, StoreError>,
) -> Result<Unsealed, SealError> {
    let Opened { mut ring, revision } = ring::open(store, root).await?;
    ring.become_a_copy(InstallationId::new(now, chance), now, chance);
    let unsealed = ring.unsealed(root);
    let batch = ring.put_with_new_key(Some(revision), root, chance)?;
    store.commit(first(&unsealed, batch)?).await?;
    Ok(unsealed)
}

/// Opens the key ring of an installation.
pub async fn unseal(store: &dyn Store, root: &RootKey) -> Result<Unsealed, SealError> {
    Ok(ring::open(store, root).await?.ring.unsealed(root))
}

/// Moves a store from a keeper to those who have the shares of its recovery key, or from those who have the shares of
/// its unseal key to a keeper: their shares become the other kind. The root key becomes another one, since whoever had
/// the old one still has it, and another data key begins, since that one opened the ring of before. All of that is one
/// batch, so that a store is never between the two.
pub async fn change_seal(
    store: &dyn Store,
    from: (Purpose, &Stored, &Joined),
    (old, new): (&RootKey, &RootKey),
    now: Timestamp,
    chance: &dyn Chance,
) -> Result<Unsealed, SealError> {
    let (purpose, stored, joined) = from;
    let other = purpose.other();
    let there = Stored::read(store, other, Some(old)).await?;
    let Opened { mut ring, revision } = ring::open(store, old).await?;
    ring.begin_key(now, chance);
    let batch = ring.put_with_new_key(Some(revision), new, chance)?;
    let batch = stored.replaced(batch, purpose, &Splits::default(), new, chance)?;
    let splits = Splits::of_same_holders(joined, &stored.splits, other, new, chance);
    let batch = there.replaced(batch, other, &splits, new, chance)?;
    kept(store, batch, &ring, new).await
}

/// Gives a store another root key, which the holders of the unseal key open with the shares that they have, and another
/// data key under it. Whoever has only shares from before, and an old copy of the store, opens what was sealed before,
/// in any copy, and nothing that is sealed from now on.
pub async fn renew_root(
    store: &dyn Store,
    (stored, joined): (&Stored, &Joined),
    (old, new): (&RootKey, &RootKey),
    now: Timestamp,
    chance: &dyn Chance,
) -> Result<Unsealed, SealError> {
    let recovery = Stored::read(store, Purpose::Recovery, Some(old)).await?;
    let Opened { mut ring, revision } = ring::open(store, old).await?;
    ring.begin_key(now, chance);
    let batch = ring.put_with_new_key(Some(revision), new, chance)?;
    let splits = Splits::of_same_holders(joined, &stored.splits, Purpose::Unseal, new, chance);
    let batch = stored.replaced(batch, Purpose::Unseal, &splits, new, chance)?;
    let batch = match recovery.revision {
        Some(_) => recovery.replaced(batch, Purpose::Recovery, &recovery.splits, new, chance)?,
        None => batch,
    };
    kept(store, batch, &ring, new).await
}

/// Keeps a ring under another root key.
async fn kept(
    store: &dyn Store,
    batch: Batch,
    ring: &KeyRing,
    new: &RootKey,
) -> Result<Unsealed, SealError> {
    match store.commit(batch).await {
        // Whether it was kept is seen by looking: nothing else was ever sealed under the new key.
        Err(StoreError::Uncertain(why)) => {
            unseal(store, new).await.map_err(|_| SealError::Store(StoreError::Uncertain(why)))
        }
        outcome => outcome.map(|_| ring.unsealed(new)).map_err(SealError::from),
    }
}

/// Opens a key ring as it is stored.
pub fn read(root: &RootKey, sealed: &Value) -> Result<Unsealed, SealError> {
    Ok(KeyRing::read(root, sealed)?.unsealed(root))
}

/// Adds a key to the ring, which seals from now on.
pub async fn rotate(
    store: &dyn Store,
    unsealed: &Unsealed,
    now: Timestamp,
    chance: &dyn Chance,
) -> Result<(), SealError> {
    ring::rotate(store, &unsealed.barrier, now, chance, Batch::default()).await
}
