//! Counts the leases of each role and each target, in memory: those that are stored, and those that are about to be.
//!
//! Nothing is counted until somebody needs it, for a start must not take longer the more leases there are. Counting then
//! reads an index of the store while leases come and go. So whatever is under way is known from the start: what begins
//! or ends while the index is read is counted here, by hand, and passed over there.
//!
//! **Invariant:** once all is counted, the count of a role or a target is the number of its leases in the store and of
//! the issues whose commit is under way. A lease is taken off only when its record is gone.

use crate::ids::{LeaseId, MountId, TargetId};
use crate::quota::Quotas;
use crate::store::Key;
use crate::store::quotas::{Limit, QuotaKind};
use crate::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A role, whether or not it is still there.
pub type RoleOf = (MountId, String);

/// Under what a lease is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Of {
    /// Its role.
    pub role: RoleOf,
    /// The target that its credential is at, whichever its identity was: nobody can tell for sure whether the server
    /// behind a new one is another.
    pub target: TargetId,
}

/// What may leave no room for a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Whether the quota that counts for its path may.
    pub by_quota: bool,
    /// How many credentials its target may have, if that is bounded.
    pub at_target: Option<u64>,
}

/// A target is filling up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling {
    /// How many credentials it has, or is about to.
    pub used: u64,
    /// How many it may have.
    pub max: u64,
    /// Whether this was not said since it was emptier.
    pub is_new: bool,
}

/// From how many hundredths of what it may have on a target is said to be filling up.
const FILLING_FROM: u64 = 80;
/// Below how many it has to fall before that is news again: a target that hovers about the line is not told of each time.
const NEWS_BELOW: u64 = 70;

/// The leases of all roles.
#[derive(Debug, Default)]
pub struct Tallies {
    state: State,
    roles: BTreeMap<RoleOf, Tally>,
    /// How many there are at each target.
    targets: HashMap<TargetId, u64>,
    /// The targets that were said to be filling up.
    filling: HashSet<TargetId>,
    /// How many leases there are under each quota, by its name.
    sums: HashMap<String, u64>,
    /// The quotas that the sums are of.
    sorted_by: Option<Arc<Quotas>>,
    /// Issues whose commit is under way.
    issuing: HashMap<LeaseId, Of>,
    /// Leases whose removal is under way.
    leaving: HashMap<LeaseId, Of>,
    /// Leases of which the store did not say whether they were kept or removed, since when. They count until it does.
    doubtful: BTreeMap<LeaseId, (Of, Timestamp)>,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing is counted.
    #[default]
    Off,
    /// The index is being read.
    Counting {
        /// The last key that was read.
        passed: Option<Key>,
        /// What is counted by hand, and passed over where it is read.
        by_hand: HashSet<LeaseId>,
    },
    /// All is counted.
    On,
}

#[derive(Debug, Default)]
struct Tally {
    leases: u64,
    /// The quota that they are under.
    quota: Option<String>,
}

/// There is no room for another lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Full {
    /// There are as many as a quota allows.
    Quota {
        /// Which quota.
        quota: String,
        /// How many it allows.
        max_leases: u64,
    },
    /// The target has as many credentials as it may have.
    Target {
        /// How many.
        max: u64,
    },
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Done,
    /// It did not.
    Undone,
    /// Nobody knows, since when.
    Doubtful(Timestamp),
}

impl Tallies {
    /// Whether anything is counted.
    #[must_use]
    pub fn is_off(&self) -> bool {
        matches!(self.state, State::Off)
    }

    /// Goes by these quotas from now on. `path` returns the path that a role's credentials are asked from.
    pub fn sort(&mut self, quotas: &Arc<Quotas>, path: impl Fn(&RoleOf) -> String) {
        if self.sorted_by.as_ref().is_some_and(|by| Arc::ptr_eq(by, quotas)) {
            return;
        }
        self.sums.clear();
        for (role, tally) in &mut self.roles {
            let quota = quotas.of(QuotaKind::LeaseCount, &path(role));
            tally.quota = quota.map(|quota| quota.record.name.clone());
            if let Some(quota) = &tally.quota {
                let sum = self.sums.entry(quota.clone()).or_default();
                *sum = sum.saturating_add(tally.leases);
            }
        }
        self.sorted_by = Some(Arc::clone(quotas));
    }

    /// Makes room for a lease whose commit is about to begin, as far as its bounds let it: the quota that counts for
    /// `path`, and its target. Tells if the target is filling up.
    pub fn begin_issue(
        &mut self,
        id: LeaseId,
        of: Of,
        path: &str,
        bounds: Bounds,
    ) -> Result<Option<Filling>, Full> {
        let quotas = self.sorted_by.clone().filter(|_| !self.is_off());
        let quota = quotas.as_ref().and_then(|quotas| quotas.of(QuotaKind::LeaseCount, path));
        if let Some(quota) = quota.filter(|_| bounds.by_quota)
            && let Limit::Leases { max_leases } = quota.record.limit
            && self.sums.get(&quota.record.name).is_some_and(|sum| *sum >= max_leases)
        {
            return Err(Full::Quota { quota: quota.record.name.clone(), max_leases });
        }
        if let Some(max) = bounds.at_target.filter(|max| self.at_target(of.target) >= *max) {
            return Err(Full::Target { max });
        }
        if !self.is_off() {
            let name = quota.map(|quota| quota.record.name.clone());
            self.roles.entry(of.role.clone()).or_insert(Tally { leases: 0, quota: name });
            self.add(&of);
        }
        if let State::Counting { by_hand, .. } = &mut self.state {
            by_hand.insert(id);
        }
        let filling = bounds.at_target.and_then(|max| self.filling(of.target, max));
        self.issuing.insert(id, of);
        Ok(filling)
    }

