//! Standing denials in the store.
//!
//! | key | record |
//! |---|---|
//! | `denial/<name>` | what it refuses, and who writes it |

use super::leases::joined;
use super::records::{Found, Records};
use super::{Batch, Key, Revision, StoreError};
use crate::denial::StandingDenial;

/// Where a standing denial is kept.
#[must_use]
pub fn denial_at(name: &str) -> Key {
    joined(&[b"denial/", name.as_bytes()])
}

impl Records {
    /// Returns a standing denial.
    pub async fn denial(&self, name: &str) -> Result<Option<Found<StandingDenial>>, StoreError> {
        self.read(&denial_at(name)).await
    }

    /// Keeps a standing denial if it is as it was found, or forgets it if there is nothing to keep; also where space is
    /// kept for what ends leases.
    pub async fn keep_denial(
        &self,
        name: &str,
        was: Option<Revision>,
        now: Option<&StandingDenial>,
    ) -> Result<Revision, StoreError> {
        let at = denial_at(name);
        let batch = Batch::default().expect(at.clone(), was);
        let batch = match now {
            Some(now) => batch.put(at.clone(), self.seal(&at, now)?),
            None => batch.delete(at),
        };
        self.commit(Batch { spends_reserve: true, ..batch }).await
    }
}
