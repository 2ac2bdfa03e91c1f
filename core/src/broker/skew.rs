//! Measures how far the clocks of the targets are off, and says when one is too far.

use super::Broker;
use crate::engine::erased::OpenTarget;
use crate::engine::{Cause, EngineError};
use crate::ids::TargetId;
use crate::lease::Generation;
use crate::limits::{SKEW_EVERY, SKEW_MAX, SKEW_WITHIN};
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The clock of a target, beside ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSkew {
    /// The path of its mount.
    pub mount: String,
    /// What operators call it.
    pub name: String,
    /// How far its clock is ahead of the system's, in milliseconds; below zero if it is behind.
    pub ahead_ms: i64,
    /// Whether that is more than it should be.
    pub too_far: bool,
    /// When it was measured.
    pub measured_at: Timestamp,
}

/// What was measured of each target.
#[derive(Debug, Default)]
pub(super) struct Skews(Mutex<HashMap<(TargetId, Generation), Measured>>);

#[derive(Clone, Copy, Debug)]
struct Measured {
    asked_at: Timestamp,
    skew: Option<Skew>,
}

#[derive(Clone, Copy, Debug)]
struct Skew {
    ahead_ms: i64,
    measured_at: Timestamp,
}

impl Skew {
    fn is_too_far(self) -> bool {
        u128::from(self.ahead_ms.unsigned_abs()) > SKEW_MAX.as_millis()
    }
}

impl Skews {
    /// Whether a target is to be asked now. Whoever is told so asks it.
    fn begin(&self, target: (TargetId, Generation), now: Timestamp) -> bool {
        let mut skews = self.0.lock();
        let known = skews.entry(target).or_insert(Measured { asked_at: Timestamp(0), skew: None });
        let due = now.since(known.asked_at) >= SKEW_EVERY;
        if due {
            known.asked_at = now;
        }
        due
    }

    /// Notes what was measured, and returns what was known before.
    fn note(&self, target: (TargetId, Generation), skew: Skew) -> Option<Skew> {
        let mut skews = self.0.lock();
        let unasked = Measured { asked_at: skew.measured_at, skew: None };
        skews.entry(target).or_insert(unasked).skew.replace(skew)
    }

    fn known(&self, target: (TargetId, Generation)) -> Option<Skew> {
        self.0.lock().get(&target).and_then(|known| known.skew)
    }
}

impl Broker {
    /// Asks every target that is in use what time it takes it to be, beside the caller and not too often.
    pub(super) fn measure_skews(self: &Arc<Self>) {
        let now = self.clock.now();
        let open = self.all_open_targets();
        self.skews.0.lock().retain(|target, _| open.iter().any(|(known, _)| known == target));
        for (target, engine) in open {
            if self.skews.begin(target, now) {
                let broker = Arc::clone(self);
                self.tasks.spawn(Box::pin(async move {
                    broker.measure_skew(target, &*engine).await;
                }));
            }
        }
    }

    /// Returns what time it is at a target whose credentials end by themselves, and never later than it is here. A process
    /// that was started with its clock ahead would take them for ended, and only the target tells.
    pub(super) async fn time_at(
        &self,
        target: (TargetId, Generation),
        engine: &dyn OpenTarget,
    ) -> Result<Timestamp, EngineError> {
        if self.skews.known(target).is_none() {
            self.measure_skew(target, engine).await;
        }
        let unknown = "its credentials end by its clock, and that could not be read in time";
        let skew = self.skews.known(target);
        let skew = skew.ok_or_else(|| EngineError::refused(Cause::Unreachable, unknown))?;
        let there = Timestamp(self.clock.wall().0.saturating_add_signed(skew.ahead_ms));
        Ok(there.min(self.clock.now()))
    }

    async fn measure_skew(&self, target: (TargetId, Generation), engine: &dyn OpenTarget) {
        let before = self.clock.wall();
        // One that does not answer shows where it matters.
        let Ok(identity) = engine.identity().await else { return };
        let after = self.clock.wall();
        // A slow answer may be of any time in between, and a step of the wall clock makes nonsense of it.
        if after < before || after.since(before) > SKEW_WITHIN {
            return;
        }
        let middle = before.plus(after.since(before).checked_div(2).unwrap_or_default());
        let ahead_ms = identity.clock.millis_after(middle);
        let skew = Skew { ahead_ms, measured_at: self.clock.now() };
        let known = self.skews.note(target, skew);
        let catalog = self.catalog();
        let Some(found) = catalog.target(target.0, target.1) else { return };
        let name = self.target_name(&found.record);
        match (known.is_some_and(Skew::is_too_far), skew.is_too_far()) {
            (false, true) => {
                tracing::warn!(%name, ahead_ms, "the clock of a target is far off; what it is told is in its own time, but see to its clock");
            }
            (true, false) => {
                tracing::info!(%name, ahead_ms, "the clock of a target is right again");
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Returns what was measured.
    pub(super) fn target_skews(&self) -> Vec<TargetSkew> {
        let catalog = self.catalog();
        let measured = self.skews.0.lock().clone();
        let shown = measured.into_iter().filter_map(|((id, generation), measured)| {
            let target = &catalog.target(id, generation)?.record;
            let skew = measured.skew?;
            Some(TargetSkew {
                mount: catalog.mount(target.mount)?.mount.record.path.clone(),
                name: target.name.clone(),
                ahead_ms: skew.ahead_ms,
                too_far: skew.is_too_far(),
                measured_at: skew.measured_at,
            })
        });
        let mut shown: Vec<_> = shown.collect();
        shown.sort_by(|one, other| (&one.mount, &one.name).cmp(&(&other.mount, &other.name)));
        shown
    }
}
