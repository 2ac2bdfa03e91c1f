//! The default store: one file in one folder, and no server to install.
//!
//! Four things to note:
//!
//! - One thread writes. It takes all batches that wait, applies them in one transaction of redb and
//!   commits once, so that callers share an `fsync` and none waits for others to come.
//! - Reads see a snapshot and wait for nobody; what a commit has answered, later reads see.
//! - redb refuses all work after an I/O error. The writer then opens the file again and asks it
//!   which batch was its last: a counter that every transaction writes says whether a group in
//!   doubt is in. Only where the file cannot be opened is the answer [`StoreError::Uncertain`].
//! - Space is kept for revocations: while the disk is nearly full, only batches that say so are
//!   written.

mod cut;
mod file;
mod folder;
mod restoring;
mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

pub use folder::{Holder, OpenError};
pub use restoring::Restoring;

use crate::store::meter::StoreMeter;
use crate::tasks::Joined;
use folder::Folder;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use leasehold_core::store::{Batch, Entry, Key, Revision, Snapshot, Store, StoreError, Value};
use leasehold_core::tasks::Pending;
use parking_lot::RwLock;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadOnlyTable, ReadableDatabase};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use writer::{Asked, Changed, Work, Writer};

/// Bytes of the file that are kept in memory. A lease with its index keys takes about 1 KB, so this
/// holds what the next hours will touch of some 200,000, and leaves the small machines room.
const CACHE_BYTES: usize = 256 << 20;
/// Free bytes below which only revocations are written. A batch that removes a thousand leases
/// rewrites some 10 MB of pages before the old ones are free again.
const RESERVE_BYTES: u64 = 64 << 20;
/// Batches that wait for the writer before further callers wait for a place: more than one group,
/// and little memory.
const WAITING_MAX: usize = 1024;
/// Bytes of one batch: a revocation of two thousand leases takes a fifth of it.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Bytes of a key. Longer ones leave no room for two in a page of 4 KB.
const KEY_BYTES_MAX: usize = 2048;
/// Records up to which a range is read where the caller runs: about 0.1 ms. Longer ones are read on
/// a thread that may block.
const INLINE_RECORDS_MAX: usize = 128;
/// Groups of changes that a reader of the feed may fall behind.
const FEED_GROUPS_MAX: usize = 256;

/// Keeps records in one file, or in memory.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    changes: broadcast::WeakSender<Changed>,
    // Dropped in this order: without senders the writer finishes what waits, and can be waited for.
    work: mpsc::Sender<Work>,
    _writer: Joined,
}

/// What readers and the writer have in common.
#[derive(Debug)]
struct Shared {
    /// What messages call this store.
    name: String,
    state: RwLock<State>,
    /// Whether the writer has been asked to see to the file and has not done so yet.
    doubted: AtomicBool,
    meter: Arc<StoreMeter>,
}

#[derive(Debug)]
enum State {
    Open(Database),
    /// The file could not be opened again, and why.
    Closed(String),
}

/// What the writer needs of the world.
struct Disk {
    name: String,
    /// Opens the file, also after an earlier opening has been closed.
    open: Box<dyn FnMut() -> Result<Database, OpenError> + Send>,
    /// The folder whose free space counts, if any.
    folder: Option<PathBuf>,
    reserve_bytes: u64,
}

