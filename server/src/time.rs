//! The system's clocks.

use leasehold_core::time::{Clock, Timestamp};
use nix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Carries the wall clock of the start on by `CLOCK_BOOTTIME`, which counts suspension and which
/// nobody can step.
#[derive(Debug)]
pub struct SystemClock {
    /// What the wall clock said at the start.
    wall: Duration,
    /// What `CLOCK_BOOTTIME` said at the start.
    boot: Duration,
    /// How far it was moved forward since, in milliseconds.
    moved_ms: AtomicU64,
}

/// Measures how long something takes, finer than terms are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Duration);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(monotonic())
    }

    /// Returns how long ago it was started.
    pub(crate) fn took(self) -> Duration {
        monotonic().saturating_sub(self.0)
    }
}

/// Where the system has no such clock, everything takes no time: nothing but a metric goes by it.
fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// Returns the time of the system's clock as syslog writes it, in UTC: no message of ours goes by it.
pub(crate) fn syslog_time() -> String {
    let wall = clock_gettime(ClockId::CLOCK_REALTIME).map(Duration::from).unwrap_or_default();
    Timestamp::default().plus(wall).utc().format("%b %e %H:%M:%S").to_string()
}

/// The system does not have a clock that the server needs.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the system's clocks: {reason}")]
pub struct ClockError {
    reason: String,
}

impl SystemClock {
    /// Reads the wall clock for the only time that decides anything.
    pub fn start() -> Result<Self, ClockError> {
        let missing = |error: nix::Error| ClockError { reason: error.to_string() };
        let wall = clock_gettime(ClockId::CLOCK_REALTIME).map_err(missing)?;
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(missing)?;
        Ok(Self { wall: wall.into(), boot: boot.into(), moved_ms: AtomicU64::new(0) })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.unmoved().plus(Duration::from_millis(self.moved_ms.load(Ordering::Acquire)))
    }

    fn wall(&self) -> Timestamp {
        timestamp(read(ClockId::CLOCK_REALTIME))
    }

    fn advance_to(&self, at: Timestamp) {
        self.moved_ms.fetch_max(at.0.saturating_sub(self.unmoved().0), Ordering::AcqRel);
    }
}

impl SystemClock {
    fn unmoved(&self) -> Timestamp {
        let since = read(ClockId::CLOCK_BOOTTIME).saturating_sub(self.boot);
        timestamp(self.wall.saturating_add(since))
    }
}

#[expect(
    clippy::expect_used,
    reason = "the call fails only for a clock that the kernel does not have, and a `SystemClock` \
              is not made without having read both"
)]
fn read(id: ClockId) -> Duration {
    clock_gettime(id).expect("a clock that was there at the start is gone").into()
}

fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp::default().plus(since_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_follows_the_wall_clock_and_does_not_go_back() {
        let clock = SystemClock::start().unwrap();
        let times: Vec<_> = (0..1000).map(|_| clock.now()).collect();
        assert!(times.is_sorted());
        let off = clock.wall().since(clock.now()).max(clock.now().since(clock.wall()));
        assert!(off < Duration::from_mins(1), "{off:?}");
    }

    #[test]
    fn the_time_can_be_moved_forward_and_never_back() {
        let clock = SystemClock::start().unwrap();
        let later = clock.now().plus(Duration::from_hours(1));
        clock.advance_to(later);
        let moved = clock.now();
        assert!(moved >= later && moved.since(later) < Duration::from_mins(1), "{moved:?}");
        clock.advance_to(Timestamp(0));
        assert!(clock.now() >= moved);
        assert!(clock.wall() < later);
    }

    #[test]
    fn the_time_goes_on_by_the_boot_clock_from_what_the_wall_said() {
        let clock = SystemClock {
            wall: Duration::from_secs(1_000_000),
            boot: Duration::ZERO,
            moved_ms: AtomicU64::new(0),
        };
        let earliest = timestamp(read(ClockId::CLOCK_BOOTTIME));
        let since = clock.now().since(Timestamp(1_000_000_000));
        let latest = timestamp(read(ClockId::CLOCK_BOOTTIME));
        assert!((earliest..=latest).contains(&timestamp(since)), "{since:?}");
    }
}
