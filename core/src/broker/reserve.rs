//! Keeps room for leases under the quotas on how many there may be.
//!
//! Room is taken in memory before a lease is committed, so that of all who ask at once no more are let through than there
//! is room for, and is given back when the commit has failed, or the lease's record is gone.

use super::Broker;
use super::issue::IssueError;
use crate::access::token::Token;
use crate::ids::{LeaseId, MountId};
use crate::lease::{Lease, Place};
use crate::limits::{LEASES_PER_ROLE_MAX, LEASES_PER_TOKEN_MAX, READ_CHUNK};
use crate::quota::estimates::{Holder, Verdict};
use crate::quota::tallies::{Bounds, Filling, Full, Of, Outcome, Tallies};
use crate::store::StoreError;
use crate::store::leases::of_role_lease;
use crate::store::quotas::QuotaKind;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How long a write that was not answered may take to be seen: the store has given it up by then.
const DOUBT: Duration = Duration::from_mins(2);

/// There are as many leases as there may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooManyLeases {
    /// A quota says so. The first words are Vault's.
    #[error(
        "request path {path:?}: lease count quota exceeded; the quota {quota:?} allows {max_leases} leases, those that \
         are being revoked included"
    )]
    Quota {
        /// What was asked for.
        path: String,
        /// Which quota.
        quota: String,
        /// How many it allows.
        max_leases: u64,
    },
    /// The target has as many credentials as an operator lets it have.
    #[error(
        "the target `{target}` may have {max} credentials and has as many, those that are being revoked included; \
         revoke what is not needed, or raise `max_credentials` of its configuration"
    )]
    Target {
        /// Its mount and its name.
        target: String,
        /// How many.
        max: u64,
    },
    /// The token holds too many.
    #[error(
        "the token holds {LEASES_PER_TOKEN_MAX} leases, which is the most there may be; revoke those that are not needed"
    )]
    Token,
    /// The role has too many.
    #[error(
        "the role has {LEASES_PER_ROLE_MAX} leases, which is the most there may be; revoke those that are not needed"
    )]
    Role,
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
    /// Takes room for a lease, as far as its bounds let it. Tells if its target is filling up.
    pub(super) fn reserve(
        &self,
        id: LeaseId,
        place: &Place,
        bounds: Bounds,
    ) -> Result<(UnderWay<'_>, Option<Filling>), TooManyLeases> {
        let catalog = self.catalog();
        let path = catalog.creds_path(place.mount, &place.role);
        let reserved = {
            let mut tallies = self.tallies.lock();
            tallies.sort(catalog.quotas(), |(mount, role)| catalog.creds_path(*mount, role));
            tallies.begin_issue(id, of(place), &path, bounds)
        };
        let name = || {
            let target = catalog.target(place.target, place.generation);
            target.map(|target| self.target_name(&target.record)).unwrap_or_default()
        };
        match reserved {
            Ok(filling) => {
                if let Some(Filling { used, max, .. }) = filling.filter(|filling| filling.is_new) {
                    tracing::warn!(target_name = %name(), used, max, "a target has nearly as many credentials as it may have");
                }
                Ok((self.under_way(id, Change::Issue), filling))
            }
            Err(Full::Quota { quota, max_leases }) => {
                Err(TooManyLeases::Quota { path, quota, max_leases })
            }
            Err(Full::Target { max }) => Err(TooManyLeases::Target { target: name(), max }),
        }
    }

    /// Refuses a lease to a token or a role that has too many. Of callers who ask at once some may still get through:
    /// this keeps a loop from filling a target, and quotas are exact.
    pub(super) async fn bound_leases(
        &self,
        token: &Token,
        (mount, role): (MountId, &str),
    ) -> Result<(), IssueError> {
        let role = Holder::Role((mount, role.to_owned()));
        if !self.has_room(role, LEASES_PER_ROLE_MAX).await? {
            return Err(TooManyLeases::Role.into());
        }
        let token_key = token.owner_key();
        let is_bounded = !token.is_root();
        if is_bounded && !self.has_room(Holder::Token(token_key), LEASES_PER_TOKEN_MAX).await? {
            return Err(TooManyLeases::Token.into());
        }
        Ok(())
    }

    async fn has_room(&self, holder: Holder, most: u64) -> Result<bool, StoreError> {
        let began = self.clock.now();
        let verdict = self.estimates.lock().one_more(&holder, most, began);
        if let Verdict::Unknown = verdict {
            let leases = self.leases_of(&holder, most).await?;
            let mut estimates = self.estimates.lock();
            estimates.counted(&holder, leases, began);
            return Ok(estimates.one_more(&holder, most, began) == Verdict::Room);
        }
        Ok(verdict == Verdict::Room)
    }

    /// Counts the leases of a token or a role, up to `most` or a few more.
    async fn leases_of(&self, holder: &Holder, most: u64) -> Result<u64, StoreError> {
        let mut after = None;
        let mut leases = 0_u64;
        while leases < most {
            let read = self.records.held_by(holder, after.as_ref(), READ_CHUNK).await?;
            leases = leases.saturating_add(u64::try_from(read.len()).unwrap_or(u64::MAX));
            if read.len() < READ_CHUNK {
                break;
            }
            after = read.into_iter().next_back();
        }
        Ok(leases)
    }

    /// Says that a lease is about to be removed: its credential is gone.
    pub(super) fn leaves(&self, lease: &Lease) -> UnderWay<'_> {
        let (id, place) = (lease.id(), lease.place());
        self.tallies.lock().begin_settle(id, of(place), &of_role_lease(place, id));
        self.under_way(id, Change::Settle)
    }

    fn under_way(&self, id: LeaseId, change: Change) -> UnderWay<'_> {
        UnderWay { tallies: &self.tallies, id, change, outcome: Outcome::Undone }
    }

    /// Counts the leases there are, if anything bounds how many there may be and they are not counted yet. Leases come
    /// and go meanwhile.
    pub(super) async fn count_if_needed(&self) -> Result<(), StoreError> {
        let catalog = self.catalog();
        let is_bounded = catalog.quotas().all(QuotaKind::LeaseCount).next().is_some()
            || catalog.targets().any(|target| target.record.credentials_max().is_some());
        if !is_bounded {
            return Ok(());
        }
        self.count_for_quotas().await
    }

    /// The same for a bound that is about to be written.
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

fn of(place: &Place) -> Of {
    Of { role: (place.mount, place.role.clone()), target: place.target }
}
