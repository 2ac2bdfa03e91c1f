//! Rotates accounts: those of static roles, and the administrators of targets.
//!
//! | step | what a crash after it leaves |
//! |---|---|
//! | 1. the intent is stored, sealed | the old secret works, the new one is in the store |
//! | 2. it is stored that the target is asked, and until when that may land | either of the two works |
//! | 3. the target is asked | either, and both are in the store |
//! | 4. the new secret is tested | the new one works |
//! | 5. it is stored as the secret, and the intent is erased | the new one works |
//! | 6. what it has replaced is dropped, where an account has several | — |
//!
//! Whoever comes after a crash goes on with the intent that is there, so that nobody ever draws a second secret while
//! the first may still land (law 6). What was asked and failed is asked again with the same secret; only one that the
//! target provably did not take, and cannot take any more, makes room for another.
//!
//! **Invariant:** at no instant is there an account whose only secret is in memory alone.

mod beside;
mod due;
mod leaving;
mod retest;
mod root;
mod turn;
mod untried;

use super::Broker;
use super::authenticate::AdmitError;
use crate::engine::rotation::{AccountSecret, Intent, Rotated, Tested};
use crate::engine::{Cause, EngineError, FieldError};
use crate::ids::{MountId, TargetId};
use crate::lease::{Generation, backoff};
use crate::limits::{ISSUE_WITHIN, SETTLED_WITHIN};
use crate::store::accounts::{Begun, Rotation};
use crate::store::holds::HoldCause;
use crate::store::{Batch, StoreError};
use crate::time::Timestamp;
pub(super) use due::Rotations;
pub use retest::OlderSecret;
pub(super) use retest::RetestError;
use std::sync::Arc;
use turn::Turn;
pub(super) use untried::Tried;

/// What is rotated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    /// The account of a static role.
    Static(MountId, String),
    /// The administrator of one identity of a target.
    Root(MountId, TargetId, Generation),
}

/// Whether somebody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its time has come, or one that had begun is carried on.
    Due,
    /// Somebody asked for it.
    Asked,
}

