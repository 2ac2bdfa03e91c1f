//! Takes a backup: everything in the store, as it is at one moment, while all else goes on.

use super::authenticate::{AdmitError, Recorded};
use super::{Broker, Request};
use crate::audit::Answer;
use crate::backup::Encoder;
use crate::store::StoreError;
use crate::time::Timestamp;
use futures_core::stream::BoxStream;
use futures_util::lock::Mutex;
use futures_util::{StreamExt, stream};
use std::fmt;
use std::future::ready;
use std::sync::Arc;

/// A backup that has begun.
pub struct Backup {
    /// The moment it shows.
    pub taken_at: Timestamp,
    /// Its bytes. They must be read soon: the store keeps what they show until then.
    pub parts: BoxStream<'static, Result<Vec<u8>, StoreError>>,
}

/// No backup is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// Each keeps space of the store from being used again, so there is one at a time.
    #[error("a backup is being taken already; try again when it is done")]
    Running,
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backup").field("taken_at", &self.taken_at).finish_non_exhaustive()
    }
}

impl Recorded for Backup {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "taken_at": self.taken_at.rfc3339() })))
    }
}

impl Broker {
    /// Begins a backup. It goes on while its parts are taken, and ends early when they are dropped.
    pub async fn back_up(self: &Arc<Self>, request: &Request) -> Result<Backup, BackupError> {
        self.served(request, async |_| {
            let turn = Mutex::try_lock_owned(&self.backing_up).ok_or(BackupError::Running)?;
            let taken_at = self.clock.now();
            let (encoder, first) = Encoder::begin(&self.backup_key, self.installation, taken_at);
            let begun = (Some(encoder), self.records.snapshot(), turn);
            let rest = stream::try_unfold(begun, async |(encoder, mut snapshot, turn)| {
                let Some(mut encoder) = encoder else { return Ok(None) };
                if let Some(entries) = snapshot.next().await.transpose()? {
                    let bytes = encoder.records(&entries);
                    return Ok(Some((bytes, (Some(encoder), snapshot, turn))));
                }
                let (bytes, records) = encoder.end();
                tracing::info!(records, "a backup was taken");
                Ok(Some((bytes, (None, snapshot, turn))))
            });
            let parts = stream::once(ready(Ok(first))).chain(rest).boxed();
            Ok(Backup { taken_at, parts })
        })
        .await
    }
}
