//! Revokes what is due: one bounded pass.

use super::Broker;
use super::revoke::RevokeError;
use crate::ids::{LeaseId, TokenAccessor};
use crate::lease::{Cause, LeaseState};
use crate::limits::{OVERDUE, QUEUE_AHEAD, QUEUE_HORIZON, READ_CHUNK, RETRY_FIRST, SWEEP_MAX};
use crate::store::holds::HoldCause;
use crate::store::leases::due_from;
use crate::store::tokens::tokens_due_from;
use crate::store::{Key, StoreError};
use crate::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What one sweep found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Leases and tokens that were due.
    pub due: usize,
    /// When the next sweep has something to do, unless it is woken earlier.
    pub next: Timestamp,
}

/// What becomes due. Each has an index by time in the store, and a queue of what is next.
#[derive(Clone, Copy, Debug)]
enum What {
    Leases,
    Tokens,
}

impl Broker {
    /// Starts one attempt at every lease that is due, as many as each target takes, and ends tokens that lapsed.
    ///
    /// Takes no input but the time and the stored leases, so a sweep after a restart is the same as any other.
    /// It waits for no target: the attempts go on beside it.
    pub async fn sweep(self: &Arc<Self>) -> Result<Swept, StoreError> {
        self.asleep_until.store(u64::MAX, Ordering::Release);
        let now = self.clock.now();
        self.repeats.forget_old(now);
        self.refill(What::Leases, now).await?;
        self.refill(What::Tokens, now).await?;

        let tokens = self.tokens_due.lock().pop_due(now, SWEEP_MAX);
        for id in &tokens {
            self.lapse_token_soon(TokenAccessor::from_bytes(*id));
        }
        let leases = self.leases_due.lock().pop_due(now, SWEEP_MAX);
        for id in &leases {
            let id = LeaseId::from_bytes(*id);
            // One that cannot be read now stays due, and keeps none of the others.
            if let Err(error) = self.park_if_due(id, now).await {
                tracing::error!(lease = %id, %error, "a lease that is due could not be read");
                self.leases_due.lock().push(now.plus(RETRY_FIRST), *id.bytes());
            }
        }
        self.start_attempts(now);
        self.start_comparisons(now);
        self.start_rotations(now);
        self.start_put_backs(now);
        self.start_mass_revocations(now);

        let due = tokens.len().saturating_add(leases.len());
        let next = if due >= SWEEP_MAX { now } else { self.next_look(now) };
        self.asleep_until.store(next.0, Ordering::Release);
        Ok(Swept { due, next })
    }

    fn next_look(&self, now: Timestamp) -> Timestamp {
        let leases = self.leases_due.lock().next(QUEUE_AHEAD);
        let tokens = self.tokens_due.lock().next(QUEUE_AHEAD);
        let others = [
            self.lanes.next(now),
            self.repeats.next(),
            self.next_comparison(),
            self.rotations.next(),
            self.next_put_back(),
            self.mass_revocations.next(),
        ];
        others.into_iter().flatten().fold(leases.min(tokens), Timestamp::min)
    }

    /// Puts a lease into its target's lane, if it is still due: a renewal leaves its old entry in the queue.
    async fn park_if_due(&self, id: LeaseId, now: Timestamp) -> Result<(), StoreError> {
        let Some(lease) = self.records.lease(id).await? else { return Ok(()) };
        let place = lease.record.place();
        // After a restore only the target knows whether it was renewed; it is looked for again once that is known.
        let (target, generation) = (place.target, place.generation);
        let waits = self.catalog().holds_back(HoldCause::Restored, target, generation);
        if waits && lease.record.state() == &LeaseState::Held {
            return Ok(());
        }
        if lease.record.due_at() <= now {
            self.lanes.park((target, generation), id);
        }
        Ok(())
    }

    /// Starts what the targets' lanes have room for.
    fn start_attempts(self: &Arc<Self>, now: Timestamp) {
        for (lane, id) in self.lanes.take(now) {
            let broker = Arc::clone(self);
            self.tasks.spawn(Box::pin(async move {
                let outcome = broker.attempt(id, Cause::Lapsed).await;
                let left = broker.lanes.done(lane, id);
                if left.again {
                    // Somebody ended it after the attempt had looked, and the queue has given it away.
                    broker.due(id, broker.clock.now());
                }
                if left.waits {
                    broker.wake_sweep();
                }
                match outcome {
                    // A failure at the target, or of the audit, is stored with the lease and logged where it happened.
                    Ok(_) | Err(RevokeError::Target { .. } | RevokeError::Admit(_)) => {}
                    Err(error) => {
                        // The lease could not be read or kept: its stored `due_at` brings it back.
                        tracing::error!(lease = %id, %error, "an attempt to revoke broke off");
                        broker.due(id, broker.clock.now().plus(RETRY_FIRST));
                    }
                }
            }));
        }
    }

    /// Puts what is long overdue into the queue again, from the store: whatever a process may have lost of its
    /// memory, it finds within minutes.
    pub(super) async fn requeue_overdue(&self) -> Result<(), StoreError> {
        self.requeue_due(self.clock.now().minus(OVERDUE)).await
    }

    /// The same for all that was due before a time.
    pub(super) async fn requeue_due(&self, before: Timestamp) -> Result<(), StoreError> {
        for what in [What::Leases, What::Tokens] {
            let mut from = what.due_from(Timestamp(0));
            loop {
                let found = self.read_due(what, &from, before).await?;
                let Some((.., last)) = found.last() else { break };
                from = last.next();
                for (at, id, key) in found {
                    match what {
                        What::Leases => {
                            let id = LeaseId::from_bytes(id);
                            self.records.drop_dangling(&key, id).await?;
                            self.due(id, at);
                        }
                        What::Tokens => self.token_due(TokenAccessor::from_bytes(id), at),
                    }
                }
            }
        }
        Ok(())
    }

    /// Moves the horizon of a queue on, from the store's index by time.
    async fn refill(&self, what: What, now: Timestamp) -> Result<(), StoreError> {
        let queue = match what {
            What::Leases => &self.leases_due,
            What::Tokens => &self.tokens_due,
        };
        let span = queue.lock().refill_span(now, QUEUE_AHEAD, QUEUE_HORIZON);
        let Some((from, to)) = span else { return Ok(()) };
        queue.lock().reach(to);
        let mut from = what.due_from(from);
        loop {
            let found = self.read_due(what, &from, to).await;
            let found = found.inspect_err(|_| queue.lock().retreat(span))?;
            let Some((.., last)) = found.last() else { return Ok(()) };
            from = last.next();
            let mut queue = queue.lock();
            for (at, id, _) in found {
                queue.push(at, id);
            }
        }
    }

    /// Reads the next of what is due in a span, soonest first: when, which, and its key in the index.
    async fn read_due(
        &self,
        what: What,
        from: &Key,
        to: Timestamp,
    ) -> Result<Vec<(Timestamp, [u8; 16], Key)>, StoreError> {
        Ok(match what {
            What::Leases => {
                let found = self.records.leases_due(from, to, READ_CHUNK).await?;
                found.into_iter().map(|(at, id, key)| (at, *id.bytes(), key)).collect()
            }
            What::Tokens => {
                let found = self.records.tokens_due(from, to, READ_CHUNK).await?;
                found.into_iter().map(|(at, id, key)| (at, *id.bytes(), key)).collect()
            }
        })
    }
}

impl What {
    /// The first key of its index by time at or after `at`.
    fn due_from(self, at: Timestamp) -> Key {
        match self {
            Self::Leases => due_from(at),
            Self::Tokens => tokens_due_from(at),
        }
    }
}
