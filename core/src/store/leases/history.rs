//! What remains of a lease that is gone, and when it is forgotten.

use super::super::records::{Found, Records};
use super::super::{Batch, Key, StoreError};
use super::{joined, known_as, of_bits, tail};
use crate::ids::LeaseId;
use crate::lease::Lease;
use crate::lease::death::Death;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What remains of a lease once its credential is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    /// The lease as it was last.
    pub lease: Lease,
    /// When its credential was seen to be gone, or its target was abandoned.
    pub settled_at: Timestamp,
    /// Nobody has seen its credential gone: an operator has abandoned its target. Then this is never forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abandoned: bool,
    /// How that was proven, where its role asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub death: Option<Death>,
}

pub(super) fn history_at(id: LeaseId) -> Key {
    joined(&[b"history/", id.bytes()])
}

/// The first key of the index of history by time, or the key of one lease in it.
pub(super) fn history_from(settled_at: Timestamp, id: Option<LeaseId>) -> Key {
    let id = id.map(|id| *id.bytes());
    joined(&[b"history-at/", &settled_at.0.to_be_bytes(), id.as_ref().map_or(&[], |id| id)])
}

impl Records {
    /// Returns what remains of a lease that is gone.
    pub async fn history(&self, id: LeaseId) -> Result<Option<Found<History>>, StoreError> {
        self.read(&history_at(id)).await
    }

    /// Drops up to `limit` records of leases that were settled before `before`, and tells whether there may be more.
    pub async fn forget_history(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<bool, StoreError> {
        let (from, to) = (history_from(Timestamp(0), None), history_from(before, None));
        let old = self.index(&from, &to, limit).await?;
        if old.is_empty() {
            return Ok(false);
        }
        let more = old.len() >= limit;
        let mut batch = Batch { spends_reserve: true, ..Batch::default() };
        for (key, own_name) in old {
            if let Some(id) = tail(&key).map(LeaseId::from_bytes) {
                batch.deletes.extend([history_at(id), of_bits(&id.bits())]);
            }
            if !own_name.0.is_empty() {
                batch.deletes.push(known_as(&own_name));
            }
            batch.deletes.push(key);
        }
        self.commit(batch).await?;
        Ok(more)
    }
}
