//! Proves that credentials are dead, where their roles ask for it.
//!
//! A wrong password is refused for a live account too, so a refusal alone proves nothing. Before the revocation the
//! credential is therefore given another secret, and a control login with it has to work; after the revocation the
//! same login has to be refused, for what it showed and by the target itself. Whatever else comes of it is not proven,
//! and never dead by proof: the revocation then counts by what the engine saw, as for every other role. One that still
//! lets its credential in does not count at all.
//!
//! **Invariant:** the secret is in memory only, is told to nobody, and its credential is about to be revoked.

use super::Broker;
use super::lanes::Lane;
use crate::engine::erased::OpenTarget;
use crate::engine::rotation::{Account, AccountSecret, Intent, Tested, Verify};
use crate::engine::{Cause, EngineError};
use crate::ids::LeaseId;
use crate::lease::Lease;
use crate::lease::death::Death;
use crate::limits::{CATALOG_PAUSE, CONTROLS_MAX, PROOF_TURN_WITHIN, PROOF_WITHIN, PROOFS_AT_ONCE};
use crate::store::Revision;
use crate::store::records::Found;
use crate::time::Timestamp;
use futures_util::future::{Either, select};
use futures_util::lock::OwnedMutexGuard;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The control logins that worked, from one attempt to revoke to the next. Each is worth something for as long as
/// nobody else has made an attempt: whoever has armed the credential again would make it be refused.
#[derive(Debug, Default)]
pub(super) struct Controls {
    known: Mutex<BTreeMap<LeaseId, (Revision, Arc<Control>)>>,
    /// The turns of each target (law 7).
    turns: Mutex<BTreeMap<Lane, [Arc<Turn>; PROOFS_AT_ONCE]>>,
}

type Turn = futures_util::lock::Mutex<()>;

/// A login that worked before the revocation.
#[derive(Debug)]
pub(super) struct Control {
    account: Account,
    secret: AccountSecret,
}

/// How far the proof of a death is when the target is asked to revoke.
#[derive(Debug)]
pub(super) enum Proof {
    /// Nobody asks for it.
    Unasked,
    /// The control login has worked.
    Begun(Arc<Control>),
    /// It cannot be given, and why.
    Impossible(String),
}

impl Controls {
    /// This process has stored a lease anew; a control of before is kept if nobody else had in between.
    pub(super) fn carry(&self, lease: LeaseId, from: Revision, to: Revision) {
        let mut controls = self.known.lock();
        if let Some((at, _)) = controls.get_mut(&lease) {
            if *at == from {
                *at = to;
            } else {
                controls.remove(&lease);
            }
        }
    }

    pub(super) fn forget(&self, lease: LeaseId) {
        self.known.lock().remove(&lease);
    }

    fn is_known(&self, lease: LeaseId, at: Revision) -> bool {
        self.known.lock().get(&lease).is_some_and(|(known, _)| *known == at)
    }

    fn known(&self, lease: LeaseId) -> Option<Arc<Control>> {
        self.known.lock().get(&lease).map(|(_, control)| Arc::clone(control))
    }

    fn turn(&self, lane: Lane, lease: LeaseId) -> Arc<Turn> {
        let mut turns = self.turns.lock();
        let [first, rest @ ..] = turns.entry(lane).or_default();
        let [.., last] = lease.bytes();
        let at = usize::from(*last).checked_rem(PROOFS_AT_ONCE).unwrap_or_default();
        Arc::clone(at.checked_sub(1).and_then(|at| rest.get(at)).unwrap_or(first))
    }

    fn keep(&self, lease: LeaseId, at: Revision, control: &Arc<Control>) {
        let mut controls = self.known.lock();
        if controls.len() >= CONTROLS_MAX {
            controls.pop_first();
        }
        controls.insert(lease, (at, Arc::clone(control)));
    }
}

impl Broker {
    /// Returns a lease, which is about to be stored as being revoked, as it is to be stored if it is to be armed.
    pub(super) fn to_be_armed(&self, lease: Lease, was: Revision, now: Timestamp) -> Lease {
        if !self.asks_for_proof(&lease) || self.controls.is_known(lease.id(), was) {
            return lease;
        }
        let by = now.plus(PROOF_WITHIN);
        let armed = self.open_target_of(&lease).and_then(|open| open.armed_as(lease.handle(), by));
        match armed {
            Ok(handle) => lease.armed(handle),
            // It will not be armed either.
            Err(_) => lease,
        }
    }

    /// Arms a credential that is about to be revoked, and sees that it can be logged in with, if its role asks for that.
    pub(super) async fn begin_proof(&self, claimed: &Found<Lease>) -> Proof {
        let lease = &claimed.record;
        if !self.asks_for_proof(lease) {
            return Proof::Unasked;
        }
        if let Some(control) = self.controls.known(lease.id()) {
            return Proof::Begun(control);
        }
        match self.control(lease).await {
            Ok(control) => {
                let control = Arc::new(control);
                self.controls.keep(lease.id(), claimed.revision, &control);
                Proof::Begun(control)
            }
            Err(why) => Proof::Impossible(why),
        }
    }

