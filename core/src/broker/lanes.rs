//! How much of the sweep's work each target has in hand, and what waits for it to come back.

use crate::engine::{Cause, EngineError};
use crate::ids::{LeaseId, TargetId};
use crate::lease::{Generation, Place};
use crate::limits::REVOKE_CHUNK;
use crate::pace::Pace;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// One lane for each target and generation: a slow target slows itself (law 7). In order, so that equal runs are
/// equal.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<BTreeMap<Lane, InLane>>);

/// Which lane.
pub(super) type Lane = (TargetId, Generation);

/// How much of the sweep's work a target has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InHand {
    /// Leases that are due and wait for the target to take them.
    pub parked: usize,
    /// Leases that are being attempted.
    pub attempted: usize,
    /// Whether the target rests, because it could not be reached.
    pub resting: bool,
}

#[derive(Debug, Default)]
struct InLane {
    pace: Pace,
    in_hand: usize,
    /// Due leases that wait.
    parked: VecDeque<LeaseId>,
    /// Those that wait and those in hand: a lease is in a lane once, however often it is found to be due. Whether one
    /// was found to be due since it was taken: its attempt may have looked before.
    known: HashMap<LeaseId, bool>,
}

/// What is left to do in a lane when an attempt is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Others wait.
    pub(super) waits: bool,
    /// The lease was found to be due while it was attempted.
    pub(super) again: bool,
}

impl InHand {
    /// Adds what another identity of the same target has in hand.
    pub(super) fn join(&mut self, other: Self) {
        self.parked = self.parked.saturating_add(other.parked);
        self.attempted = self.attempted.saturating_add(other.attempted);
        self.resting |= other.resting;
    }
}

impl Lanes {
    /// Puts a due lease into its target's lane.
    pub(super) fn park(&self, lane: Lane, lease: LeaseId) {
        let mut lanes = self.0.lock();
        let state = lanes.entry(lane).or_default();
        match state.known.entry(lease) {
            Entry::Vacant(unknown) => {
                unknown.insert(false);
                state.parked.push_back(lease);
            }
            Entry::Occupied(mut known) => {
                known.insert(true);
            }
        }
    }

    /// Takes the leases that may be attempted now.
    pub(super) fn take(&self, now: Timestamp) -> Vec<(Lane, LeaseId)> {
        let mut taken = Vec::new();
        for (lane, state) in self.0.lock().iter_mut() {
            let room = state.pace.allowance(now, REVOKE_CHUNK).saturating_sub(state.in_hand);
            let room = room.min(state.parked.len());
            state.in_hand = state.in_hand.saturating_add(room);
            for lease in state.parked.drain(..room) {
                state.known.insert(lease, false);
                taken.push((*lane, lease));
            }
        }
        taken
    }

    /// An attempt is over, however it went.
    pub(super) fn done(&self, lane: Lane, lease: LeaseId) -> Left {
        let mut lanes = self.0.lock();
        let Some(state) = lanes.get_mut(&lane) else { return Left::default() };
        state.in_hand = state.in_hand.saturating_sub(1);
        let again = state.known.remove(&lease).unwrap_or_default();
        let waits = !state.parked.is_empty();
        if !waits && state.in_hand == 0 && state.pace == Pace::default() {
            lanes.remove(&lane);
        }
        Left { waits, again }
    }

    /// Nothing that waits for a target need wait until it has rested.
    pub(super) fn answered(&self, lane: Lane) {
        if let Some(state) = self.0.lock().get_mut(&lane) {
            state.pace.answered();
        }
    }

    /// Notes how the target answered.
    pub(super) fn note(&self, place: &Place, answer: &Result<(), EngineError>, now: Timestamp) {
        let mut lanes = self.0.lock();
        let lane = (place.target, place.generation);
        match answer.as_ref().map_err(|error| error.reason().cause) {
            Err(Cause::Unreachable | Cause::TooLate) => {
                lanes.entry(lane).or_default().pace.unreachable(now);
            }
            Ok(())
            | Err(Cause::Contended | Cause::Rejected | Cause::NeedsOperator | Cause::Lives(_)) => {
                if let Some(state) = lanes.get_mut(&lane) {
                    state.pace.answered();
                }
            }
        }
    }

    /// Returns how much each target has in hand.
    pub(super) fn in_hand(&self) -> Vec<(Lane, InHand)> {
        let lanes = self.0.lock();
        let each = lanes.iter().map(|(lane, state)| {
            let (parked, attempted) = (state.parked.len(), state.in_hand);
            (*lane, InHand { parked, attempted, resting: state.pace != Pace::default() })
        });
        each.collect()
    }

    /// When the first target that rests while leases wait for it may be asked again.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let lanes = self.0.lock();
        let resting = lanes.values().filter(|state| !state.parked.is_empty());
        resting.map(|state| state.pace.rest_until()).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;

    #[test]
    fn a_lease_that_is_found_again_while_it_is_attempted_is_looked_at_again() {
        let (now, chance) = (Timestamp(1_000), Counting::default());
        let lane = (TargetId::new(now, &chance), Generation(1));
        let (one, other) = (LeaseId::new(now, &chance), LeaseId::new(now, &chance));
        let lanes = Lanes::default();
        // Found twice before it is taken: the attempt sees what both have seen.
        for lease in [one, one, other] {
            lanes.park(lane, lease);
        }
        assert_eq!(lanes.take(now), [(lane, one), (lane, other)]);
        lanes.park(lane, other);
        assert_eq!(lanes.take(now), [], "it is attempted once at a time");
        assert_eq!(lanes.done(lane, one), Left { waits: false, again: false });
        assert_eq!(lanes.done(lane, other), Left { waits: false, again: true });
        lanes.park(lane, other);
        assert_eq!(lanes.take(now), [(lane, other)]);
    }
}
