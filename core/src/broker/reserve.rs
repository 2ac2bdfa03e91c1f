//! Keeps room for leases under the quotas on how many there may be.
//!
//! Room is taken in memory before a lease is committed, so that of all who ask at once no more are let through than there
//! is room for, and is given back when the commit has failed, or the lease's record is gone.

use super::Broker;
use crate::ids::{LeaseId, MountId};
use crate::lease::Lease;
use crate::limits::READ_CHUNK;
use crate::quota::tallies::{Full, Outcome, Tallies};
use crate::store::StoreError;
use crate::store::leases::of_role_lease;
use crate::store::quotas::QuotaKind;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How long a write that was not answered may take to be seen: the store has given it up by then.
const DOUBT: Duration = Duration::from_mins(2);

/// There are as many leases as a quota allows. The first words are Vault's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "request path {path:?}: lease count quota exceeded; the quota {quota:?} allows {max_leases} leases, those that are \
     being revoked included"
)]
pub struct TooManyLeases {
    path: String,
    quota: String,
    max_leases: u64,
}

/// A commit that adds a lease or removes one, while it is under way. Dropped, it has had no effect.
pub(super) struct UnderWay<'a> {
    tallies: &'a Mutex<Tallies>,
    id: LeaseId,
    change: Change,
    outcome: Outcome,
}

enum Change {
    Issue,
    Settle,
}

impl UnderWay<'_> {
    /// The store has answered.
    pub(super) fn ended<T>(mut self, answer: &Result<T, StoreError>, now: Timestamp) {
        self.outcome = match answer {
            Ok(_) => Outcome::Done,
            Err(StoreError::Conflict | StoreError::Refused(_)) => Outcome::Undone,
            Err(StoreError::Uncertain(_)) => Outcome::Doubtful(now),
        };
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut tallies = self.tallies.lock();
        match self.change {
            Change::Issue => tallies.end_issue(self.id, self.outcome),
            Change::Settle => tallies.end_settle(self.id, self.outcome),
        }
    }
}

impl Broker {
    /// Takes room for a lease of a role. Whoever comes with one that there is already is let through.
    pub(super) fn reserve(
        &self,
        id: LeaseId,
        (mount, role): (MountId, &str),
        is_there: bool,
    ) -> Result<UnderWay<'_>, TooManyLeases> {
        let catalog = self.catalog();
        let path = catalog.creds_path(mount, role);
        let mut tallies = self.tallies.lock();
        tallies.sort(catalog.quotas(), |(mount, role)| catalog.creds_path(*mount, role));
        match tallies.begin_issue(id, (mount, role.to_owned()), &path, is_there) {
            Ok(()) => Ok(self.under_way(id, Change::Issue)),
            Err(Full { quota, max_leases }) => Err(TooManyLeases { path, quota, max_leases }),
        }
    }

    /// Says that a lease is about to be removed: its credential is gone.
    pub(super) fn leaves(&self, lease: &Lease) -> UnderWay<'_> {
        let (id, place) = (lease.id(), lease.place());
        let role = (place.mount, place.role.clone());
        self.tallies.lock().begin_settle(id, role, &of_role_lease(place, id));
        self.under_way(id, Change::Settle)
    }

    fn under_way(&self, id: LeaseId, change: Change) -> UnderWay<'_> {
        UnderWay { tallies: &self.tallies, id, change, outcome: Outcome::Undone }
    }

    /// Counts the leases there are, if there is a quota on them and they are not counted yet. Leases come and go
    /// meanwhile.
    pub(super) async fn count_if_needed(&self) -> Result<(), StoreError> {
        if self.catalog().quotas().all(QuotaKind::LeaseCount).next().is_none() {
            return Ok(());
        }
        self.count_for_quotas().await
    }

    /// The same for a quota that is about to be written.
    pub(super) async fn count_for_quotas(&self) -> Result<(), StoreError> {
        if !self.tallies.lock().is_off() {
            return Ok(());
        }
        self.tallies.lock().start();
        let outcome = self.count_index().await;
        let mut tallies = self.tallies.lock();
        match &outcome {
            Ok(()) => tallies.finish(),
            Err(_) => tallies.give_up(),
        }
        outcome
    }

    async fn count_index(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let read = self.records.leases_by_role(after.as_ref(), READ_CHUNK).await?;
            let Some((last, ..)) = read.last() else { return Ok(()) };
            after = Some(last.clone());
            self.tallies.lock().count(read);
        }
    }

    /// Asks the store about leases of which it did not say whether they were kept or removed.
    pub(super) async fn settle_doubts(self: &Arc<Self>) -> Result<(), StoreError> {
        let before = self.clock.now().minus(DOUBT);
        let doubtful = self.tallies.lock().doubtful(before);
        for id in doubtful {
            let is_there = self.records.lease(id).await?.is_some();
            self.tallies.lock().resolve(id, is_there);
        }
        Ok(())
    }
}
