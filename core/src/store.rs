//! What Leasehold asks of its storage: ordered keys, atomic durable batches with preconditions,
//! ranges, and a feed of changes.
//!
//! Typed records, encryption and indexes are written once, over this port, in the modules below.

pub mod abandonments;
pub mod accounts;
pub mod approles;
pub mod audit;
pub mod clock;
pub mod denials;
pub mod holds;
pub mod identity;
pub mod leases;
pub mod mass_revocations;
pub mod mounts;
pub mod password_policies;
pub mod policies;
pub mod quotas;
pub mod records;
pub mod rehearsals;
pub mod secret_ids;
pub mod tokens;
pub mod users;

use crate::tasks::Pending;
use futures_core::stream::BoxStream;
use std::fmt;

/// Keeps bytes under ordered keys.
pub trait Store: fmt::Debug + Send + Sync {
    /// Returns what is kept under `key`, and the write that put it there.
    fn get(&self, key: &Key) -> Pending<'_, Result<Option<(Value, Revision)>, StoreError>>;

    /// Returns up to `limit` records with `from <= key < to`, in the order of their keys.
    fn range(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, StoreError>>;

    /// Applies a batch whole or not at all, and returns once it is durable. Every record put has the
    /// returned revision, which is higher than any before.
    fn commit(&self, batch: Batch) -> Pending<'_, Result<Revision, StoreError>>;

    /// Returns all records as they are now, in chunks and in the order of their keys, however much is written while
    /// they are read. What holds a snapshot keeps space of the store from being used again, so it is read at once.
    fn snapshot(&self) -> Snapshot;

    /// Returns the keys that are put or deleted from now on, whoever does it. A reader that falls
    /// behind is told `None` once in place of all that it missed, and must read anew what it keeps.
    fn changes(&self) -> BoxStream<'static, Option<Key>>;
}

/// A record as [`Store::range`] returns it.
pub type Entry = (Key, Value, Revision);

/// The chunks of [`Store::snapshot`].
pub type Snapshot = BoxStream<'static, Result<Vec<Entry>, StoreError>>;

/// Where a record is kept. Carries no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Vec<u8>);

/// What is kept: bytes that mean nothing to the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value(pub Vec<u8>);

/// Which write of a record this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// Writes that take effect together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// What must be so, or nothing is written: the revision a record is at, or `None` for its absence.
    pub expected: Vec<(Key, Option<Revision>)>,
    /// Records to keep, in place of what was there.
    pub puts: Vec<(Key, Value)>,
    /// Records to drop; one that is not there is no error. A key is either put or deleted in a batch, not both.
    pub deletes: Vec<Key>,
    /// Whether the batch may use the space that is kept for revocations when the disk is nearly full.
    pub spends_reserve: bool,
}

/// The storage did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A record was not at the revision that the batch expected. Nothing was written.
    #[error("the record was changed by someone else meanwhile")]
    Conflict,
    /// The store did not begin to write, and says why.
    #[error("the store refused: {0}")]
    Refused(String),
    /// The write may or may not have taken effect.
    #[error("the store did not answer: {0}")]
    Uncertain(String),
}

impl Key {
    /// Returns the first key after all keys that begin with this one, so that `key..key.after_prefix()`
    /// holds exactly these.
    #[must_use]
    pub fn after_prefix(&self) -> Self {
        let mut bytes = self.0.clone();
        while let Some(last) = bytes.pop() {
            if let Some(next) = last.checked_add(1) {
                bytes.push(next);
                return Self(bytes);
            }
        }
        Self(vec![0xff; 64])
    }
}

impl Batch {
    /// Expects the record to be at this revision, or to be absent.
    #[must_use]
    pub fn expect(mut self, key: Key, revision: Option<Revision>) -> Self {
        self.expected.push((key, revision));
        self
    }

    /// Keeps a record.
    #[must_use]
    pub fn put(mut self, key: Key, value: Value) -> Self {
        self.puts.push((key, value));
        self
    }

    /// Drops a record.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.deletes.push(key);
        self
    }
}
