//! The one thread that writes: takes what waits, commits it as a group, and answers.

use super::file::{self, FileError, RECORDS};
use super::{Disk, Shared, State};
use crate::time::Stopwatch;
use leasehold_core::store::{Batch, Key, Revision, StoreError};
use nix::sys::statvfs::statvfs;
use redb::{Database, ReadableTable, Table, WriteTransaction};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{broadcast, mpsc, oneshot};

/// Batches of one group. More would not make a share of the `fsync` smaller, but the wait longer.
const GROUP_BATCHES_MAX: usize = 512;
/// Bytes after which a group takes no further batch: what is being written is held in memory twice.
const GROUP_BYTES: usize = 16 << 20;

/// What the writer is asked to do.
pub(super) enum Work {
    /// Writes a batch.
    Write(Asked),
    /// Opens the file again, since a reader met a failure that stays until then.
    Reopen,
}

/// A batch, and whom to tell.
pub(super) struct Asked {
    pub(super) batch: Batch,
    pub(super) answer: oneshot::Sender<Verdict>,
}

type Verdict = Result<Revision, StoreError>;

/// What the feed tells.
#[derive(Clone, Debug)]
pub(super) enum Changed {
    /// These keys were put or deleted.
    Keys(Arc<[Key]>),
    /// Anything may have been, since the file was opened again.
    Anything,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Disk,
    changes: broadcast::Sender<Changed>,
    /// The revision of the last batch that is in the file.
    revision: u64,
}

/// A group that was not written as it should have been.
enum Failed {
    /// Nothing of it was made durable.
    Before(FileError),
    /// The file was asked to make it durable, and may have done so.
    Committing(FileError, Applied),
}

