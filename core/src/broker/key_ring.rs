//! Adds keys to the key ring, when an operator asks for it and when one is due, and shows how it is.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Request};
use crate::audit::{Answer, Asked, Operation};
use crate::limits::{CONFLICT_TRIES, ROTATE_EVERY_MIN, SEALS_MAX, SEALS_MIN};
use crate::seal::{KeyStatus, Rotation, SealError, ring};
use crate::store::{Batch, StoreError};
use std::sync::Arc;

/// The key ring is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// A new key cannot be due then.
    #[error("{0}")]
    Bad(String),
    /// The ring cannot be read, or takes no more keys.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl From<StoreError> for KeyRingError {
    fn from(error: StoreError) -> Self {
        Self::Seal(error.into())
    }
}

/// When a new key is to be due; what is left out stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RotationWrite {
    /// Whether the others are heeded.
    pub enabled: Option<bool>,
    /// After how many values; zero for as many as a key may seal.
    pub seals_max: Option<i64>,
    /// After how long; zero for never.
    pub interval: Option<std::time::Duration>,
}

impl Recorded for KeyStatus {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Recorded for Rotation {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Broker {
    /// Adds a key, which seals from now on.
    pub async fn rotate_key_ring(self: &Arc<Self>, request: &Request) -> Result<(), KeyRingError> {
        self.written(request, async |caller: Caller| {
            Ok(self.try_add_key(caller.rights.expected(Batch::default())).await?)
        })
        .await
    }

    /// Shows the key that seals.
    pub async fn key_status(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<KeyStatus, KeyRingError> {
        self.served(request, async |_| {
            let (store, barrier) = self.records.ring();
            Ok(ring::status(store, barrier).await?)
        })
        .await
    }

    /// Shows when a new key is due.
    pub async fn rotation(self: &Arc<Self>, request: &Request) -> Result<Rotation, KeyRingError> {
        self.served(request, async |_| {
            let (store, barrier) = self.records.ring();
            Ok(ring::rotation(store, barrier).await?)
        })
        .await
    }

    /// Says when a new key is due.
    pub async fn set_rotation(
        self: &Arc<Self>,
        request: &Request,
        write: &RotationWrite,
    ) -> Result<(), KeyRingError> {
        self.written(request, async |caller: Caller| {
            let (store, barrier) = self.records.ring();
            let rotation = write.applied(ring::rotation(store, barrier).await?)?;
            let batch = caller.rights.expected(Batch::default());
            Ok(ring::set_rotation(store, barrier, rotation, &*self.chance, batch).await?)
        })
        .await
    }

    /// Keeps the count of what is sealed ahead, and adds a key when one is due: on record, unless the last one is worn out
    /// and nothing can be recorded.
    pub(super) async fn keep_key_ring(&self) -> Result<(), StoreError> {
        let (store, barrier) = self.records.ring();
        ring::reserve(store, barrier).await?;
        let looked = async {
            let (rotation, status) =
                (ring::rotation(store, barrier).await?, ring::status(store, barrier).await?);
            if !ring::is_due(rotation, status, self.clock.now()) {
                return Ok(());
            }
            tracing::info!(key = status.key, seals = status.seals, "the key ring gets a new key");
            let (operation, path) = (Operation::Update, "sys/rotate".to_owned());
            let asked = Asked { operation, path, ..Asked::default() };
            match self.by_itself(&asked, async { Ok(self.add_key().await?) }).await {
                // Revocations go on without a record, and seal: beyond this bound that endangers all that the key has sealed.
                Err(KeyRingError::Admit(error)) if status.seals >= SEALS_MAX => {
                    tracing::error!(%error, "a key is worn out, and is replaced without a record");
                    Ok(self.add_key().await?)
                }
                outcome => outcome,
            }
        };
        match looked.await {
            Ok(()) => Ok(()),
            Err(KeyRingError::Seal(SealError::Store(error))) => Err(error),
            Err(error) => {
                tracing::error!(%error, "a new key is due, and cannot be added");
                Ok(())
            }
        }
    }

    async fn add_key(&self) -> Result<(), SealError> {
        for _ in 0..CONFLICT_TRIES {
            match self.try_add_key(Batch::default()).await {
                Err(SealError::Store(StoreError::Conflict)) => {}
                outcome => return outcome,
            }
        }
        Err(SealError::Store(StoreError::Conflict))
    }

    /// Adds a key, if nobody else has changed the ring meanwhile, and all is as the batch expects.
    async fn try_add_key(&self, batch: Batch) -> Result<(), SealError> {
        let (store, barrier) = self.records.ring();
        match ring::rotate(store, barrier, self.clock.now(), &*self.chance, batch).await {
            // The new key may be in the ring: it is, or it is not, by what is stored.
            Err(error @ SealError::Store(StoreError::Uncertain(_))) => {
                ring::refresh(store, barrier).await?;
                Err(error)
            }
            Ok(()) => Ok(ring::reserve(store, barrier).await?),
            Err(error) => Err(error),
        }
    }
}

impl RotationWrite {
    fn applied(self, before: Rotation) -> Result<Rotation, KeyRingError> {
        let bad = |message: String| Err(KeyRingError::Bad(message));
        let seals_max = match self.seals_max.map(u64::try_from) {
            None => before.seals_max,
            Some(Ok(0)) => SEALS_MAX,
            Some(Ok(seals)) if (SEALS_MIN..=SEALS_MAX).contains(&seals) => seals,
            Some(Ok(_) | Err(_)) => {
                return bad(format!(
                    "`max_operations` must be between {SEALS_MIN} and {SEALS_MAX}, or 0 for the latter"
                ));
            }
        };
        let interval = self.interval.unwrap_or(before.interval);
        if !interval.is_zero() && interval < ROTATE_EVERY_MIN {
            let hours = ROTATE_EVERY_MIN.as_secs() / 3600;
            return bad(format!("`interval` must be at least {hours} hours, or 0 for never"));
        }
        Ok(Rotation { enabled: self.enabled.unwrap_or(before.enabled), seals_max, interval })
    }
}
