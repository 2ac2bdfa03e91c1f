//! What waits for a device: bounded, in the order in which it came.

use leasehold_core::audit::Beginning;
use leasehold_core::audit::chain::Head;
use leasehold_core::metrics::Counter;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};

/// Lines that wait before further ones find no room.
const WAITING_MAX: u32 = 1024;
/// What they may hold together, in KiB: where lines are long, fewer find room.
const WAITING_KIB: u32 = 16 << 10;
/// The least that a line takes of that.
const LINE_KIB: u32 = WAITING_KIB / WAITING_MAX;

/// What a writer answers when it has done what it was asked.
pub(super) type Answer<T> = oneshot::Sender<Result<T, String>>;

/// What a writer is asked.
#[derive(Debug)]
pub(super) enum Work {
    /// To write a line, which takes so much of the room.
    Record { line: String, takes: u32, answer: Answer<()> },
    /// To do something else, once all lines before it are written.
    Errand(Errand),
}

/// What else than lines a writer is asked for.
#[derive(Debug)]
pub(super) enum Errand {
    /// To go on with the chain.
    Begin { beginning: Box<Beginning>, answer: Answer<()> },
    /// To open its place anew.
    Reopen { answer: Answer<()> },
    /// To sign what it wrote, and say how far the chain reaches and which files are to be waited for.
    Checkpoint { last: bool, answer: Answer<(Option<Head>, Vec<File>)> },
}

/// The end of a queue at which lines come in.
#[derive(Debug)]
pub(super) struct Queue {
    work: mpsc::UnboundedSender<Work>,
    pub(super) counts: Arc<Counts>,
}

/// What is counted of a device.
#[derive(Debug)]
pub(super) struct Counts {
    /// What is left of the room, in KiB.
    room: Semaphore,
    pub(super) waiting: AtomicU64,
    pub(super) missed: Counter,
    pub(super) failed: Counter,
    /// Lines that were missed and that no signed line tells of yet.
    pub(super) untold: AtomicU64,
}

impl Counts {
    /// Lines have left the queue, which took so much of the room.
    pub(super) fn left(&self, lines: usize, took: u32) {
        self.waiting.fetch_sub(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.room.add_permits(usize::try_from(took).unwrap_or_default());
    }
}

/// A line that has no place yet. Whoever gives up waiting has it missed.
struct Unplaced<'a>(&'a Counts);

impl Drop for Unplaced<'_> {
    fn drop(&mut self) {
        self.0.missed.one();
        self.0.untold.fetch_add(1, Ordering::Relaxed);
    }
}

impl Queue {
    /// Makes a queue; its other end is the writer's.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Work>) {
        let (work, waiting) = mpsc::unbounded_channel();
        let counts = Counts {
            room: Semaphore::new(usize::try_from(WAITING_KIB).unwrap_or(usize::MAX)),
            waiting: AtomicU64::default(),
            missed: Counter::default(),
            failed: Counter::default(),
            untold: AtomicU64::default(),
        };
        (Self { work, counts: Arc::new(counts) }, waiting)
    }

    /// Puts a line in, at once if there is room.
    pub(super) fn record(
        &self,
        line: String,
    ) -> impl Future<Output = Result<(), String>> + Send + '_ {
        let kib = line.len().div_ceil(1024);
        let takes = u32::try_from(kib).unwrap_or(u32::MAX).clamp(LINE_KIB, WAITING_KIB);
        let placed = match self.counts.room.try_acquire_many(takes) {
            Ok(room) => Ok(self.put(line, takes, room)),
            Err(_) => Err((line, Unplaced(&self.counts))),
        };
        async move {
            let answered = match placed {
                Ok(answered) => answered,
                Err((line, unplaced)) => {
                    let room = self.counts.room.acquire_many(takes).await;
                    std::mem::forget(unplaced);
                    self.put(line, takes, room.map_err(|_| ended())?)
                }
            };
            answered.await.unwrap_or_else(|_| Err(ended()))
        }
    }

    /// The room is given back once the line has left the queue.
    fn put(
        &self,
        line: String,
        takes: u32,
        room: SemaphorePermit<'_>,
    ) -> oneshot::Receiver<Result<(), String>> {
        room.forget();
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        // Without a writer the answer is dropped, which says so.
        let _ = self.work.send(Work::Record { line, takes, answer });
        answered
    }

    /// Asks for something else than a line, and waits until it is done.
    pub(super) async fn ask<T>(
        &self,
        errand: impl FnOnce(Answer<T>) -> Errand,
    ) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        self.work.send(Work::Errand(errand(answer))).map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> String {
    "its writer has ended".to_owned()
}
