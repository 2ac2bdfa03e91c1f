//! Accounts whose secret is rotated, in the store.
//!
//! | key | record |
//! |---|---|
//! | `static-role/<mount><name>` | a static role, with its account's secret and how far a rotation is |
//! | `static-account/<mount><target>\0<account>` | which static role manages an account |
//! | `root-rotation/<mount><target><generation>` | how far a rotation of a target's administrator is |

use super::leases::joined;
use super::mounts::{Mount, Role, Target, mount_at, retired_at, role_at, target_at};
use super::records::{Found, Records};
use super::{Batch, Key, Revision, StoreError, Value};
use crate::engine::rotation::{Account, AccountSecret, Intent, Verify};
use crate::ids::{MountId, TargetId};
use crate::lease::Generation;
use crate::schedule::Plan;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An account of an operator's whose secret is rotated.
#[derive(Debug, Serialize, Deserialize)]
pub struct StaticRole {
    /// What operators call it.
    pub name: String,
    /// The target it is at.
    pub target: String,
    /// What the account is called there.
    pub username: String,
    /// The operator's own statements for setting the secret.
    #[serde(default)]
    pub statements: Vec<String>,
    /// How a new secret is tested.
    #[serde(default)]
    pub verify: Verify,
    /// When it is rotated.
    pub plan: Plan,
    /// What it is served with; `None` until the first one has been tested.
    pub secret: Option<AccountSecret>,
    /// How far a rotation is.
    pub rotation: Rotation,
}

impl StaticRole {
    /// Returns the account it manages.
    #[must_use]
    pub fn account(&self) -> Account {
        Account {
            name: self.username.clone(),
            administers: false,
            statements: self.statements.clone(),
            verify: self.verify,
        }
    }
}

/// How far a rotation of a target's administrator is.
#[derive(Debug, Serialize, Deserialize)]
pub struct RootRotation {
    /// The target.
    pub target: TargetId,
    /// Which identity of it.
    pub generation: Generation,
    /// How far it is.
    pub rotation: Rotation,
}

/// How far a rotation of one account is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Rotation {
    /// What is being brought about; nothing between two rotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Begun>,
    /// When it was last rotated.
    #[serde(default)]
    pub rotated_at: Option<Timestamp>,
    /// When it next needs a look; `None` for never by itself.
    #[serde(default)]
    pub due_at: Option<Timestamp>,
    /// After this what is due waits for the next slot.
    #[serde(default)]
    pub due_by: Option<Timestamp>,
    /// Until then what was asked for the secret of now may still land, so that no other is drawn.
    #[serde(default)]
    pub quiet_until: Option<Timestamp>,
    /// How often it has failed since it last succeeded.
    #[serde(default)]
    pub attempts: u32,
    /// Why, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// After a restore the stored secret was not let in: nothing is served and nothing rotated by itself.
    #[serde(default)]
    pub is_older_than_target: bool,
}

/// A rotation that has begun. It is kept until what it is to bring about has been tested.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begun {
    /// What is to be brought about.
    pub intent: Intent,
    /// Until when something that was asked may still take effect; `None` while nothing was asked that could.
    pub may_land_until: Option<Timestamp>,
    /// What the target chose, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<AccountSecret>,
    /// Tested and served; what it has replaced is still to be dropped.
    #[serde(default)]
    pub is_served: bool,
}

impl Begun {
    /// Returns the secret that the account is to have, if it is known.
    #[must_use]
    pub fn secret(&self) -> Option<&AccountSecret> {
        self.given.as_ref().or_else(|| self.intent.secret())
    }
}

/// Where a static role is kept.
#[must_use]
pub fn static_role_at(mount: MountId, name: &str) -> Key {
    joined(&[b"static-role/", mount.bytes(), name.as_bytes()])
}

/// The prefix of all static roles.
#[must_use]
pub fn all_static_roles() -> Key {
    Key(b"static-role/".to_vec())
}

/// Reads from its key of which mount a static role is.
#[must_use]
pub fn mount_of_static_role(key: &Key) -> Option<MountId> {
    let rest = key.0.strip_prefix(all_static_roles().0.as_slice())?;
    rest.first_chunk::<16>().copied().map(MountId::from_bytes)
}

