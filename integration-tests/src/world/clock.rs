//! The world's time, and work beside the caller.

use leasehold_core::tasks::{Pending, Tasks};
use leasehold_core::time::{Clock, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// When worlds begin: 2026-11-22.
const BEGINNING: Timestamp = Timestamp(1_795_300_000_000);

/// Follows tokio's paused time.
#[derive(Debug)]
pub struct WorldClock {
    began: Instant,
}

impl WorldClock {
    /// A clock that starts now.
    pub fn starting() -> Self {
        Self { began: Instant::now() }
    }

    /// Waits until the clock says `at`.
    pub async fn until(&self, at: Timestamp) {
        // A millisecond is the finest that both clocks know.
        let span = at.since(BEGINNING);
        tokio::time::sleep_until(self.began + span.min(Duration::from_hours(24 * 365 * 20))).await;
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        BEGINNING.plus(self.began.elapsed())
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }
}

/// Spawns on the one thread of the test.
#[derive(Debug)]
pub struct WorldTasks(pub Arc<WorldClock>);

impl Tasks for WorldTasks {
    fn spawn(&self, work: Pending<'static, ()>) {
        tokio::spawn(work);
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn sleep_until(&self, at: Timestamp) -> Pending<'static, ()> {
        let clock = Arc::clone(&self.0);
        Box::pin(async move { clock.until(at).await })
    }
}
