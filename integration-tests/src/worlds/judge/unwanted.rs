//! Judges what is ended because somebody asked for the end of much at once: a mount, a role, a target.

use super::Judge;
use super::known::Known;
use leasehold_core::ids::{LeaseId, MountId};
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
