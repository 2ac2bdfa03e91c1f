//! Puts back what a target has forgotten: some kinds of server lose their credentials when they restart.
//!
//! Every few seconds a target of such a kind is asked which run of it this is. Whenever that is another one than was
//! compared last, what is there is listed and compared with the leases: a credential that is lent and is not wherever
//! it should be is set again from its handle, and one that was revoked and has come back is taken onto a lease again,
//! which lapses at once. The run is asked before the list, so whatever changes in between is seen by the next look.
//!
//! **Invariant:** nothing is set but what a stored lease lends, and only after a new time was stored until which it may
//! land (laws 1 and 6).

use super::Broker;
use super::authenticate::AdmitError;
use super::flights::Flight;
use super::lanes::Lane;
use super::reconcile::ReconcileError;
use crate::audit::{Answer, Asked, Operation};
use crate::engine::erased::{Listed, OpenTarget, ToPutBack};
use crate::engine::{Cause as Failure, EngineError};
use crate::ids::LeaseId;
use crate::lease::{Cause, Lease, LeaseState, backoff};
use crate::limits::{PUT_BACK_BATCH, PUT_BACK_RETRY_MAX, REVOKE_CHUNK, RUN_EVERY, SETTLED_WITHIN};
use crate::store::mounts::Target;
use crate::store::records::Found;
use crate::store::{Revision, StoreError};
use crate::time::Timestamp;
use futures_util::StreamExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The targets that may forget, each on its own (law 7).
#[derive(Debug, Default)]
pub(super) struct PutBacks(Mutex<BTreeMap<Lane, Watch>>);

/// What is known of one target.
#[derive(Clone, Debug)]
struct Watch {
    /// For which write of its configuration it was decided whether it forgets.
    revision: Revision,
    forgets: bool,
    looking: bool,
    look_at: Timestamp,
    /// The run whose credentials were compared with the leases.
    compared: Option<String>,
    /// How many looks have failed in a row, and why the last one did.
    failures: u32,
    error: Option<String>,
}

/// A lease whose credential is about to be set again, which nothing else is done to meanwhile.
struct Claimed {
    _turn: Flight,
    lease: Lease,
}

/// What a lease whose credential was not listed calls for.
enum Missing {
    /// It is lent: set the credential again.
    PutBack(Box<Claimed>),
    /// Nothing: it is not lent any more.
    Nothing,
    /// Its issue may still be on its way, or something is being done to it: look again.
    Later,
}

impl Broker {
    /// Looks at every target that may forget and was not looked at for a while, beside the caller.
    pub(super) fn start_put_backs(self: &Arc<Self>, now: Timestamp) {
        let catalog = self.catalog();
        let mut watches = self.put_backs.0.lock();
        watches.retain(|lane, _| catalog.target(lane.0, lane.1).is_some());
        for target in catalog.targets() {
            let lane = (target.record.id, target.record.generation);
            // Held back is held back: after a restore the comparison comes first, and a copy is not asked.
            let is_abandoned = catalog.abandonment(lane.0, lane.1).is_some();
            if is_abandoned || catalog.hold(lane.0, lane.1).is_some() {
                // One that nobody looks at would stay due, and the sweep would never sleep.
                watches.remove(&lane);
                continue;
            }
            let fresh = || Watch {
                revision: target.revision,
                forgets: self.may_forget(&target.record),
                looking: false,
                look_at: now,
                compared: None,
                failures: 0,
                error: None,
            };
            let watch = watches.entry(lane).or_insert_with(fresh);
            if watch.revision != target.revision && !watch.looking {
                *watch = fresh();
            }
            if watch.forgets && !watch.looking && watch.look_at <= now {
                watch.looking = true;
                let (broker, target) = (Arc::clone(self), Arc::clone(target));
                let compared = watch.compared.clone();
                self.tasks.spawn(Box::pin(async move {
                    let outcome = broker.put_back_forgotten(&target, compared, now).await;
                    broker.note_look(&target, outcome);
                }));
            }
        }
    }

    fn may_forget(&self, target: &Target) -> bool {
        let kind = self.kind(&target.plugin_name);
        kind.is_ok_and(|kind| kind.forgets(&target.fields.0).unwrap_or_default())
    }

    /// Ends the leases of a backup whose credentials a target does not have that may forget: they may have been revoked
    /// since, and would be put back. Returns how many.
    pub(super) async fn end_forgotten(
        self: &Arc<Self>,
        target: &Target,
        listed: &[Listed],
    ) -> Result<usize, StoreError> {
        if !self.may_forget(target) {
            return Ok(0);
        }
        let there: HashSet<_> = listed.iter().map(|one| one.lease).collect();
        let (mut ended, mut after) = (0_usize, None);
        let lane = (target.id, target.generation);
        while let Some((last, here)) =
            self.records.leases_at(target.mount, lane, after.as_ref()).await?
        {
            after = Some(last);
            let missing = here.into_iter().filter(|id| !there.contains(id));
            let ends: Vec<_> = missing.map(|id| self.end_if_restored(id)).collect();
            let mut ends = futures_util::stream::iter(ends).buffer_unordered(REVOKE_CHUNK);
            while let Some(has_ended) = ends.next().await {
                ended = ended.saturating_add(usize::from(has_ended?));
            }
        }
        Ok(ended)
    }

