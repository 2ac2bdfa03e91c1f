//! Holds in the store: what a restore leaves on a target until it has been dealt with.
//!
//! | key | record |
//! |---|---|
//! | `hold/<target><generation>` | what is held back there, and since when |

use super::leases::{joined, tail};
use super::mounts::Target;
use super::records::Records;
use super::{Batch, Key, Revision, StoreError};
use crate::ids::TargetId;
use crate::lease::Generation;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Something is held back at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub cause: HoldCause,
    /// When the restore was.
    pub since: Timestamp,
    /// Which moment its backup shows.
    pub taken_at: Timestamp,
    /// Since when it is known that the administrator's secret in the store is older than the target, which does not let
    /// it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_since: Option<Timestamp>,
}

/// Why something is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldCause {
    /// The store is older than the target: no lease lapses until the two have been compared, since it may have been
    /// renewed meanwhile.
    Restored,
    /// The store is a copy, and the target another installation's: nothing is asked of it until it is taken over.
    Copied,
}

impl HoldCause {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Restored, Self::Copied];

    /// Returns what operators call a target that is held back so.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Restored => "compare",
            Self::Copied => "copied",
        }
    }
}

/// Where a hold is kept.
#[must_use]
pub fn hold_at(target: TargetId, generation: Generation) -> Key {
    joined(&[b"hold/", target.bytes(), &generation.0.to_be_bytes()])
}

/// The prefix of all holds.
#[must_use]
pub fn all_holds() -> Key {
    Key(b"hold/".to_vec())
}

/// Reads from its key which target a hold is on.
#[must_use]
pub fn held_target(key: &Key) -> Option<(TargetId, Generation)> {
    let held = tail::<20>(key)?;
    let (target, generation) = held.split_first_chunk::<16>()?;
    let generation = u32::from_be_bytes(generation.try_into().ok()?);
    Some((TargetId::from_bytes(*target), Generation(generation)))
}

impl Records {
    /// Lifts a hold; one that is lifted already, or is another one by now, is no error.
    pub async fn lift_hold(&self, on: &Target, was: Revision) -> Result<(), StoreError> {
        let at = hold_at(on.id, on.generation);
        let mut batch = Batch::default().expect(at.clone(), Some(was)).delete(at);
        // Leases wait with lapsing until it is lifted.
        batch.spends_reserve = true;
        match self.commit(batch).await {
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
