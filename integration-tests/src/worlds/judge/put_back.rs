//! Judges what is put back that a server has forgotten: all that is lent, soon, with its own secret; and never what was
//! revoked.

use super::Judge;
use super::known::Known;
use crate::worlds::server::Server;
use leasehold_core::ids::LeaseId;
use leasehold_core::lease::LeaseState;
use leasehold_core::limits::{PUT_BACK_RETRY_MAX, RUN_EVERY, SETTLED_WITHIN};
use leasehold_core::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// How long a put-back takes where nothing goes wrong, once it has begun.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(5);

/// Where nothing goes wrong any more something may still have to settle, which may then be tried again; and after a
/// restore the target is compared first, as late as the longest back-off.
const BACK_MAX: Duration =
    SETTLED_WITHIN.saturating_add(PUT_BACK_RETRY_MAX).saturating_add(Duration::from_mins(15));

/// What was forgotten, and what becomes of it.
#[derive(Debug, Default)]
pub(super) struct PutBacks {
    missing: BTreeMap<LeaseId, Missing>,
    /// What servers keep instead of the secrets of leases.
    secrets: HashMap<LeaseId, String>,
    /// Leases whose revocation was confirmed at some time, also if a store was restored since that does not know it.
    settled: HashSet<LeaseId>,
}

/// A credential that its server has forgotten.
#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Timestamp,
    /// Whether its server would not have it anyway.
    was_lost: bool,
}

impl PutBacks {
    /// The store has become another: what was asked before it is not what the lease says now.
    pub(super) fn restored(&mut self) {
        for missing in self.missing.values_mut() {
            missing.was_lost = true;
        }
    }

    /// A lease is gone, with its credential.
    pub(super) fn settled(&mut self, id: LeaseId) {
        self.missing.remove(&id);
        self.settled.insert(id);
    }
}

impl Judge {
    /// A server has forgotten a credential in a restart.
    pub fn is_forgotten(&self, server: &Server, id: LeaseId) {
        self.setting.note(id, || format!("forgotten by server {}", server.number));
        let mut known = self.known.lock();
        let was_lost = !known.lost.insert(id);
        let missing = Missing { since: self.setting.now(), was_lost };
        known.put_backs.missing.insert(id, missing);
    }

    /// What servers have forgotten, and was not put back.
    pub fn missing(&self) -> Vec<LeaseId> {
        self.known.lock().put_backs.missing.keys().copied().collect()
    }

    /// A credential has the secret of which a server keeps this.
    pub fn has_secret(&self, id: LeaseId, verifier: String) {
        self.known.lock().put_backs.secrets.entry(id).or_insert(verifier);
    }

    /// A server is about to be asked to put a credential back by a certain time: until when it may land is stored.
    pub fn is_to_be_put_back(&self, id: LeaseId, issue_by: Timestamp) {
        let known = self.known.lock();
        let Some(lease) = known.leases.get(&id) else { return };
        if lease.issue().issue_by < issue_by && !self.setting.restores {
            let what = "a credential is put back and it is not stored until when";
            self.setting.broken(6, id, what);
        }
        if !self.journal.has_put_back(id) {
            self.setting.broken(8, id, "a credential is put back before that was recorded");
        }
    }

    /// A credential was put back.
    pub fn was_put_back(&self, server: &Server, id: LeaseId, verifier: &str) {
        self.setting.note(id, || format!("put back at server {}", server.number));
        self.setting.counters.put_back.one();
        self.check_strangers(server);
        let mut known = self.known.lock();
        let missing = known.put_backs.missing.remove(&id);
        if missing.is_some_and(|missing| !missing.was_lost) {
            known.lost.remove(&id);
        }
        if known.forgotten.contains(&id) || self.appears_too_late(&mut known, id) {
            return;
        }
        if known.put_backs.settled.contains(&id) {
            self.setting.broken(5, id, "a credential was put back that had been revoked");
        }
        if !known.leases.contains_key(&id) {
            self.setting.broken(1, id, "a credential was put back that no lease names");
        }
        let secret = known.put_backs.secrets.entry(id).or_insert_with(|| verifier.to_owned());
        if secret != verifier {
            self.setting.broken(3, id, "a credential was put back with another secret");
        }
    }

    /// Within what a server that forgets gets everything back, where nothing goes wrong.
    pub fn puts_back_within(&self) -> Duration {
        RUN_EVERY * 2 + PUT_BACK_WITHIN
    }

    /// What a server has forgotten then should be there again, as far as it is still lent.
    pub fn are_back(&self, ids: &[LeaseId], then: Timestamp) {
        let known = self.known.lock();
        let is_same = |id: &&LeaseId| {
            known.put_backs.missing.get(id).is_some_and(|missing| missing.since == then)
        };
        for id in ids.iter().filter(is_same) {
            self.should_be_back(&known, *id);
        }
    }

    /// Nothing has gone wrong for long: everything that is lent should be there again.
    pub fn are_all_back(&self) {
        let known = self.known.lock();
        if self.setting.undisturbed_for() < BACK_MAX {
            return;
        }
        for (id, missing) in &known.put_backs.missing {
            let held_by = known.held_by.get(id).copied().unwrap_or(0);
            let stored_by = known.stored.get(id).map_or(0, |stored| stored.off_ms);
            // What was stored by a clock that was ahead may seem to land for as much longer.
            let off = super::ahead(held_by.max(stored_by));
            if self.setting.now() > missing.since.plus(BACK_MAX).plus(off) {
                self.should_be_back(&known, *id);
            }
        }
    }

    fn should_be_back(&self, known: &Known, id: LeaseId) {
        let Some(lease) = known.leases.get(&id) else { return };
        let is_over = known.stored_end(id).is_none_or(|end| end <= self.setting.now());
        let is_held = lease.state() == &LeaseState::Held && !is_over;
        if is_held && !known.abandoned.has(lease) {
            self.setting.broken(
                2,
                id,
                "a credential is not put back that its server has forgotten",
            );
        }
    }
}