impl Embedded {
    /// Opens the store in `folder`, which is made if there is none. Reads and writes block, so this
    /// is for the start of the process.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_with_reserve(folder, RESERVE_BYTES)
    }

    fn open_with_reserve(folder: &Path, reserve_bytes: u64) -> Result<Self, OpenError> {
        let folder = Folder::take(folder)?;
        Self::start(Disk {
            name: folder.file().display().to_string(),
            folder: Some(folder.path().to_owned()),
            open: Box::new(move || folder.open(&settings())),
            reserve_bytes,
        })
    }

    /// Makes a store that is gone with the process.
    pub fn in_memory() -> Result<Self, OpenError> {
        let name = "memory";
        let mut memory = Some(InMemoryBackend::new());
        let open = move || {
            let memory = memory.take().ok_or_else(|| OpenError::Damaged {
                path: name.into(),
                reason: "memory cannot be opened again".to_owned(),
            })?;
            let path = Path::new(name);
            let database = file::shielded(path, || settings().create_with_backend(memory))?;
            file::write_format(path, &database)?;
            Ok(database)
        };
        let name = name.to_owned();
        Self::start(Disk { name, open: Box::new(open), folder: None, reserve_bytes: 0 })
    }

    fn start(mut disk: Disk) -> Result<Self, OpenError> {
        let path = PathBuf::from(&disk.name);
        let database = (disk.open)()?;
        let revision = file::read_revision(&database).map_err(|error| OpenError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let shared = Arc::new(Shared {
            name: disk.name.clone(),
            state: RwLock::new(State::Open(database)),
            doubted: AtomicBool::new(false),
            meter: Arc::default(),
        });
        let (work, waiting) = mpsc::channel(WAITING_MAX);
        let (changes, _) = broadcast::channel(FEED_GROUPS_MAX);
        let feed = changes.downgrade();
        let writer = Writer::new(Arc::clone(&shared), disk, changes, revision);
        let thread = thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(move || writer.run(waiting));
        let thread = thread.map_err(|error| folder::unusable(&path, &error))?;
        Ok(Self { shared, changes: feed, work, _writer: Joined::new(thread) })
    }

    /// Returns what counts the writes.
    #[must_use]
    pub fn meter(&self) -> Arc<StoreMeter> {
        Arc::clone(&self.shared.meter)
    }

    /// Tells what came of a read, and has the writer see to the file if it was the file's fault.
    fn told<T>(&self, read: Result<T, ReadError>) -> Result<T, StoreError> {
        read.map_err(|error| {
            if error.reopen && !self.shared.doubted.swap(true, Ordering::AcqRel) {
                // With a full queue the writer is about to find out by itself.
                if self.work.try_send(Work::Reopen).is_err() {
                    self.shared.doubted.store(false, Ordering::Release);
                }
            }
            StoreError::Refused(format!("cannot read `{}`: {}", self.shared.name, error.reason))
        })
    }
}

