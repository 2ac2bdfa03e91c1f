//! Compares what bears our mark at a target with the leases, and takes what has no lease onto one.

use super::Broker;
use crate::engine::erased::Listed;
use crate::engine::{EngineError, FieldError};
use crate::ids::{LeaseId, TokenAccessor};
use crate::lease::term::Term;
use crate::lease::{IssueSpan, Lease, LeaseState, Owner, Place};
use crate::limits::{READ_CHUNK, TTL_MAX};
use crate::store::mounts::Target;
use crate::store::records::Found;
use crate::store::tokens::TokenKey;
use crate::store::{Batch, StoreError};
use std::collections::HashSet;
use std::sync::Arc;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Credentials at the target that are on a lease.
    pub leased: usize,
    /// Credentials that bear our mark and are on no lease.
    pub orphans: Vec<LeaseId>,
    /// Leases that are held and whose credential is not there.
    pub missing: Vec<LeaseId>,
}

/// The comparison could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// There is no such target.
    #[error("no target is called `{0}`")]
    NoTarget(String),
    /// Its configuration cannot be used, or not yet.
    #[error(transparent)]
    Unusable(#[from] FieldError),
    /// The target could not be asked.
    #[error(transparent)]
    Target(#[from] EngineError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Broker {
    /// Compares a target with the leases. Lists the target first and looks each name up afterwards, so that a
    /// credential issued meanwhile is never taken for an orphan.
    pub async fn report(&self, mount: &str, target: &str) -> Result<Report, ReconcileError> {
        let found = self.target_called(mount, target)?;
        let listed = self.list_target(&found).await?;
        self.compare(&found.record, &listed).await
    }

    /// Takes every orphan of a target onto a lease that lapses when the credential itself does, or now if it never
    /// would; the sweep revokes it then. Returns how many there were.
    pub async fn adopt(
        self: &Arc<Self>,
        mount: &str,
        target: &str,
    ) -> Result<usize, ReconcileError> {
        let found = self.target_called(mount, target)?;
        let listed = self.list_target(&found).await?;
        let report = self.compare(&found.record, &listed).await?;
        let orphans: HashSet<_> = report.orphans.iter().collect();
        for listed in listed.iter().filter(|listed| orphans.contains(&listed.lease)) {
            self.adopt_one(&found.record, listed).await?;
        }
        Ok(report.orphans.len())
    }

    fn target_called(&self, mount: &str, name: &str) -> Result<Arc<Found<Target>>, ReconcileError> {
        let catalog = self.catalog();
        let target = catalog.at(mount).and_then(|entry| entry.targets.get(name));
        target.map(Arc::clone).ok_or_else(|| ReconcileError::NoTarget(name.to_owned()))
    }

    pub(super) async fn list_target(
        &self,
        target: &Found<Target>,
    ) -> Result<Vec<Listed>, ReconcileError> {
        Ok(self.open_target(target)?.list().await?)
    }

    async fn compare(&self, target: &Target, listed: &[Listed]) -> Result<Report, ReconcileError> {
        let mut report = Report::default();
        for credential in listed {
            if self.records.lease(credential.lease).await?.is_some() {
                report.leased = report.leased.saturating_add(1);
            } else {
                report.orphans.push(credential.lease);
            }
        }
        let there: HashSet<_> = listed.iter().map(|listed| listed.lease).collect();
        let mut after = None;
        loop {
            let found =
                self.records.leases_of_role(target.mount, None, after.as_ref(), READ_CHUNK).await?;
            let Some((last, _)) = found.last() else { return Ok(report) };
            after = Some(last.clone());
            for (_, placed) in found {
                let here = placed.target == target.id && placed.generation == target.generation;
                if here && !there.contains(&placed.lease) && self.is_missing(placed.lease).await? {
                    report.missing.push(placed.lease);
                }
            }
        }
    }

    /// Whether a lease is held and its issue can no longer be on its way.
    async fn is_missing(&self, id: LeaseId) -> Result<bool, StoreError> {
        let now = self.clock.now();
        Ok(self.records.lease(id).await?.is_some_and(|lease| {
            lease.record.state() == &LeaseState::Held && now >= lease.record.issue().settles_at
        }))
    }

    pub(super) async fn adopt_one(
        &self,
        target: &Target,
        listed: &Listed,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let lapses_at = listed.lapses_at.unwrap_or(now).min(now.plus(TTL_MAX));
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
            request: String::new(),
        };
        let issue = IssueSpan { boot: self.boot, issue_by: now, settles_at: now };
        let term = Term::until(lapses_at);
        let lease = Lease::new(listed.lease, place, owner, listed.handle.clone(), issue, term, now);
        let batch = Batch { spends_reserve: true, ..Batch::default() };
        let batch = self.records.put_new_lease(batch, &lease)?;
        let room = self.reserve(lease.id(), (target.mount, &lease.place().role), true);
        let adopted = self.records.commit(batch).await;
        if let Ok(room) = room {
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
