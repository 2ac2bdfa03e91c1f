//! Revokes leases, whoever asked for it: the only way any credential is ever removed from a target.

mod failure;
pub(super) mod many;

use super::authenticate::{AdmitError, Caller, Recorded};
use super::deny::NotOver;
use super::flights::Flight;
use super::lookup::Prefix;
use super::{Broker, Request};
use crate::audit::{Answer, Asked, Operation};
use crate::engine::erased::{RoleRef, ToRevoke};
use crate::engine::{Cause as Failure, EngineError, Unanswered};
use crate::ids::LeaseId;
use crate::lease::death::Death;
use crate::lease::{Cause, Lease};
use crate::limits::{CLOCK_BEHIND, CONFLICT_TRIES, ISSUE_WITHIN, REVOKE_WITHIN, SETTLED_WITHIN};
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use failure::wait_after;
use std::sync::Arc;

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The revocation is durable, and goes on by itself.
    Marked,
    /// The target has confirmed.
    Settled,
}

/// What became of a revocation that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The credential is gone, or never was.
    Gone,
    /// The lease was not due: it was renewed meanwhile.
    NotDue,
    /// The revocation is durable, and goes on by itself.
    Marked,
    /// Nothing ends the credential before it ends by itself. The lease is kept until then; this says why, and when.
    Lives(String),
    /// The credential is refused until it ends by itself, and the lease is kept until then; with what else is to be said of
    /// that, if anything is.
    Denied(Option<String>),
}

impl Recorded for Revoked {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

/// The credential may still exist. The lease stays, and the sweep tries again for as long as it takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// The prefix names nothing that could have leases.
    #[error("no mount or role has the prefix `{0}`; `leasehold lease list` shows what there is")]
    NoSuchPrefix(String),
    /// The lease could not be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// After a restore nobody can say yet that nothing else is there. What is known is revoked.
    #[error(
        "the store was restored and some targets of the mount have not been compared with it yet, so they may have \
         credentials that it does not know; what it knows is revoked. try again, and see `leasehold operator restore-status`"
    )]
    NotCompared,
    /// The target did not revoke.
    #[error("failed to revoke `{lease_id}`, it is tried again until it succeeds: {error}")]
    Target {
        /// The lease's name on the wire.
        lease_id: String,
        /// What the target said.
        error: EngineError,
    },
    /// Several could not be revoked.
    #[error(
        "{failed} of {all} leases could not be revoked yet, they are tried again until they are; the first: {first}"
    )]
    Some {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
        /// Why the first of them.
        first: Box<RevokeError>,
    },
}

/// Why a lease may end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Over {
    /// The target has confirmed that the credential is gone; with how that was proven, where its role asks for it.
    Gone(Option<Death>),
    /// An operator has abandoned the target.
    Abandoned,
}

/// How many leases a revocation could not see gone, and is no failure for that: it was forced, or they end by themselves
/// and by nothing else. They are tried until they are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillTried(pub usize);

impl Recorded for StillTried {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Broker {
    /// Revokes a lease before its term is over. A lease that is not there is revoked already.
    pub async fn revoke(
        self: &Arc<Self>,
        request: &Request,
        lease_id: &str,
        until: Until,
    ) -> Result<Revoked, RevokeError> {
        self.written(request, async |caller: Caller| {
            let allowed = caller.rights.expected(Batch::default());
            // Looked at first: the comparison may put the lease back in between.
            let may_have_forgotten = self.may_have_forgotten(lease_id);
            let id = lease_id.rsplit('/').next().unwrap_or_default().parse();
            match (self.find_lease(request, lease_id).await?, id) {
                (Some(lease), _) => self.revoke_found(lease.record.id(), until, allowed).await,
                // Under another path; that it was revoked must not be told.
                (None, Ok(id)) if self.records.lease(id).await?.is_some() => {
                    Err(RevokeError::NoSuchPrefix(lease_id.to_owned()))
                }
                (None, Ok(id)) if may_have_forgotten => self.surely_gone(id).await,
                (None, _) => Ok(Revoked::Gone),
            }
        })
        .await
    }

    /// The backup that the store was made of may be older than a lease that it does not know.
    async fn surely_gone(&self, id: LeaseId) -> Result<Revoked, RevokeError> {
        match self.records.history(id).await? {
            Some(_) => Ok(Revoked::Gone),
            None => Err(RevokeError::NotCompared),
        }
    }

