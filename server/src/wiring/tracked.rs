//! Counts what is being done, so that an end can wait for it.

use crate::tasks::TokioTasks;
use leasehold_core::tasks::{Pending, Tasks};
use leasehold_core::time::Timestamp;
use tokio::sync::watch;

/// How much of something is being done.
#[derive(Clone, Debug)]
pub(crate) struct Count(watch::Sender<usize>);

/// Counts as one for as long as it lives.
#[derive(Debug)]
pub(crate) struct Running(watch::Sender<usize>);

impl Count {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Counts one more.
    pub(crate) fn begin(&self) -> Running {
        self.0.send_modify(|count| *count = count.saturating_add(1));
        Running(self.0.clone())
    }

    /// Waits until nothing is being done.
    pub(crate) async fn idle(&self) {
        self.at_most(0).await;
    }

    /// Waits until so few are being done.
    pub(crate) async fn at_most(&self, few: usize) {
        // An error means that the sender is gone, and this holds it.
        let _ = self.0.subscribe().wait_for(|count| *count <= few).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Tasks of which it is known how many there are.
#[derive(Debug)]
pub(crate) struct Tracked {
    tasks: TokioTasks,
    pub(crate) running: Count,
}

impl Tracked {
    pub(crate) fn new(tasks: TokioTasks) -> Self {
        Self { tasks, running: Count::new() }
    }
}

impl Tasks for Tracked {
    fn spawn(&self, work: Pending<'static, ()>) {
        let running = self.running.begin();
        self.tasks.spawn(Box::pin(async move {
            work.await;
            drop(running);
        }));
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) {
        self.tasks.compute(work);
    }

    fn sleep_until(&self, at: Timestamp) -> Pending<'static, ()> {
        self.tasks.sleep_until(at)
    }
}
