//! Watches over the time that leases are kept by, and lets an operator accept the system's clock.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::skew::TargetSkew;
use super::{Broker, Request};
use crate::audit::Answer;
use crate::limits::{CLOCK_LEAP, CLOCK_REMIND};
use crate::store::records::Records;
use crate::store::{Batch, StoreError};
use crate::time::watch::{Accepted, Change, Doubt, Seen, TooSoon, Watch};
use crate::time::{Clock, Timestamp};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The watch over the clocks, and when somebody was last told.
#[derive(Debug)]
pub(super) struct ClockWatch {
    watch: Watch,
    told_at: Timestamp,
}

/// How the time is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockState {
    /// The time that leases are kept by.
    pub time: Timestamp,
    /// What the system's clock says.
    pub wall: Timestamp,
    /// How far the time is ahead of it, as an operator has accepted.
    pub ahead: Duration,
    /// How far the two are apart beyond that.
    pub off: Duration,
    /// Since when they differ.
    pub off_since: Option<Timestamp>,
    /// Why issues and renewals are refused, if they are.
    pub doubt: Option<Doubt>,
}

/// How the time is, with all that is known beside it.
#[derive(Clone, Debug)]
pub struct ClockView {
    /// How it is now.
    pub state: ClockState,
    /// The highest time that was seen before.
    pub highest: Option<Timestamp>,
    /// How far the clocks of the targets are off, where that was measured.
    pub targets: Vec<TargetSkew>,
}

/// The clock was accepted.
#[derive(Clone, Copy, Debug)]
pub struct ClockAccepted {
    /// How far that has moved the time.
    pub moved: Duration,
    /// How far it is ahead of the system's clock.
    pub ahead: Duration,
    /// What it is now.
    pub time: Timestamp,
}

/// The clock is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// Issues that have begun may still land.
    #[error(transparent)]
    TooSoon(#[from] TooSoon),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorded for ClockView {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Recorded for ClockAccepted {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({
            "moved": self.moved.as_secs(), "ahead": self.ahead.as_secs(), "time": self.time.rfc3339(),
        })))
    }
}

impl ClockWatch {
    /// Begins to watch. Moves the time to where it was left, if the system's clock has gone back since.
    pub(super) async fn begin(records: &Records, clock: &dyn Clock) -> Result<Self, StoreError> {
        let seen = records.seen_time().await?.map(|found| found.record);
        let (now, wall) = (clock.now(), clock.wall());
        let (watch, start) = Watch::start(seen, now, wall);
        clock.advance_to(start);
        // Nobody can tell it from a server that rested, so it is believed; what has lapsed by it is revoked.
        if let Some(Seen { highest, .. }) = seen
            && start.since(highest) > CLOCK_LEAP
        {
            let ahead_s = start.since(highest).as_secs();
            tracing::warn!(
                ahead_s,
                "the system's clock is more than a day past the highest time that was seen, and is believed; if the server was not stopped for as long, stop it and set the clock right"
            );
        }
        if let Some(doubt) = watch.doubt(start, wall) {
            tracing::error!("{doubt}");
        }
        Ok(Self { watch, told_at: start })
    }
}

impl Broker {
    /// Returns how the time is.
    pub fn clock_state(&self) -> ClockState {
        self.observe_clock();
        let watched = self.clock_watch.lock();
        let (time, wall) = (self.clock.now(), self.clock.wall());
        ClockState {
            time,
            wall,
            ahead: watched.watch.ahead(),
            off: watched.watch.off(time, wall),
            off_since: watched.watch.off_since(),
            doubt: watched.watch.doubt(time, wall),
        }
    }

    /// Refuses what is decided by a time that is in doubt. Revocations are not: they go on by the time there is.
    pub(super) fn trust_clock(&self) -> Result<(), Doubt> {
        self.clock_state().doubt.map_or(Ok(()), Err)
    }

