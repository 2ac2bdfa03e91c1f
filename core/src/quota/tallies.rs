//! Counts the leases of each role, in memory: those that are stored, and those that are about to be.
//!
//! Nothing is counted until somebody needs it, for a start must not take longer the more leases there are. Counting then
//! reads an index of the store while leases come and go. So whatever is under way is known from the start: what begins
//! or ends while the index is read is counted here, by hand, and passed over there.
//!
//! **Invariant:** once all is counted, the count of a role is the number of its leases in the store and of the issues
//! whose commit is under way. A lease is taken off only when its record is gone.

use crate::ids::{LeaseId, MountId};
use crate::quota::Quotas;
use crate::store::Key;
use crate::store::quotas::{Limit, QuotaKind};
use crate::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A role, whether or not it is still there.
pub type RoleOf = (MountId, String);

/// The leases of all roles.
#[derive(Debug, Default)]
pub struct Tallies {
    state: State,
    roles: BTreeMap<RoleOf, Tally>,
    /// How many leases there are under each quota, by its name.
    sums: HashMap<String, u64>,
    /// The quotas that the sums are of.
    sorted_by: Option<Arc<Quotas>>,
    /// Issues whose commit is under way.
    issuing: HashMap<LeaseId, RoleOf>,
    /// Leases whose removal is under way.
    leaving: HashMap<LeaseId, RoleOf>,
    /// Leases of which the store did not say whether they were kept or removed, since when. They count until it does.
    doubtful: BTreeMap<LeaseId, (RoleOf, Timestamp)>,
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

/// There are as many leases as a quota allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// Which quota.
    pub quota: String,
    /// How many it allows.
    pub max_leases: u64,
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

    /// Makes room for a lease whose commit is about to begin, under the quota that counts for `path`. One that is there
    /// already gets it whatever the quota says.
    pub fn begin_issue(
        &mut self,
        id: LeaseId,
        role: RoleOf,
        path: &str,
        is_there: bool,
    ) -> Result<(), Full> {
        let quotas = self.sorted_by.clone().filter(|_| !self.is_off());
        let quota = quotas.as_ref().and_then(|quotas| quotas.of(QuotaKind::LeaseCount, path));
        if let Some(quota) = quota.filter(|_| !is_there)
            && let Limit::Leases { max_leases } = quota.record.limit
            && self.sums.get(&quota.record.name).is_some_and(|sum| *sum >= max_leases)
        {
            return Err(Full { quota: quota.record.name.clone(), max_leases });
        }
        if !self.is_off() {
            let name = quota.map(|quota| quota.record.name.clone());
            self.roles.entry(role.clone()).or_insert(Tally { leases: 0, quota: name });
            self.add(&role);
        }
        if let State::Counting { by_hand, .. } = &mut self.state {
            by_hand.insert(id);
        }
        self.issuing.insert(id, role);
        Ok(())
    }

    /// The commit is over.
    pub fn end_issue(&mut self, id: LeaseId, outcome: Outcome) {
        let Some(role) = self.issuing.remove(&id).filter(|_| !self.is_off()) else { return };
        match outcome {
            Outcome::Done => {}
            Outcome::Undone => self.take_off(&role),
            Outcome::Doubtful(since) => {
                self.doubtful.insert(id, (role, since));
            }
        }
    }

    /// A lease whose credential is gone is about to be removed from the store; `key` leads to it by its role.
    pub fn begin_settle(&mut self, id: LeaseId, role: RoleOf, key: &Key) {
        if let State::Counting { passed, by_hand } = &mut self.state {
            let read = passed.as_ref().is_some_and(|passed| key <= passed);
            // What is read later may be read before it is removed, or after.
            if !read && by_hand.insert(id) {
                self.add(&role);
            }
        }
        self.leaving.insert(id, role);
    }

    /// The removal is over.
    pub fn end_settle(&mut self, id: LeaseId, outcome: Outcome) {
        let Some(role) = self.leaving.remove(&id).filter(|_| !self.is_off()) else { return };
        match outcome {
            Outcome::Done => {
                self.doubtful.remove(&id);
                self.take_off(&role);
            }
            Outcome::Undone => {}
            Outcome::Doubtful(since) => {
                self.doubtful.insert(id, (role, since));
            }
        }
    }

    /// Begins to count.
    pub fn start(&mut self) {
        let under_way: Vec<_> =
            self.issuing.values().chain(self.leaving.values()).cloned().collect();
        for role in &under_way {
            self.add(role);
        }
        let by_hand = self.issuing.keys().chain(self.leaving.keys()).copied().collect();
        self.state = State::Counting { passed: None, by_hand };
    }

    /// Counts what was read of the index next.
    pub fn count(&mut self, read: impl IntoIterator<Item = (Key, RoleOf, LeaseId)>) {
        for (key, role, id) in read {
            let State::Counting { passed, by_hand } = &mut self.state else { return };
            *passed = Some(key);
            if !by_hand.contains(&id) {
                self.add(&role);
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
        if let Some((role, _)) = self.doubtful.remove(&id)
            && !is_there
        {
            self.take_off(&role);
        }
    }

    fn add(&mut self, role: &RoleOf) {
        let tally = self.roles.entry(role.clone()).or_default();
        tally.leases = tally.leases.saturating_add(1);
        if let Some(quota) = &tally.quota {
            let sum = self.sums.entry(quota.clone()).or_default();
            *sum = sum.saturating_add(1);
        }
    }

    fn take_off(&mut self, role: &RoleOf) {
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
