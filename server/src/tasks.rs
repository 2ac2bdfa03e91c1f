//! Work beside the caller, on tokio.

use leasehold_core::tasks::{Pending, Tasks};
use leasehold_core::time::{Clock, Timestamp};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long one timer of tokio runs before the clock is asked again. Its timers stand still while
/// the machine is suspended: a lapse during that time is noticed this much after the resumption.
const SLICE: Duration = Duration::from_secs(1);

/// Runs work on a tokio runtime, by the time of a [`Clock`].
#[derive(Clone, Debug)]
pub struct TokioTasks {
    runtime: Handle,
    clock: Arc<dyn Clock>,
}

impl TokioTasks {
    /// Runs work on this runtime.
    #[must_use]
    pub fn new(runtime: Handle, clock: Arc<dyn Clock>) -> Self {
        Self { runtime, clock }
    }
}

impl Tasks for TokioTasks {
    fn spawn(&self, work: Pending<'static, ()>) {
        // Nobody waits for it: what it has to tell, it tells by itself.
        drop(self.runtime.spawn(work));
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) {
        drop(self.runtime.spawn_blocking(work));
    }

    fn sleep_until(&self, at: Timestamp) -> Pending<'static, ()> {
        let clock = Arc::clone(&self.clock);
        Box::pin(async move {
            loop {
                let left = at.since(clock.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(SLICE)).await;
            }
        })
    }
}

/// A thread that is waited for when this is dropped. Whoever holds it drops first what keeps the
/// thread going.
#[derive(Debug)]
pub(crate) struct Joined(Option<JoinHandle<()>>);

impl Joined {
    pub(crate) fn new(thread: JoinHandle<()>) -> Self {
        Self(Some(thread))
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let Some(thread) = self.0.take() else { return };
        let name = thread.thread().name().unwrap_or_default().to_owned();
        if thread.join().is_err() {
            tracing::error!(name, "a thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SystemClock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::sync::oneshot;

    /// A clock that is an hour later each time it is asked.
    #[derive(Debug, Default)]
    struct Leaping(AtomicU64);

    impl Clock for Leaping {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.fetch_add(3_600_000, Ordering::SeqCst))
        }

        fn wall(&self) -> Timestamp {
            self.now()
        }

        fn advance_to(&self, at: Timestamp) {
            self.0.fetch_max(at.0, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_sleeper_wakes_at_its_time_and_not_before() {
        let clock = Arc::new(SystemClock::start().unwrap());
        let tasks = TokioTasks::new(Handle::current(), clock.clone());
        let at = clock.now().plus(Duration::from_millis(30));
        tasks.sleep_until(at).await;
        assert!(clock.now() >= at);
        tasks.sleep_until(Timestamp(0)).await;
    }

    #[tokio::test]
    async fn a_sleeper_notices_that_the_machine_was_suspended() {
        let tasks = TokioTasks::new(Handle::current(), Arc::new(Leaping::default()));
        let slept = tasks.sleep_until(Timestamp(3_600_000));
        tokio::time::timeout(Duration::from_mins(1), slept).await.unwrap();
    }

    #[tokio::test]
    async fn work_goes_on_beside_the_caller() {
        let clock = Arc::new(SystemClock::start().unwrap());
        let tasks = TokioTasks::new(Handle::current(), clock);
        let (spawned, told) = oneshot::channel();
        tasks.spawn(Box::pin(async { spawned.send(1).unwrap() }));
        assert_eq!(told.await, Ok(1));
        let (computed, told) = oneshot::channel();
        tasks.compute(Box::new(|| computed.send(2).unwrap()));
        assert_eq!(told.await, Ok(2));
    }
}
