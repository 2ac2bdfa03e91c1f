//! What happens at a simulated target without Leasehold.

use super::SimulatedTarget;
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;

impl SimulatedTarget {
    /// Drops a credential by itself.
    pub fn forget(&self, lease: LeaseId) {
        self.seen.lock().unwrap().credentials.remove(&lease);
    }

    /// Holds a credential that nobody issued.
    pub fn plant(&self, lease: LeaseId, lapses_at: Option<Timestamp>) {
        self.seen.lock().unwrap().credentials.insert(lease, lapses_at);
    }

    /// Lets a credential do what nobody asked for.
    pub fn grant(&self, lease: LeaseId, right: &str) {
        self.seen.lock().unwrap().rights.entry(lease).or_default().push(right.to_owned());
    }

    /// Locks a credential by itself.
    pub fn lock(&self, lease: LeaseId) {
        self.seen.lock().unwrap().locked.insert(lease);
    }

    /// Knows no ends any more.
    pub fn forget_ends(&self) {
        self.seen.lock().unwrap().endless = true;
    }
}
