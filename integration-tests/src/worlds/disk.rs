//! What is durable, and how a process reaches it.

use super::calls::{Call, Calling};
use super::clock::{ProcessClock, Reading};
use super::judge::Judge;
use super::setting::Setting;
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};
use leasehold_core::store::{Batch, Entry, Key, Revision, Snapshot, Store, StoreError, Value};
use leasehold_core::tasks::Pending;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a disk keeps.
pub type Records = BTreeMap<Key, (Value, Revision)>;

/// Survives every process.
#[derive(Debug, Default)]
pub struct Disk {
    records: Mutex<Records>,
    revision: Mutex<u64>,
    /// How often all of it was replaced.
    replaced: AtomicU64,
}

/// Until then a commit may land of which nobody was told: what was late, and what was only slow.
pub const COMMIT_LATE_MAX: Duration = Duration::from_secs(28);
/// A commit that takes longer than this is called late.
const LATE_MAX: Duration = Duration::from_secs(20);

impl Disk {
    /// Applies a batch whole or not at all; not at all if it was meant for what was here before.
    fn apply(
        &self,
        batch: &Batch,
        meant: u64,
        by: Reading,
        judge: &Judge,
    ) -> Result<Revision, StoreError> {
        if meant != self.replaced.load(Ordering::Relaxed) {
            return Err(StoreError::Refused("the store is gone".into()));
        }
        let revision = {
            let mut records = self.records.lock();
            let expected = |(key, at): &(Key, Option<Revision>)| {
                records.get(key).map(|(_, revision)| *revision) == *at
            };
            if !batch.expected.iter().all(expected) {
                return Err(StoreError::Conflict);
            }
            let mut revision = self.revision.lock();
            *revision += 1;
            let revision = Revision(*revision);
            for key in &batch.deletes {
                records.remove(key);
            }
            for (key, value) in &batch.puts {
                records.insert(key.clone(), (value.clone(), revision));
            }
            revision
        };
        judge.committed(self, batch, by);
        Ok(revision)
    }

    /// Returns what is kept at a key.
    pub fn at(&self, key: &Key) -> Option<(Value, Revision)> {
        self.records.lock().get(key).cloned()
    }

    /// Whether anything is kept under a prefix.
    pub fn has_under(&self, prefix: &Key) -> bool {
        self.records.lock().range(prefix.clone()..prefix.after_prefix()).next().is_some()
    }

    /// Returns everything, as it is now.
    pub fn all(&self) -> Records {
        self.records.lock().clone()
    }

    /// Keeps this and nothing else. Revisions go on from where they were, as in a store that is made anew.
    pub fn replace(&self, records: Records) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
        *self.records.lock() = records;
    }

    /// Returns all that is kept under a prefix.
    pub fn under(&self, prefix: &str) -> Vec<(Key, Value)> {
        let prefix = Key(prefix.as_bytes().to_vec());
        let records = self.records.lock();
        let range = records.range(prefix.clone()..prefix.after_prefix());
        range.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }

    fn range(&self, from: &Key, to: &Key, limit: usize) -> Vec<Entry> {
        if from >= to {
            return Vec::new();
        }
        let records = self.records.lock();
        let range = records.range(from.clone()..to.clone()).take(limit);
        range.map(|(key, (value, at))| (key.clone(), value.clone(), *at)).collect()
    }
}

/// The way of one process to the disk.
#[derive(Debug)]
pub struct DiskStore {
    setting: Arc<Setting>,
    /// What the process goes by.
    clock: Arc<ProcessClock>,
    disk: Arc<Disk>,
    judge: Arc<Judge>,
}

impl DiskStore {
    /// Reaches the disk.
    pub fn new(clock: Arc<ProcessClock>, disk: Arc<Disk>, judge: Arc<Judge>) -> Self {
        Self { setting: Arc::clone(&clock.setting), clock, disk, judge }
    }

    /// Takes some time, and may not answer.
    fn read<T: Send + 'static>(&self, found: T) -> Pending<'_, Result<T, StoreError>> {
        let refused = self.setting.fails(self.setting.weather.store_refuses);
        let slow = self.setting.fails(self.setting.weather.slow);
        let setting = Arc::clone(&self.setting);
        let calling = Calling::begin(&setting, Call::Read);
        Box::pin(async move {
            let _calling = calling;
            if slow {
                let span = setting.dice.span(Duration::from_millis(1), Duration::from_secs(2));
                setting.executor.sleep(span).await;
            } else if setting.dice.happens(300) {
                setting.executor.sleep(Duration::from_millis(1)).await;
            }
            if refused {
                setting.counters.reads_refused.one();
                return Err(StoreError::Refused("the disk is busy".into()));
            }
            Ok(found)
        })
    }
}

