//! Takes a credential that bears our mark and is on no lease onto one; the sweep does the rest.

use super::Broker;
use crate::engine::erased::Listed;
use crate::ids::TokenAccessor;
use crate::lease::term::Term;
use crate::lease::{IssueSpan, Lease, Owner, Place};
use crate::limits::TTL_MAX;
use crate::quota::tallies::Bounds;
use crate::store::mounts::Target;
use crate::store::tokens::TokenKey;
use crate::store::{Batch, StoreError};
use crate::time::Timestamp;

impl Broker {
    /// Takes a credential onto a lease that lapses then, or a hundred years from now.
    pub(super) async fn adopt(
        &self,
        target: &Target,
        listed: &Listed,
        lapses_at: Timestamp,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let lapses_at = lapses_at.min(now.plus(TTL_MAX));
        let place = Place {
            mount: target.mount,
            role: "adopted".into(),
            target: target.id,
            generation: target.generation,
        };
        let owner = Owner {
            token: TokenKey::NONE,
            accessor: TokenAccessor::from_bytes([0; 16]),
            display_name: "adopted".into(),
            entity: None,
            granted_by: Vec::new(),
            request: String::new(),
        };
        let issue = IssueSpan { boot: self.boot, issue_by: now, settles_at: now };
        let term = Term::until(lapses_at);
        let lease = Lease::new(listed.lease, place, owner, listed.handle.clone(), issue, term, now);
        let batch = Batch { spends_reserve: true, ..Batch::default() };
        let batch = self.records.put_new_lease(batch, &lease)?;
        let room = self.reserve(lease.id(), lease.place(), Bounds::default());
        let adopted = self.records.commit(batch).await;
        if let Ok((room, _)) = room {
            room.ended(&adopted, now);
        }
        match adopted {
            Ok(_) => {
                tracing::warn!(lease = %lease.id(), "a credential without a lease was adopted");
                self.due(lease.id(), lease.due_at());
                Ok(())
            }
            // It is on a lease meanwhile.
            Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
