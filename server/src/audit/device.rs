//! One audit device: what is common to all kinds of them.
//!
//! One thread writes. It takes all lines that wait, adds them to the chain, hands them over at once, and then
//! acknowledges them: callers share a write (and an `fdatasync`, where it is wanted), and none waits for others.

use super::queue::{Answer, Counts, Errand, Queue, Work};
use super::{Broken, OpenError, Sink};
use crate::tasks::Joined;
use leasehold_core::audit::chain::{Chain, Found, Head, Note, Seen, UNSIGNED_MAX, look};
use leasehold_core::audit::{Audit, AuditError, Beginning, Load};
use leasehold_core::tasks::Pending;
use leasehold_core::time::{Clock, Timestamp};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes after which a group takes no further line.
const GROUP_BYTES: usize = 1 << 20;
/// How long lines may be unsigned before others are written, whatever keeps the checkpoints away: a minute is a fault.
const UNSIGNED_WITHIN: Duration = Duration::from_secs(10);
/// How much of a record's end is read first, to find where its chain was when that was last kept.
const END_BYTES: usize = 64 << 10;
/// How much at most: what is written between two times of keeping is less by far.
const END_BYTES_MAX: usize = 64 << 20;

/// An audit device.
#[derive(Debug)]
pub struct Device {
    name: String,
    acknowledges: bool,
    queue: Queue,
    /// Whether a checkpoint is asked for that is not answered yet.
    checking: AtomicBool,
    // Dropped after the queue: without it the writer finishes what waits, and can be waited for.
    _writer: Joined,
    /// Whether the writer is being waited for.
    ending: Arc<AtomicBool>,
}

impl Device {
    /// Starts the writer of a device. Only one that `acknowledges` makes a request recorded.
    pub(crate) fn start(
        name: impl Into<String>,
        acknowledges: bool,
        sink: impl Sink,
    ) -> Result<Self, OpenError> {
        let name = name.into();
        let (queue, waiting) = Queue::new();
        let ending = Arc::<AtomicBool>::default();
        let writer = Writer {
            name: name.clone(),
            sink,
            chain: None,
            signed_at: Timestamp::default(),
            counts: Arc::clone(&queue.counts),
            torn_bytes: 0,
            has_ended: false,
            fails: false,
            ending: Arc::clone(&ending),
        };
        let thread = thread::Builder::new().name("audit-writer".to_owned());
        let thread = thread.spawn(move || writer.run(waiting)).map_err(|error| {
            OpenError::Unusable { path: Path::new(&name).to_owned(), reason: error.to_string() }
        })?;
        let checking = AtomicBool::default();
        Ok(Self { name, acknowledges, queue, checking, _writer: Joined::new(thread), ending })
    }

    /// Opens its place anew, after all lines that wait: for whoever has moved it away. If that fails, the record
    /// goes on in what was moved.
    pub async fn reopen(&self) -> Result<(), AuditError> {
        self.told(self.queue.ask(|answer| Errand::Reopen { answer }).await)
    }

    fn told<T>(&self, outcome: Result<T, String>) -> Result<T, AuditError> {
        outcome.map_err(|reason| AuditError { device: self.name.clone(), reason })
    }

    async fn check(&self, last: bool) -> Result<Option<Head>, String> {
        let (head, files) = self.queue.ask(|answer| Errand::Checkpoint { last, answer }).await?;
        for file in files {
            // Beside the writer, whose callers wait.
            let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
            synced.map_err(io::Error::other).flatten().map_err(|error| error.to_string())?;
        }
        Ok(head)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
    }
}

impl Audit for Device {
    fn name(&self) -> &str {
        &self.name
    }

    fn acknowledges(&self) -> bool {
        self.acknowledges
    }

