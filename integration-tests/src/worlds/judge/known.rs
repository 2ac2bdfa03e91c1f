//! What the judge knows, of leases, tokens, and what anybody was told.

use super::abandoned::Abandoned;
use super::passwords::Passwords;
use super::put_back::PutBacks;
use super::{Repeat, Whole};
use crate::worlds::accounts::ToldEnd;
use crate::worlds::executor::Whose;
use leasehold_core::access::token::Token;
use leasehold_core::broker::{AdmitError, RenewError};
use leasehold_core::ids::{LeaseId, TargetId, TokenAccessor};
use leasehold_core::lease::{Lease, LeaseError};
use leasehold_core::limits::REMEMBERED_FOR;
use leasehold_core::store::StoreError;
use leasehold_core::store::tokens::TokenKey;
use leasehold_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Leases as they are stored now.
    pub(super) leases: BTreeMap<LeaseId, Lease>,
    pub(super) tokens: HashMap<TokenKey, Token>,
    /// What every target there ever was is called.
    pub(super) target_names: HashMap<TargetId, String>,
    /// Every lease there ever was.
    pub(super) ever: HashSet<LeaseId>,
    /// When they were first stored, and by which clock.
    pub(super) stored: HashMap<LeaseId, Stored>,
    /// By how much the clock was off by which each was last stored as held.
    pub(super) held_by: HashMap<LeaseId, i64>,
    /// Tokens that callers were told, as they were told them.
    pub(super) told_tokens: HashMap<String, TokenAccessor>,
    /// Requests that were made with a token that was over.
    pub(super) without_token: HashSet<String>,
    /// Secrets that callers were shown.
    pub(super) shown: HashMap<LeaseId, Shown>,
    /// When requests were made that may be repeated.
    pub(super) asked_at: HashMap<String, Timestamp>,
    /// How often each request was made that may be repeated.
    pub(super) repeated: HashMap<Repeat, u32>,
    /// Until when holders were told that their credentials live, by the true time.
    pub(super) promised: HashMap<LeaseId, Timestamp>,
    /// Which processes have been asked for renewals and have not answered, once for each.
    renewing: BTreeMap<LeaseId, Vec<Whose>>,
    /// Which requests have asked for a new term.
    pub(super) renewed_by: HashMap<LeaseId, Vec<String>>,
    /// Renewals of these meet, or met one of which nobody heard.
    pub(super) met: HashSet<LeaseId>,
    /// Until when a renewal may still be stored of which nobody will hear.
    pub(super) may_be_stored: HashMap<LeaseId, Timestamp>,
    /// Until when its server may still be told of one whose process has died.
    pub(super) may_be_told: HashMap<LeaseId, Timestamp>,
    /// Until when their servers were told the same.
    pub(super) told: HashMap<LeaseId, Timestamp>,
    /// Somebody asked for their end.
    pub(super) unwanted: BTreeSet<LeaseId>,
    /// How many ask for the end of everything that these have.
    pub(super) unwanted_wholes: HashMap<Whole, u32>,
    pub(super) unwanted_tokens: HashSet<TokenAccessor>,
    /// The store has forgotten them: it was made of a backup that is older.
    pub(super) forgotten: HashSet<LeaseId>,
    /// Their target has lost them by itself.
    pub(super) lost: HashSet<LeaseId>,
    pub(super) abandoned: Abandoned,
    pub(super) put_backs: PutBacks,
    pub(super) passwords: Passwords,
    /// Between their commit and the target's answer.
    pub(super) issuing: HashSet<LeaseId>,
    /// The longest that a settled lease was overdue, for each server, in milliseconds.
    pub(super) late_most: BTreeMap<u64, u64>,
}

/// When a lease was first stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    /// By the true time.
    pub(super) at: Timestamp,
    /// How far the clock was ahead by which its times were told.
    pub(super) off_ms: i64,
}

/// What a renewal that failed has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unrenewed {
    /// It was refused before anything was stored: what the holder was told still holds.
    Untouched,
    /// It may have been stored, and not be as the holder wished: what is stored now holds.
    HalfDone,
    /// Nobody knows whether it was stored, or still is to be.
    Unknown,
}

impl Unrenewed {
    /// What is left after this error.
    pub(super) fn after(error: &RenewError) -> Self {
        match error {
            RenewError::Store(StoreError::Uncertain(_))
            | RenewError::Admit(AdmitError::Audit(_)) => Self::Unknown,
            // A shorter term may be over by the time that its target was told of it. The owner may end while the target
            // is told, or after another renewal that made the term shorter.
            RenewError::Target(_)
            | RenewError::Gone
            | RenewError::OwnerMayNot(_)
            | RenewError::Lease(LeaseError::Lapsed) => Self::HalfDone,
            RenewError::Store(StoreError::Conflict | StoreError::Refused(_))
            | RenewError::Admit(
                AdmitError::BadToken | AdmitError::Denied { .. } | AdmitError::Store(_),
            )
            | RenewError::NoLease
            | RenewError::Lease(LeaseError::PastCeiling | LeaseError::NotRenewable)
            | RenewError::NoRole(_)
            | RenewError::NoTarget(_)
            | RenewError::Clock(_) => Self::Untouched,
        }
    }
}