    /// Ends a lease that is held and that this process has not made.
    async fn end_if_restored(self: &Arc<Self>, id: LeaseId) -> Result<bool, StoreError> {
        let Some(lease) = self.records.lease(id).await? else { return Ok(false) };
        let is_held = lease.record.state() == &LeaseState::Held;
        let is_meant = is_held && lease.record.issue().boot != self.boot;
        if is_meant {
            self.mark(id, Cause::Missing).await?;
        }
        Ok(is_meant)
    }

    /// When the next target is looked at.
    pub(super) fn next_put_back(&self) -> Option<Timestamp> {
        let watches = self.put_backs.0.lock();
        let waiting = watches.values().filter(|watch| watch.forgets && !watch.looking);
        waiting.map(|watch| watch.look_at).min()
    }

    fn note_look(&self, target: &Found<Target>, outcome: Result<Option<String>, ReconcileError>) {
        let now = self.clock.now();
        let lane = (target.record.id, target.record.generation);
        let mut watches = self.put_backs.0.lock();
        let Some(watch) = watches.get_mut(&lane) else { return };
        watch.looking = false;
        watch.look_at = now.plus(RUN_EVERY);
        match outcome {
            Ok(compared) => {
                (watch.failures, watch.error) = (0, None);
                watch.compared = compared.or(watch.compared.take());
            }
            Err(error) => {
                watch.failures = watch.failures.saturating_add(1);
                // One that is away is asked again soon: what it has forgotten is missed from the moment it is back.
                if !is_away(&error) {
                    let wait = backoff::after(watch.failures).min(PUT_BACK_RETRY_MAX);
                    watch.look_at = now.plus(wait);
                }
                let said = error.to_string();
                if watch.error.as_ref() != Some(&said) {
                    let target_name = self.target_name(&target.record);
                    tracing::warn!(%target_name, %error, "what a target may have forgotten cannot be put back yet");
                }
                watch.error = Some(said);
            }
        }
        drop(watches);
        self.wake_sweep_by(now.plus(RUN_EVERY));
    }