    fn begin(&self, beginning: Beginning) -> Pending<'_, Result<(), AuditError>> {
        let beginning = Box::new(beginning);
        Box::pin(async move {
            self.told(self.queue.ask(|answer| Errand::Begin { beginning, answer }).await)
        })
    }

    fn record(&self, line: String) -> Pending<'_, Result<(), AuditError>> {
        if line.contains('\n') {
            let outcome = self.told(Err("a record is one line".to_owned()));
            return Box::pin(async { outcome });
        }
        let recording = self.queue.record(line);
        Box::pin(async move { self.told(recording.await) })
    }

    fn checkpoint(&self, last: bool) -> Pending<'_, Result<Option<Head>, AuditError>> {
        Box::pin(async move {
            // One that hangs is asked once.
            if self.checking.swap(true, Ordering::AcqRel) {
                return self.told(Err("the last checkpoint is not answered yet".to_owned()));
            }
            let _checked = Checked(&self.checking);
            self.told(self.check(last).await)
        })
    }

    fn load(&self) -> Load {
        let counts = &self.queue.counts;
        Load {
            waiting: counts.waiting.load(Ordering::Relaxed),
            missed: counts.missed.value(),
            failed: counts.failed.value(),
        }
    }
}

/// A checkpoint that is being asked for.
struct Checked<'a>(&'a AtomicBool);

impl Drop for Checked<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What writes.
struct Writer<S> {
    name: String,
    sink: S,
    /// The chain, and the time for what is signed.
    chain: Option<(Chain, Arc<dyn Clock>)>,
    /// When a line was signed last.
    signed_at: Timestamp,
    counts: Arc<Counts>,
    /// Bytes that were written and are no whole line.
    torn_bytes: u64,
    /// Whether the last line says that nothing follows until it is begun again.
    has_ended: bool,
    /// Whether the last lines did not arrive.
    fails: bool,
    ending: Arc<AtomicBool>,
}

/// Lines that are handed over together.
#[derive(Default)]
struct Group {
    text: String,
    /// Where each line ends, and which one it is.
    lines: Vec<(usize, Head)>,
    answers: Vec<Answer<()>>,
    /// What its lines took of the queue's room.
    took: u32,
    /// How many missed lines it tells of, if it tells of a gap.
    tells: Option<u64>,
}

impl Group {
    /// Adds a line that is part of the chain already.
    fn push(&mut self, line: &str, head: Head) {
        self.text.push_str(line);
        self.end(head);
    }

    fn end(&mut self, head: Head) {
        self.text.push('\n');
        self.lines.push((self.text.len(), head));
    }
}

impl<S: Sink> Writer<S> {
    /// Works until nobody is left who could ask.
    fn run(mut self, mut waiting: mpsc::UnboundedReceiver<Work>) {
        while let Some(first) = waiting.blocking_recv() {
            let records = matches!(first, Work::Record { .. });
            let (mut group, mut then) =
                (if records { self.group() } else { Group::default() }, None);
            let mut next = Some(first);
            while let Some(work) = next {
                match work {
                    Work::Record { line, takes, answer } => {
                        self.link(&line, &mut group);
                        group.took = group.took.saturating_add(takes);
                        group.answers.push(answer);
                    }
                    Work::Errand(errand) => then = Some(errand),
                }
                let full = then.is_some() || group.text.len() >= GROUP_BYTES;
                next = if full { None } else { waiting.try_recv().ok() };
            }
            if !group.answers.is_empty() {
                // Whoever waits is answered there; who does not is told by the counters.
                let _ = self.write(group);
            }
            // Whoever asked may be gone; what they asked for is done.
            match then {
                Some(Errand::Begin { beginning, answer }) => {
                    let _ = answer.send(self.begin(*beginning));
                }
                Some(Errand::Reopen { answer }) => {
                    let _ = answer.send(self.reopen());
                }
                Some(Errand::Checkpoint { last, answer }) => {
                    let _ = answer.send(self.checkpoint(last));
                }
                None => {}
            }
            if self.fails && self.ending.load(Ordering::Acquire) {
                // Nobody waits any more for lines that do not arrive.
                return;
            }
        }
    }

