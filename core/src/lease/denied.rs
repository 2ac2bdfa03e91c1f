//! A lease whose credential nothing ends before its time, and which is refused where it would be used.

use super::{Lease, LeaseState, Revoking};
use crate::time::Timestamp;

impl Lease {
    /// Its credential is refused until it ends by itself, and nothing has failed. It is looked at again at `look_at`.
    #[must_use]
    pub fn denied(self, why: String, look_at: Timestamp) -> Self {
        let state = match self.state {
            LeaseState::Held => LeaseState::Held,
            LeaseState::Revoking(before) => {
                let error = Some(why);
                LeaseState::Revoking(Revoking { attempts: 0, retry_at: look_at, error, ..before })
            }
        };
        Self { state, ..self }
    }
}
