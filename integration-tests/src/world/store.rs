//! A store in memory that counts what it does and fails when told to.

use futures_util::stream::{BoxStream, StreamExt};
use leasehold_core::store::{Batch, Entry, Key, Revision, Snapshot, Store, StoreError, Value};
use leasehold_core::tasks::Pending;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Keeps everything in a map.
#[derive(Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    records: BTreeMap<Key, (Value, Revision)>,
    commits: u64,
    failing: Option<StoreError>,
    unreadable: bool,
    /// Which of the next commits is refused.
    refusing_at: Option<u64>,
    ranged: usize,
    keeping_reserve: bool,
}

impl MemoryStore {
    /// How many records have a key that begins so.
    pub fn count(&self, prefix: &str) -> usize {
        let prefix = Key(prefix.as_bytes().to_vec());
        self.0.lock().unwrap().records.range(prefix.clone()..prefix.after_prefix()).count()
    }

    /// How many batches were committed since the beginning.
    pub fn commits(&self) -> u64 {
        self.0.lock().unwrap().commits
    }

    /// Answers every commit with this error from now on; a commit that is uncertain takes effect all the same.
    pub fn fail(&self, failing: Option<StoreError>) {
        self.0.lock().unwrap().failing = failing;
    }

    /// Refuses every read from now on, or not, as a store does that is being opened again.
    pub fn refuse_reads(&self, unreadable: bool) {
        self.0.lock().unwrap().unreadable = unreadable;
    }

    /// Refuses one commit: the next one but `after`.
    pub fn refuse_one(&self, after: u64) {
        self.0.lock().unwrap().refusing_at = Some(after);
    }

    /// Takes only what may use the space that is kept for revocations, or everything.
    pub fn keep_reserve(&self, keeping: bool) {
        self.0.lock().unwrap().keeping_reserve = keeping;
    }

    /// How many records were read by ranges since the beginning.
    pub fn ranged(&self) -> usize {
        self.0.lock().unwrap().ranged
    }

    /// Everything that is stored, keys and values.
    pub fn bytes(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap();
        kept.records
            .iter()
            .flat_map(|(key, (value, _))| [key.0.clone(), value.0.clone()].concat())
            .collect()
    }

    /// Alters one byte in the middle of every value whose key begins so.
    pub fn damage(&self, prefix: &str) {
        let prefix = Key(prefix.as_bytes().to_vec());
        for (_, (value, _)) in
            self.0.lock().unwrap().records.range_mut(prefix.clone()..prefix.after_prefix())
        {
            let middle = value.0.len() / 2;
            value.0[middle] ^= 1;
        }
    }
}

impl Kept {
    fn readable(&self) -> Result<(), StoreError> {
        if self.unreadable {
            Err(StoreError::Refused("told to refuse reads".into()))
        } else {
            Ok(())
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<Revision, StoreError> {
        let as_expected = batch
            .expected
            .iter()
            .all(|(key, revision)| self.records.get(key).map(|(_, at)| *at) == *revision);
        if let Some(after) = self.refusing_at.take() {
            match after.checked_sub(1) {
                Some(after) => self.refusing_at = Some(after),
                None => return Err(StoreError::Refused("this one".into())),
            }
        }
        if self.keeping_reserve && !batch.spends_reserve {
            return Err(StoreError::Refused("the disk is nearly full".into()));
        }
        if let Some(StoreError::Refused(why)) = &self.failing {
            return Err(StoreError::Refused(why.clone()));
        }
        if !as_expected {
            return Err(StoreError::Conflict);
        }
        self.commits += 1;
        let revision = Revision(self.commits);
        for key in &batch.deletes {
            self.records.remove(key);
        }
        for (key, value) in batch.puts {
            self.records.insert(key, (value, revision));
        }
        self.failing.clone().map_or(Ok(revision), Err)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &Key) -> Pending<'_, Result<Option<(Value, Revision)>, StoreError>> {
        let kept = self.0.lock().unwrap();
        let found = kept.readable().map(|()| kept.records.get(key).cloned());
        Box::pin(async move { found })
    }

    fn range(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, StoreError>> {
        let mut kept = self.0.lock().unwrap();
        let readable = kept.readable();
        let found: Vec<_> = if from < to {
            let range = kept.records.range(from.clone()..to.clone()).take(limit);
            range.map(|(key, (value, at))| (key.clone(), value.clone(), *at)).collect()
        } else {
            Vec::new()
        };
        kept.ranged += found.len();
        Box::pin(async move { readable.map(|()| found) })
    }

    fn commit(&self, batch: Batch) -> Pending<'_, Result<Revision, StoreError>> {
        Box::pin(async move {
            // Others may run between the decision to commit and the commit.
            tokio::task::yield_now().await;
            // As in a real store, what was asked is done whether or not anybody still waits for the answer.
            let kept = Arc::clone(&self.0);
            tokio::spawn(async move { kept.lock().unwrap().commit(batch) }).await.unwrap()
        })
    }

    fn snapshot(&self) -> Snapshot {
        let kept = self.0.lock().unwrap();
        let readable = kept.readable();
        let records: Vec<_> = kept
            .records
            .iter()
            .map(|(key, (value, at))| (key.clone(), value.clone(), *at))
            .collect();
        let chunks: Vec<_> = records.chunks(16).map(<[_]>::to_vec).collect();
        match readable {
            Ok(()) => futures_util::stream::iter(chunks.into_iter().map(Ok)).boxed(),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    fn changes(&self) -> BoxStream<'static, Option<Key>> {
        futures_util::stream::pending().boxed()
    }
}