impl Store for Embedded {
    fn get(&self, key: &Key) -> Pending<'_, Result<Option<(Value, Revision)>, StoreError>> {
        let read = self.shared.read(|records| {
            let found = records.get(key.0.as_slice())?;
            Ok(found.and_then(|record| revised(record.value())))
        });
        Box::pin(std::future::ready(self.told(read)))
    }

    fn range(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, StoreError>> {
        if from >= to || limit == 0 {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        if limit <= INLINE_RECORDS_MAX {
            let read = self.shared.range(from, to, limit);
            return Box::pin(std::future::ready(self.told(read)));
        }
        let (shared, from, to) = (Arc::clone(&self.shared), from.clone(), to.clone());
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || shared.range(&from, &to, limit));
            let ended = |_| ReadError { reason: "the process is ending".to_owned(), reopen: false };
            self.told(read.await.map_err(ended).flatten())
        })
    }

    fn commit(&self, batch: Batch) -> Pending<'_, Result<Revision, StoreError>> {
        Box::pin(async move {
            check(&batch)?;
            let (answer, answered) = oneshot::channel();
            let asked = Work::Write(Asked { batch, answer });
            let closed = |_| StoreError::Refused("the store has been closed".to_owned());
            self.work.send(asked).await.map_err(closed)?;
            answered.await.unwrap_or_else(|_| {
                Err(StoreError::Uncertain("the store was closed before it answered".to_owned()))
            })
        })
    }

    fn snapshot(&self) -> Snapshot {
        snapshot::of(&self.shared)
    }

    fn changes(&self) -> BoxStream<'static, Option<Key>> {
        let Some(sender) = self.changes.upgrade() else {
            return stream::empty().boxed();
        };
        let start = (sender.subscribe(), Arc::<[Key]>::from([]), 0_usize);
        stream::unfold(start, |(mut receiver, mut keys, mut next)| async move {
            loop {
                if let Some(key) = keys.get(next).cloned() {
                    return Some((Some(key), (receiver, keys, next.saturating_add(1))));
                }
                match receiver.recv().await {
                    Ok(Changed::Keys(changed)) => (keys, next) = (changed, 0),
                    Ok(Changed::Anything) | Err(RecvError::Lagged(_)) => {
                        return Some((None, (receiver, keys, next)));
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }
}

/// A read that failed.
struct ReadError {
    reason: String,
    /// Whether opening the file again may help.
    reopen: bool,
}

impl From<redb::Error> for ReadError {
    fn from(error: redb::Error) -> Self {
        use redb::Error::{DatabaseClosed, Io, PreviousIo};
        let reopen = matches!(error, Io(_) | PreviousIo | DatabaseClosed);
        Self { reason: error.to_string(), reopen }
    }
}

impl Shared {
    /// Reads from the records as they are now.
    fn read<T>(
        &self,
        read: impl FnOnce(&ReadOnlyTable<&[u8], &[u8]>) -> Result<T, redb::StorageError>,
    ) -> Result<T, ReadError> {
        let snapshot = match &*self.state.read() {
            State::Open(database) => file::caught(|| database.begin_read()),
            State::Closed(reason) => {
                return Err(ReadError { reason: reason.clone(), reopen: true });
            }
        };
        let damaged = |error: file::FileError| ReadError { reason: error.0, reopen: false };
        let snapshot = snapshot.map_err(damaged)?.map_err(redb::Error::from)?;
        let found = file::caught(|| -> Result<T, redb::Error> {
            Ok(read(&snapshot.open_table(file::RECORDS)?)?)
        });
        Ok(found.map_err(damaged)??)
    }

    fn range(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<Entry>, ReadError> {
        self.read(|records| {
            let mut found = Vec::new();
            for record in records.range(from.0.as_slice()..to.0.as_slice())?.take(limit) {
                let (key, value) = record?;
                if let Some((value, revision)) = revised(value.value()) {
                    found.push((Key(key.value().to_vec()), value, revision));
                }
            }
            Ok(found)
        })
    }
}

/// Takes a record apart. All that the writer puts have a revision.
fn revised(record: &[u8]) -> Option<(Value, Revision)> {
    let (revision, value) = record.split_first_chunk()?;
    Some((Value(value.to_vec()), Revision(u64::from_le_bytes(*revision))))
}

fn settings() -> Builder {
    let mut settings = Builder::new();
    settings.set_cache_size(CACHE_BYTES);
    settings
}

/// Refuses what no state of the store could make right.
fn check(batch: &Batch) -> Result<(), StoreError> {
    let refused = |reason: String| Err(StoreError::Refused(reason));
    let mut bytes = 0_usize;
    for (key, value) in &batch.puts {
        if key.0.len() > KEY_BYTES_MAX {
            return refused(format!("a key has more than {KEY_BYTES_MAX} bytes"));
        }
        bytes = bytes.saturating_add(key.0.len()).saturating_add(value.0.len());
    }
    if bytes > BATCH_BYTES_MAX {
        return refused(format!(
            "a batch has more than {BATCH_BYTES_MAX} bytes; write it in parts"
        ));
    }
    if batch.deletes.is_empty() || batch.puts.is_empty() {
        return Ok(());
    }
    let put: HashSet<&Key> = batch.puts.iter().map(|(key, _)| key).collect();
    if batch.deletes.iter().any(|key| put.contains(key)) {
        return refused("a batch puts and deletes the same key".to_owned());
    }
    Ok(())
}
