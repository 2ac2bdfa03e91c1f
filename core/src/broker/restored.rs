//! What a restore has left to do: targets are compared with the store that is older than they are, and those of a copy
//! are left alone until they are taken over.
//!
//! First it is seen whether the target lets its administrator in with what the store has (`rotate/retest.rs`).
//! Until a target has been compared no lease of it lapses, since it may have been renewed after the backup; issues,
//! renewals and what callers revoke go on. The comparison takes no input but the hold in the store, so that whoever
//! continues it after a crash does the same, and it is tried until it has succeeded.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::lanes::Lane;
use super::reconcile::ReconcileError;
use super::rotate::RetestError;
use super::{Broker, Request};
use crate::audit::Answer;
use crate::engine::erased::Listed;
use crate::lease::{Generation, backoff};
use crate::limits::{CONFLICT_TRIES, SETTLED_WITHIN};
use crate::store::holds::{Hold, HoldCause, hold_at};
use crate::store::mounts::Target;
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The comparisons of this process, each target on its own (law 7).
#[derive(Debug, Default)]
pub(super) struct Comparisons(Mutex<BTreeMap<Lane, Comparison>>);

/// How far the comparison of one target is.
#[derive(Clone, Debug, Default)]
struct Comparison {
    running: bool,
    attempts: u32,
    retry_at: Timestamp,
    /// Why the last attempt failed.
    error: Option<String>,
}

