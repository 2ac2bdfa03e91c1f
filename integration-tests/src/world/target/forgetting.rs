//! A target that forgets its credentials when it is restarted.

use super::{SimulatedEngine, SimulatedTarget};
use leasehold_core::engine::{Cause, EngineError, PutBack};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use std::collections::BTreeMap;

impl SimulatedTarget {
    /// Forgets its credentials whenever it is restarted, from now on.
    pub fn be_forgetful(&self) {
        self.seen.lock().unwrap().forgetful = true;
    }

    /// Never takes back this credential.
    pub fn never_take_back(&self, lease: LeaseId) {
        self.seen.lock().unwrap().never_taken_back = Some(lease);
    }

    /// Restarts, and remembers no credential but these.
    pub fn restart(&self, remembered: BTreeMap<LeaseId, Option<Timestamp>>) {
        let mut seen = self.seen.lock().unwrap();
        seen.run += 1;
        seen.credentials = remembered;
    }
}

impl SimulatedEngine {
    /// Sets credentials again that the target has forgotten, but for one that it does not take.
    pub(super) async fn set_again(&self, asked: &[PutBack<Self>]) -> Vec<Result<(), EngineError>> {
        let origin = self.origin;
        let each: Vec<_> = asked.iter().map(|one| one.handle).collect();
        let set = move |seen: &mut super::Seen| {
            let one = |lease: &LeaseId| {
                if seen.never_taken_back == Some(*lease) {
                    return Err(EngineError::refused(Cause::Rejected, "it is not taken back"));
                }
                seen.credentials.entry(*lease).or_insert(None);
                seen.marks.insert(*lease, origin);
                Ok(())
            };
            each.iter().map(one).collect()
        };
        let answers = self.target.asked(asked.len(), set).await;
        answers.into_iter().map(Result::flatten).collect()
    }
}
