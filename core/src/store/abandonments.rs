//! Abandoned targets in the store: the word of an operator that one is gone for ever. It is kept for good, so that
//! whoever meets one of its credentials later learns what became of it.
//!
//! | key | record |
//! |---|---|
//! | `abandoned/<target><generation>` | who abandoned that identity of the target, when and why |

use super::holds::hold_at;
use super::leases::{joined, tail};
use super::mounts::{Target, mount_at, retired_at, target_at};
use super::records::{Found, Records};
use super::{Batch, Key, Revision, StoreError};
use crate::ids::{EntityId, MountId, TargetId, TokenAccessor};
use crate::lease::Generation;
use crate::store::mounts::Mount;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What an operator decided of one identity of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandonment {
    /// The mount that it was in.
    pub mount: MountId,
    /// Where that mount was then.
    pub path: String,
    /// What operators called it.
    pub name: String,
    /// When it was decided.
    pub at: Timestamp,
    /// What the auth method calls whoever decided it.
    pub by: String,
    /// Names their token.
    pub accessor: TokenAccessor,
    /// Who is behind that, if anybody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<EntityId>,
    /// Why, in their words.
    pub reason: String,
}

/// Where it is kept that an identity of a target is abandoned.
#[must_use]
pub fn abandoned_at(target: TargetId, generation: Generation) -> Key {
    joined(&[b"abandoned/", target.bytes(), &generation.0.to_be_bytes()])
}

/// The prefix of all of them.
#[must_use]
pub fn all_abandoned() -> Key {
    Key(b"abandoned/".to_vec())
}

/// Reads from its key which identity of a target is abandoned.
#[must_use]
pub fn abandoned_target(key: &Key) -> Option<(TargetId, Generation)> {
    let at = tail::<20>(key)?;
    let (target, generation) = at.split_first_chunk::<16>()?;
    let generation = u32::from_be_bytes(generation.try_into().ok()?);
    Some((TargetId::from_bytes(*target), Generation(generation)))
}

impl Records {
    /// Keeps that a target is abandoned, if nobody can use it any more: it is retired, or its mount is `closed`. What a
    /// restore holds back there is lifted with it: nobody will ever compare it. All that if all is as the batch expects.
    pub async fn abandon(
        &self,
        target: &Found<Target>,
        closed: Option<&Found<Mount>>,
        abandonment: &Abandonment,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let Target { id, generation, mount, name, .. } = &target.record;
        let (at, hold) = (abandoned_at(*id, *generation), hold_at(*id, *generation));
        let mut batch = Batch { spends_reserve: true, ..batch };
        batch = match closed {
            Some(closed) => batch
                .expect(mount_at(closed.record.id), Some(closed.revision))
                .expect(target_at(*mount, name), Some(target.revision)),
            None => batch.expect(retired_at(*id, *generation), Some(target.revision)),
        };
        let sealed = self.seal(&at, abandonment)?;
        self.commit(batch.expect(at.clone(), None).put(at, sealed).delete(hold)).await
    }
}