    /// Looks at the clocks, and says so when that changes something.
    fn observe_clock(&self) {
        let mut watched = self.clock_watch.lock();
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let change = watched.watch.observe(now, wall);
        let off_s = watched.watch.off(now, wall).as_secs();
        match change {
            Some(Change::Off) => {
                tracing::warn!(
                    off_s,
                    "the system's clock differs from the time that leases are kept by; if it stays so for 5 minutes, issues and renewals are refused"
                );
            }
            Some(Change::Agrees) => tracing::info!("the system's clock agrees with the time again"),
            Some(Change::CaughtUp(time)) => {
                tracing::info!("the system's clock is not behind any more, and is followed");
                self.move_clock(time);
            }
            Some(Change::Doubted) | None => {}
        }
        if let Some(doubt) = watched.watch.doubt(now, wall)
            && (change.is_some() || now.since(watched.told_at) >= CLOCK_REMIND)
        {
            watched.told_at = now;
            tracing::error!("{doubt}");
        }
    }

    /// Moves the time forward. The targets' clocks were measured against the one of before.
    fn move_clock(&self, to: Timestamp) {
        // First: whoever looks in between is to take for too late what is not, and never the other way round.
        let moved = to.0.saturating_sub(self.clock.now().0);
        self.began_at.fetch_add(moved, Ordering::AcqRel);
        self.clock.advance_to(to);
        self.close_all_targets();
        self.wake_sweep();
    }

    /// Looks at the clocks, and keeps the time in the store.
    pub(super) async fn keep_time(&self) -> Result<(), StoreError> {
        self.observe_clock();
        let was = self.records.seen_time().await?;
        let seen = was.as_ref().map_or_else(Seen::default, |was| was.record);
        let highest = self.clock.now();
        if seen.highest >= highest {
            return Ok(());
        }
        let seen = Seen { highest, ..seen };
        let was = was.map(|was| was.revision);
        match self.records.keep_seen_time(was, &seen, Batch::default()).await {
            // Another node has kept its own.
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tells how the time is.
    pub async fn read_clock(self: &Arc<Self>, request: &Request) -> Result<ClockView, ClockError> {
        self.served(request, async |_| {
            let highest = self.records.seen_time().await?.map(|found| found.record.highest);
            Ok(ClockView { state: self.clock_state(), highest, targets: self.target_skews() })
        })
        .await
    }

    /// Takes the system's clock for right: the time becomes what it says if that is later, and stays ahead of it if
    /// not. Issues and renewals are served again.
    pub async fn accept_clock(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<ClockAccepted, ClockError> {
        self.written(request, async |caller: Caller| {
            self.try_accept(caller.rights.expected(Batch::default())).await
        })
        .await
    }

    async fn try_accept(&self, batch: Batch) -> Result<ClockAccepted, ClockError> {
        self.observe_clock();
        let was = self.records.seen_time().await?;
        let before = self.clock.now();
        let Accepted { ahead, .. } =
            self.clock_watch.lock().watch.accept(before, self.clock.wall())?;
        // Stored first, for a process that begins now must not refuse what was accepted.
        let highest = was.as_ref().map_or(before, |was| was.record.highest.max(before));
        let seen = Seen { highest, ahead };
        self.records.keep_seen_time(was.map(|was| was.revision), &seen, batch).await?;

        let mut watched = self.clock_watch.lock();
        // Decided anew: the system's clock may have been set meanwhile.
        let before = self.clock.now();
        let accepted = watched.watch.accept(before, self.clock.wall())?;
        let Accepted { time, ahead } = accepted;
        let moved = time.since(before);
        if !moved.is_zero() {
            self.move_clock(time);
        }
        watched.watch.accepted(accepted);
        drop(watched);
        let (moved_s, ahead_s) = (moved.as_secs(), ahead.as_secs());
        tracing::warn!(moved_s, ahead_s, "an operator has accepted the system's clock");
        Ok(ClockAccepted { moved, ahead, time })
    }
}