/// A group in a transaction: what each batch will be told once it is durable.
struct Applied {
    verdicts: Vec<Verdict>,
    /// The revision of the last batch, or the one before the group if no batch was written.
    last: u64,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        disk: Disk,
        changes: broadcast::Sender<Changed>,
        revision: u64,
    ) -> Self {
        Self { shared, disk, changes, revision }
    }

    /// Works until nobody is left who could ask, then closes the file.
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Work>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = Vec::new();
            let mut bytes = 0_usize;
            let mut next = Some(first);
            while let Some(work) = next {
                match work {
                    Work::Write(asked) => {
                        bytes = bytes.saturating_add(weight(&asked.batch));
                        group.push(asked);
                    }
                    Work::Reopen => self.reopen_when_doubted(),
                }
                let full = group.len() >= GROUP_BATCHES_MAX || bytes >= GROUP_BYTES;
                next = if full { None } else { waiting.try_recv().ok() };
            }
            if !group.is_empty() {
                self.write(group);
            }
        }
        self.close("the store has been closed");
    }

    /// Writes a group and answers everybody in it.
    fn write(&mut self, group: Vec<Asked>) {
        let shared = Arc::clone(&self.shared);
        let closed = matches!(&*shared.state.read(), State::Closed(_));
        if closed && let Err(reason) = self.reopen() {
            return self.answer(group, &StoreError::Refused(self.about(&reason)));
        }
        let watch = Stopwatch::start();
        let written = match &*shared.state.read() {
            State::Open(database) => self.apply(database, &group),
            State::Closed(reason) => Err(Failed::Before(FileError(reason.clone()))),
        };
        shared.meter.group(group.len(), watch.took());
        match written {
            Ok(applied) => self.tell(group, applied),
            Err(failed) => self.recover(group, failed),
        }
    }

    /// Applies a group in one transaction and makes it durable.
    fn apply(&self, database: &Database, group: &[Asked]) -> Result<Applied, Failed> {
        let short = self.shortage();
        let filled = file::caught(|| {
            let transaction = file::begin(database)?;
            let applied = fill(&transaction, self.revision, group, short.as_ref())?;
            Ok((transaction, applied))
        });
        let (transaction, applied) = filled.flatten().map_err(Failed::Before)?;
        if applied.last == self.revision {
            let aborted = file::caught(|| Ok(transaction.abort()?)).flatten();
            return aborted.map(|()| applied).map_err(Failed::Before);
        }
        passing!(StoreBeforeSync);
        match file::caught(|| Ok(transaction.commit()?)).flatten() {
            Ok(()) => {
                passing!(StoreAfterSync);
                Ok(applied)
            }
            Err(error) => Err(Failed::Committing(error, applied)),
        }
    }

    /// Answers a group that is durable. The feed goes first, so that nobody finds in a cache what
    /// his own write has changed for longer than he must.
    fn tell(&mut self, group: Vec<Asked>, applied: Applied) {
        self.revision = applied.last;
        if self.changes.receiver_count() > 0 {
            let written = group.iter().zip(&applied.verdicts).filter(|(_, told)| told.is_ok());
            let keys: Arc<[Key]> = written.flat_map(|(asked, _)| keys(&asked.batch)).collect();
            if !keys.is_empty() {
                // Fails only if the last reader left meanwhile.
                drop(self.changes.send(Changed::Keys(keys)));
            }
        }
        for (asked, verdict) in group.into_iter().zip(applied.verdicts) {
            self.shared.meter.told(&verdict);
            // A caller that is gone is told nothing; its batch is in.
            drop(asked.answer.send(verdict));
            passing!(StoreBetweenAnswers);
        }
    }

    /// Tells the same to everybody.
    fn answer(&self, group: Vec<Asked>, error: &StoreError) {
        for asked in group {
            let verdict = Err(error.clone());
            self.shared.meter.told(&verdict);
            // A caller that is gone needs no answer.
            drop(asked.answer.send(verdict));
        }
    }

    /// Finds out what became of a group whose writing failed, and answers it.
    fn recover(&mut self, group: Vec<Asked>, failed: Failed) {
        let before = self.revision;
        let (error, applied) = match failed {
            Failed::Before(error) => (error, None),
            Failed::Committing(error, applied) => (error, Some(applied)),
        };
        let reason = self.about(&error.0);
        tracing::error!(%reason, "the store could not write, and opens its file again");
        let reopened = self.reopen();
        match (applied, reopened) {
            (None, _) => self.answer(group, &StoreError::Refused(reason)),
            // One transaction holds the whole group and nobody else writes, so the file has moved
            // on with all of it or with none.
            (Some(_), Ok(())) if self.revision == before => {
                self.answer(group, &StoreError::Refused(reason));
            }
            (Some(applied), Ok(())) if self.revision == applied.last => self.tell(group, applied),
            (Some(_), Ok(())) => self.answer(group, &StoreError::Uncertain(reason)),
            (Some(_), Err(then)) => {
                self.answer(group, &StoreError::Uncertain(format!("{reason}; and then: {then}")));
            }
        }
    }

    fn reopen_when_doubted(&mut self) {
        if let Err(reason) = self.reopen() {
            tracing::error!(%reason, "the store's file cannot be opened again");
        }
        self.shared.doubted.store(false, Ordering::Release);
    }

    /// Closes the file, opens it again, and takes up where it says that it is.
    fn reopen(&mut self) -> Result<(), String> {
        self.close("it is being opened again");
        match self.open_again() {
            Ok(database) => {
                *self.shared.state.write() = State::Open(database);
                // Fails only if nobody reads the feed.
                drop(self.changes.send(Changed::Anything));
                Ok(())
            }
            Err(reason) => {
                *self.shared.state.write() = State::Closed(reason.clone());
                Err(reason)
            }
        }
    }

    fn open_again(&mut self) -> Result<Database, String> {
        let database = (self.disk.open)().map_err(|error| error.to_string())?;
        let found = || -> Result<u64, FileError> {
            let revision = file::read_revision(&database)?;
            // After a failed `fsync` the system shows pages that may never reach the disk. What has
            // been read counts once a commit on top of it has succeeded. (That redb syncs its
            // header when it opens a file would do as well; nothing promises it.)
            let transaction = file::begin(&database)?;
            file::write_revision(&transaction, revision)?;
            transaction.commit()?;
            Ok(revision)
        };
        self.revision = file::caught(found).flatten().map_err(|error| error.0)?;
        Ok(database)
    }

    fn close(&self, why: &str) {
        // Swapped first, so that readers are refused and do not wait for the disk.
        let closed = State::Closed(why.to_owned());
        let old = std::mem::replace(&mut *self.shared.state.write(), closed);
        if let State::Open(database) = old {
            let closed = file::caught(|| Ok(database.close()?)).flatten();
            if let Err(reason) = closed {
                tracing::warn!(%reason, "the store's file was not closed in good order");
            }
        }
    }

    /// Returns why batches that may not spend the reserve are refused now, if they are.
    fn shortage(&self) -> Option<StoreError> {
        let folder = self.disk.folder.as_deref()?;
        // Where the system does not tell, the write itself will.
        let system = statvfs(folder).ok()?;
        let free = system.blocks_available().saturating_mul(system.fragment_size());
        (free < self.disk.reserve_bytes).then(|| {
            StoreError::Refused(format!(
                "the disk of `{}` is nearly full: {} MiB are free, and {} MiB are kept for \
                 revocations; free some space",
                folder.display(),
                free >> 20,
                self.disk.reserve_bytes >> 20,
            ))
        })
    }

    fn about(&self, reason: &str) -> String {
        format!("cannot write `{}`: {reason}", self.disk.name)
    }
}