    async fn revoke_found(
        self: &Arc<Self>,
        id: LeaseId,
        until: Until,
        allowed: Batch,
    ) -> Result<Revoked, RevokeError> {
        match until {
            Until::Marked => {
                self.mark_if(id, Cause::Asked, allowed).await?;
                Ok(Revoked::Marked)
            }
            Until::Settled => self.attempt_if(id, Cause::Asked, allowed).await,
        }
    }

    /// Revokes all leases under a prefix. `forced` answers without error even if the target fails, and forgets
    /// nothing either.
    pub async fn revoke_prefix(
        self: &Arc<Self>,
        request: &Request,
        prefix: &str,
        until: Until,
        forced: bool,
    ) -> Result<StillTried, RevokeError> {
        self.written(request, async |caller: Caller| {
            let allowed = caller.rights.expected(Batch::default());
            // Looked at first: the comparison may put leases back in between.
            let may_have_forgotten = self.may_have_forgotten(prefix);
            let outcome = match Prefix::parse(&self.catalog(), prefix) {
                Prefix::Lease(id)
                    if may_have_forgotten && self.records.lease(id).await?.is_none() =>
                {
                    self.surely_gone(id).await.map(|_| StillTried(0))
                }
                Prefix::Lease(id)
                    if self.find_lease(request, prefix).await?.is_none()
                        && self.records.lease(id).await?.is_some() =>
                {
                    return Err(RevokeError::NoSuchPrefix(prefix.to_owned()));
                }
                Prefix::Lease(id) => self
                    .revoke_found(id, until, allowed)
                    .await
                    .map(|revoked| StillTried(usize::from(matches!(revoked, Revoked::Lives(_))))),
                Prefix::Places(places) if self.names_nothing(&places).await? => {
                    return Err(RevokeError::NoSuchPrefix(prefix.to_owned()));
                }
                Prefix::Places(places) => {
                    self.begin_if(allowed).await?;
                    match self.revoke_all(&places, until).await {
                        Ok(_) if may_have_forgotten => Err(RevokeError::NotCompared),
                        outcome => outcome,
                    }
                }
            };
            match outcome {
                Err(RevokeError::Target { .. }) if forced => Ok(StillTried(1)),
                Err(RevokeError::Some { failed, .. }) if forced => Ok(StillTried(failed)),
                outcome => outcome,
            }
        })
        .await
    }

    /// Takes a lease from its holder, durably; the sweep does the rest.
    pub(super) async fn mark(
        self: &Arc<Self>,
        id: LeaseId,
        cause: Cause,
    ) -> Result<(), StoreError> {
        self.mark_if(id, cause, Batch::default()).await
    }