    /// Returns how many leases there are at a target, those included that are about to be.
    #[must_use]
    pub fn at_target(&self, target: TargetId) -> u64 {
        self.targets.get(&target).copied().unwrap_or_default()
    }

    fn filling(&mut self, target: TargetId, max: u64) -> Option<Filling> {
        let used = self.at_target(target);
        let is_below = |used: u64, share: u64| used.saturating_mul(100) < max.saturating_mul(share);
        if is_below(used.saturating_sub(1), NEWS_BELOW) {
            self.filling.remove(&target);
        }
        (!is_below(used, FILLING_FROM)).then(|| Filling {
            used,
            max,
            is_new: self.filling.insert(target),
        })
    }

    /// The commit is over.
    pub fn end_issue(&mut self, id: LeaseId, outcome: Outcome) {
        let Some(of) = self.issuing.remove(&id).filter(|_| !self.is_off()) else { return };
        match outcome {
            Outcome::Done => {}
            Outcome::Undone => self.take_off(&of),
            Outcome::Doubtful(since) => {
                self.doubtful.insert(id, (of, since));
            }
        }
    }

    /// A lease whose credential is gone is about to be removed from the store; `key` leads to it by its role.
    pub fn begin_settle(&mut self, id: LeaseId, of: Of, key: &Key) {
        if let State::Counting { passed, by_hand } = &mut self.state {
            let read = passed.as_ref().is_some_and(|passed| key <= passed);
            // What is read later may be read before it is removed, or after.
            if !read && by_hand.insert(id) {
                self.add(&of);
            }
        }
        self.leaving.insert(id, of);
    }

    /// The removal is over.
    pub fn end_settle(&mut self, id: LeaseId, outcome: Outcome) {
        let Some(of) = self.leaving.remove(&id).filter(|_| !self.is_off()) else { return };
        match outcome {
            Outcome::Done => {
                self.doubtful.remove(&id);
                self.take_off(&of);
            }
            Outcome::Undone => {}
            Outcome::Doubtful(since) => {
                self.doubtful.insert(id, (of, since));
            }
        }
    }

    /// Begins to count.
    pub fn start(&mut self) {
        let under_way: Vec<_> =
            self.issuing.values().chain(self.leaving.values()).cloned().collect();
        for of in &under_way {
            self.add(of);
        }
        let by_hand = self.issuing.keys().chain(self.leaving.keys()).copied().collect();
        self.state = State::Counting { passed: None, by_hand };
    }

    /// Counts what was read of the index next.
    pub fn count(&mut self, read: impl IntoIterator<Item = (Key, Of, LeaseId)>) {
        for (key, of, id) in read {
            let State::Counting { passed, by_hand } = &mut self.state else { return };
            *passed = Some(key);
            if !by_hand.contains(&id) {
                self.add(&of);
            }
        }
    }

    /// All has been read.
    pub fn finish(&mut self) {
        self.state = State::On;
        self.sorted_by = None;
    }

    /// The index could not be read to its end: nothing is counted.
    pub fn give_up(&mut self) {
        let (issuing, leaving) =
            (std::mem::take(&mut self.issuing), std::mem::take(&mut self.leaving));
        *self = Self { issuing, leaving, ..Self::default() };
    }

    /// Returns the leases that the store has to be asked about, in doubt since before `before`.
    #[must_use]
    pub fn doubtful(&self, before: Timestamp) -> Vec<LeaseId> {
        let old = self
            .doubtful
            .iter()
            .filter(|(id, (_, since))| *since < before && !self.leaving.contains_key(id));
        old.map(|(id, _)| *id).collect()
    }

    /// The store has said whether a lease is there.
    pub fn resolve(&mut self, id: LeaseId, is_there: bool) {
        if self.leaving.contains_key(&id) {
            return;
        }
        if let Some((of, _)) = self.doubtful.remove(&id)
            && !is_there
        {
            self.take_off(&of);
        }
    }

    fn add(&mut self, Of { role, target }: &Of) {
        let at_target = self.targets.entry(*target).or_default();
        *at_target = at_target.saturating_add(1);
        let tally = self.roles.entry(role.clone()).or_default();
        tally.leases = tally.leases.saturating_add(1);
        if let Some(quota) = &tally.quota {
            let sum = self.sums.entry(quota.clone()).or_default();
            *sum = sum.saturating_add(1);
        }
    }

    fn take_off(&mut self, Of { role, target }: &Of) {
        if let Some(at_target) = self.targets.get_mut(target) {
            *at_target = at_target.saturating_sub(1);
            if *at_target == 0 {
                self.targets.remove(target);
            }
        }
        let Some(tally) = self.roles.get_mut(role) else { return };
        tally.leases = tally.leases.saturating_sub(1);
        if let Some(sum) = tally.quota.as_ref().and_then(|quota| self.sums.get_mut(quota)) {
            *sum = sum.saturating_sub(1);
        }
        if tally.leases == 0 {
            self.roles.remove(role);
        }
    }
}

#[cfg(test)]
#[path = "tallies/tests.rs"]
mod tests;
