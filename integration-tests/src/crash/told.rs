//! What callers were told, which is all that a server is judged by.

use super::judge::Violation;
use super::lives::Lives;
use leasehold_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Terms are told in whole seconds, and the target's clock is measured: what is nearer to its end is not claimed.
pub const MARGIN: Duration = Duration::from_secs(1);

/// All that callers were told and is still of interest.
#[derive(Debug, Default)]
pub struct Told {
    /// Leases by their ids.
    pub leases: BTreeMap<String, Lent>,
    /// The ids of all leases that were ever acknowledged.
    pub acknowledged: BTreeSet<String>,
    /// When the role of each lease was first seen at the target, whether or not anybody was told of it.
    pub first_seen: BTreeMap<String, Timestamp>,
    /// When the server lived.
    pub lives: Lives,
    /// Whether the end of all leases of the role [`super::BULK`] is being asked for.
    pub sweeping: bool,
    /// When that was so last.
    pub swept_at: Timestamp,
    /// Tokens by their accessors.
    pub tokens: BTreeMap<String, Granted>,
    /// What was found to be wrong.
    pub violations: BTreeSet<Violation>,
    /// How often what happened.
    pub counts: BTreeMap<String, u64>,
}

/// A credential that a caller was shown.
#[derive(Clone, Debug)]
pub struct Lent {
    /// Its lease's name on the wire.
    pub lease: String,
    /// The role it was made by.
    pub role: String,
    /// The user's name.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The accessor of the token it was lent to, unless that never ends.
    pub token: Option<String>,
    /// Until then it lives, unless somebody asks for its end.
    pub lives_until: Timestamp,
    /// Its term is over then at the latest, by what was answered last; a renewal that nobody heard of may have moved
    /// that up to its ceiling.
    pub ends_by: Timestamp,
    /// After that it is dead, whatever was asked.
    pub ceiling: Timestamp,
    /// What callers asked for and were told about its end.
    pub fate: Fate,
}

/// A token that a caller was given.
#[derive(Clone, Debug)]
pub struct Granted {
    /// Its text.
    pub text: String,
    /// What callers asked for and were told about its end.
    pub fate: Fate,
}

/// How far something is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody has asked for its end.
    Held,
    /// Somebody has, and was not told that it is gone: it may be or not.
    Doomed,
    /// Somebody was told that it is gone.
    Dead,
}

impl Told {
    /// Counts something once more.
    pub fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Counts something as often as it happened.
    pub fn add(&mut self, what: &str, times: u64) {
        let count = self.counts.entry(what.to_owned()).or_default();
        *count = count.saturating_add(times);
    }

    /// Notes something that must not be.
    pub fn accuse(&mut self, violation: Violation) {
        self.violations.insert(violation);
    }

    /// Keeps what a caller was shown.
    pub fn lent(&mut self, id: String, lent: Lent) {
        self.acknowledged.insert(id.clone());
        self.leases.insert(id, lent);
    }

    /// Returns a lease that nobody has asked to end.
    #[must_use]
    pub fn held(&self, id: &str) -> Option<&Lent> {
        self.leases.get(id).filter(|lent| lent.fate == Fate::Held)
    }

    /// Tells whether a lease must be alive now.
    #[must_use]
    pub fn must_live(&self, id: &str, now: Timestamp) -> bool {
        self.held(id).is_some_and(|lent| now < lent.lives_until)
    }

    /// Says of all leases like this that their end is being asked for; returns their ids.
    pub fn doom(&mut self, like: impl Fn(&str, &Lent) -> bool) -> Vec<String> {
        let mut doomed = Vec::new();
        for (id, lent) in &mut self.leases {
            if lent.fate != Fate::Dead && like(id, lent) {
                lent.fate = Fate::Doomed;
                doomed.push(id.clone());
            }
        }
        doomed
    }

    /// Says of leases that somebody was told that they are gone.
    pub fn bury(&mut self, ids: &[String]) {
        for id in ids {
            if let Some(lent) = self.leases.get_mut(id) {
                lent.fate = Fate::Dead;
            }
        }
    }

    /// Forgets what can do no more wrong that would not be an orphan's: leases that are neither stored nor at the
    /// target, and need not be.
    pub fn forget(&mut self, now: Timestamp, is_seen: impl Fn(&str) -> bool) {
        self.leases
            .retain(|id, lent| is_seen(id) || lent.fate == Fate::Held && now < lent.lives_until);
    }
}