/// Where it is kept which static role manages an account.
#[must_use]
pub fn managed_at(mount: MountId, target: &str, account: &str) -> Key {
    joined(&[b"static-account/", mount.bytes(), target.as_bytes(), b"\0", account.as_bytes()])
}

/// Where it is kept how far the rotation of an administrator is: each identity of a target has its own, so that what has
/// begun at one is in no other's way.
#[must_use]
pub fn root_rotation_at(mount: MountId, target: TargetId, generation: Generation) -> Key {
    let generation = generation.0.to_be_bytes();
    joined(&[b"root-rotation/", mount.bytes(), target.bytes(), &generation])
}

/// The prefix of the rotations of a mount's administrators.
#[must_use]
pub fn root_rotations_of(mount: MountId) -> Key {
    joined(&[b"root-rotation/", mount.bytes()])
}

/// The prefix of all rotations of administrators.
#[must_use]
pub fn all_root_rotations() -> Key {
    Key(b"root-rotation/".to_vec())
}

/// Returns the prefixes of all that is kept under a mount of accounts.
pub(super) fn accounts_of(mount: MountId) -> [Key; 3] {
    let managed = joined(&[b"static-account/", mount.bytes()]);
    [static_role_at(mount, ""), managed, root_rotations_of(mount)]
}

impl Records {
    /// Returns a static role.
    pub async fn static_role(
        &self,
        mount: MountId,
        name: &str,
    ) -> Result<Option<Found<StaticRole>>, StoreError> {
        self.read(&static_role_at(mount, name)).await
    }

    /// Keeps a new static role, if no role has its name and no other manages its account, and all is as the batch
    /// expects.
    pub async fn put_new_static_role(
        &self,
        mount: &Found<Mount>,
        role: &StaticRole,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let id = mount.record.id;
        let (at, managed) =
            (static_role_at(id, &role.name), managed_at(id, &role.target, &role.username));
        let sealed = self.seal(&at, role)?;
        let batch = batch
            .expect(mount_at(id), Some(mount.revision))
            .expect(role_at(id, &role.name), None)
            .expect(at.clone(), None)
            .expect(managed.clone(), None)
            .put(managed, Value(role.name.clone().into_bytes()))
            .put(at, sealed);
        self.commit(batch).await
    }

    /// Returns which static role manages an account.
    pub async fn manager_of(
        &self,
        mount: MountId,
        target: &str,
        account: &str,
    ) -> Result<Option<String>, StoreError> {
        let at = managed_at(mount, target, account);
        let found = self.index(&at, &at.next(), 1).await?;
        Ok(found.into_iter().next().map(|(_, name)| String::from_utf8_lossy(&name.0).into_owned()))
    }

    /// Drops a static role, if all is as the batch expects; its account is free to be managed by another.
    pub async fn drop_static_role(
        &self,
        mount: MountId,
        was: &Found<StaticRole>,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let role = &was.record;
        let at = static_role_at(mount, &role.name);
        let batch = batch.expect(at.clone(), Some(was.revision)).delete(at);
        self.commit(batch.delete(managed_at(mount, &role.target, &role.username))).await
    }

    /// Keeps a role, if no static role has its name, and all is as the batch expects.
    pub async fn put_role(
        &self,
        mount: &Found<Mount>,
        was: Option<Revision>,
        role: &Role,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let id = mount.record.id;
        let at = role_at(id, &role.name);
        let sealed = self.seal(&at, role)?;
        let batch = batch
            .expect(mount_at(id), Some(mount.revision))
            .expect(static_role_at(id, &role.name), None)
            .expect(at.clone(), was)
            .put(at, sealed);
        self.commit(batch).await
    }

    /// Keeps a target whose administrator has another secret, and with it that the rotation is over, if all is as the
    /// batch expects: both or none.
    pub async fn finish_root_rotation(
        &self,
        (was, is_current): (&Found<Target>, bool),
        target: &Target,
        (at, revision): (Key, Option<Revision>),
        rotation: &RootRotation,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let target_at = if is_current {
            target_at(target.mount, &target.name)
        } else {
            retired_at(target.id, target.generation)
        };
        let (kept, sealed) = (self.seal(&target_at, target)?, self.seal(&at, rotation)?);
        let batch = batch
            .expect(target_at.clone(), Some(was.revision))
            .expect(at.clone(), revision)
            .put(target_at, kept)
            .put(at, sealed);
        self.commit(batch).await
    }
}