    /// Compares a target with the leases if this is another run of it than `compared`. Returns the run that is compared
    /// now; `None` if something is left to look at again. At `began` the target was not abandoned.
    async fn put_back_forgotten(
        self: &Arc<Self>,
        target: &Found<Target>,
        compared: Option<String>,
        began: Timestamp,
    ) -> Result<Option<String>, ReconcileError> {
        let open = self.open_target(target)?;
        let run = open.identity().await?.run;
        if run.is_none() || run == compared {
            return Ok(run);
        }
        // Whatever is begun from here on is made in this run, or in one that the next look sees.
        let since = self.clock.now();
        let listed = open.list().await?;
        // What was settled later need not have come back: the target may have been abandoned meanwhile.
        self.adopt_returned(&target.record, &listed, began).await?;
        let there: HashSet<_> =
            listed.iter().filter(|one| one.everywhere).map(|one| one.lease).collect();
        let (mut all_looked_at, mut put_back, mut after) = (true, 0_usize, None);
        let mut refused = None;
        let (mount, lane) = (target.record.mount, (target.record.id, target.record.generation));
        while let Some((last, here)) = self.records.leases_at(mount, lane, after.as_ref()).await? {
            after = Some(last);
            let missing: Vec<_> = here.into_iter().filter(|id| !there.contains(id)).collect();
            for batch in missing.chunks(PUT_BACK_BATCH) {
                match self.put_back_batch(&*open, batch, since).await {
                    Ok((done, all)) => {
                        put_back = put_back.saturating_add(done);
                        all_looked_at &= all;
                    }
                    // One that the target never takes again keeps no other from it.
                    Err(error @ ReconcileError::Target(_)) if !is_away(&error) => {
                        refused.get_or_insert(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if put_back > 0 {
            let target_name = self.target_name(&target.record);
            tracing::info!(%target_name, put_back, "a target had forgotten credentials; they were put back");
        }
        refused.map_or_else(|| Ok(run.filter(|_| all_looked_at)), Err)
    }

    /// Takes credentials that were revoked and have come back, from a file of the server's, onto leases again, which
    /// lapse at once. What was never ours to lend is for `reconcile` to tell.
    async fn adopt_returned(
        &self,
        target: &Target,
        listed: &[Listed],
        began: Timestamp,
    ) -> Result<(), StoreError> {
        for credential in listed {
            if self.records.lease(credential.lease).await?.is_none()
                && let Some(gone) = self.records.history(credential.lease).await?
                && gone.record.settled_at < began
            {
                // Whatever end the target knows for it, its time was over when it was revoked.
                self.adopt(target, credential, self.clock.now()).await?;
            }
        }
        Ok(())
    }

    /// Sets a batch of credentials again. Returns how many, and whether none of them needs another look.
    async fn put_back_batch(
        &self,
        open: &dyn OpenTarget,
        ids: &[LeaseId],
        since: Timestamp,
    ) -> Result<(usize, bool), ReconcileError> {
        let claims = join_all(ids.iter().map(|id| self.claim_put_back(open, *id, since))).await;
        let (mut claimed, mut all) = (Vec::new(), true);
        for claim in claims {
            match claim? {
                Missing::PutBack(lease) => claimed.push(*lease),
                Missing::Nothing => {}
                Missing::Later => all = false,
            }
        }
        let asked = claimed.iter().map(|one| ToPutBack {
            lease: one.lease.id(),
            handle: one.lease.handle().clone(),
            issue_by: one.lease.issue().issue_by,
        });
        let asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            return Ok((0, all));
        }
        // Recorded before, or it is not done (law 8).
        let lines = claimed.iter().map(async |one| {
            let line = put_back_asked(self, &one.lease);
            self.recorded(self.trail.asked(&line, None, self.clock.now())).await
        });
        let recorded: Result<Vec<_>, _> = join_all(lines).await.into_iter().collect();
        recorded.map_err(AdmitError::Audit)?;
        // Until each is answered for.
        self.unanswered.lock().extend(asked.iter().map(|one| one.lease));
        let answers = open.put_back(asked).await;
        let (mut done, mut failed) = (0_usize, None);
        let lines = claimed.iter().zip(&answers).map(async |(one, answer)| {
            let told = match answer {
                Ok(()) => Answer::lease(one.lease.id().to_string()),
                Err(error) => Answer::error(error.to_string()),
            };
            let line = put_back_asked(self, &one.lease);
            // That it was begun is on record; what is not recorded now is counted and told by the metrics.
            let _ = self.recorded(self.trail.answered(&line, None, &told, self.clock.now())).await;
        });
        join_all(lines).await;
        for (one, answer) in claimed.iter().zip(answers) {
            if !matches!(answer, Err(EngineError::Uncertain(_))) {
                self.unanswered.lock().remove(&one.lease.id());
            }
            match answer {
                Ok(()) => {
                    done = done.saturating_add(1);
                    self.metrics.put_back.one();
                }
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            None => Ok((done, all && done == claimed.len())),
            Some(error) => Err(error.into()),
        }
    }

    /// Stores that a credential is about to be set again, if it is lent and was not listed for no other reason.
    async fn claim_put_back(
        &self,
        open: &dyn OpenTarget,
        id: LeaseId,
        since: Timestamp,
    ) -> Result<Missing, ReconcileError> {
        if self.issuing.is_flying(id) {
            return Ok(Missing::Later);
        }
        let Some(turn) = self.turns.begin(id) else { return Ok(Missing::Later) };
        let Some(was) = self.records.lease(id).await? else { return Ok(Missing::Nothing) };
        let now = self.clock.now();
        if !was.record.is_held(now) || was.record.issued_at() >= since {
            return Ok(Missing::Nothing);
        }
        if now < self.may_land_until(&was.record) {
            return Ok(Missing::Later);
        }
        let handle = open.put_back_as(was.record.handle())?;
        let Some(lease) = was.record.clone().put_back(handle, self.issue_span(now), now) else {
            return Ok(Missing::Nothing);
        };
        match self.keep_lease(&was, &lease).await {
            Ok(_) => Ok(Missing::PutBack(Box::new(Claimed { _turn: turn, lease }))),
            // Whoever was first has renewed it or taken it from its holder.
            Err(StoreError::Conflict) => Ok(Missing::Later),
            Err(error) => Err(error.into()),
        }
    }

    /// Until when what was last asked for a lease may create it; the process of before may have gone by another clock.
    fn may_land_until(&self, lease: &Lease) -> Timestamp {
        if self.is_answered(lease) {
            return Timestamp(0);
        }
        let settles_at = lease.issue().settles_at;
        if lease.issue().boot == self.boot {
            return settles_at;
        }
        settles_at.max(self.began_at().plus(SETTLED_WITHIN))
    }
}

/// Returns how it is recorded that a credential is set again: as a change of its lease, on nobody's behalf.
fn put_back_asked(broker: &Broker, lease: &Lease) -> Asked {
    Asked {
        id: lease.owner().request.clone(),
        operation: Operation::Update,
        path: broker.catalog().wire_id(lease.place(), lease.id()),
        ..Asked::default()
    }
}

/// Whether a target does not answer at all.
fn is_away(error: &ReconcileError) -> bool {
    let ReconcileError::Target(error) = error else { return false };
    matches!(error.reason().cause, Failure::Unreachable | Failure::TooLate)
}
