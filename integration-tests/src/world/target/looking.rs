//! What lent credentials of a simulated target are in use for, as it tells.

use super::{SimulatedEngine, SimulatedTarget};
use leasehold_core::engine::in_use::InUse;
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::ids::LeaseId;
use std::collections::BTreeMap;

/// What is told of one credential.
pub(super) type Told = Result<InUse, EngineError>;

/// What credentials are in use for, beside being there, and of how many is told at once.
#[derive(Debug, Default)]
pub(super) struct Uses {
    of: BTreeMap<LeaseId, InUse>,
    told_at_once: Option<usize>,
}

impl SimulatedTarget {
    /// A credential is in use for this from now on.
    pub fn uses(&self, lease: LeaseId, in_use: InUse) {
        self.seen.lock().unwrap().uses.of.insert(lease, in_use);
    }

    /// From now on it has time to tell of so many only, each time it is asked.
    pub fn tells_at_once(&self, count: usize) {
        self.seen.lock().unwrap().uses.told_at_once = Some(count);
    }
}

impl SimulatedEngine {
    /// Tells what credentials are in use for, as the mood has it.
    pub(super) async fn tell_use(&self, asked: &[(LeaseId, LeaseId)]) -> Vec<Told> {
        if let Err(denied) = self.admitted() {
            return asked.iter().map(|_| Err(denied.clone())).collect();
        }
        let handles: Vec<_> = asked.iter().map(|(_, handle)| *handle).collect();
        let told = self.target.asked(asked.len(), move |seen| {
            let tell = |lease: &LeaseId| InUse {
                is_there: Some(seen.credentials.contains_key(lease)),
                ..seen.uses.of.get(lease).cloned().unwrap_or_default()
            };
            handles.iter().map(tell).collect()
        });
        let mut told: Vec<Told> = told.await;
        let at_once = self.target.seen.lock().unwrap().uses.told_at_once.unwrap_or(usize::MAX);
        for late in told.iter_mut().skip(at_once) {
            *late = Err(EngineError::refused(Cause::TooLate, "time was up"));
        }
        told
    }
}
