//! Judges what ends without its target (`docs/decisions/0018-abandon.md`): only what an operator has given up, by a
//! record that stays; and of what may be left at its server, the history says so for ever.

use super::Judge;
use super::known::Known;
use crate::worlds::disk::Disk;
use leasehold_core::ids::{LeaseId, TargetId};
use leasehold_core::lease::{Generation, Lease};
use leasehold_core::store::Key;
use leasehold_core::store::abandonments::{Abandonment, abandoned_target};
use leasehold_core::store::leases::History;
use std::collections::{BTreeSet, HashSet};

/// What was abandoned, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Abandoned {
    /// The names of targets that an operator has given up.
    given_up: HashSet<&'static str>,
    /// Identities of targets of which it is stored that they are abandoned.
    targets: HashSet<(TargetId, Generation)>,
    /// Leases of these that are gone.
    gone: BTreeSet<LeaseId>,
    /// And those of them whose credentials were there then, or appeared later: nobody asks such a target what may land.
    left: BTreeSet<LeaseId>,
}

impl Abandoned {
    /// Whether it is stored that the target of a lease is abandoned.
    pub(super) fn has(&self, lease: &Lease) -> bool {
        let place = lease.place();
        self.targets.contains(&(place.target, place.generation))
    }

    /// Whether the lease of a credential was gone at some time, whatever was at its server.
    pub(super) fn was_gone(&self, id: LeaseId) -> bool {
        self.gone.contains(&id)
    }

    /// Whether a credential is left at its server that was its lease's.
    pub(super) fn left(&self, id: LeaseId) -> bool {
        self.left.contains(&id)
    }
}

impl Known {
    /// What has come back is on a lease again, which says what becomes of it. Nobody holds that one.
    pub(super) fn taken_again(&mut self, id: LeaseId) {
        self.abandoned.left.remove(&id);
        self.promised.remove(&id);
    }
}

impl Judge {
    /// An operator is about to give a target up.
    pub fn is_given_up(&self, name: &'static str) {
        self.known.lock().abandoned.given_up.insert(name);
    }

    /// Whether a credential is left at its server by an operator's word.
    pub fn is_left_behind(&self, id: LeaseId) -> bool {
        self.known.lock().abandoned.left(id)
    }

    /// It is stored that a target is abandoned.
    pub(super) fn abandoned(&self, key: &Key, abandonment: &Abandonment) {
        let mut known = self.known.lock();
        if !known.abandoned.given_up.contains(abandonment.name.as_str()) {
            self.setting.broken(2, None, "a target was abandoned that nobody has given up");
        }
        self.setting.counters.abandonments.one();
        known.abandoned.targets.extend(abandoned_target(key));
    }

    /// The lease of an abandoned target is gone, whether or not its credential is.
    pub(super) fn gone_unseen(&self, known: &mut Known, id: LeaseId) {
        known.abandoned.gone.insert(id);
        if self.servers.lock().iter().any(|server| server.has(id)) {
            self.is_left(known, id);
        }
    }

    /// Whether a credential that appears now was its lease's, which is gone by an operator's word.
    pub(super) fn appears_too_late(&self, known: &mut Known, id: LeaseId) -> bool {
        let is_gone = known.abandoned.gone.contains(&id);
        if is_gone {
            self.is_left(known, id);
        }
        is_gone
    }

    fn is_left(&self, known: &mut Known, id: LeaseId) {
        self.setting.counters.left_behind.one();
        known.abandoned.left.insert(id);
    }

    /// Why a record of what was abandoned may not be there at the end.
    pub(super) fn is_explained_as_abandoned(known: &Known, key: &Key) -> bool {
        abandoned_target(key).is_some_and(|at| known.abandoned.targets.contains(&at))
    }

    /// Whoever meets a credential that was left behind finds out what became of its lease.
    pub(super) fn check_left_behind(&self, known: &Known, disk: &Disk) {
        for id in &known.abandoned.left {
            let at = super::end::history_of(id.bytes());
            let history = self.opened::<History>(disk, &at, b"history/");
            if !history.is_some_and(|history| history.abandoned) {
                let what = "a credential was left at its server, and no history says why";
                self.setting.broken(2, *id, what);
            }
        }
    }
}