/// Puts a group into a transaction, each batch whole or not at all.
fn fill(
    transaction: &WriteTransaction,
    before: u64,
    group: &[Asked],
    short: Option<&StoreError>,
) -> Result<Applied, FileError> {
    let mut last = before;
    let mut verdicts = Vec::with_capacity(group.len());
    let mut records = transaction.open_table(RECORDS)?;
    for Asked { batch, .. } in group {
        if let Some(short) = short
            && !batch.spends_reserve
        {
            verdicts.push(Err(short.clone()));
        } else if is_as_expected(&records, batch)? {
            last = last.saturating_add(1);
            put(&mut records, batch, last)?;
            verdicts.push(Ok(Revision(last)));
        } else {
            verdicts.push(Err(StoreError::Conflict));
        }
    }
    drop(records);
    if last != before {
        file::write_revision(transaction, last)?;
    }
    Ok(Applied { verdicts, last })
}

fn is_as_expected(records: &Table<&[u8], &[u8]>, batch: &Batch) -> Result<bool, FileError> {
    for (key, expected) in &batch.expected {
        let found = records.get(key.0.as_slice())?;
        let found = found.as_ref().and_then(|record| record.value().first_chunk().copied());
        if found.map(u64::from_le_bytes) != expected.map(|revision| revision.0) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn put(records: &mut Table<&[u8], &[u8]>, batch: &Batch, revision: u64) -> Result<(), FileError> {
    for (key, value) in &batch.puts {
        // Written in place, which saves a copy of every value.
        let bytes = value.0.len().saturating_add(size_of::<u64>());
        let mut record = records.insert_reserve(key.0.as_slice(), bytes)?;
        let (head, rest) = record.as_mut().split_at_mut(size_of::<u64>());
        head.copy_from_slice(&revision.to_le_bytes());
        rest.copy_from_slice(&value.0);
    }
    for key in &batch.deletes {
        records.remove(key.0.as_slice())?;
    }
    Ok(())
}

fn keys(batch: &Batch) -> impl Iterator<Item = Key> {
    batch.puts.iter().map(|(key, _)| key).chain(&batch.deletes).cloned()
}

fn weight(batch: &Batch) -> usize {
    let puts = batch.puts.iter().map(|(key, value)| key.0.len().saturating_add(value.0.len()));
    puts.fold(0, usize::saturating_add)
}
