//! Notes why an attempt to revoke failed, and says when the next one starts.

use crate::broker::Broker;
use crate::engine::{Cause as Failure, EngineError};
use crate::lease::{Cause, Lease};
use crate::limits::{RETRY_FIRST, RETRY_LAST, RETRY_OPERATOR};
use crate::store::records::Found;
use crate::time::Timestamp;
use std::time::Duration;

impl Broker {
    /// Stores why an attempt failed, where operators see it, and when the next one starts. Where even that fails, the
    /// next one starts when this one would have been over.
    pub(super) async fn note_failure(
        &self,
        claimed: &Found<Lease>,
        cause: Cause,
        why: String,
        wait: Option<Duration>,
    ) {
        let lease = self.catalog().wire_id(claimed.record.place(), claimed.record.id());
        // By when this process can know that: what it was told by another one's clock may long be over.
        let settles_at = self.unanswered(&claimed.record).map(|until| until.settles_at);
        let now = self.clock.now();
        let failed = claimed.record.clone().failed(cause, why.clone(), wait, settles_at, now);
        tracing::warn!(%lease, error = %why, next = %failed.due_at().rfc3339(), "a revocation failed and will be tried again");
        match self.keep_lease(claimed, &failed).await {
            Ok(revision) => self.controls.carry(failed.id(), claimed.revision, revision),
            Err(error) => {
                tracing::warn!(%lease, %error, "why a revocation failed could not be stored");
            }
        }
    }
}

/// How long to wait before a target that failed is asked again; `None`: longer after each failure.
pub(super) fn wait_after(error: &EngineError, now: Timestamp) -> Option<Duration> {
    match error.reason().cause {
        Failure::NeedsOperator => Some(RETRY_OPERATOR),
        // The whole target rests; its leases are asked for again as soon as it does not.
        Failure::Unreachable | Failure::TooLate => Some(RETRY_FIRST),
        Failure::Contended | Failure::Rejected => None,
        // Looked at meanwhile as often as any other, so that nothing that has failed is beyond its next attempt.
        Failure::Lives(until) => Some(until.since(now).min(RETRY_LAST)),
    }
}
