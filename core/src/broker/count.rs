//! Counts what is stored, for whoever watches.
//!
//! The index by time is walked in bounded steps, beside everything else. It says of each lease where it stands, so no
//! record is opened. A lease that moves in the index meanwhile may be met twice or not at all; the next count, a
//! minute later, has it right.

use super::authenticate::{AdmitError, Recorded};
use super::clock::ClockState;
use super::lanes::InHand;
use super::reconcile::Compared;
use super::{Broker, Request};
use crate::audit::{Answer, Load};
use crate::lease::Generation;
use crate::limits::READ_CHUNK;
use crate::metrics::{Counted, Metrics, Tally};
use crate::mount::Catalog;
use crate::store::holds::{Hold, HoldCause};
use crate::store::leases::{Standing, due_from};
use crate::store::records::Found;
use crate::store::{Key, StoreError};
use crate::time::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What the broker can tell of itself, as it is now.
#[derive(Debug)]
pub struct Readings {
    /// What is counted as it happens, target by target.
    pub targets: Vec<Arc<crate::metrics::TargetMeter>>,
    /// What was in the store when it was last counted.
    pub counted: Arc<Counted>,
    /// Leases that are due, by the path of their mount and the name of their target.
    pub lanes: BTreeMap<(String, String), InHand>,
    /// How many credentials targets have that may have only so many, and how many that is.
    pub capacities: BTreeMap<(String, String), (u64, u64)>,
    /// Leases that became durable.
    pub made: u64,
    /// Leases whose credentials were seen to be gone.
    pub settled: u64,
    /// Deaths that were to be proven, by what came of it.
    pub deaths: [(&'static str, u64); 3],
    /// Rotations that succeeded, tries that failed, and credentials that were put back.
    pub rotated: u64,
    /// See [`Readings::rotated`].
    pub unrotated: u64,
    /// See [`Readings::rotated`].
    pub put_back: u64,
    /// How many accounts are due for a rotation that is not done, and for how long the first of them has been.
    pub overdue: (usize, Duration),
    /// Leases that were taken from their holders, and for what.
    pub begun: [(&'static str, u64); 7],
    /// Requests and revocations that no audit device recorded.
    pub unrecorded: u64,
    /// Lines that one audit device or another did not record.
    pub audit_failures: u64,
    /// How each audit device does.
    pub audit_devices: Vec<(String, Load)>,
    /// Audit devices that have recorded before and are not declared any more.
    pub audit_undeclared: usize,
    /// Entries in the queues of what is due within the horizon: leases, tokens.
    pub queued: (usize, usize),
    /// Issues that were never answered, or not for sure.
    pub unanswered: usize,
    /// Targets at which a restore has left something to do, each generation by itself, and what.
    pub on_hold: [(HoldCause, usize); 2],
    /// Targets of these that do not let their administrators in with what the store has.
    pub older: usize,
    /// What was found when targets were compared with the leases.
    pub compared: Vec<Compared>,
    /// How the time is that terms go by.
    pub clock: ClockState,
    /// How far the clocks of targets are ahead, in milliseconds, by the path of their mount and their name.
    pub skews: BTreeMap<(String, String), i64>,
}

impl Recorded for Readings {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Tally {
    fn add(&mut self, due_at: Timestamp, standing: &Standing, now: Timestamp) {
        let [none, one, some, many] = &mut self.revoking;
        let count = match standing.revoking {
            None => &mut self.held,
            Some((_, 0)) => none,
            Some((_, 1)) => one,
            Some((_, 2..=9)) => some,
            Some((_, _)) => many,
        };
        *count = count.saturating_add(1);
        if due_at <= now {
            self.due = self.due.saturating_add(1);
            self.late = self.late.max(now.since(due_at));
        }
        if let Some((since, _)) = standing.revoking {
            self.revoking_for = self.revoking_for.max(now.since(since));
        }
    }

    fn join(&mut self, other: &Self) {
        self.held = self.held.saturating_add(other.held);
        for (count, more) in self.revoking.iter_mut().zip(other.revoking) {
            *count = count.saturating_add(more);
        }
        self.due = self.due.saturating_add(other.due);
        self.late = self.late.max(other.late);
        self.revoking_for = self.revoking_for.max(other.revoking_for);
    }
}

impl Broker {
    /// Tells an operator what the broker can tell of itself.
    pub async fn metrics(self: &Arc<Self>, request: &Request) -> Result<Readings, AdmitError> {
        self.served(request, async |_| Ok(self.readings())).await
    }

    /// Returns what the broker can tell of itself. Names mounts and targets, and nothing below them.
    pub fn readings(&self) -> Readings {
        let catalog = self.catalog();
        let mut lanes = BTreeMap::<_, InHand>::new();
        for ((target, generation), in_hand) in self.lanes.in_hand() {
            let lane = lanes.entry(label(&catalog, target, generation)).or_default();
            lane.join(in_hand);
        }
        let Metrics { made, settled, unrecorded, .. } = &self.metrics;
        let mut skews = BTreeMap::<_, i64>::new();
        for skew in self.target_skews() {
            let known = skews.entry((skew.mount, skew.name)).or_default();
            // Two identities of a target are shown as one: the one that is further off.
            *known =
                std::cmp::max_by_key(*known, skew.ahead_ms, |ahead_ms| ahead_ms.unsigned_abs());
        }
        let bounded = catalog.mounts().flat_map(|entry| entry.targets.values());
        let bounded = bounded.filter_map(|target| {
            let max = target.record.credentials_max()?;
            let used = self.tallies.lock().at_target(target.record.id);
            Some((label_of(&catalog, &target.record), (used, max)))
        });
        let capacities = bounded.collect();
        let held_back = |cause| (cause, catalog.holds_of(cause).count());
        let is_older = |hold: &&Found<Hold>| hold.record.older_since.is_some();
        Readings {
            targets: self.metrics.targets(),
            counted: self.metrics.counted(),
            lanes,
            capacities,
            made: made.value(),
            settled: settled.value(),
            rotated: self.metrics.rotated.value(),
            unrotated: self.metrics.unrotated.value(),
            put_back: self.metrics.put_back.value(),
            overdue: self.rotations.overdue(self.clock.now()),
            deaths: self.metrics.deaths_by_proof(),
            begun: self.metrics.begun_by_cause(),
            unrecorded: unrecorded.value(),
            audit_failures: self.trail.failures(),
            audit_devices: self.trail.loads(),
            audit_undeclared: self.trail.undeclared().len(),
            queued: (self.leases_due.lock().len(), self.tokens_due.lock().len()),
            unanswered: self.unanswered.lock().len(),
            on_hold: HoldCause::ALL.map(held_back),
            older: catalog.holds().map(|(_, hold)| hold).filter(is_older).count(),
            compared: self.all_compared(),
            clock: self.clock_state(),
            skews,
        }
    }

    /// Counts the leases and tokens in the store.
    pub(super) async fn count(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut by_lane = HashMap::<_, Tally>::new();
        let mut from = due_from(Timestamp(0));
        loop {
            let found = self.records.standings(&from, READ_CHUNK).await?;
            let Some((.., last, _)) = found.last() else { break };
            from = last.next();
            for (due_at, id, _, standing) in found {
                let standing = match standing {
                    Some(standing) => standing,
                    None => match self.records.lease(id).await? {
                        Some(lease) => Standing::of(&lease.record),
                        None => continue,
                    },
                };
                let lane = (standing.target, standing.generation);
                by_lane.entry(lane).or_default().add(due_at, &standing, now);
            }
        }
        let mut tokens = 0_usize;
        let mut next = Some(Key::default());
        while let Some(from) = next {
            let (found, further) = self.records.count_tokens(&from, READ_CHUNK).await?;
            (tokens, next) = (tokens.saturating_add(found), further);
        }

        let catalog = self.catalog();
        let mut leases = BTreeMap::<_, Tally>::new();
        for ((target, generation), tally) in by_lane {
            leases.entry(label(&catalog, target, generation)).or_default().join(&tally);
        }
        let tokens = u64::try_from(tokens).unwrap_or(u64::MAX);
        self.metrics.note_counted(Counted { at: now, leases, tokens });
        let there = catalog.targets().map(|target| label_of(&catalog, &target.record));
        let there: std::collections::BTreeSet<_> = there.collect();
        let is_there =
            |mount: &str, target: &str| there.contains(&(mount.to_owned(), target.to_owned()));
        self.metrics.keep_targets(is_there);
        Ok(())
    }
}

/// By what names a target is shown: two identities of it, or two that were made one after the other, are one.
fn label(
    catalog: &Catalog,
    target: crate::ids::TargetId,
    generation: Generation,
) -> (String, String) {
    // What is stored and has no configuration left must be seen all the same.
    let unknown = || ("unknown".to_owned(), "unknown".to_owned());
    let found = catalog.target(target, generation);
    found.map_or_else(unknown, |target| label_of(catalog, &target.record))
}

/// The same for a target whose configuration is at hand.
pub(super) fn label_of(
    catalog: &Catalog,
    target: &crate::store::mounts::Target,
) -> (String, String) {
    let mount = catalog.mount(target.mount).map(|entry| entry.mount.record.path.clone());
    (mount.unwrap_or_else(|| "unknown".to_owned()), target.name.clone())
}
