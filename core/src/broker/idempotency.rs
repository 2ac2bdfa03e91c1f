//! Lets whoever repeats a request that creates have the answer of the first, and never a second credential.
//!
//! A request is a repetition of another if token, `Idempotency-Key`, method, path and parameters are the same. What
//! is compared is a keyed hash of these, so nobody learns from the store what was asked, and nobody else's request
//! can have the same. The parameters are hashed as they were understood, not as they were written: a client that
//! orders its JSON anew, or puts a field into the query, asks the same.
//!
//! The hash is stored in the batch of the lease, at a place of its own, which the batch expects as it was found. So
//! two nodes, or a process and the one after it, never hold two leases under one key that both think they are the
//! one. The secret is only ever in memory. Where it is not, the lease of before is of no use to anybody: it is
//! revoked, durably, and then a fresh one takes its place under the key. A crash in between leaves the place with a
//! lease that is being revoked, which the next repetition replaces and its own end clears.

use super::authenticate::Caller;
use super::issue::{IssueError, Issued, Purpose};
use super::{Broker, Request};
use crate::access::token::Token;
use crate::audit::Asked;
use crate::ids::LeaseId;
use crate::lease::Cause;
use crate::limits::{IDEMPOTENCY_KEY_MAX, REMEMBERED_FOR, REMEMBERED_MAX};
use crate::secret::{Locked, Secret};
use crate::store::leases::RepeatKey;
use crate::store::{Revision, StoreError};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use futures_channel::oneshot;
use parking_lot::Mutex;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What derives the key of the hashes from the one of tokens. It is not UTF-8, so no token's hash is that key.
const DERIVED_FOR: &[u8] = b"\xffidempotency";

/// A request with the same key is the same request, if the rest of it is the same too. The caller chose it.
pub struct IdempotencyKey(String);

/// The key cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`Idempotency-Key` must be 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters, sent once")]
pub struct BadIdempotencyKey;

impl IdempotencyKey {
    /// Reads a key as it was sent.
    pub fn parse(sent: &[u8]) -> Result<Self, BadIdempotencyKey> {
        let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&sent.len());
        let text = sent.iter().all(u8::is_ascii_graphic).then(|| String::from_utf8(sent.to_vec()));
        text.and_then(Result::ok).filter(|_| fits).map(Self).ok_or(BadIdempotencyKey)
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(..)")
    }
}

/// The answers that can be repeated, and those that are still being worked out.
#[derive(Debug)]
pub(super) struct Repeats {
    key: Locked<hmac::Key>,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    by_key: HashMap<RepeatKey, Slot>,
    /// What is remembered, the oldest first; some of it may be forgotten already.
    order: VecDeque<(Timestamp, RepeatKey, LeaseId)>,
}

#[derive(Debug)]
enum Slot {
    /// The first request is being served, and these wait for it.
    Serving(Vec<oneshot::Sender<IssueError>>),
    /// It was answered.
    Remembered(Arc<Remembered>),
}

/// What was answered.
#[derive(Debug)]
struct Remembered {
    lease: LeaseId,
    secret: Arc<Secret>,
    capped: Option<(Duration, Duration)>,
    forget_at: Timestamp,
}

/// What a request finds under its key.
enum Joined<'a> {
    /// Nothing: it is the first.
    First(Turn<'a>),
    /// Another is being served. The failure of that one is told; without a word it is to look again.
    Waits(oneshot::Receiver<IssueError>),
    /// Another was answered.
    Repeats(Arc<Remembered>),
}

/// Is the first under a key. Whoever waits looks again when this is dropped, however that comes about.
struct Turn<'a> {
    repeats: &'a Repeats,
    key: RepeatKey,
    over: bool,
}