/// What becomes of a commit.
enum Fate {
    Well,
    Refused,
    /// Applied, and nobody is told.
    Unheard,
    /// Not applied, and nobody is told.
    Lost,
    /// Acknowledged this much before it is applied, as only a flaw does.
    Before(Duration),
    /// Applied this much after the caller was told that nobody knows.
    Late(Duration),
}

impl DiskStore {
    fn fate(&self) -> Fate {
        let setting = &self.setting;
        if setting.fails(setting.weather.store_refuses) {
            setting.counters.commits_refused.one();
            return Fate::Refused;
        }
        if !setting.fails(setting.weather.store_uncertain) {
            return Fate::Well;
        }
        setting.counters.commits_uncertain.one();
        match setting.dice.below(3) {
            0 => Fate::Unheard,
            1 => Fate::Lost,
            _ => Fate::Late(setting.dice.span(Duration::from_millis(1), LATE_MAX)),
        }
    }

    fn latency(&self) -> Duration {
        let slow = self.setting.fails(self.setting.weather.slow);
        let longest = if slow { Duration::from_secs(8) } else { Duration::from_millis(4) };
        self.setting.dice.span(Duration::ZERO, longest)
    }
}

impl Store for DiskStore {
    fn get(&self, key: &Key) -> Pending<'_, Result<Option<(Value, Revision)>, StoreError>> {
        // What is read is as it was when it was asked for; by the time it is looked at it may be old.
        let found = super::flaws::on_get(&self.setting, key, self.disk.at(key));
        let (setting, is_token) = (Arc::clone(&self.setting), key.0.starts_with(b"token/"));
        let read = self.read(found);
        Box::pin(read.inspect(move |_| super::flaws::was_read(&setting, is_token)))
    }

    fn range(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, StoreError>> {
        let (from, to) = super::flaws::on_range(&self.setting, from, to);
        self.read(self.disk.range(&from, &to, limit))
    }

    fn commit(&self, batch: Batch) -> Pending<'_, Result<Revision, StoreError>> {
        let batch = super::flaws::on_commit(&self.setting, batch);
        let before = super::flaws::acknowledged_before(&self.setting, &batch);
        let fate = before.map_or_else(|| self.fate(), Fate::Before);
        let latency = self.latency();
        if super::flaws::drops(&self.setting, &batch) {
            return Box::pin(async { Ok(Revision(0)) });
        }
        let is_refused = super::flaws::refuses_what_it_applies(&self.setting, &batch);
        let (tell, told) = oneshot::channel();
        let meant = self.disk.replaced.load(Ordering::Relaxed);
        let by = self.clock.reading();
        let (setting, disk, judge) =
            (Arc::clone(&self.setting), Arc::clone(&self.disk), Arc::clone(&self.judge));
        // What was asked for is done whether or not anybody still waits for it.
        self.setting.executor.spawn_world(async move {
            setting.executor.sleep(latency).await;
            let unknown = || Err(StoreError::Uncertain("the disk did not answer".into()));
            let answer = match fate {
                Fate::Well if is_refused => {
                    let _ = disk.apply(&batch, meant, by, &judge);
                    Err(StoreError::Refused("so it says".into()))
                }
                Fate::Well => disk.apply(&batch, meant, by, &judge),
                Fate::Refused => Err(StoreError::Refused("the disk is full".into())),
                Fate::Unheard => {
                    let _ = disk.apply(&batch, meant, by, &judge);
                    unknown()
                }
                Fate::Lost => unknown(),
                Fate::Before(span) | Fate::Late(span) => {
                    let late = Arc::clone(&setting);
                    setting.executor.spawn_world(async move {
                        late.executor.sleep(span).await;
                        let _ = disk.apply(&batch, meant, by, &judge);
                    });
                    if matches!(fate, Fate::Before(_)) { Ok(Revision(0)) } else { unknown() }
                }
            };
            if answer == Err(StoreError::Conflict) {
                setting.counters.conflicts.one();
            }
            let _ = tell.send(answer);
        });
        let calling = Calling::begin(&self.setting, Call::Commit);
        Box::pin(async move {
            let _calling = calling;
            let gone = || Err(StoreError::Uncertain("the disk is gone".into()));
            told.await.unwrap_or_else(|_| gone())
        })
    }

    fn snapshot(&self) -> Snapshot {
        let records = self.disk.all();
        let entries = records.into_iter().map(|(key, (value, at))| (key, value, at)).collect();
        futures_util::stream::iter([Ok(entries)]).boxed()
    }

    fn changes(&self) -> BoxStream<'static, Option<Key>> {
        futures_util::stream::pending().boxed()
    }
}
