//! What is kept of the time: one record, `clock/seen`.

use super::records::{Found, Records};
use super::{Batch, Key, Revision, StoreError};
use crate::time::watch::Seen;

/// Where it is kept.
#[must_use]
pub fn seen_at() -> Key {
    Key(b"clock/seen".to_vec())
}

impl Records {
    /// Returns what is kept of the time.
    pub async fn seen_time(&self) -> Result<Option<Found<Seen>>, StoreError> {
        self.read(&seen_at()).await
    }

    /// Keeps it in place of what was there, if all is as the batch expects. A full disk is no reason to lose it.
    pub async fn keep_seen_time(
        &self,
        was: Option<Revision>,
        seen: &Seen,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let at = seen_at();
        let sealed = self.seal(&at, seen)?;
        let batch = batch.expect(at.clone(), was).put(at, sealed);
        self.commit(Batch { spends_reserve: true, ..batch }).await
    }
}