/// A secret that was shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) request: String,
    pub(super) repeat: Option<Repeat>,
    pub(super) at: Timestamp,
}

impl Shown {
    /// Within two minutes, to whoever asks the same; however long the answer takes.
    pub(super) fn may_be_repeated(&self, repeat: Option<&Repeat>, asked_at: Timestamp) -> bool {
        let in_time = asked_at.since(self.at) <= REMEMBERED_FOR;
        self.repeat.is_some() && self.repeat.as_ref() == repeat && in_time
    }
}

impl Known {
    /// Notes until when a holder may rely on a credential: not longer than its server was told.
    pub(super) fn promise(&mut self, id: LeaseId, until: Timestamp) {
        let told = self.told.get(&id).copied().unwrap_or_default();
        self.promised.entry(id).or_insert(until.min(told));
    }

    /// A process is asked for a renewal.
    pub(super) fn renewal_begins(&mut self, id: LeaseId, whose: Whose, now: Timestamp) {
        let may_be_stored = self.may_be_stored.get(&id).is_some_and(|until| now < *until);
        if may_be_stored || self.is_renewing(id) {
            self.met.insert(id);
        } else {
            self.met.remove(&id);
        }
        self.renewing.entry(id).or_default().push(whose);
    }

    /// A process has answered for one renewal; returns how many others are on their way.
    pub(super) fn renewal_over(&mut self, id: LeaseId, whose: Whose) -> usize {
        let Some(renewing) = self.renewing.get_mut(&id) else { return 0 };
        let answered = renewing.iter().position(|other| *other == whose);
        answered.map(|place| renewing.swap_remove(place));
        renewing.len()
    }

    /// A process dies, and nobody hears any more of its renewals, which may still be stored and told until then.
    pub(super) fn renewals_die(&mut self, whose: Whose, until: Timestamp, told_until: Timestamp) {
        let mut unheard = Vec::new();
        for (id, renewing) in &mut self.renewing {
            let before = renewing.len();
            renewing.retain(|other| *other != whose);
            if renewing.len() < before {
                unheard.push(*id);
            }
        }
        for id in unheard {
            self.is_unheard(id, until);
            self.may_be_told.insert(id, told_until);
        }
    }

    /// Whether a renewal is on its way, as far as anybody knows.
    pub(super) fn is_renewing(&self, id: LeaseId) -> bool {
        self.renewing.get(&id).is_some_and(|renewing| !renewing.is_empty())
    }

    /// What was promised is no longer than what is stored: a renewal may have made it shorter.
    pub(super) fn promise_what_is_stored(&mut self, id: LeaseId) {
        let stored = self.stored_end(id);
        if let (Some(stored), Some(promised)) = (stored, self.promised.get_mut(&id)) {
            *promised = stored.min(*promised);
        }
    }

    /// A server was told an end by a clock that may be ahead of the one by which the lease was last stored: by that
    /// one the lease is over as much earlier, and its holder may rely on no more.
    pub(super) fn ends_by_clock(&mut self, id: LeaseId, end: ToldEnd) {
        let held_by = self.held_by.get(&id).copied().unwrap_or(0);
        let ahead_ms = u64::try_from(end.off_ms - held_by).unwrap_or(0);
        if let Some(promised) = self.promised.get_mut(&id) {
            let by_clock = Timestamp(promised.0.saturating_sub(ahead_ms));
            *promised = by_clock.max(end.at.min(*promised));
        }
    }

    /// Until when a lease lives as it is stored, by the true time.
    pub(super) fn stored_end(&self, id: LeaseId) -> Option<Timestamp> {
        let held_by = self.held_by.get(&id).copied().unwrap_or(0);
        let lapses_at = self.leases.get(&id)?.term().lapses_at();
        Some(Timestamp(lapses_at.0.saturating_add_signed(-held_by)))
    }

    /// Nobody hears any more of a renewal, which may still be stored until then.
    pub(super) fn is_unheard(&mut self, id: LeaseId, until: Timestamp) {
        self.promise_what_is_stored(id);
        self.may_be_stored.insert(id, until);
    }

    pub(super) fn is_unwanted(&self, lease: &Lease) -> bool {
        self.unwanted.contains(&lease.id())
            || self
                .unwanted_wholes
                .iter()
                .any(|(whole, asking)| *asking > 0 && self.is_in(whole, lease))
    }

    /// Whether somebody asked for a token's end, or its time is over, or its maker has ended; or nobody has been told
    /// it, since one whose making cannot be recorded ends at once (law 8).
    pub(super) fn may_end(&self, token: Option<&Token>, now: Timestamp) -> bool {
        let Some(token) = token else { return true };
        let maker_ended = token.parent.is_some_and(|parent| {
            self.tokens.get(&parent).is_none_or(|maker| maker.ended.is_some())
        });
        self.unwanted_tokens.contains(&token.accessor)
            || maker_ended
            || token.num_uses > 0
            || (token.term.is_some() && !self.is_told(token.accessor))
            || token.term.is_some_and(|term| now >= term.lapses_at())
    }

    fn is_told(&self, token: TokenAccessor) -> bool {
        self.told_tokens.values().any(|told| *told == token)
    }
}
