//! Judges what is ended because somebody asked for it: one, or much at once, a mount, a role, a target; and what nobody
//! was given.

use super::Judge;
use super::known::Known;
use leasehold_core::access::token::Token;
use leasehold_core::ids::{LeaseId, MountId, TokenAccessor};
use leasehold_core::lease::{Lease, LeaseState};
use std::sync::Arc;

/// Whose leases somebody wants to be ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whole {
    /// Those of a mount.
    Mount(MountId),
    /// Those that one role of a mount has made.
    Role(MountId, &'static str),
    /// Those at all targets of a mount that have, or had, one name.
    Target(MountId, &'static str),
}

impl Known {
    /// Whether a whole has a lease.
    pub(super) fn is_in(&self, whole: &Whole, lease: &Lease) -> bool {
        let place = lease.place();
        match whole {
            Whole::Mount(mount) => place.mount == *mount,
            Whole::Role(mount, role) => place.mount == *mount && place.role == *role,
            Whole::Target(mount, name) => {
                let called = self.target_names.get(&place.target);
                place.mount == *mount && called.is_some_and(|called| called == name)
            }
        }
    }

    fn held_of(&self, whole: &Whole) -> Vec<LeaseId> {
        let held = self.leases.values().filter(|lease| lease.state() == &LeaseState::Held);
        held.filter(|lease| self.is_in(whole, lease)).map(Lease::id).collect()
    }
}

/// Somebody asks for the end of a whole, until this is dropped: with the answer, or with the process that was asked.
#[derive(Debug)]
pub struct Asking {
    judge: Arc<Judge>,
    whole: Whole,
    /// What was held when the question was asked.
    before: Vec<LeaseId>,
}

impl Judge {
    /// Somebody is about to ask for the end of all leases of a whole.
    pub fn unwant_all(self: &Arc<Self>, whole: Whole) -> Asking {
        let mut known = self.known.lock();
        *known.unwanted_wholes.entry(whole.clone()).or_default() += 1;
        let before = known.held_of(&whole);
        Asking { judge: Arc::clone(self), whole, before }
    }
}

impl Judge {
    /// Somebody is told that a lease has ended: it is not held any more, whatever happens next.
    pub fn lease_is_said_to_end(&self, id: LeaseId) {
        let lease = self.lease(id);
        let is_held = lease.is_some_and(|lease| lease.state() == &LeaseState::Held);
        // A backup may have been put in place of what was stored.
        if is_held && !self.setting.restores {
            self.setting.broken(2, id, "a lease is held after somebody was told that it ends");
        }
    }

    /// The same for a token.
    pub fn token_is_said_to_end(&self, accessor: TokenAccessor) {
        let known = self.known.lock();
        let held = |token: &&Token| token.accessor == accessor && token.ended.is_none();
        if known.tokens.values().any(|token| held(&token)) && !self.setting.restores {
            let what = format!("token {accessor} is held after somebody was told that it ended");
            self.setting.broken(4, None, what);
        }
    }

    /// An issue was answered with an error. What it has stored is not held then, if the store has done all it was asked
    /// since the issue began: nobody holds the secret.
    pub fn not_issued(&self, request: &str, troubles: u64) {
        let mut known = self.known.lock();
        let of_request = known.leases.values().find(|lease| lease.owner().request == request);
        let Some(lease) = of_request else { return };
        let (id, is_held) = (lease.id(), lease.state() == &LeaseState::Held);
        // Whether it has lapsed instead is by the clock of whoever stored it.
        let is_over = known.stored_end(id).is_none_or(|end| end <= self.setting.now());
        // Somebody may have asked for its end, and is about to mark it.
        let owner = known.tokens.get(&lease.owner().token);
        let is_wanted =
            !known.is_unwanted(lease) && owner.is_some_and(|token| token.ended.is_none());
        let is_sure = troubles == self.setting.store_troubles() && !self.setting.restores;
        if is_held && is_wanted && !is_over && is_sure {
            self.setting.broken(8, id, "an issue has failed, and its lease is held");
        }
        known.issuing.remove(&id);
    }
}

impl Asking {
    /// What was held when the question was asked.
    pub fn before(&self) -> impl Iterator<Item = LeaseId> {
        self.before.iter().copied()
    }

    /// Somebody was told that it is done: nothing is held any more that was when they asked.
    pub fn is_done(&self) {
        let known = self.judge.known.lock();
        let held = known.held_of(&self.whole);
        if let Some(id) = self.before.iter().find(|id| held.contains(id)) {
            let what = format!("a lease is held after the end of all of {:?}", self.whole);
            self.judge.setting.broken(2, *id, what);
        }
    }
}

impl Drop for Asking {
    /// What there is by now may still be marked by whoever was asked, and what is made from now on may not.
    fn drop(&mut self) {
        let mut known = self.judge.known.lock();
        let meant = known.leases.values().filter(|lease| known.is_in(&self.whole, lease));
        let meant: Vec<_> = meant.map(Lease::id).collect();
        known.unwanted.extend(meant);
        if let Some(asking) = known.unwanted_wholes.get_mut(&self.whole) {
            *asking -= 1;
        }
    }
}
