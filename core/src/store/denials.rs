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

    /// Returns all standing denials, each with its name.
    pub async fn denials(&self) -> Result<Vec<(String, StandingDenial)>, StoreError> {
        let all = denial_at("");
        let found = self.all(&all).await?.into_iter().map(|(at, found)| {
            let name = at.0.get(all.0.len()..).unwrap_or_default();
            (String::from_utf8_lossy(name).into_owned(), found.record)
        });
        Ok(found.collect())
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