/// The secret is as it was, or nobody knows yet; then what was begun is carried on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotateError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such static role.
    #[error("no static role found for role name")]
    NoRole,
    /// There is no such target.
    #[error("1 error occurred:\n\t* failed to find entry for connection with name: {0:?}\n\n")]
    NoTarget(String),
    /// It cannot be rotated as it is configured.
    #[error("{0}")]
    Unusable(#[from] FieldError),
    /// It goes on already.
    #[error("a rotation of this account goes on already; try again in a moment")]
    Busy,
    /// What was asked before may still land.
    #[error("an earlier try of this account may still land at the target; try again in a minute")]
    Unsettled,
    /// Nothing is rotated at the target before it was compared with a store that was restored.
    #[error(
        "the target was not yet compared with the store that was restored; `leasehold operator restore-status` tells \
         how far that is"
    )]
    NotCompared,
    /// The target does not let its administrator in.
    #[error(transparent)]
    Older(#[from] OlderSecret),
    /// The target did not do it.
    #[error("error setting credentials: {0}")]
    Target(EngineError),
    /// The new secret is set and is not let in.
    #[error("the new secret was set, and the target does not let it in; this is tried again")]
    NotLetIn,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Broker {
    /// Rotates one account, or carries on what had begun; one at a time for each account. What is kept first is kept if
    /// all is as the batch expects.
    pub(super) async fn rotate(
        self: &Arc<Self>,
        which: &Which,
        why: Why,
        allowed: Batch,
    ) -> Result<(), RotateError> {
        let _running = self.rotations.begin(which).ok_or(RotateError::Busy)?;
        let mut turn = self.turn(which).await?;
        turn.allowed = allowed;
        let outcome = self.rotate_in(&mut turn, why).await;
        let due_at = turn.rotation().due_at;
        match &outcome {
            Ok(()) => {
                self.rotations.done(which);
                self.rotations.set(which, due_at);
            }
            // Nothing was kept, and whoever asked decides anew.
            Err(RotateError::Store(StoreError::Conflict))
                if why == Why::Asked && !turn.allowed.expected.is_empty() => {}
            Err(RotateError::Store(StoreError::Conflict)) => {
                // Somebody else has it in hand, or has changed what it rests on; the next look tells.
                self.rotations.set(which, Some(self.clock.now().plus(backoff::after(1))));
            }
            Err(error) => {
                let failed = self.note_unrotated(&mut turn, error).await;
                let soon = self.clock.now().plus(backoff::after(1));
                self.rotations.set(which, failed.unwrap_or(Some(soon)));
            }
        }
        self.wake_sweep();
        outcome
    }

    async fn rotate_in(self: &Arc<Self>, turn: &mut Turn, why: Why) -> Result<(), RotateError> {
        let now = self.clock.now();
        let (target, generation) = (turn.target.record.id, turn.target.record.generation);
        self.require_no_older_secret(&turn.target.record)?;
        if self.catalog().holds_back(HoldCause::Restored, target, generation) {
            return Err(RotateError::NotCompared);
        }
        let is_begun = turn.rotation().begun.is_some();
        // Since a restore whoever rotates it has to say so, also where something had begun.
        let goes_on = is_begun && !turn.rotation().is_older_than_target;
        if why == Why::Due && !goes_on && !turn.is_in_its_slot(now) {
            turn.plan_next(now, &*self.chance);
            return Ok(self.keep_turn(turn).await?);
        }
        if !is_begun && self.is_landing(turn.rotation().quiet_until, now) {
            return Err(RotateError::Unsettled);
        }
        if !is_begun {
            self.check_administers_alone(turn)?;
        }
        if why == Why::Asked {
            return self.bring_about(turn).await;
        }
        let asked = self.rotation_asked(turn);
        self.by_itself(&asked, self.bring_about(turn)).await
    }

    /// Rotates, from wherever it is.
    async fn bring_about(self: &Arc<Self>, turn: &mut Turn) -> Result<(), RotateError> {
        if turn.begun().is_some_and(|begun| begun.is_served) {
            return self.drop_replaced(turn).await;
        }
        if turn.begun().is_none() {
            self.begin_rotation(turn).await?;
        }
        if !self.is_there_already(turn).await {
            self.ask_target(turn).await?;
            self.test(turn).await?;
        }
        self.serve(turn).await
    }

    /// Stores what is to be brought about. The target has not been asked, and the secret is nowhere else.
    async fn begin_rotation(self: &Arc<Self>, turn: &mut Turn) -> Result<(), RotateError> {
        let open = self.open_target(&turn.target)?;
        self.kind(&turn.target.record.plugin_name)?.check_account(&turn.account)?;
        let passwords = self.passwords_of(&turn.target.record).await??;
        let secret = AccountSecret::of_password(passwords.generate(&*self.chance));
        let chosen = Intent::chosen(secret, &*self.chance);
        let by = self.clock.now().plus(ISSUE_WITHIN);
        let intent = open.intend(&turn.account, chosen, by).await.map_err(RotateError::Target)?;
        // One that the target chooses has the parts that it has now.
        if let Some(secret) = intent.secret() {
            turn.check_administrator(self, secret)?;
        }
        let begun = Begun { intent, may_land_until: None, given: None, is_served: false };
        turn.rotation_mut().begun = Some(begun);
        turn.rotation_mut().due_at = Some(self.clock.now().plus(SETTLED_WITHIN));
        Ok(self.keep_turn(turn).await?)
    }

    /// Whether the administrator has what is intended already: then nobody can log in with the old secret to set it.
    async fn is_there_already(self: &Arc<Self>, turn: &Turn) -> bool {
        let asked_before = turn.begun().is_some_and(|begun| begun.may_land_until.is_some());
        let Some(secret) = turn.begun().and_then(Begun::secret) else { return false };
        if !turn.account.administers || !asked_before {
            return false;
        }
        let Ok(open) = self.open_target(&turn.target) else { return false };
        let by = self.clock.now().plus(ISSUE_WITHIN);
        open.tested(&turn.account, secret, by).await == Ok(Tested::Works)
    }

    /// Asks the target, after it is stored until when that may land.
    async fn ask_target(self: &Arc<Self>, turn: &mut Turn) -> Result<(), RotateError> {
        let now = self.clock.now();
        let before = turn.begun().and_then(|begun| begun.may_land_until);
        if let Some(begun) = turn.rotation_mut().begun.as_mut() {
            begun.may_land_until = Some(now.plus(SETTLED_WITHIN));
        }
        turn.rotation_mut().due_at = Some(now.plus(SETTLED_WITHIN));
        self.expect_open(turn)?;
        self.keep_turn(turn).await?;
        let open = self.open_target(&turn.target)?;
        let Some(begun) = turn.begun() else { return Err(StoreError::Conflict.into()) };
        let by = now.plus(ISSUE_WITHIN);
        let answer = open.rotate(&turn.account, &begun.intent, by).await;
        match answer {
            Ok(Rotated::AsIntended) => Ok(()),
            Ok(Rotated::Given(secret)) => {
                if let Some(begun) = turn.rotation_mut().begun.as_mut() {
                    begun.given = Some(secret);
                }
                Ok(self.keep_turn(turn).await?)
            }
            Err(error) => {
                if turn.answered_no(before, &error) && self.is_untouched(turn, before).await {
                    turn.rotation_mut().begun = None;
                }
                Err(RotateError::Target(error))
            }
        }
    }

    /// Whether what was to land by then still may. The process of before may have gone by another clock.
    pub(super) fn is_landing(&self, until: Option<Timestamp>, now: Timestamp) -> bool {
        let settled_at = self.began_at().plus(SETTLED_WITHIN);
        until.is_some_and(|until| now < until.max(settled_at))
    }

    /// Whether anything that was asked for an account may still land.
    pub(super) fn may_land(&self, rotation: &Rotation) -> bool {
        let now = self.clock.now();
        let asked = rotation.begun.as_ref().and_then(|begun| begun.may_land_until);
        [asked, rotation.quiet_until].into_iter().any(|until| self.is_landing(until, now))
    }

    /// Whether what is intended has not come about and cannot any more, so that another secret may be drawn.
    async fn is_untouched(self: &Arc<Self>, turn: &Turn, before: Option<Timestamp>) -> bool {
        if before.is_none() {
            return true;
        }
        let Some(secret) = turn.begun().and_then(Begun::secret) else { return false };
        let now = self.clock.now();
        if self.is_landing(before, now) {
            return false;
        }
        let Ok(open) = self.open_target(&turn.target) else { return false };
        open.tested(&turn.account, secret, now.plus(ISSUE_WITHIN)).await == Ok(Tested::Denied)
    }

    /// Finds out whether the new secret is let in.
    async fn test(self: &Arc<Self>, turn: &Turn) -> Result<(), RotateError> {
        let open = self.open_target(&turn.target)?;
        let Some(secret) = turn.begun().and_then(Begun::secret) else {
            return Err(StoreError::Conflict.into());
        };
        let by = self.clock.now().plus(ISSUE_WITHIN);
        match open.tested(&turn.account, secret, by).await {
            Ok(Tested::Works) => Ok(()),
            Ok(Tested::Denied) => Err(RotateError::NotLetIn),
            Ok(Tested::Barred) => {
                let why = "the account may not log in, so its new secret cannot be tried; write `verify=catalog`";
                Err(RotateError::Target(EngineError::refused(Cause::NeedsOperator, why)))
            }
            Err(error) => Err(RotateError::Target(error)),
        }
    }

    /// Stores the tested secret as the one that counts, and erases the intent with the same commit.
    async fn serve(self: &Arc<Self>, turn: &mut Turn) -> Result<(), RotateError> {
        let now = self.clock.now();
        let Some(secret) = turn.begun().and_then(Begun::secret).map(AccountSecret::again) else {
            return Err(StoreError::Conflict.into());
        };
        let unanswered = turn.unanswered_until;
        let several = turn.begun().is_some_and(|begun| begun.intent.secret().is_none());
        let rotation = turn.rotation_mut();
        let mut begun = rotation.begun.take();
        if let Some(begun) = begun.as_mut().filter(|_| several) {
            begun.is_served = true;
        }
        (rotation.attempts, rotation.error, rotation.is_older_than_target) = (0, None, false);
        rotation.rotated_at = Some(now);
        rotation.quiet_until = unanswered.filter(|until| self.is_landing(Some(*until), now));
        turn.plan_next(now, &*self.chance);
        let (kept, over) = if several { (begun, None) } else { (None, begun) };
        turn.rotation_mut().begun = kept;
        if let Err(error) = self.keep_served(turn, secret).await {
            // What is noted next must not erase the only record of what the account has now.
            let begun = turn.rotation_mut().begun.take().or(over);
            turn.rotation_mut().begun = begun.map(|begun| Begun { is_served: false, ..begun });
            return Err(error);
        }
        self.metrics.rotated.one();
        tracing::info!(account = %turn.account.name, target_name = %self.target_name(&turn.target.record), "an account was rotated");
        if several { self.drop_replaced(turn).await } else { Ok(()) }
    }

    /// Drops what the new secret has replaced, and erases the intent.
    async fn drop_replaced(self: &Arc<Self>, turn: &mut Turn) -> Result<(), RotateError> {
        let target = turn.target_as_it_is(self)?;
        let open = self.open_target(&target)?;
        let by = self.clock.now().plus(ISSUE_WITHIN);
        if let Some(begun) = turn.begun()
            && let Some(secret) = begun.secret()
        {
            let dropped = open.drop_replaced(&turn.account, &begun.intent, secret, by).await;
            dropped.map_err(RotateError::Target)?;
        }
        turn.rotation_mut().begun = None;
        turn.plan_next(self.clock.now(), &*self.chance);
        Ok(self.keep_turn(turn).await?)
    }

    /// Stores why it failed and when it is tried again: later each time. Returns when.
    async fn note_unrotated(
        &self,
        turn: &mut Turn,
        error: &RotateError,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.metrics.unrotated.one();
        let now = self.clock.now();
        let rotation = turn.rotation_mut();
        rotation.attempts = rotation.attempts.saturating_add(1);
        rotation.error = Some(error.to_string());
        let (attempts, begun) = (rotation.attempts, rotation.begun.is_some());
        let again = begun || turn.is_planned(now);
        turn.rotation_mut().due_at = again.then(|| now.plus(backoff::after(attempts)));
        let next = turn.rotation().due_at.map(Timestamp::rfc3339);
        tracing::warn!(
            account = %turn.account.name, target_name = %self.target_name(&turn.target.record), %error, attempts,
            next = next.as_deref().unwrap_or("never by itself"), "an account could not be rotated"
        );
        let due_at = turn.rotation().due_at;
        // A static role that was never stored has nothing to be noted on.
        if turn.revision.is_some() || begun {
            self.keep_turn(turn).await?;
        }
        Ok(due_at)
    }
}

impl Turn {
    /// Takes back that something may land, where the target says that it will not. Tells whether it never will with
    /// this secret.
    fn answered_no(&mut self, before: Option<Timestamp>, error: &EngineError) -> bool {
        let EngineError::Refused(reason) = error else { return false };
        if let Some(begun) = self.rotation_mut().begun.as_mut() {
            begun.may_land_until = before;
        }
        matches!(reason.cause, Cause::Rejected | Cause::NeedsOperator)
    }
}
