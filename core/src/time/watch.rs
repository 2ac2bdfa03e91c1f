//! Whether the time can be relied on: what the system's wall clock says about it, and what was seen before.
//!
//! The time leases are kept by never goes back. Where the wall clock does, and an operator says that it is right, the
//! time stays ahead of it by as much; see `docs/decisions/0004-clock.md`.

use super::Timestamp;
use crate::limits::{CLOCK_BEHIND, CLOCK_OFF, CLOCK_OFF_FOR, SETTLED_WITHIN};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is kept of the time, so that the next process knows what has been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The highest time that was seen, give or take a minute.
    pub highest: Timestamp,
    /// How far the time is ahead of the wall clock, because an operator has accepted that.
    #[serde(default)]
    pub ahead: Duration,
}

/// Compares the time with the wall clock, and remembers since when they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    ahead: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Agrees,
    Off {
        since: Timestamp,
    },
    /// They have differed for too long.
    Doubted {
        since: Timestamp,
        refusing_since: Timestamp,
    },
    /// The process has begun with a wall clock that is behind a time of before.
    Behind {
        since: Timestamp,
    },
}

/// What a look at the wall clock has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The two differ from now on.
    Off,
    /// They have for so long that nothing is to be decided by the time.
    Doubted,
    /// They agree again.
    Agrees,
    /// The wall clock, behind at the start, is not any more: the time goes on from what it says, as if the process
    /// had begun now. Nothing has been decided by it since the start.
    CaughtUp(Timestamp),
}

/// The time is not what the wall clock says, and nobody has said which is right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "issues and renewals wait, because the system's clock is {} s {} since {}. set it right, or look at \
     `leasehold operator clock` and accept it with `leasehold operator accept-clock`",
    .off.as_secs(),
    if *.behind { "behind the time that was seen before," } else { "off the time that leases are kept by," },
    .since.rfc3339()
)]
pub struct Doubt {
    /// How far the two are apart.
    pub off: Duration,
    /// Since when.
    pub since: Timestamp,
    /// Whether it was so at the start already.
    pub behind: bool,
}

/// What an operator accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What the time is to be: the wall clock's, if that is later.
    pub time: Timestamp,
    /// How far it is ahead of the wall clock otherwise.
    pub ahead: Duration,
}

/// The time cannot be moved yet: what a target was asked may still take effect, and is waited for by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock can be accepted in {} s: until then the system may set it right by itself, and issues that have begun \
     come to their end. try again then",
    .0.as_secs().saturating_add(1)
)]
pub struct TooSoon(pub Duration);

impl Watch {
    /// Begins to watch, and returns what the time is at the start: never before what was seen.
    #[must_use]
    pub fn start(seen: Option<Seen>, now: Timestamp, wall: Timestamp) -> (Self, Timestamp) {
        let seen = seen.unwrap_or_default();
        let told = wall.plus(seen.ahead);
        let start = told.max(now).max(seen.highest);
        let behind = seen.highest.since(told);
        let (ahead, state) = if behind > CLOCK_BEHIND {
            (seen.ahead, State::Behind { since: start })
        } else {
            // A little is how clocks are set right; the time waits for the wall clock to come after.
            (seen.ahead.saturating_add(behind), State::Agrees)
        };
        (Self { ahead, state }, start)
    }

    /// Looks at both clocks.
    pub fn observe(&mut self, now: Timestamp, wall: Timestamp) -> Option<Change> {
        let agrees = self.off(now, wall) <= CLOCK_OFF;
        let told = wall.plus(self.ahead);
        let (state, change) = match self.state {
            State::Behind { .. } if told.plus(CLOCK_OFF) >= now => {
                (State::Agrees, Change::CaughtUp(told.max(now)))
            }
            State::Agrees if !agrees => (State::Off { since: now }, Change::Off),
            State::Off { since } if !agrees && now.since(since) >= CLOCK_OFF_FOR => {
                (State::Doubted { since, refusing_since: now }, Change::Doubted)
            }
            State::Off { .. } | State::Doubted { .. } if agrees => (State::Agrees, Change::Agrees),
            State::Agrees | State::Off { .. } | State::Doubted { .. } | State::Behind { .. } => {
                return None;
            }
        };
        self.state = state;
        Some(change)
    }

    /// How far the time is from what the wall clock says. Where it was accepted that the time is ahead, all between
    /// the two will do: the wall clock may come after.
    #[must_use]
    pub fn off(&self, now: Timestamp, wall: Timestamp) -> Duration {
        wall.since(now).max(now.since(wall.plus(self.ahead)))
    }

    /// Says why nothing may be decided by the time, if that is so.
    #[must_use]
    pub fn doubt(&self, now: Timestamp, wall: Timestamp) -> Option<Doubt> {
        let off = self.off(now, wall);
        match self.state {
            State::Doubted { since, .. } => Some(Doubt { off, since, behind: false }),
            State::Behind { since } => Some(Doubt { off, since, behind: true }),
            State::Agrees | State::Off { .. } => None,
        }
    }

    /// Since when the two differ.
    #[must_use]
    pub fn off_since(&self) -> Option<Timestamp> {
        match self.state {
            State::Agrees => None,
            State::Off { since } | State::Doubted { since, .. } | State::Behind { since } => {
                Some(since)
            }
        }
    }

    /// How far the time is ahead of the wall clock, as was accepted.
    #[must_use]
    pub fn ahead(&self) -> Duration {
        self.ahead
    }

    /// Says what the time is to be if the wall clock is right. It never goes back (law 4). It goes forward only when
    /// no issue of before can land any more, for that is told by the time as well (law 6).
    pub fn accept(&self, now: Timestamp, wall: Timestamp) -> Result<Accepted, TooSoon> {
        if wall.since(now) <= CLOCK_OFF {
            let ahead = Some(now.since(wall)).filter(|ahead| *ahead > CLOCK_OFF);
            return Ok(Accepted { time: now, ahead: ahead.unwrap_or_default() });
        }
        let refusing_since = match self.state {
            State::Doubted { refusing_since, .. } => refusing_since,
            State::Behind { since } => since,
            State::Off { since } => since.plus(CLOCK_OFF_FOR),
            State::Agrees => now.plus(CLOCK_OFF_FOR),
        };
        let settled_at = refusing_since.plus(SETTLED_WITHIN);
        if now < settled_at {
            return Err(TooSoon(settled_at.since(now)));
        }
        Ok(Accepted { time: wall, ahead: Duration::ZERO })
    }

    /// Goes by what was accepted.
    pub fn accepted(&mut self, accepted: Accepted) {
        *self = Self { ahead: accepted.ahead, state: State::Agrees };
    }
}

#[cfg(test)]
#[path = "watch/tests.rs"]
mod tests;
