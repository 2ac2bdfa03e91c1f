//! What is told of an account before its target was compared with a store that was restored: a secret that is let in.
//!
//! The secret may have been rotated after the backup, and only the target knows. So whoever asks for it has it tried, and
//! is told it once it is let in: at once where all is well, and as soon as a target can be asked again that was down,
//! while the comparison tries again later and later. Nobody waits for the administrator to be let in: it is the account that
//! logs in. One that is not let in is not tried each time, since accounts are locked for too many wrong logins.

use super::Which;
use crate::broker::Broker;
use crate::broker::lanes::Lane;
use crate::engine::FieldError;
use crate::engine::rotation::{AccountSecret, Tested};
use crate::limits::{ISSUE_WITHIN, RETRY_OPERATOR, SETTLED_WITHIN};
use crate::store::accounts::StaticRole;
use crate::store::mounts::Target;
use crate::store::records::Found;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// What targets have answered since this process began, by the identity of the target and the account.
#[derive(Debug, Default)]
pub(in crate::broker) struct Tried(Mutex<BTreeMap<(Lane, Which), Answer>>);

#[derive(Clone, Copy, Debug)]
struct Answer {
    at: Timestamp,
    is_let_in: bool,
}

impl Broker {
    /// Makes sure that a target which was not compared yet lets an account in with what is stored; says why not.
    pub(in crate::broker) async fn require_let_in(
        &self,
        target: &Found<Target>,
        role: &StaticRole,
        secret: &AccountSecret,
    ) -> Result<(), String> {
        let Target { id, generation, mount, .. } = target.record;
        let which = Which::Static(mount, role.name.clone());
        let is_let_in = match self.tried_before((id, generation), &which) {
            Some(is_let_in) => is_let_in,
            None => self.try_stored(target, role, secret, &which).await?,
        };
        is_let_in.then_some(()).ok_or_else(|| {
            "the target does not let it in; `leasehold operator restore-status` tells how far the comparison is".to_owned()
        })
    }

    /// Returns what was answered before, if that still counts. What the process of before the restore had asked may have
    /// landed since.
    fn tried_before(&self, lane: Lane, which: &Which) -> Option<bool> {
        let now = self.clock.now();
        let settled_at = self.began_at().plus(SETTLED_WITHIN);
        let tried = self.tried.0.lock();
        let Answer { at, is_let_in } = tried.get(&(lane, which.clone()))?;
        let may_have_landed = *is_let_in && *at < settled_at && settled_at <= now;
        let counts = now < at.plus(RETRY_OPERATOR) && !may_have_landed;
        counts.then_some(*is_let_in)
    }

    async fn try_stored(
        &self,
        target: &Found<Target>,
        role: &StaticRole,
        secret: &AccountSecret,
        which: &Which,
    ) -> Result<bool, String> {
        // Whoever is not the first is told so, and does not wait beside a target that does not answer.
        let _running = self.rotations.begin(which).ok_or("it is being tried")?;
        let open = self.open_target(target).map_err(|FieldError(why)| why)?;
        let at = self.clock.now();
        let tested = open.tested(&role.account(), secret, at.plus(ISSUE_WITHIN)).await;
        let is_let_in = tested.map_err(|error| error.to_string())? == Tested::Works;
        let lane = (target.record.id, target.record.generation);
        self.tried.0.lock().insert((lane, which.clone()), Answer { at, is_let_in });
        Ok(is_let_in)
    }
}
