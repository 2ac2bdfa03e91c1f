//! When which account is to be looked at, and which are being rotated.

use super::{Which, Why};
use crate::broker::Broker;
use crate::store::accounts::{
    RootRotation, StaticRole, all_root_rotations, all_static_roles, mount_of_static_role,
};
use crate::store::{Batch, StoreError};
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The accounts of this process's memory. The store knows them all; this is only when to look.
#[derive(Clone, Debug, Default)]
pub(in crate::broker) struct Rotations(Arc<Mutex<BTreeMap<Which, Look>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Look {
    running: bool,
    at: Option<Timestamp>,
    /// Since when it is due and not done.
    due_since: Option<Timestamp>,
}

/// A rotation that goes on; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    rotations: Rotations,
    which: Which,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut looks = self.rotations.0.lock();
        if let Some(look) = looks.get_mut(&self.which) {
            look.running = false;
            if look.at.is_none() {
                looks.remove(&self.which);
            }
        }
    }
}

impl Rotations {
    /// One begins, unless one of the same account goes on.
    pub(super) fn begin(&self, which: &Which) -> Option<Running> {
        let mut looks = self.0.lock();
        let look = looks.entry(which.clone()).or_default();
        if std::mem::replace(&mut look.running, true) {
            return None;
        }
        Some(Running { rotations: self.clone(), which: which.clone() })
    }

    /// Says when to look at an account.
    pub(in crate::broker) fn set(&self, which: &Which, at: Option<Timestamp>) {
        let mut looks = self.0.lock();
        if at.is_some() || looks.contains_key(which) {
            looks.entry(which.clone()).or_default().at = at;
        }
    }

    /// It is done, and nothing is due until the next time.
    pub(super) fn done(&self, which: &Which) {
        if let Some(look) = self.0.lock().get_mut(which) {
            look.due_since = None;
        }
    }

    /// How many accounts are due and not done, and for how long the first of them has been.
    pub(in crate::broker) fn overdue(&self, now: Timestamp) -> (usize, Duration) {
        let looks = self.0.lock();
        let due = |look: &Look| look.due_since.or(look.at).filter(|at| *at <= now);
        let since: Vec<_> = looks.values().filter_map(due).collect();
        let longest = since.iter().min().map_or(Duration::ZERO, |first| now.since(*first));
        (since.len(), longest)
    }

    fn due(&self, now: Timestamp) -> Vec<Which> {
        let mut looks = self.0.lock();
        let due = looks
            .iter_mut()
            .filter(|(_, look)| !look.running && look.at.is_some_and(|at| at <= now));
        due.map(|(which, look)| {
            // Until it is known when the next one is.
            let at = look.at.take();
            look.due_since = look.due_since.or(at);
            which.clone()
        })
        .collect()
    }

    /// When the next look is.
    pub(in crate::broker) fn next(&self) -> Option<Timestamp> {
        self.0.lock().values().filter(|look| !look.running).filter_map(|look| look.at).min()
    }
}

impl Broker {
    /// Starts what is due, each beside the others: one slow target keeps only its own accounts waiting.
    pub(in crate::broker) fn start_rotations(self: &Arc<Self>, now: Timestamp) {
        for which in self.rotations.due(now) {
            let broker = Arc::clone(self);
            self.tasks.spawn(Box::pin(async move {
                // What failed is stored with the account and logged there.
                let _ = broker.rotate(&which, Why::Due, Batch::default()).await;
            }));
        }
    }

    /// Reads from the store which accounts need a look. At a start all that had begun are carried on at once.
    pub(in crate::broker) async fn find_rotations(&self, at_start: bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        let due = |begun: bool, due_at: Option<Timestamp>| {
            if at_start && begun { Some(now) } else { due_at }
        };
        for (key, found) in self.records.all::<StaticRole>(&all_static_roles()).await? {
            let Some(mount) = mount_of_static_role(&key) else { continue };
            let rotation = &found.record.rotation;
            let which = Which::Static(mount, found.record.name.clone());
            self.rotations.set(&which, due(rotation.begun.is_some(), rotation.due_at));
        }
        for (_, found) in self.records.all::<RootRotation>(&all_root_rotations()).await? {
            let RootRotation { target, generation, rotation } = &found.record;
            let catalog = self.catalog();
            let Some(target) = catalog.target(*target, *generation) else { continue };
            let has_begun = rotation.begun.is_some();
            if has_begun || self.is_rotated(&target.record) {
                let due_at = due(has_begun, rotation.due_at);
                self.rotations.set(&Which::root(&target.record), due_at);
            }
        }
        self.wake_sweep();
        Ok(())
    }
}