    fn link(&mut self, line: &str, group: &mut Group) {
        self.has_ended = false;
        match &mut self.chain {
            None => group.push(line, Head::default()),
            Some((chain, _)) => {
                let head = chain.link(line, &mut group.text);
                group.end(head);
            }
        }
    }

    /// Returns a group that begins with what must be told before anything else.
    fn group(&mut self) -> Group {
        let mut group = Group::default();
        let missed = self.counts.untold.load(Ordering::Relaxed);
        let torn_bytes = self.torn_bytes;
        let Some((chain, clock)) = &mut self.chain else { return group };
        if missed > 0 || torn_bytes > 0 || chain.has_lost() {
            let line = chain.note(Note::Gap { missed, torn_bytes }, clock.now());
            group.push(&line, chain.head());
            group.tells = Some(missed);
        } else if chain.unsigned() >= UNSIGNED_MAX
            || (chain.unsigned() > 0 && clock.now().since(self.signed_at) > UNSIGNED_WITHIN)
        {
            let line = chain.note(Note::Checkpoint, clock.now());
            group.push(&line, chain.head());
        }
        group
    }

    /// Hands a group over, and answers for each of its lines.
    fn write(&mut self, group: Group) -> Result<(), String> {
        let outcome = self.sink.take(group.text.as_bytes());
        let arrived = outcome.as_ref().map_or_else(|broken| broken.arrived, |()| group.text.len());
        // Who writes next begins with the newline that a line lacks.
        let whole = group.lines.iter().take_while(|(end, _)| *end <= arrived.saturating_add(1));
        let (end, last) = whole.last().copied().unwrap_or_default();
        let begins_signed = group.lines.len() > group.answers.len();
        if let (Some((chain, clock)), true) = (&mut self.chain, end > 0) {
            chain.arrived(last);
            if let (true, Some((_, first))) = (begins_signed, group.lines.first()) {
                chain.signed(first.number);
                self.signed_at = clock.now();
                if let Some(missed) = group.tells {
                    self.counts.untold.fetch_sub(missed, Ordering::Relaxed);
                    self.torn_bytes = 0;
                }
            }
        }
        let torn = arrived.saturating_sub(end);
        self.torn_bytes = self.torn_bytes.saturating_add(u64::try_from(torn).unwrap_or(0));
        let outcome = outcome.map_err(|Broken { reason, .. }| reason);
        self.tell(&outcome);
        self.counts.left(group.answers.len(), group.took);
        for answer in group.answers {
            if outcome.is_err() {
                self.counts.failed.one();
            }
            // A caller that is gone needs no answer.
            let _ = answer.send(outcome.clone());
        }
        outcome
    }

    /// Logs when a device begins to fail, and when it is well again; not each line in between.
    fn tell(&mut self, outcome: &Result<(), String>) {
        let name = self.name.as_str();
        match outcome {
            Err(reason) if !self.fails => {
                tracing::error!(
                    name,
                    reason,
                    "an audit device fails; what it misses will be told in its record"
                );
            }
            Ok(()) if self.fails => tracing::info!(name, "an audit device records again"),
            Ok(()) | Err(_) => {}
        }
        self.fails = outcome.is_err();
    }

    /// Writes a signed line by itself.
    fn note(&mut self, note: impl FnOnce(&mut Chain, Timestamp) -> String) -> Result<(), String> {
        let Some((chain, clock)) = &mut self.chain else { return Ok(()) };
        let mut group = Group::default();
        let line = note(chain, clock.now());
        group.push(&line, chain.head());
        self.write(group)
    }

