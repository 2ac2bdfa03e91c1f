//! Judges what is committed: every change of a lease and of a token.

use super::known::{Known, Stored};
use super::{GONE_MAX, Judge, LATE_MAX, LIFE_MAX, ahead, told};
use crate::worlds::clock::Reading;
use crate::worlds::disk::Disk;
use crate::worlds::node::root_key;
use leasehold_core::access::token::Token;
use leasehold_core::ids::LeaseId;
use leasehold_core::lease::term::Term;
use leasehold_core::lease::{Cause, Lease, LeaseState};
use leasehold_core::seal;
use leasehold_core::store::abandonments::Abandonment;
use leasehold_core::store::leases::of_token_lease;
use leasehold_core::store::mounts::Target;
use leasehold_core::store::tokens::TokenKey;
use leasehold_core::store::{Batch, Key, Value};
use leasehold_core::time::Timestamp;
use serde::de::DeserializeOwned;
use std::time::Duration;

impl Judge {
    /// A batch was applied that was decided by this time.
    pub fn committed(&self, disk: &Disk, batch: &Batch, by: Reading) {
        if self.barrier.lock().is_none() {
            return;
        }
        for (key, value) in &batch.puts {
            if key.0 == b"seal/keyring" {
                // There is a new key, which seals what is written from now on; the root key stays.
                let unsealed = seal::read(&root_key(), value).unwrap();
                *self.barrier.lock() = Some(unsealed.barrier);
            } else if let Some(after) = self.opened::<Lease>(disk, key, b"lease/") {
                self.lease_put(disk, &after, by);
            } else if let Some(after) = self.opened::<Token>(disk, key, b"token/") {
                self.token_put(after, by);
            } else if let Some(target) = self.opened::<Target>(disk, key, b"target/") {
                self.known.lock().target_names.insert(target.id, target.name);
            } else if let Some(word) = self.opened::<Abandonment>(disk, key, b"abandoned/") {
                self.abandoned(key, &word);
            }
            self.paper_put(key, value);
        }
        self.check_puts(batch);
        for key in &batch.deletes {
            if let Some(id) = key.0.strip_prefix(b"lease/").and_then(|id| id.try_into().ok()) {
                self.lease_deleted(LeaseId::from_bytes(id));
            } else if let Some(id) = key.0.strip_prefix(b"token/").and_then(|id| id.try_into().ok())
            {
                self.token_deleted(disk, TokenKey(id));
            } else {
                self.paper_deleted(key);
            }
        }
        self.check_all_known();
    }

    pub(super) fn opened<T: DeserializeOwned>(
        &self,
        disk: &Disk,
        key: &Key,
        prefix: &[u8],
    ) -> Option<T> {
        if !key.0.starts_with(prefix) {
            return None;
        }
        let (value, _) = disk.at(key)?;
        self.read_as(key, &value, prefix)
    }

