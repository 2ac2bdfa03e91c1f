//! Mass revocations in the store: how far each has come.
//!
//! | key | record |
//! |---|---|
//! | `mass-revocation/<id>` | one mass revocation |

use super::leases::{Placed, joined};
use super::records::{Found, Records};
use super::{Batch, Key, Revision, StoreError};
use crate::ids::{BootId, MountId, RevocationId, TargetId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The revocation of many leases, which goes on until none of them is left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MassRevocation {
    /// Names it.
    pub id: RevocationId,
    /// What is to be revoked, as it was written.
    pub asked: Asked,
    /// What the token of whoever asked calls them.
    pub asked_by: String,
    /// When they did. What is issued later is not meant.
    pub asked_at: Timestamp,
    /// The mounts, or roles of mounts, whose leases are looked through.
    pub places: Vec<(MountId, Option<String>)>,
    /// The targets whose leases are meant; all if there are none here.
    pub targets: Vec<TargetId>,
    /// The process that was asked, and those that have begun since: by whose clocks it can be told what was issued later.
    pub boots: Vec<BootId>,
    /// Whether it goes on.
    pub stage: Stage,
    /// How many leases are meant; `None` until they have been counted.
    pub leases: Option<u64>,
    /// How many of them are marked: taken from their holders.
    pub marked: u64,
    /// How often all leases have been looked through. Those that are left are marked again each time: one whose commit
    /// was under way, or that a comparison with a restored store brought back, may have come after the look.
    pub passes: u32,
    /// How many have been found this time.
    pub found: u64,
    /// How far they have been looked through this time.
    pub cursor: Cursor,
}

/// What a mass revocation is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// All leases whose ids begin so.
    Prefix(String),
    /// All leases at a target, by mount and name.
    Target(String),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(name) | Self::Target(name) => f.write_str(name),
        }
    }
}

/// Whether a mass revocation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Stage {
    /// It does.
    Running,
    /// Nothing further is marked until it is resumed.
    Paused,
    /// All that was meant is gone.
    Done {
        /// Since when.
        at: Timestamp,
    },
}

/// How far leases have been looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// How many places have been looked through to their ends.
    pub places: usize,
    /// The last key of the next one's index that was looked at.
    pub passed: Option<Vec<u8>>,
}

impl MassRevocation {
    /// Whether a lease is at one of the targets that are meant.
    #[must_use]
    pub fn is_at_target(&self, placed: &Placed) -> bool {
        self.targets.is_empty() || self.targets.contains(&placed.target)
    }

    /// Returns the last key that was looked at in the index of the place that the cursor is in.
    #[must_use]
    pub fn passed(&self) -> Option<Key> {
        self.cursor.passed.clone().map(Key)
    }
}

fn mass_revocation_at(id: RevocationId) -> Key {
    joined(&[b"mass-revocation/", id.bytes()])
}

/// Adds to a batch that a mass revocation is forgotten, if it is as it was found.
#[must_use]
pub fn without_mass_revocation(batch: Batch, was: &Found<MassRevocation>) -> Batch {
    let at = mass_revocation_at(was.record.id);
    batch.expect(at.clone(), Some(was.revision)).delete(at)
}

impl Records {
    /// Returns a mass revocation.
    pub async fn mass_revocation(
        &self,
        id: RevocationId,
    ) -> Result<Option<Found<MassRevocation>>, StoreError> {
        self.read(&mass_revocation_at(id)).await
    }

    /// Returns all mass revocations, the oldest first.
    pub async fn mass_revocations(&self) -> Result<Vec<Found<MassRevocation>>, StoreError> {
        let found = self.all(&Key(b"mass-revocation/".to_vec())).await?;
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }

    /// Keeps how far a mass revocation is, if it is as it was found and all is as the batch expects; also where space is
    /// kept for what ends leases.
    pub async fn keep_mass_revocation(
        &self,
        was: Option<Revision>,
        now: &MassRevocation,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let at = mass_revocation_at(now.id);
        let sealed = self.seal(&at, now)?;
        let batch = batch.expect(at.clone(), was).put(at, sealed);
        self.commit(Batch { spends_reserve: true, ..batch }).await
    }

    /// Forgets a mass revocation, if it is as it was found.
    pub async fn forget_mass_revocation(
        &self,
        was: &Found<MassRevocation>,
    ) -> Result<Revision, StoreError> {
        let batch = without_mass_revocation(Batch::default(), was);
        self.commit(Batch { spends_reserve: true, ..batch }).await
    }
}
