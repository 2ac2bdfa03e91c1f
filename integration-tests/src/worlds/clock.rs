//! The time as one process takes it to be, and its work beside the callers.

use super::executor::Whose;
use super::setting::Setting;
use leasehold_core::tasks::{Pending, Tasks};
use leasehold_core::time::{Clock, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The wall clock of a machine: the true time, and how far it is off.
#[derive(Debug)]
pub struct Wall {
    setting: Arc<Setting>,
    off_ms: AtomicI64,
}

impl Wall {
    /// A clock that is right.
    pub fn new(setting: Arc<Setting>) -> Self {
        Self { setting, off_ms: AtomicI64::new(0) }
    }

    /// Steps the clock, as NTP does; 0 sets it right.
    pub fn set_off(&self, off_ms: i64) {
        self.off_ms.store(off_ms, Ordering::Relaxed);
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.setting.now().0.saturating_add_signed(self.off_ms.load(Ordering::Relaxed)))
    }
}

/// The clock of a process: the wall as it was when the process began, carried on by a clock that nobody steps.
#[derive(Debug)]
pub struct ProcessClock {
    /// The world it is in.
    pub setting: Arc<Setting>,
    wall: Arc<Wall>,
    /// How far it is ahead of the true time.
    off_ms: AtomicI64,
}

impl ProcessClock {
    /// Reads the wall once.
    pub fn starting(setting: Arc<Setting>, wall: Arc<Wall>) -> Self {
        let off_ms = wall.off_ms.load(Ordering::Relaxed);
        Self { setting, wall, off_ms: AtomicI64::new(off_ms) }
    }

    /// What a decision that is made now goes by.
    pub fn reading(&self) -> Reading {
        let off_ms = self.off_ms.load(Ordering::Relaxed);
        Reading { at: Timestamp(self.setting.now().0.saturating_add_signed(off_ms)), off_ms }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        let now = super::flaws::clock(&self.setting, self.setting.now());
        Timestamp(now.0.saturating_add_signed(self.off_ms.load(Ordering::Relaxed)))
    }

    fn wall(&self) -> Timestamp {
        self.wall.now()
    }

    fn advance_to(&self, at: Timestamp) {
        let off_ms = i64::try_from(at.0).unwrap() - i64::try_from(self.setting.now().0).unwrap();
        self.off_ms.fetch_max(off_ms, Ordering::Relaxed);
    }
}

/// What a process took the time to be when it decided something. What was decided by a clock that was wrong is judged
/// by that clock, and nothing else is.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// What the clock said.
    pub at: Timestamp,
    /// How far it was ahead of the true time.
    pub off_ms: i64,
}

impl Reading {
    /// What a clock that is right says.
    pub fn right(setting: &Setting) -> Self {
        Self { at: setting.now(), off_ms: 0 }
    }
}

/// The longest sleep: within it a clock that was moved is looked at again.
const SLEEP_MAX_MS: u64 = 300_000;

/// Carries on the work of one process.
#[derive(Debug)]
pub struct ProcessTasks {
    setting: Arc<Setting>,
    clock: Arc<ProcessClock>,
    whose: Whose,
}

impl ProcessTasks {
    /// The work of this process.
    pub fn new(setting: Arc<Setting>, clock: Arc<ProcessClock>, whose: Whose) -> Self {
        Self { setting, clock, whose }
    }
}

impl Tasks for ProcessTasks {
    fn spawn(&self, work: Pending<'static, ()>) {
        self.setting.executor.spawn(self.whose, work);
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) {
        self.setting.executor.spawn(self.whose, Box::pin(async { work() }));
    }

    fn sleep_until(&self, at: Timestamp) -> Pending<'static, ()> {
        let (setting, clock) = (Arc::clone(&self.setting), Arc::clone(&self.clock));
        Box::pin(async move {
            while clock.now() < at {
                let off_ms = clock.off_ms.load(Ordering::Relaxed);
                let wanted = Setting::machine_time(Timestamp(at.0.saturating_add_signed(-off_ms)));
                let now = setting.executor.now();
                // A clock that lags behind its time is looked at again.
                let until = wanted.clamp(now.saturating_add(1), now.saturating_add(SLEEP_MAX_MS));
                let until = if wanted <= now { now.saturating_add(1000) } else { until };
                setting.executor.sleep_until(until).await;
            }
        })
    }
}
