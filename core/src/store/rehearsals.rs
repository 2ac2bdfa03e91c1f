//! Rehearsals in the store: whether a role was seen to work.
//!
//! | key | record |
//! |---|---|
//! | `rehearsal/<mount><role>` | how its last rehearsal went |

use super::leases::joined;
use super::{Key, StoreError};
use crate::ids::MountId;
use crate::store::records::{Found, Records};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How the last rehearsal of a role went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// When it began.
    pub at: Timestamp,
    /// When the role had been written last: after it is written anew, this says nothing of it.
    pub role_written_at: Timestamp,
    /// What failed; `None` if all went well.
    pub failed: Option<String>,
    /// What its credential might do; what others of the role are compared with.
    #[serde(default)]
    pub rights: Vec<String>,
}

/// Where a rehearsal is kept.
#[must_use]
pub fn rehearsal_at(mount: MountId, role: &str) -> Key {
    joined(&[b"rehearsal/", mount.bytes(), role.as_bytes()])
}

impl Records {
    /// Returns how the last rehearsal of a role went.
    pub async fn rehearsal(
        &self,
        mount: MountId,
        role: &str,
    ) -> Result<Option<Found<Rehearsed>>, StoreError> {
        self.read(&rehearsal_at(mount, role)).await
    }
}