/// A target was not compared with the store.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    /// Its administrator is not let in.
    #[error(transparent)]
    Retest(#[from] RetestError),
    /// It could not be listed, or what it has not be kept.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A target at which something is held back, as operators see it.
#[derive(Clone, Debug)]
pub struct HeldTarget {
    /// Its mount and its name.
    pub name: String,
    /// Which identity of it.
    pub generation: Generation,
    /// What is held back, and since when.
    pub hold: Hold,
    /// How often a comparison has failed since the server was started.
    pub attempts: u32,
    /// When the next one starts.
    pub retry_at: Option<Timestamp>,
    /// Why the last one failed.
    pub error: Option<String>,
}

/// The target is not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeOverError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such target.
    #[error(
        "no target is called `{0}`; `leasehold operator restore-status` lists those that can be taken over"
    )]
    NoTarget(String),
    /// It is this installation's already.
    #[error("the target `{0}` is not that of another installation: there is nothing to take over")]
    NotCopied(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorded for Vec<HeldTarget> {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Broker {
    /// Whether targets may have credentials of which the store does not know yet, and which a lease id or a prefix of
    /// such can mean: those of its mount, or any if it names none.
    pub(super) fn may_have_forgotten(&self, named: &str) -> bool {
        let catalog = self.catalog();
        let named = format!("{}/", named.trim_matches('/'));
        let is_meant = |path: &str| named.starts_with(path) || path.starts_with(&named);
        let mounts = catalog.all_mounts().map(|entry| &entry.mount.record);
        let meant: Vec<_> =
            mounts.filter(|mount| is_meant(&mount.path)).map(|mount| mount.id).collect();
        let mut waiting = catalog.holds_of(HoldCause::Restored);
        waiting.any(|(target, _)| meant.is_empty() || meant.contains(&target.record.mount))
    }

    /// Returns what operators call a target: its mount and its name.
    pub(super) fn target_name(&self, target: &Target) -> String {
        let catalog = self.catalog();
        let mount = catalog.mount(target.mount).map_or("", |entry| &entry.mount.record.path);
        format!("{mount}{}", target.name)
    }

    /// Makes of the hold on a target that is taken over one that a restore leaves.
    async fn hold_as_restored(&self, target: &Target) -> Result<(), StoreError> {
        let catalog = self.catalog();
        let Some(hold) = catalog.hold(target.id, target.generation) else { return Ok(()) };
        let restored = Hold { cause: HoldCause::Restored, ..hold.record };
        let at = hold_at(target.id, target.generation);
        self.records.replace(at, Some(hold.revision), &restored).await?;
        Ok(())
    }

    /// Lifts the hold on a target.
    async fn drop_hold(&self, target: &Target) -> Result<(), StoreError> {
        let hold = self.catalog().hold(target.id, target.generation).map(|hold| hold.revision);
        let Some(revision) = hold else { return Ok(()) };
        self.records.lift_hold(target, revision).await
    }

    /// Starts the comparison of every target that waits for one and is not being compared.
    pub(super) fn start_comparisons(self: &Arc<Self>, now: Timestamp) {
        let catalog = self.catalog();
        for (target, hold) in catalog.holds_of(HoldCause::Restored) {
            let lane = (target.record.id, target.record.generation);
            let mut comparisons = self.comparisons.0.lock();
            let comparison = comparisons.entry(lane).or_default();
            if comparison.running || now < comparison.retry_at {
                continue;
            }
            comparison.running = true;
            let (broker, target, hold) = (Arc::clone(self), Arc::clone(target), hold.clone());
            self.tasks.spawn(Box::pin(async move {
                let outcome = broker.compare_restored(&target, &hold).await;
                broker.note_comparison(&target.record, outcome);
                broker.wake_sweep();
            }));
        }
    }

    /// When the next comparison starts that is not going on.
    pub(super) fn next_comparison(&self) -> Option<Timestamp> {
        let catalog = self.catalog();
        let comparisons = self.comparisons.0.lock();
        // One whose hold is gone starts no more, and would be looked at for ever.
        let wait = comparisons.iter().filter(|((target, generation), comparison)| {
            !comparison.running && catalog.holds_back(HoldCause::Restored, *target, *generation)
        });
        wait.map(|(_, comparison)| comparison.retry_at).min()
    }

    /// Whatever stood in the way of comparing a target, its configuration was written since.
    pub(super) fn compare_soon(&self, target: &Target) {
        let mut comparisons = self.comparisons.0.lock();
        if let Some(comparison) = comparisons.get_mut(&(target.id, target.generation)) {
            (comparison.attempts, comparison.retry_at) = (0, Timestamp::default());
        }
    }

    /// Takes what a target knows and the store has forgotten into the store, then lets its leases lapse again. The
    /// target is listed first and each name looked up afterwards, so that nothing issued meanwhile is adopted. Returns
    /// when that may be, if it is too early.
    async fn compare_restored(
        self: &Arc<Self>,
        target: &Arc<Found<Target>>,
        hold: &Found<Hold>,
    ) -> Result<Option<Timestamp>, CompareError> {
        let target = &self.retest_administrator(target).await?;
        let before = self.clock.now();
        // What the process of before the restore had asked may still land, and would not be listed. Counted from
        // when this process began, for the restore may have gone by another clock.
        let settled_at = self.began_at().plus(SETTLED_WITHIN);
        if before < settled_at {
            return Ok(Some(settled_at));
        }
        let listed = self.list_target(target).await?;
        let (mut adopted, mut renewed) = (0_usize, 0_usize);
        for credential in &listed {
            if self.records.lease(credential.lease).await?.is_none() {
                // One that was revoked since it was listed is gone.
                let history = self.records.history(credential.lease).await?;
                if history.is_some_and(|gone| gone.record.settled_at >= before) {
                    continue;
                }
                if !self.has_made(credential.lease).await? {
                    let name = credential.handle.name();
                    tracing::warn!(%name, lease = %credential.lease, "a credential bears our mark, with an id that this installation did not make; it is left alone");
                    continue;
                }
                // One whose end the target does not know would never lapse.
                let lapses_at = credential.lapses_at.unwrap_or_else(|| self.clock.now());
                self.adopt(&target.record, credential, lapses_at).await?;
                adopted = adopted.saturating_add(1);
            } else if self.remember_renewal(credential, &hold.record).await? {
                renewed = renewed.saturating_add(1);
            }
        }
        let ended = self.end_forgotten(&target.record, &listed).await?;
        let name = self.target_name(&target.record);
        self.retest_accounts(target).await?;
        self.drop_hold(&target.record).await?;
        tracing::info!(target_name = %name, adopted, renewed, ended, "a target was compared after the restore; its leases lapse again");
        self.reload().await?;
        // What is due this very moment as well: the queue may have been asked for it while the hold was there.
        self.requeue_due(Timestamp(self.clock.now().0.saturating_add(1))).await?;
        Ok(None)
    }

    /// Takes a later end over from the target; tells whether there was one.
    async fn remember_renewal(&self, listed: &Listed, hold: &Hold) -> Result<bool, StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let Some(was) = self.records.lease(listed.lease).await? else { return Ok(false) };
            let Some(lease) = was.record.clone().remembering(listed.lapses_at, hold) else {
                return Ok(false);
            };
            match self.keep_lease(&was, &lease).await {
                Ok(_) => return Ok(true),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    fn note_comparison(&self, target: &Target, outcome: Result<Option<Timestamp>, CompareError>) {
        let mut comparisons = self.comparisons.0.lock();
        let lane = (target.id, target.generation);
        let error = match outcome {
            Ok(None) => {
                comparisons.remove(&lane);
                return;
            }
            Ok(Some(retry_at)) => {
                comparisons.insert(lane, Comparison { retry_at, ..Comparison::default() });
                return;
            }
            Err(error) => error,
        };
        let comparison = comparisons.entry(lane).or_default();
        let attempts = comparison.attempts.saturating_add(1);
        let retry_at = self.clock.now().plus(backoff::after(attempts));
        tracing::warn!(
            target_name = %self.target_name(target), %error, next = %retry_at.rfc3339(),
            "a target could not be compared after the restore; its leases wait with lapsing until it is"
        );
        let error = Some(error.to_string());
        *comparison = Comparison { running: false, attempts, retry_at, error };
    }

    /// Lists the targets at which a restore has left something to do.
    pub async fn restore_status(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<Vec<HeldTarget>, AdmitError> {
        self.served(request, async |_| {
            let catalog = self.catalog();
            let comparisons = self.comparisons.0.lock();
            // A generation of a copied target that was replaced can never be taken over, and says nothing.
            let counts = |target: &Target, hold: &Hold| {
                let entry = catalog.mount(target.mount);
                let now = entry.and_then(|entry| entry.targets.get(&target.name));
                let is_current = now.is_some_and(|now| {
                    (now.record.id, now.record.generation) == (target.id, target.generation)
                });
                hold.cause == HoldCause::Restored || is_current
            };
            let mut held: Vec<_> = catalog
                .holds()
                .filter(|(target, hold)| counts(&target.record, &hold.record))
                .map(|(target, hold)| {
                    let target = &target.record;
                    let comparison = comparisons.get(&(target.id, target.generation));
                    HeldTarget {
                        name: self.target_name(target),
                        generation: target.generation,
                        hold: hold.record,
                        attempts: comparison.map_or(0, |one| one.attempts),
                        retry_at: comparison.filter(|one| !one.running).map(|one| one.retry_at),
                        error: comparison.and_then(|one| one.error.clone()),
                    }
                })
                .collect();
            held.sort_by(|one, other| {
                (&one.name, one.generation).cmp(&(&other.name, other.generation))
            });
            Ok(held)
        })
        .await
    }

    /// Makes the target of another installation one of this: from now on it is asked. What the other one lent there
    /// bears the other's mark and is never touched.
    pub async fn take_over(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<(), TakeOverError> {
        self.written(request, async |caller: Caller| {
            let catalog = self.catalog();
            let found = name
                .rsplit_once('/')
                .and_then(|(mount, target)| catalog.at(&format!("{mount}/"))?.targets.get(target));
            let target = found.ok_or_else(|| TakeOverError::NoTarget(name.to_owned()))?;
            let (id, generation) = (target.record.id, target.record.generation);
            if !catalog.holds_back(HoldCause::Copied, id, generation) {
                return Err(TakeOverError::NotCopied(name.to_owned()));
            }
            self.begin_if(caller.rights.expected(Batch::default())).await?;
            self.retest_accounts(target).await?;
            match self.retest_administrator(target).await {
                Ok(target) => self.drop_hold(&target.record).await?,
                // It waits as after a restore, and goes on once somebody has given the secret that it has now.
                Err(_) => self.hold_as_restored(&target.record).await?,
            }
            self.reload().await?;
            self.wake_sweep();
            Ok(())
        })
        .await
    }
}