impl Repeats {
    pub(super) fn new(token_key: &hmac::Key) -> Self {
        let derived = hmac::sign(token_key, DERIVED_FOR);
        let key = Locked::new(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()));
        Self { key, slots: Mutex::default() }
    }

    /// Returns what makes a request the same as another. The accessor is in it because a token that was ended can
    /// be made again with the same text: that is another token.
    fn key_of(&self, token: &Token, asked: &Asked, key: &IdempotencyKey) -> RepeatKey {
        let mut hash = hmac::Context::with_key(&self.key);
        let parameters = asked.data.as_ref().map(ToString::to_string).unwrap_or_default();
        hash.update(&token.key.0);
        hash.update(token.accessor.bytes());
        for part in [&key.0, asked.operation.word(), &asked.path, &parameters] {
            // With its length before it, no part can pass for the end of another.
            hash.update(&part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.sign().as_ref());
        RepeatKey(bytes)
    }

    fn join(&self, key: RepeatKey, now: Timestamp) -> Joined<'_> {
        let mut slots = self.slots.lock();
        match slots.by_key.entry(key) {
            Entry::Occupied(mut slot) => match slot.get_mut() {
                Slot::Serving(waiting) => {
                    let (tell, told) = oneshot::channel();
                    waiting.push(tell);
                    return Joined::Waits(told);
                }
                Slot::Remembered(remembered) if now < remembered.forget_at => {
                    return Joined::Repeats(Arc::clone(remembered));
                }
                Slot::Remembered(_) => {
                    slot.insert(Slot::Serving(Vec::new()));
                }
            },
            Entry::Vacant(slot) => {
                slot.insert(Slot::Serving(Vec::new()));
            }
        }
        Joined::First(Turn { repeats: self, key, over: false })
    }

    /// Forgets the secret of a lease.
    pub(super) fn forget(&self, key: &RepeatKey, lease: LeaseId) {
        self.slots.lock().forget(key, lease);
    }

    /// Forgets what was answered long enough ago.
    pub(super) fn forget_old(&self, now: Timestamp) {
        let mut slots = self.slots.lock();
        while slots.order.front().is_some_and(|(at, ..)| *at <= now) {
            slots.forget_oldest();
        }
    }

    /// Returns when there is something to forget, in whole seconds: what is answered in one second is forgotten at
    /// once.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let (at, ..) = *self.slots.lock().order.front()?;
        Some(Timestamp(at.0.div_ceil(1000).saturating_mul(1000)))
    }
}

impl Slots {
    fn forget(&mut self, key: &RepeatKey, lease: LeaseId) {
        if let Some(Slot::Remembered(remembered)) = self.by_key.get(key)
            && remembered.lease == lease
        {
            self.by_key.remove(key);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key, lease)) = self.order.pop_front() {
            self.forget(&key, lease);
        }
    }
}

impl Turn<'_> {
    /// The answer can be repeated from now on.
    fn answered(mut self, remembered: Remembered) {
        self.over = true;
        let mut slots = self.repeats.slots.lock();
        slots.order.push_back((remembered.forget_at, self.key, remembered.lease));
        // Whoever waited is woken by the end of the channel, and finds it.
        slots.by_key.insert(self.key, Slot::Remembered(Arc::new(remembered)));
        while slots.order.len() > REMEMBERED_MAX {
            slots.forget_oldest();
        }
    }

    /// Whoever waits fails alike; whoever comes later begins anew.
    fn failed(mut self, error: &IssueError) {
        // What was wrong with this caller's token or record is no answer to the others: they look again.
        if matches!(error, IssueError::LastUse | IssueError::Admit(_)) {
            return;
        }
        for tell in self.end() {
            let _ = tell.send(error.clone());
        }
    }

    fn end(&mut self) -> Vec<oneshot::Sender<IssueError>> {
        if std::mem::replace(&mut self.over, true) {
            return Vec::new();
        }
        match self.repeats.slots.lock().by_key.remove(&self.key) {
            Some(Slot::Serving(waiting)) => waiting,
            Some(Slot::Remembered(_)) | None => Vec::new(),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.end());
    }
}

impl Broker {
    /// Issues to a caller who may have asked the same before.
    pub(super) async fn issue_once(
        self: &Arc<Self>,
        request: &Request,
        caller: &Caller,
        (mount, role): (&str, &str),
        key: &IdempotencyKey,
    ) -> Result<Issued, IssueError> {
        let key = self.repeats.key_of(&caller.token.record, &request.asked, key);
        let outcome = loop {
            match self.repeats.join(key, self.clock.now()) {
                Joined::First(turn) => {
                    return self.issue_first(request, caller, (mount, role), turn).await;
                }
                Joined::Waits(failure) => {
                    if let Ok(error) = failure.await {
                        break Err(error);
                    }
                }
                Joined::Repeats(remembered) => {
                    match self.recall(request, caller, (mount, role), &remembered).await {
                        Ok(None) => self.repeats.forget(&key, remembered.lease),
                        Ok(Some(issued)) => break Ok(issued),
                        Err(error) => break Err(error),
                    }
                }
            }
        };
        // A repetition that cannot be recorded is told nothing, and that is all: the lease is its first caller's,
        // and that they were told is on record.
        self.conclude_issue(request, caller, outcome.as_ref()).await?;
        outcome
    }

