//! What is known of one standing denial, as a value: what is in it, who writes it, and whether that is in doubt.
//!
//! A write that was not answered may land after one that was, and undo it. No target says in which order two writes
//! landed, so nobody writes while another may still be at it ([`Turn`]), and after a turn that was not answered the
//! denial is in doubt: it is written at once, and once more when nothing of that turn can land any more.

use crate::engine::denial::{Deniable, Denial, Standing};
use crate::ids::{BootId, LeaseId};
use crate::lease::{Handle, Lease, LeaseState};
use crate::limits::{CLOCK_BEHIND, DENIAL_LANDS_WITHIN, DENIAL_TURN};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A standing denial, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingDenial {
    /// By what it is reached.
    reached_by: Handle,
    /// Those that it names.
    names: BTreeMap<LeaseId, Named>,
    /// Whatever is older than a time, where there was no room for names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    older: Option<Older>,
    /// Set from before it is written until that is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<Turn>,
    /// Until when a write that was never answered may land on top of what was written since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doubtful_until: Option<Timestamp>,
}

/// A credential that is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Named {
    name: String,
    /// When it has ended by itself.
    until: Timestamp,
    /// Whether the target has confirmed it.
    written: bool,
}

/// All credentials that are older than a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Older {
    than: Timestamp,
    /// When the last one of ours that this is for has ended.
    until: Timestamp,
    /// Whether the target has confirmed it.
    written: bool,
}

/// Who writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The process.
    pub boot: BootId,
    /// When it gives up.
    pub until: Timestamp,
}

/// A lease whose credential is to be refused until it ends.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The lease.
    pub lease: LeaseId,
    /// How it can be refused.
    pub deniable: Deniable<Handle>,
    /// By when its credential was made.
    pub made_by: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
}

impl Asked {
    /// Asks for what a lease needs that is being revoked. Its credential was made before that began, or by the time that
    /// its issue had: the same time whenever it is asked.
    #[must_use]
    pub fn of(lease: &Lease, deniable: Deniable<Handle>) -> Self {
        let issue_by = lease.issue().issue_by;
        let made_by = match lease.state() {
            LeaseState::Held => issue_by,
            LeaseState::Revoking(revoking) => issue_by.min(revoking.since),
        };
        Self { lease: lease.id(), deniable, made_by, until: lease.term().lapses_at() }
    }
}

impl StandingDenial {
    /// One that refuses nothing yet.
    #[must_use]
    pub fn new(reached_by: Handle) -> Self {
        let names = BTreeMap::new();
        Self { reached_by, names, older: None, turn: None, doubtful_until: None }
    }

    /// What is to be at the target.
    #[must_use]
    pub fn at_target(&self) -> Denial<Handle> {
        Denial {
            reached_by: self.reached_by.clone(),
            names: self.names.values().map(|named| named.name.clone()).collect(),
            older_than: self.older.map(|older| older.than),
        }
    }

    /// Those that it names.
    pub fn leases(&self) -> impl Iterator<Item = LeaseId> {
        self.names.keys().copied()
    }

    /// Whether it refuses all that is older than a time.
    #[must_use]
    pub fn refuses_older(&self) -> bool {
        self.older.is_some()
    }

    /// Whether a credential is in it, or may be.
    #[must_use]
    pub fn concerns(&self, asked: &Asked) -> bool {
        self.names.contains_key(&asked.lease) || self.refuses_as_older(asked)
    }

    fn refuses_as_older(&self, asked: &Asked) -> bool {
        self.older.is_some_and(|older| asked.made_by <= older.than)
    }

    /// Whether the target has confirmed that a credential is refused, for as long as it lives; and whether only as one
    /// of all that are as old.
    #[must_use]
    pub fn refuses(&self, asked: &Asked) -> Option<bool> {
        let until = |until: Timestamp| until >= asked.until;
        let is_older = self.older.is_some_and(|it| it.written && until(it.until));
        let named = self.names.get(&asked.lease);
        if named.is_some_and(|named| named.written && until(named.until)) {
            return Some(false);
        }
        (is_older && self.refuses_as_older(asked)).then_some(true)
    }

    /// Whether another process is writing it.
    #[must_use]
    pub fn is_written_by_another(&self, boot: BootId, now: Timestamp) -> bool {
        // One that would go on for much longer than any does was told by another clock: those of two nodes differ a little.
        let longest = DENIAL_TURN.saturating_add(CLOCK_BEHIND);
        let is_on = |turn: Turn| now < turn.until && turn.until <= now.plus(longest);
        self.turn.is_some_and(|turn| turn.boot != boot && is_on(turn))
    }

