//! Typed records over the store: sealed on the way in, opened on the way out.

use super::{Batch, Key, Revision, Snapshot, Store, StoreError, Value};
use crate::chance::Chance;
use crate::seal::barrier::Barrier;
use crate::seal::ring;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The store as the verbs see it.
#[derive(Clone, Debug)]
pub struct Records {
    store: Arc<dyn Store>,
    barrier: Arc<Barrier>,
    chance: Arc<dyn Chance>,
}

/// A record, and which write of it this is.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// What was kept.
    pub record: T,
    /// Which write it was.
    pub revision: Revision,
}

impl Records {
    /// Stands before a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, barrier: Arc<Barrier>, chance: Arc<dyn Chance>) -> Self {
        Self { store, barrier, chance }
    }

    /// Draws for whoever makes a record that needs chance.
    pub(super) fn chance(&self) -> &dyn Chance {
        &*self.chance
    }

    /// Returns what the records are kept in, and what keeps them secret.
    pub(crate) fn ring(&self) -> (&dyn Store, &Barrier) {
        (&*self.store, &self.barrier)
    }

    /// Seals a record for `at`.
    pub fn seal<T: Serialize>(&self, at: &Key, record: &T) -> Result<Value, StoreError> {
        let plain = serde_json::to_vec(record).map(Zeroizing::new);
        let plain = plain.map_err(|error| StoreError::Refused(error.to_string()))?;
        self.barrier
            .seal(at, &plain, &*self.chance)
            .map_err(|_| StoreError::Refused("the key ring is empty".into()))
    }

    /// Returns the record at `at`. One that cannot be read is put aside, reported, and treated as absent.
    pub async fn read<T: DeserializeOwned>(
        &self,
        at: &Key,
    ) -> Result<Option<Found<T>>, StoreError> {
        let Some((value, revision)) = self.store.get(at).await? else { return Ok(None) };
        self.open(at, value, revision).await
    }

    /// Returns up to `limit` records of the range, and the key after the last one looked at if there may
    /// be more.
    pub async fn scan<T: DeserializeOwned>(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Result<(Vec<(Key, Found<T>)>, Option<Key>), StoreError> {
        let entries = self.store.range(from, to, limit).await?;
        let next =
            (entries.len() >= limit).then(|| entries.last().map(|(key, ..)| key.next())).flatten();
        let mut records = Vec::with_capacity(entries.len());
        for (key, value, revision) in entries {
            if let Some(found) = self.open(&key, value, revision).await? {
                records.push((key, found));
            }
        }
        Ok((records, next))
    }

    /// Returns all records under a prefix. For what operators make by hand; leases and tokens are scanned in chunks.
    pub async fn all<T: DeserializeOwned>(
        &self,
        prefix: &Key,
    ) -> Result<Vec<(Key, Found<T>)>, StoreError> {
        let to = prefix.after_prefix();
        let mut from = Some(prefix.clone());
        let mut records = Vec::new();
        while let Some(start) = from {
            let (mut chunk, next) = self.scan(&start, &to, crate::limits::READ_CHUNK).await?;
            records.append(&mut chunk);
            from = next;
        }
        Ok(records)
    }

    /// Returns up to `limit` keys of an index, with what the index says beside each.
    pub async fn index(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        let entries = self.store.range(from, to, limit).await?;
        Ok(entries.into_iter().map(|(key, value, _)| (key, value)).collect())
    }

    /// Returns which write of the record at `at` is the last one; `None` if there is none.
    pub async fn revision(&self, at: &Key) -> Result<Option<Revision>, StoreError> {
        Ok(self.store.get(at).await?.map(|(_, revision)| revision))
    }

    /// Whether there is a record at `at`, or there was one, that nobody can read.
    pub async fn is_lost(&self, at: &Key) -> Result<bool, StoreError> {
        Ok(self.store_has(at).await? || self.store_has(&Self::aside(at)).await?)
    }

    /// Returns what follows a prefix in all keys that begin with it: names, where keys end in names. Opens no record.
    pub async fn names_under(&self, prefix: &Key) -> Result<Vec<String>, StoreError> {
        let to = prefix.after_prefix();
        let mut from = prefix.clone();
        let mut names = Vec::new();
        loop {
            let found = self.index(&from, &to, crate::limits::READ_CHUNK).await?;
            let Some((last, _)) = found.last() else { return Ok(names) };
            from = last.next();
            let name = |key: &Key| {
                key.0.get(prefix.0.len()..).map(String::from_utf8_lossy).map(Into::into)
            };
            names.extend(found.iter().filter_map(|(key, _)| name(key)));
        }
    }

    /// Removes up to `limit` records under a prefix; tells whether there may be more.
    pub async fn clear_under(&self, prefix: &Key, limit: usize) -> Result<bool, StoreError> {
        let found = self.index(prefix, &prefix.after_prefix(), limit).await?;
        let may_be_more = found.len() >= limit;
        let deletes: Vec<_> = found.into_iter().map(|(key, _)| key).collect();
        if !deletes.is_empty() {
            self.commit(Batch { deletes, spends_reserve: true, ..Batch::default() }).await?;
        }
        Ok(may_be_more)
    }

    /// Whether anything is kept at `at`, readable or not.
    pub async fn store_has(&self, at: &Key) -> Result<bool, StoreError> {
        Ok(self.store.get(at).await?.is_some())
    }

    /// Returns everything as it is now, sealed.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    /// Commits a batch.
    pub async fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        self.store.commit(batch).await
    }

    async fn open<T: DeserializeOwned>(
        &self,
        at: &Key,
        value: Value,
        revision: Revision,
    ) -> Result<Option<Found<T>>, StoreError> {
        if self.barrier.lacks_key_of(&value) {
            ring::refresh(&*self.store, &self.barrier).await?;
        }
        let Ok(plain) = self.barrier.open(at, &value) else {
            self.quarantine(at, value, revision).await;
            return Ok(None);
        };
        match serde_json::from_slice(&plain) {
            Ok(record) => Ok(Some(Found { record, revision })),
            Err(error) => {
                // Another version may have written it, and may be the next to read it.
                let (line, column) = (error.line(), error.column());
                tracing::error!(key = %at.readable(), line, column, "a record is of an unknown shape; it is left as it is");
                Ok(None)
            }
        }
    }

    /// Puts a record aside that nobody can read, so that it is met once and not on every sweep.
    async fn quarantine(&self, at: &Key, value: Value, revision: Revision) {
        tracing::error!(key = %at.readable(), "a record cannot be read; it is kept under `quarantine/`");
        let aside = Self::aside(at);
        let batch = Batch::default()
            .expect(at.clone(), Some(revision))
            .put(aside, value)
            .delete(at.clone());
        let batch = Batch { spends_reserve: true, ..batch };
        // What cannot be put aside now is met again, and harms nobody but itself.
        if let Err(error) = self.store.commit(batch).await
            && error != StoreError::Conflict
        {
            tracing::warn!(key = %at.readable(), %error, "an unreadable record could not be put aside");
        }
    }

    /// Where a record is put aside.
    pub(super) fn aside(at: &Key) -> Key {
        Key([b"quarantine/".as_slice(), &at.0].concat())
    }

    /// Returns the keys of the records that were put aside.
    pub async fn quarantined(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        let prefix = Key(b"quarantine/".to_vec());
        let found = self.store.range(&prefix, &prefix.after_prefix(), limit).await?;
        Ok(found.into_iter().map(|(key, ..)| key.readable()).collect())
    }
}

impl Key {
    /// Returns the first key after this one.
    #[must_use]
    pub fn next(&self) -> Self {
        Self([self.0.as_slice(), &[0]].concat())
    }

    /// Returns the key with what is not printable escaped.
    #[must_use]
    pub fn readable(&self) -> String {
        self.0.escape_ascii().to_string()
    }
}