    /// Does the same, if whatever else the batch expects is so.
    async fn mark_if(&self, id: LeaseId, cause: Cause, allowed: Batch) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let Some(lease) = self.records.lease(id).await? else { return Ok(()) };
            let answered = self.is_answered(&lease.record);
            let marked = lease.record.clone().to_revoke(cause, answered, self.clock.now());
            if marked.state() == lease.record.state() {
                // Whoever marked it may have died, or not known that it was kept, before the sweep was told.
                self.due(id, marked.due_at());
                return Ok(());
            }
            match self.keep_lease_if(&lease, &marked, allowed.clone()).await {
                Ok(_) => {
                    self.issuing.disown(id);
                    return Ok(());
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Makes one attempt to revoke a lease: claim, ask, record, settle. Two attempts at one lease go one after the
    /// other, and an attempt at a lease that is being issued waits for the answer.
    ///
    /// **Invariant:** what a caller asks is durable before anything is waited for but the store.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        id: LeaseId,
        cause: Cause,
    ) -> Result<Revoked, RevokeError> {
        self.attempt_if(id, cause, Batch::default()).await
    }

    /// Does the same, if for what is kept first whatever else the batch expects is so.
    async fn attempt_if(
        self: &Arc<Self>,
        id: LeaseId,
        cause: Cause,
        mut allowed: Batch,
    ) -> Result<Revoked, RevokeError> {
        let _turn = self.turn_to_revoke(id, cause, &mut allowed).await?;
        let Some(claimed) = self.claim(id, cause, allowed).await? else {
            let gone = self.records.lease(id).await?.is_none();
            return Ok(if gone { Revoked::Gone } else { Revoked::NotDue });
        };
        let proof = self.begin_proof(&claimed).await;
        let mut answer = self.ask_to_revoke(&claimed.record).await;
        if matches!(answer, Ok(Over::Gone(_))) {
            let death = self.finish_proof(&claimed.record, &proof).await;
            answer = death.map(Over::Gone).map_err(NotOver::Failed);
        }
        let (why, wait, error) = match answer {
            Ok(over) => match self.settle(&claimed, over).await {
                Ok(()) => return Ok(Revoked::Gone),
                Err(error) => (error.to_string(), None, error),
            },
            Err(NotOver::Denied(refusal)) => {
                return Ok(Revoked::Denied(self.note_denied(&claimed, refusal).await));
            }
            Err(NotOver::Failed(error)) => {
                let lease_id = self.catalog().wire_id(claimed.record.place(), id);
                let wait = wait_after(&error, self.clock.now());
                (error.to_string(), wait, RevokeError::Target { lease_id, error })
            }
        };
        self.note_failure(&claimed, cause, why.clone(), wait).await;
        if let RevokeError::Target { error, .. } = &error
            && error.reason().lives()
        {
            return Ok(Revoked::Lives(why));
        }
        Err(error)
    }

    /// Waits until nothing else is done to a lease. An issue or a renewal at a target that hangs takes its time, and
    /// renewals that wait as well may come first, each taking as long: once it is marked, they change nothing any more.
    async fn turn_to_revoke(
        self: &Arc<Self>,
        id: LeaseId,
        cause: Cause,
        allowed: &mut Batch,
    ) -> Result<Flight, StoreError> {
        self.issuing.disown(id);
        if !self.issuing.is_flying(id)
            && let Some(turn) = self.turns.begin(id)
        {
            // Claiming it is the next thing that is stored, and a mark would be one write too many.
            return Ok(turn);
        }
        if cause == Cause::Asked {
            self.mark_if(id, cause, std::mem::take(allowed)).await?;
        }
        self.issuing.landed(id).await;
        Ok(self.turns.begin_next(id).await)
    }

    /// Stores that an attempt starts, so that no other one does. `None`: there is nothing to attempt.
    async fn claim(
        &self,
        id: LeaseId,
        cause: Cause,
        allowed: Batch,
    ) -> Result<Option<Found<Lease>>, StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let Some(was) = self.records.lease(id).await? else { return Ok(None) };
            let now = self.clock.now();
            // The sweep attempts what is due; a caller attempts what they name.
            if cause == Cause::Lapsed && now < was.record.due_at() {
                return Ok(None);
            }
            let answered = self.is_answered(&was.record);
            let lease = was.record.clone().attempt(cause, answered, now);
            let lease = self.to_be_armed(lease, was.revision, now);
            match self.keep_lease_if(&was, &lease, allowed.clone()).await {
                Ok(revision) => {
                    self.controls.carry(id, was.revision, revision);
                    return Ok(Some(Found { record: lease, revision }));
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Whether the issue of a lease is known to have been answered. Time alone never says so: an engine that can
    /// prove that nothing lands any more is asked to, however late it is.
    pub(super) fn is_answered(&self, lease: &Lease) -> bool {
        lease.issue().boot == self.boot && !self.unanswered.lock().contains(&lease.id())
    }

    /// Until when the issue of a lease may land. Another process has told the time by a clock that may have been
    /// another: how long ago it asked at the latest is known only from when this one began.
    fn unanswered(&self, lease: &Lease) -> Option<Unanswered> {
        let told = lease.unanswered()?;
        if lease.issue().boot == self.boot {
            return Some(told);
        }
        let began_at = self.began_at();
        Some(Unanswered {
            issue_by: told.issue_by.max(began_at.plus(ISSUE_WITHIN)),
            settles_at: told.settles_at.max(began_at.plus(SETTLED_WITHIN)),
        })
    }

    async fn ask_to_revoke(&self, lease: &Lease) -> Result<Over, NotOver> {
        if lease.was_never_made() {
            return Ok(Over::Gone(None));
        }
        let place = lease.place();
        if self.catalog().abandonment(place.target, place.generation).is_some() {
            return Ok(self.without_asking(lease)?);
        }
        let missing = |message: String| EngineError::refused(Failure::NeedsOperator, message);
        if self.catalog().target(place.target, place.generation).is_none() {
            // Another process may have written it, before it made the lease by a clock that may be ahead of this one. What
            // was read after that has it, so that a target that is gone is not looked for again with each attempt.
            let made_at = lease.issued_at().plus(CLOCK_BEHIND);
            let unread =
                |error: StoreError| EngineError::refused(Failure::Contended, error.to_string());
            self.reload_unless_read_since(made_at).await.map_err(unread)?;
        }
        let catalog = self.catalog();
        let target = catalog
            .target(place.target, place.generation)
            .ok_or_else(|| missing("the configuration of the lease's target is missing".into()))?;
        let open = self.open_target(target).map_err(|error| missing(error.to_string()))?;
        let role = catalog.role_of(place).map(|role| RoleRef {
            name: &role.record.name,
            revision: role.revision,
            fields: &role.record.fields,
        });
        let mut lapses_at = lease.term().lapses_at();
        if lease.ends_itself() {
            let there = self.time_at((place.target, place.generation), &*open).await?;
            if let Some(refusal) = self.deny(&*open, lease, role, there).await? {
                return Err(NotOver::Denied(refusal));
            }
            lapses_at = self.clock.now().plus(lapses_at.since(there));
        }
        let answer = open.revoke(ToRevoke {
            lease: lease.id(),
            handle: lease.handle(),
            role,
            unanswered: self.unanswered(lease),
            lapses_at,
            answer_by: self.clock.now().plus(REVOKE_WITHIN),
        });
        let answer = answer.await;
        self.lanes.note(place, &answer, self.clock.now());
        Ok(answer.map(|()| Over::Gone(None))?)
    }

    /// An operator answers for a target that is gone. Whoever is being issued something there by another process is told
    /// of it before the lease is removed.
    fn without_asking(&self, lease: &Lease) -> Result<Over, EngineError> {
        let now = self.clock.now();
        self.lanes.note(lease.place(), &Ok(()), now);
        let may_land = self.unanswered(lease).is_some_and(|until| now < until.settles_at);
        if may_land && !self.is_answered(lease) {
            let why = "its target is abandoned, and its issue may still go on; its lease ends when that is over";
            return Err(EngineError::refused(Failure::Contended, why));
        }
        Ok(Over::Abandoned)
    }

    /// The target has confirmed, or is abandoned: recorded first, then removed, so that a crash in between repeats a
    /// record and loses none.
    async fn settle(&self, claimed: &Found<Lease>, over: Over) -> Result<(), RevokeError> {
        let mut claimed = claimed.clone();
        let id = claimed.record.id();
        let now = self.clock.now();
        let (abandoned, death) = match &over {
            Over::Abandoned => (true, None),
            Over::Gone(death) => (false, death.as_ref()),
        };
        let answer = if abandoned {
            Answer::lease_at_abandoned(id.to_string())
        } else {
            Answer::gone(id.to_string(), death)
        };
        let asked = self.revocation_asked(&claimed.record);
        let record = self.trail.answered(&asked, None, &answer, now);
        self.recorded(record).await.map_err(AdmitError::Audit)?;
        for _ in 0..CONFLICT_TRIES {
            let leaving = self.leaves(&claimed.record);
            let removed = self.records.settle_lease(&claimed, now, abandoned, death).await;
            leaving.ended(&removed, now);
            match removed {
                Ok(_) => {
                    self.unanswered.lock().remove(&id);
                    self.controls.forget(id);
                    self.metrics.settled.one();
                    if let Some(death) = death {
                        self.metrics.death(death);
                    }
                    return Ok(());
                }
                // A conflict never brings the lease back.
                Err(StoreError::Conflict) => match self.records.lease(id).await? {
                    Some(now_at) => claimed = now_at,
                    None => return Ok(()),
                },
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    fn revocation_asked(&self, lease: &Lease) -> Asked {
        Asked {
            id: lease.owner().request.clone(),
            operation: Operation::Revoke,
            path: self.catalog().wire_id(lease.place(), lease.id()),
            ..Asked::default()
        }
    }
}