    /// Until when what stands there is in doubt.
    #[must_use]
    pub fn doubtful_until(&self) -> Option<Timestamp> {
        self.doubtful_until
    }

    /// Whether nothing is left to refuse, and nothing can come back.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.names.is_empty()
            && self.older.is_none()
            && self.turn.is_none()
            && self.doubtful_until.is_none()
    }

    /// Whether a write of it was begun, and nothing is known of its answer.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.turn.is_some()
    }

    /// Whether it has to be written: it was not answered, or what is in it has ended.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let is_unwritten = self.names.values().any(|named| !named.written)
            || self.older.is_some_and(|older| !older.written);
        let is_doubtful = self.doubtful_until.is_some_and(|until| until <= now);
        self.turn.is_some()
            || is_unwritten
            || is_doubtful
            || *self != self.clone().without_ended(now)
    }

    /// Leaves out what has ended by itself; while anything is in doubt nothing is, so that there is a lease that sees it
    /// through.
    #[must_use]
    pub fn without_ended(mut self, now: Timestamp) -> Self {
        if self.turn.is_some() || self.doubtful_until.is_some_and(|until| until > now) {
            return self;
        }
        self.names.retain(|_, named| named.until > now);
        self.older = self.older.filter(|older| older.until > now);
        self
    }

    /// Leaves out what was never confirmed; `None` if there is no such thing. Whoever asked for it asks again.
    #[must_use]
    pub fn without_unwritten(mut self) -> Option<Self> {
        let before = self.names.len();
        self.names.retain(|_, named| named.written);
        (self.names.len() < before).then_some(self)
    }

    /// Takes in more.
    #[must_use]
    pub fn with(mut self, more: &[Asked]) -> Self {
        for asked in more {
            if self.refuses_as_older(asked) {
                self.older = self.older.map(|it| Older { until: it.until.max(asked.until), ..it });
                continue;
            }
            let named = Named {
                name: asked.deniable.name.clone(),
                until: asked.until,
                written: self.names.get(&asked.lease).is_some_and(|named| named.written),
            };
            self.names.insert(asked.lease, named);
        }
        self
    }

    /// Reaches it by what is known to do so now.
    #[must_use]
    pub fn reached_by(self, by: &Handle) -> Self {
        Self { reached_by: by.clone(), ..self }
    }

    /// What the target had confirmed, and was found to refuse no more, is to be written again.
    #[must_use]
    pub fn without_undone(mut self, stands: &Standing) -> Self {
        for named in self.names.values_mut() {
            named.written &= stands.names.contains(&named.name);
        }
        self.older = self
            .older
            .map(|older| Older { written: older.written && stands.older_than.is_some(), ..older });
        self
    }

    /// Takes in what the target was found to refuse and the store did not know of.
    #[must_use]
    pub fn with_found(mut self, names: Vec<(LeaseId, String, Timestamp)>) -> Self {
        for (lease, name, until) in names {
            self.names.entry(lease).or_insert(Named { name, until, written: true });
        }
        self
    }

    /// The same for all that is older than a time.
    #[must_use]
    pub fn with_older_found(mut self, than: Timestamp, until: Timestamp) -> Self {
        self.older.get_or_insert(Older { than, until, written: true });
        self
    }

    /// Refuses all that are as old as these, in place of all names: no name is of a credential that was made later.
    #[must_use]
    pub fn with_older(mut self, more: &[Asked], now: Timestamp) -> Self {
        let named = self.names.values().map(|named| named.until);
        let known = self.older.map(|older| older.until);
        let until = named.chain(known).chain(more.iter().map(|asked| asked.until)).max();
        self.names.clear();
        self.older = until.map(|until| Older { than: now, until, written: false });
        self
    }

    /// A process is about to write it. What was not answered before may land on top of that.
    #[must_use]
    pub fn begun(mut self, boot: BootId, now: Timestamp) -> Self {
        let until = now.plus(DENIAL_TURN);
        if self.turn.is_some() {
            self.doubtful_until = Some(until.plus(DENIAL_LANDS_WITHIN));
        } else if self.doubtful_until.is_some_and(|until| until <= now) {
            self.doubtful_until = None;
        }
        self.turn = Some(Turn { boot, until });
        self
    }

    /// The target has confirmed all that is in it.
    #[must_use]
    pub fn written(mut self) -> Self {
        self.turn = None;
        for named in self.names.values_mut() {
            named.written = true;
        }
        self.older = self.older.map(|older| Older { written: true, ..older });
        self
    }
}

#[cfg(test)]
#[path = "denial/tests.rs"]
mod tests;