    pub(super) fn read_as<T: DeserializeOwned>(
        &self,
        key: &Key,
        value: &Value,
        prefix: &[u8],
    ) -> Option<T> {
        if !key.0.starts_with(prefix) {
            return None;
        }
        let plain = self.barrier.lock().as_ref()?.open(key, value).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    fn lease_put(&self, disk: &Disk, after: &Lease, by: Reading) {
        let id = after.id();
        let term = after.term();
        if term.lapses_at() > term.ceiling() || term.ceiling() > after.issued_at().plus(LIFE_MAX) {
            self.setting.broken(4, id, "a lease was stored with a life past its ceiling");
        }
        self.check_index(disk, after);
        let mut known = self.known.lock();
        match known.leases.get(&id) {
            None => {
                self.setting.note(id, || {
                    let (at, ceiling) = (after.term().lapses_at(), after.term().ceiling());
                    format!("stored; lapses at {}, ceiling {}", told(at), told(ceiling))
                });
                // An adoption that lands late finds the credential gone, and is settled once more.
                let is_adopted = after.place().role == "adopted";
                let may_come_back = known.forgotten.remove(&id) || is_adopted;
                let is_new = known.ever.insert(id);
                if !is_new && !may_come_back {
                    self.setting.broken(2, id, "a lease that was settled came back");
                }
                if is_new && is_adopted {
                    self.setting.broken(9, id, "what is not ours was adopted");
                }
                if is_adopted {
                    known.taken_again(id);
                } else {
                    self.check_owner(&known, after);
                }
                if known.abandoned.has(after) {
                    self.setting.broken(2, id, "a lease was stored at a target that was abandoned");
                }
                known.issuing.insert(id);
                let stored = Stored { at: self.setting.now(), off_ms: by.off_ms };
                known.stored.insert(id, stored);
            }
            Some(before) => self.check_change(&known, before, after, by),
        }
        let is_held = after.state() == &LeaseState::Held;
        let before = known.leases.insert(id, after.clone());
        // What puts a credential back tells no new term.
        if is_held && before.is_none_or(|before| before.term() != after.term()) {
            known.held_by.insert(id, by.off_ms);
            if known.may_be_stored.get(&id).is_some_and(|until| self.setting.now() < *until) {
                known.promise_what_is_stored(id);
            }
        }
    }

    /// A token that has ended gets no new lease (law 4).
    fn check_owner(&self, known: &Known, lease: &Lease) {
        let owner = known.tokens.get(&lease.owner().token);
        if owner.is_none_or(|token| token.ended.is_some()) {
            self.setting.broken(4, lease.id(), "a lease was stored for a token that has ended");
        }
    }

    /// Whatever ends a lease finds it by one of these (law 2).
    fn check_index(&self, disk: &Disk, lease: &Lease) {
        let id = lease.id();
        let due = Key([b"due/".as_slice(), &lease.due_at().0.to_be_bytes(), id.bytes()].concat());
        if disk.at(&due).is_none() {
            self.setting.broken(2, id, "a lease was stored that no sweep will find");
        }
        if disk.at(&of_token_lease(&lease.owner().token, id)).is_none() {
            self.setting.broken(4, id, "a lease was stored that its token does not lead to");
        }
    }

    fn check_change(&self, known: &Known, before: &Lease, after: &Lease, by: Reading) {
        let (id, setting) = (after.id(), &self.setting);
        if before.term().ceiling() != after.term().ceiling()
            || before.issued_at() != after.issued_at()
        {
            setting.broken(4, id, "the ceiling of a lease was moved");
        }
        match (before.state(), after.state()) {
            (LeaseState::Held, LeaseState::Held) if before.term() == after.term() => {
                setting.note(id, || "to be put back".into());
            }
            (LeaseState::Held, LeaseState::Held) => {
                setting.note(id, || format!("renewed until {}", told(after.term().lapses_at())));
            }
            (LeaseState::Held, LeaseState::Revoking(revoking)) => {
                setting.note(id, || format!("to be revoked: {}", revoking.cause));
                match revoking.cause {
                    Cause::Lapsed => setting.counters.lapsed.one(),
                    Cause::TokenEnded => setting.counters.ended_with_token.one(),
                    Cause::Asked
                    | Cause::IssueFailed
                    | Cause::NeverMade
                    | Cause::Missing
                    | Cause::Superseded
                    | Cause::Abandoned => {}
                }
                let is_promised = known.promised.get(&id);
                // Terms are whole seconds, and an answer that comes late seems to promise as much more.
                let told_by = known.held_by.get(&id).copied().unwrap_or(0);
                let off = ahead(by.off_ms - told_by);
                let by_now = setting.now().plus(off).plus(Duration::from_secs(15));
                let is_promised = is_promised.is_some_and(|until| by_now < *until);
                // What a restore forgets of renewals is in the target, where that knows ends.
                // One whose renewal was never answered does not know.
                let is_answered = !known.is_renewing(id);
                if revoking.cause == Cause::Lapsed
                    && is_promised
                    && is_answered
                    && !setting.restores
                {
                    setting.broken(2, id, "a lease lapsed before what its holder was told");
                }
                let lapsed_at = before.term().lapses_at();
                self.check_soon(id, lapsed_at, "a lease that lapsed was not revoked");
                if !self.is_justified(known, before, revoking.cause, by) {
                    let why = format!("a lease was ended early: {}", revoking.cause);
                    setting.broken(2, id, why);
                }
            }
            (LeaseState::Revoking(_), LeaseState::Revoking(revoking)) => setting.note(id, || {
                let error = revoking.error.as_deref().unwrap_or("-");
                format!("attempt {}, next at {}: {error}", revoking.attempts, told(after.due_at()))
            }),
            (LeaseState::Revoking(_), LeaseState::Held) => {
                setting.broken(2, id, "a lease that was being revoked came back");
            }
        }
    }

    /// Where nothing goes wrong, what is due is done soon.
    fn check_soon(&self, lease: impl Into<Option<LeaseId>>, since: Timestamp, what: &str) {
        self.check_within(LATE_MAX, lease, since, what);
    }

    fn check_within(
        &self,
        span: Duration,
        lease: impl Into<Option<LeaseId>>,
        since: Timestamp,
        what: &str,
    ) {
        let late = self.setting.now().since(since);
        if self.setting.fair && late > span {
            self.setting.broken(2, lease, format!("{what} for {} s", late.as_secs()));
        }
    }

    /// Whether a lease that is held may be ended.
    fn is_justified(&self, known: &Known, lease: &Lease, cause: Cause, by: Reading) -> bool {
        let id = lease.id();
        match cause {
            Cause::Lapsed => by.at >= lease.term().lapses_at(),
            Cause::Asked => known.is_unwanted(lease),
            Cause::TokenEnded => {
                let owner = known.tokens.get(&lease.owner().token);
                owner.is_none_or(|token| token.ended.is_some())
            }
            Cause::Abandoned => known.abandoned.has(lease),
            Cause::IssueFailed | Cause::NeverMade => !known.shown.contains_key(&id),
            Cause::Superseded => known.shown.get(&id).is_none_or(|shown| {
                let unknown = || self.setting.restores;
                shown.repeat.as_ref().map_or_else(unknown, |it| known.repeated.get(it) > Some(&1))
            }),
            Cause::Missing => {
                known.lost.contains(&id) || known.issuing.contains(&id) || !self.is_anywhere(id)
            }
        }
    }

    fn is_anywhere(&self, id: LeaseId) -> bool {
        self.servers.lock().iter().any(|server| server.has(id))
    }

    fn lease_deleted(&self, id: LeaseId) {
        let mut known = self.known.lock();
        let Some(before) = known.leases.remove(&id) else { return };
        known.issuing.remove(&id);
        known.put_backs.settled(id);
        self.setting.counters.settled.one();
        self.setting.note(id, || "settled".into());
        match before.state() {
            LeaseState::Held => {
                self.setting.broken(2, id, "a lease was removed while it was held");
            }
            LeaseState::Revoking(revoking) => {
                self.check_soon(id, revoking.since, "a lease that was revoked was not settled");
            }
        }
        if known.abandoned.has(&before) {
            self.gone_unseen(&mut known, id);
        }
        for server in self.servers.lock().iter() {
            if known.abandoned.left(id) {
                break;
            }
            if server.has(id) {
                self.setting.broken(1, id, "a lease was removed while its credential was there");
                let late = self.setting.now().since(before.term().lapses_at());
                self.setting.note(id, || format!("{} s after its term", late.as_secs()));
            }
            if server.has_session(id) {
                self.setting.broken(5, id, "a lease was removed while its credential was in use");
            }
        }
        if !self.journal.has_revocation(id) {
            self.setting.broken(8, id, "a lease was removed before its revocation was recorded");
        }
        if let Some(server) = self.servers.lock().iter().find(|server| server.had(id)) {
            let late = self.setting.now().since(before.term().lapses_at());
            let late = u64::try_from(late.as_millis()).unwrap();
            let most = known.late_most.entry(server.number).or_default();
            *most = late.max(*most);
        }
    }

    pub(super) fn token_put(&self, after: Token, by: Reading) {
        let mut known = self.known.lock();
        if let Some(term) = after.term
            && term.lapses_at() > term.ceiling()
        {
            self.setting.broken(4, None, "a token was stored with a life past its ceiling");
        }
        let before = known.tokens.get(&after.key);
        if before.is_some_and(|before| before.ended.is_some()) && after.ended.is_none() {
            self.setting.broken(4, None, "a token that had ended came back");
        }
        let begins = before.is_none_or(|before| before.ended.is_none());
        if after.ended.is_some() && begins {
            self.setting.note(None, || format!("token {} ends", after.accessor));
            let lapsed_at = before.and_then(|before| before.term).map(Term::lapses_at);
            if let Some(lapsed_at) = lapsed_at {
                self.check_soon(None, lapsed_at, "a token that lapsed was not ended");
            }
            if !known.may_end(before, by.at) {
                let why = format!("token {} was ended early: {before:?}", after.accessor);
                self.setting.broken(2, None, why);
            }
        }
        known.tokens.insert(after.key, after);
    }

    fn token_deleted(&self, disk: &Disk, key: TokenKey) {
        let mut known = self.known.lock();
        let Some(before) = known.tokens.remove(&key) else { return };
        if let Some(ended) = before.ended {
            self.check_within(
                GONE_MAX,
                None,
                ended.since,
                "a token that had ended was not removed",
            );
        }
        let under = |prefix: &[u8]| Key([prefix, &key.0].concat());
        if disk.has_under(&under(b"of-token/")) {
            self.setting.broken(4, None, "a token went before its leases");
        }
        if disk.has_under(&under(b"child/")) {
            self.setting.broken(4, None, "a token went before the tokens it had made");
        }
        let child_lives = known.tokens.values().any(|token| token.parent == Some(key));
        if child_lives {
            self.setting.broken(4, None, "a token outlived the one that made it");
        }
        self.setting.note(None, || format!("token {} is gone", before.accessor));
    }
}