    /// Makes the control login.
    async fn control(&self, lease: &Lease) -> Result<Control, String> {
        let told = |error: EngineError| error.to_string();
        let _turn = self.proof_turn(lease).await.map_err(told)?;
        let open = self.open_target_of(lease).map_err(told)?;
        let secret = self.control_secret(lease).await?;
        let intent = Intent::chosen(secret, &*self.chance);
        let by = self.clock.now().plus(PROOF_WITHIN);
        let armed = open.arm(lease.id(), lease.handle(), &intent, by).await;
        let account = armed.map_err(|error| format!("it could not be armed: {error}"))?;
        let Intent::Chosen { secret, .. } = intent else {
            return Err("its secret is not ours to choose".to_owned());
        };
        let by = self.clock.now().plus(PROOF_WITHIN);
        match open.tested(&account, &secret, by).await {
            Ok(Tested::Works) => Ok(Control { account, secret }),
            Ok(Tested::Denied) => {
                Err("the control login was refused, with the secret that had just been set"
                    .to_owned())
            }
            Ok(Tested::Barred) => {
                Err("the control login was refused: the credential may not log in any more"
                    .to_owned())
            }
            Err(error) => Err(format!("the control login did not work: {error}")),
        }
    }

    /// Draws a secret as the target's password policy says.
    async fn control_secret(&self, lease: &Lease) -> Result<AccountSecret, String> {
        let place = lease.place();
        let catalog = self.catalog();
        let target = catalog.target(place.target, place.generation);
        let target = target.ok_or("the configuration of its target is missing")?;
        let passwords =
            self.passwords_of(&target.record).await.map_err(|error| error.to_string())?;
        let passwords = passwords.map_err(|error| error.to_string())?;
        Ok(AccountSecret::of_password(passwords.generate(&*self.chance)))
    }

    /// The target has revoked: sees that the login that worked before is refused now. A target that still lets the
    /// credential in has not revoked.
    pub(super) async fn finish_proof(
        &self,
        lease: &Lease,
        proof: &Proof,
    ) -> Result<Option<Death>, EngineError> {
        let control = match proof {
            Proof::Unasked => return Ok(None),
            Proof::Impossible(why) => return Ok(Some(Death::NotProven { why: why.clone() })),
            Proof::Begun(control) => control,
        };
        match self.tested_after(lease, control).await {
            Ok(Tested::Denied | Tested::Barred) => {
                Ok(Some(Death::Proven { by: control.account.verify, at: self.clock.now() }))
            }
            Ok(Tested::Works) => Err(EngineError::uncertain(
                Cause::Rejected,
                "the credential was seen to be gone, and the target still lets it in",
            )),
            Err(error) => {
                let why = format!(
                    "the login after the revocation was not refused by the target's word: {error}"
                );
                Ok(Some(Death::NotProven { why }))
            }
        }
    }

    async fn tested_after(&self, lease: &Lease, control: &Control) -> Result<Tested, EngineError> {
        let open = self.open_target_of(lease)?;
        let _turn = self.proof_turn(lease).await?;
        let by = self.clock.now().plus(PROOF_WITHIN);
        loop {
            let tested = open.tested(&control.account, &control.secret, by).await;
            let again = self.clock.now().plus(CATALOG_PAUSE);
            let may_lag = control.account.verify == Verify::Catalog && again < by;
            if tested != Ok(Tested::Works) || !may_lag {
                return tested;
            }
            self.tasks.sleep_until(again).await;
        }
    }

    /// Waits until few enough others are tried at the same target.
    async fn proof_turn(&self, lease: &Lease) -> Result<OwnedMutexGuard<()>, EngineError> {
        let place = lease.place();
        let turn = self.controls.turn((place.target, place.generation), lease.id());
        let given_up = self.tasks.sleep_until(self.clock.now().plus(PROOF_TURN_WITHIN));
        match select(turn.lock_owned(), given_up).await {
            Either::Left((turn, _)) => Ok(turn),
            Either::Right(_) => {
                let why = "too many others were waiting for their proofs at this target";
                Err(EngineError::refused(Cause::Contended, why))
            }
        }
    }

    /// Whether the role of a lease, as it is now, asks for the proof.
    fn asks_for_proof(&self, lease: &Lease) -> bool {
        let (place, catalog) = (lease.place(), self.catalog());
        // Nobody asks a target that is abandoned, nor one about what was never made.
        let is_asked = catalog.abandonment(place.target, place.generation).is_none()
            && !lease.was_never_made();
        is_asked && catalog.role_of(place).is_some_and(|role| role.record.proof_of_death)
    }

    /// Returns the engine that stands for the target of a lease.
    pub(super) fn open_target_of(&self, lease: &Lease) -> Result<Arc<dyn OpenTarget>, EngineError> {
        let place = lease.place();
        let refused = |why: String| EngineError::refused(Cause::NeedsOperator, why);
        let catalog = self.catalog();
        let target = catalog.target(place.target, place.generation);
        let target = target
            .ok_or_else(|| refused("the configuration of its target is missing".to_owned()))?;
        self.open_target(target).map_err(|error| refused(error.to_string()))
    }
}