    async fn issue_first(
        self: &Arc<Self>,
        request: &Request,
        caller: &Caller,
        (mount, role): (&str, &str),
        turn: Turn<'_>,
    ) -> Result<Issued, IssueError> {
        let key = turn.key;
        match self.issue_to(request, caller, (mount, role), Purpose::Use(Some(key))).await {
            Ok((issued, lease)) => {
                let lease = lease.record.id();
                let forget_at = self.clock.now().plus(REMEMBERED_FOR);
                let (secret, capped) = (Arc::clone(&issued.secret), issued.capped);
                turn.answered(Remembered { lease, secret, capped, forget_at });
                self.wake_sweep_by(forget_at);
                // Whoever took the lease from its holder before this had nothing to forget yet.
                let held = self.records.lease(lease).await;
                let now = self.clock.now();
                if !held.is_ok_and(|held| held.is_some_and(|held| held.record.is_held(now))) {
                    self.repeats.forget(&key, lease);
                }
                Ok(issued)
            }
            Err(error) => {
                turn.failed(&error);
                Err(error)
            }
        }
    }

    /// Returns the answer of before, as it is now: the caller is allowed anew, and the lease must still be held.
    /// `None` if it is not, and a fresh one is due.
    async fn recall(
        &self,
        request: &Request,
        caller: &Caller,
        (mount, role): (&str, &str),
        remembered: &Remembered,
    ) -> Result<Option<Issued>, IssueError> {
        self.may_borrow(caller, (mount, role))?;
        let plan = self.plan(mount, role)?;
        // They may have waited long since they were admitted.
        self.caller_now(caller, request).await?;
        let lease = self.records.lease(remembered.lease).await?;
        let now = self.clock.now();
        let Some(lease) = lease.map(|found| found.record) else { return Ok(None) };
        // Less than a second would be told as a `lease_duration` of 0, which clients read as "never ends".
        let lasts = lease.is_held(now) && lease.works_until().since(now).as_secs() > 0;
        if !lasts || lease.place().mount != plan.entry.mount.record.id {
            return Ok(None);
        }
        Ok(Some(Issued {
            lease: lease.id(),
            lease_id: self.catalog().wire_id(lease.place(), lease.id()),
            ttl: lease.works_until().since(now),
            renewable: !lease.ends_itself(),
            secret: Arc::clone(&remembered.secret),
            capped: remembered.capped,
            filling: None,
        }))
    }

    /// Takes the lease that has a key's place from its holder, for nobody knows its secret any more. Returns at
    /// which write the place was found, for the lease that is to have it next.
    pub(super) async fn supersede(
        self: &Arc<Self>,
        key: &RepeatKey,
    ) -> Result<Option<Revision>, StoreError> {
        let Some(place) = self.records.repeated(key).await? else { return Ok(None) };
        self.mark(place.record, Cause::Superseded).await?;
        Ok(Some(place.revision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_within_its_bounds() {
        for good in ["a", "0f9c-~!", &"x".repeat(IDEMPOTENCY_KEY_MAX)] {
            assert!(IdempotencyKey::parse(good.as_bytes()).is_ok(), "{good}");
        }
        let long = "x".repeat(IDEMPOTENCY_KEY_MAX.saturating_add(1));
        for bad in ["", "a b", " a", "a\t", "a\u{7f}", "ä", "a\0", &long] {
            assert!(IdempotencyKey::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(!format!("{:?}", IdempotencyKey::parse(b"canary").unwrap()).contains("canary"));
    }

    #[test]
    fn the_oldest_answer_goes_when_too_many_are_remembered() {
        let repeats = Repeats::new(&hmac::Key::new(hmac::HMAC_SHA256, b"key"));
        let now = Timestamp(1_000);
        let key = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            RepeatKey(bytes)
        };
        for number in 0..=REMEMBERED_MAX {
            let Joined::First(turn) = repeats.join(key(number), now) else { panic!("{number}") };
            let (lease, secret) = (LeaseId::from_bytes([7; 16]), Arc::new(Secret::new(vec![])));
            let forget_at = now.plus(REMEMBERED_FOR);
            turn.answered(Remembered { lease, secret, capped: None, forget_at });
        }
        assert!(matches!(repeats.join(key(0), now), Joined::First(_)));
        assert!(matches!(repeats.join(key(1), now), Joined::Repeats(_)));
        assert_eq!(repeats.slots.lock().order.len(), REMEMBERED_MAX);
        repeats.forget_old(now.plus(REMEMBERED_FOR));
        assert!(repeats.slots.lock().by_key.is_empty());
        assert_eq!(repeats.next(), None);
    }
}
