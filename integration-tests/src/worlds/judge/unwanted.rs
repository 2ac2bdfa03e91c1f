//! Judges what is ended because somebody asked for the end of much at once: a mount, a role, a target.

use super::Judge;
use leasehold_core::ids::{LeaseId, MountId, TargetId};
use leasehold_core::lease::{Lease, LeaseState};
use std::sync::Arc;

/// Whose leases somebody wants to be ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whole {
    /// Those of a mount.
    Mount(MountId),
    /// Those that one role of a mount has made.
    Role(MountId, &'static str),
    /// Those at a target of a mount.
    Target(MountId, TargetId),
}

impl Whole {
    /// Whether a lease is meant.
    pub(super) fn has(&self, lease: &Lease) -> bool {
        let place = lease.place();
        match self {
            Self::Mount(mount) => place.mount == *mount,
            Self::Role(mount, role) => place.mount == *mount && place.role == *role,
            Self::Target(mount, target) => place.mount == *mount && place.target == *target,
        }
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
        let is_held = |lease: &&Lease| lease.state() == &LeaseState::Held && whole.has(lease);
        let before = known.leases.values().filter(is_held).map(Lease::id).collect();
        Asking { judge: Arc::clone(self), whole, before }
    }
}

impl Asking {
    /// Somebody was told that it is done: nothing is held any more that was when they asked.
    pub fn is_done(&self) {
        let known = self.judge.known.lock();
        let is_held = |id: &&LeaseId| {
            known.leases.get(id).is_some_and(|lease| lease.state() == &LeaseState::Held)
        };
        if let Some(id) = self.before.iter().find(is_held) {
            let what = format!("a lease is held after the end of all of {:?}", self.whole);
            self.judge.setting.broken(2, *id, what);
        }
    }
}

impl Drop for Asking {
    /// What there is by now may still be marked by whoever was asked, and what is made from now on may not.
    fn drop(&mut self) {
        let mut known = self.judge.known.lock();
        let meant = known.leases.values().filter(|lease| self.whole.has(lease));
        let meant: Vec<_> = meant.map(Lease::id).collect();
        known.unwanted.extend(meant);
        if let Some(asking) = known.unwanted_wholes.get_mut(&self.whole) {
            *asking -= 1;
        }
    }
}
