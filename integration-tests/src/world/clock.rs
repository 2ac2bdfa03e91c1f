//! The world's time, and work beside the caller.

use leasehold_core::tasks::{Pending, Tasks};
use leasehold_core::time::{Clock, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// When worlds begin: 2026-11-22.
const BEGINNING: Timestamp = Timestamp(1_795_300_000_000);
/// The longest sleep that tokio takes.
const SLEEP_MAX: Duration = Duration::from_hours(24 * 365 * 20);

/// Follows tokio's paused time.
#[derive(Debug)]
pub struct WorldClock {
    began: Instant,
    /// What the time would have been at the beginning, by what it is now; in milliseconds.
    time_ms: AtomicU64,
    /// The same of the wall clock.
    wall_ms: AtomicU64,
    moved: Notify,
}

impl WorldClock {
    /// A clock that starts now.
    pub fn starting() -> Self {
        let (time_ms, wall_ms) = (AtomicU64::new(BEGINNING.0), AtomicU64::new(BEGINNING.0));
        Self { began: Instant::now(), time_ms, wall_ms, moved: Notify::new() }
    }

    /// Waits until the clock says `at`.
    pub async fn until(&self, at: Timestamp) {
        loop {
            let moved = self.moved.notified();
            // A millisecond is the finest that both clocks know.
            let span = at.since(Timestamp(self.time_ms.load(Ordering::SeqCst)));
            tokio::select! {
                () = tokio::time::sleep_until(self.began + span.min(SLEEP_MAX)) => return,
                () = moved => {}
            }
        }
    }

    /// The wall clock is set forward.
    pub fn step_wall_forward(&self, by: Duration) {
        self.wall_ms.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// The wall clock is set back.
    pub fn step_wall_back(&self, by: Duration) {
        self.wall_ms.fetch_sub(millis(by), Ordering::SeqCst);
    }

    /// The machine is suspended for so long: time passes in which nothing runs.
    pub fn suspend(&self, span: Duration) {
        self.wall_ms.fetch_add(millis(span), Ordering::SeqCst);
        self.time_ms.fetch_add(millis(span), Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    /// A process begins: its time is what the wall clock says.
    pub fn read_wall(&self) {
        self.time_ms.store(self.wall_ms.load(Ordering::SeqCst), Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

fn millis(span: Duration) -> u64 {
    span.as_millis().try_into().unwrap()
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.time_ms.load(Ordering::SeqCst)).plus(self.began.elapsed())
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.wall_ms.load(Ordering::SeqCst)).plus(self.began.elapsed())
    }

    fn advance_to(&self, at: Timestamp) {
        self.time_ms.fetch_add(millis(at.since(self.now())), Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

/// What one process does beside its callers, on the one thread of the test.
#[derive(Debug)]
pub struct WorldTasks {
    clock: Arc<WorldClock>,
    running: Mutex<JoinSet<()>>,
}

impl WorldTasks {
    /// Those of a fresh process.
    pub fn new(clock: &Arc<WorldClock>) -> Self {
        Self { clock: Arc::clone(clock), running: Mutex::default() }
    }

    /// The process dies in the middle of all of them.
    pub fn die(&self) {
        self.running.lock().unwrap().abort_all();
    }
}

impl Tasks for WorldTasks {
    fn spawn(&self, work: Pending<'static, ()>) {
        let mut running = self.running.lock().unwrap();
        running.spawn(work);
        // One that is over is forgotten; a panic shows in the test's own output.
        while running.try_join_next().is_some() {}
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn sleep_until(&self, at: Timestamp) -> Pending<'static, ()> {
        let clock = Arc::clone(&self.clock);
        Box::pin(async move { clock.until(at).await })
    }
}