    fn begin(&mut self, beginning: Beginning) -> Result<(), String> {
        self.has_ended = false;
        let Beginning { key, kept, installation, clock } = beginning;
        let (kept, unseen) = kept.map_or((Head::default(), 0), |kept| (kept.head, kept.unseen()));
        let mut bytes_max = END_BYTES;
        let seen = loop {
            let end = self.sink.end(bytes_max).unwrap_or_else(|error| {
                let name = self.name.as_str();
                tracing::error!(name, %error, "the end of the audit record cannot be read; it goes on as one that nobody sees");
                None
            });
            let Some((end, more)) = end else {
                break Seen { head: kept, found: Found::Unseen, torn_bytes: 0 };
            };
            let more = more && bytes_max < END_BYTES_MAX;
            if let Some(seen) = look(&end, more, kept, &key) {
                break seen;
            }
            bytes_max = bytes_max.saturating_mul(8).min(END_BYTES_MAX);
        };
        self.report(&seen, kept, unseen == 0);
        let Seen { head, found, torn_bytes } = seen;
        let unseen = if found == Found::Whole { 0 } else { unseen };
        let chain = Chain::new(self.name.clone(), installation, key, head, unseen);
        self.chain = Some((chain, clock));
        // If this line does not arrive either, the next signed one tells of them.
        self.torn_bytes = self.torn_bytes.max(torn_bytes);
        let torn_bytes = self.torn_bytes;
        self.note(|chain, now| chain.note(Note::Began { found, torn_bytes }, now))?;
        self.torn_bytes = 0;
        Ok(())
    }

    /// Tells the operator what was found, if it is not what was left.
    fn report(&self, seen: &Seen, kept: Head, ended: bool) {
        let (name, kept) = (self.name.as_str(), kept.number);
        let Seen { head, found, torn_bytes } = seen;
        match found {
            Found::Cut { from, to } => tracing::error!(
                name,
                from,
                to,
                "the audit record ends before where it was left: lines were cut off, or moved away"
            ),
            Found::Other => tracing::error!(
                name,
                kept,
                "the audit record is not the one that was left: it was exchanged, or altered"
            ),
            Found::Nothing | Found::Unchained if kept > 0 => tracing::warn!(
                name,
                kept,
                "the audit record begins anew: what was there was moved away, or removed"
            ),
            Found::Whole if ended && head.number > kept => tracing::error!(
                name,
                kept,
                "the audit record goes on after the line with which the server ended"
            ),
            Found::Nothing | Found::Unchained | Found::Whole | Found::Unseen => {}
        }
        if *torn_bytes > 0 {
            tracing::warn!(name, torn_bytes, "the last line of the audit record was cut off");
        }
    }

    fn reopen(&mut self) -> Result<(), String> {
        if self.has_ended {
            // Whoever begins again goes on from that line, and finds no other.
            return self.sink.reopen();
        }
        // What stays behind is signed to its end, with what a crash from here on would leave untold there.
        let group = self.group();
        let signed = if group.lines.is_empty() {
            self.note(|chain, now| chain.note(Note::Checkpoint, now))
        } else {
            self.write(group)
        };
        self.sink.reopen()?;
        // Each file has a line by which it is known as ours, however little is left of it.
        signed.and(self.note(|chain, now| chain.note(Note::Checkpoint, now)))
    }

    fn checkpoint(&mut self, last: bool) -> Result<(Option<Head>, Vec<File>), String> {
        let note = if last { Note::Ended } else { Note::Checkpoint };
        let untold = self.counts.untold.load(Ordering::Relaxed);
        let Some((chain, _)) = &self.chain else { return Ok((None, Vec::new())) };
        if untold > 0 || self.torn_bytes > 0 || chain.has_lost() {
            let group = self.group();
            self.write(group)?;
        }
        if last || self.chain.as_ref().is_some_and(|(chain, _)| chain.unsigned() > 0) {
            self.note(|chain, now| chain.note(note, now))?;
            self.has_ended = last;
        }
        Ok((self.chain.as_ref().map(|(chain, _)| chain.head()), self.sink.to_sync()))
    }
}

#[cfg(test)]
#[path = "device/tests.rs"]
mod tests;
