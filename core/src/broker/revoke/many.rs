//! Revokes all leases of mounts and of roles, until none is left that was there when somebody asked.

use super::{RevokeError, Revoked, StillTried, Until};
use crate::broker::Broker;
use crate::ids::{BootId, LeaseId, MountId};
use crate::lease::Cause;
use crate::limits::{READ_CHUNK, REVOKE_CHUNK};
use crate::store::leases::Placed;
use crate::store::{Batch, Key, StoreError};
use crate::time::Timestamp;
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What became of many leases.
pub(in crate::broker) struct Each<E> {
    pub(in crate::broker) all: usize,
    failed: usize,
    /// Why the first of those that failed did.
    pub(in crate::broker) first: Option<E>,
}

impl<E> Default for Each<E> {
    fn default() -> Self {
        Self { all: 0, failed: 0, first: None }
    }
}

impl Broker {
    /// Whether there is neither a mount nor a role of these, nor a lease that one has left.
    pub(in crate::broker) async fn names_nothing(
        &self,
        places: &[(MountId, Option<String>)],
    ) -> Result<bool, StoreError> {
        for (mount, role) in places {
            let Some(role) = role else { return Ok(false) };
            let catalog = self.catalog();
            let is_known =
                catalog.mount(*mount).is_some_and(|entry| entry.roles.contains_key(role));
            let left = self.records.leases_of_role(*mount, Some(role), None, 1);
            if is_known || !left.await?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Revokes all leases of mounts or roles that there are now, as many at a time as one target takes well. The tokens
    /// of a method end, and what lives under them goes with them.
    pub(in crate::broker) async fn revoke_all(
        self: &Arc<Self>,
        places: &[(MountId, Option<String>)],
        until: Until,
    ) -> Result<StillTried, RevokeError> {
        for (mount, _) in places.iter().filter(|(_, role)| role.is_none()) {
            self.end_tokens_of(*mount).await?;
        }
        if until == Until::Marked {
            let marked = self.mark_all(places, Cause::Asked, |_| true).await;
            return Ok(marked.map(|()| StillTried(0))?);
        }
        let living = AtomicUsize::new(0);
        let settle = async |id| {
            if let Revoked::Lives(_) =
                self.revoke_found(id, Until::Settled, Batch::default()).await?
            {
                living.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let Each { all, failed, first } = self.each_lease(places, |_| true, settle).await?;
        match first {
            None => Ok(StillTried(living.into_inner())),
            Some(first) => Err(RevokeError::Some { failed, all, first: Box::new(first) }),
        }
    }

    /// Takes those leases of mounts or roles from their holders, durably, that are meant; the sweep does the rest. One
    /// that cannot be marked keeps none of the others from it, and is told of by the error.
    pub(in crate::broker) async fn mark_all(
        self: &Arc<Self>,
        places: &[(MountId, Option<String>)],
        cause: Cause,
        is_meant: impl Fn(&Placed) -> bool,
    ) -> Result<(), StoreError> {
        let mark = |id| self.mark(id, cause);
        let Each { first, .. } = self.each_lease(places, is_meant, mark).await?;
        first.map_or(Ok(()), Err)
    }

    /// Does one thing to each lease of mounts or roles that is meant. What this process issues meanwhile is not, or this
    /// need never end.
    async fn each_lease<E: From<StoreError>, F: Future<Output = Result<(), E>>>(
        &self,
        places: &[(MountId, Option<String>)],
        is_meant: impl Fn(&Placed) -> bool,
        act: impl Fn(LeaseId) -> F,
    ) -> Result<Each<E>, StoreError> {
        let now = self.clock.now();
        let mut each = Each::default();
        for (mount, role) in places {
            let mut after = None;
            loop {
                let found = self
                    .records
                    .leases_of_role(*mount, role.as_deref(), after.as_ref(), READ_CHUNK)
                    .await?;
                let Some((last, _)) = found.last() else { break };
                after = Some(last.clone());
                let mut meant = Vec::new();
                for (key, placed) in found {
                    let id = placed.lease;
                    if is_meant(&placed) && !self.is_issued_since(now, &[self.boot], id).await? {
                        meant.push((key, placed));
                    }
                }
                self.do_to_each(meant, &mut each, &act).await;
            }
        }
        Ok(each)
    }

    /// Does one thing to each of these leases, many at a time.
    pub(in crate::broker) async fn do_to_each<
        E: From<StoreError>,
        F: Future<Output = Result<(), E>>,
    >(
        &self,
        meant: Vec<(Key, Placed)>,
        each: &mut Each<E>,
        act: impl Fn(LeaseId) -> F,
    ) {
        each.all = each.all.saturating_add(meant.len());
        let acts = meant.into_iter().map(|(key, placed)| {
            let act = act(placed.lease);
            async move {
                self.records.drop_dangling(&key, placed.lease).await?;
                act.await
            }
        });
        let mut outcomes = futures_util::stream::iter(acts).buffer_unordered(REVOKE_CHUNK);
        while let Some(outcome) = outcomes.next().await {
            if let Err(error) = outcome {
                each.failed = each.failed.saturating_add(1);
                each.first.get_or_insert(error);
            }
        }
    }

    /// Whether one of these processes has issued a lease after a time. Another's clock may have been ahead, so that what
    /// it issued long ago seems to be made later than now.
    pub(in crate::broker) async fn is_issued_since(
        &self,
        time: Timestamp,
        boots: &[BootId],
        id: LeaseId,
    ) -> Result<bool, StoreError> {
        if id.made_at() <= time {
            return Ok(false);
        }
        let lease = self.records.lease(id).await?;
        Ok(lease.is_some_and(|lease| {
            boots.contains(&lease.record.issue().boot) && lease.record.issued_at() > time
        }))
    }
}
