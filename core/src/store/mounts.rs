//! Mounts, targets and roles in the store.
//!
//! | key | record |
//! |---|---|
//! | `mount/<mount>` | a mount |
//! | `mount-path/<path>` | which mount is at a path |
//! | `target/<mount><name>` | a target as it is now |
//! | `role/<mount><name>` | a role |
//! | `retired/<target><generation>` | a target as it was, while leases of that generation live |

use super::accounts::{accounts_of, root_rotation_at};
use super::approles::{approle_at, gone_of, role_id_of};
use super::holds::{Hold, hold_at};
use super::leases::joined;
use super::quotas::{Quota, quota_at};
use super::records::{Found, Records};
use super::users::user_at;
use super::{Batch, Key, Revision, StoreError, Value};
use crate::access::lockout::LockoutConfig;
use crate::access::params::TokenType;
use crate::ids::{MountId, TargetId};
use crate::lease::Generation;
use crate::limits::READ_CHUNK;
use crate::schedule::Plan;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::fmt;
use std::time::Duration;

/// An engine family at a path, with its targets and roles; or a method at a path under `auth/`, with those whom it knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Names it through remounts.
    pub id: MountId,
    /// Where it is; ends in `/`.
    pub path: String,
    /// Vault's word for the family or the method: `database`, `userpass`.
    pub kind: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// How long its leases live unless the role says otherwise; zero for the system's default.
    #[serde(default)]
    pub default_lease_ttl: Duration,
    /// How long they live at most; zero for the system's maximum.
    #[serde(default)]
    pub max_lease_ttl: Duration,
    /// Kept for clients that read it back.
    #[serde(default)]
    pub options: Map<String, serde_json::Value>,
    /// What only a method has; `None` for an engine family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<MethodSettings>,
    /// What those who configure it say of its leases, within what the mount allows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_config: Option<LeaseConfig>,
    /// Set when it was disabled: closed to callers, and kept until its last lease or token is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

/// How long the leases of a mount live whose roles do not say so themselves (`config/lease` of Vault's `aws`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseConfig {
    /// How long they live; zero for what the mount says.
    pub ttl: Duration,
    /// How long they live at most; zero for what the mount says.
    pub max_ttl: Duration,
}

/// How the logins of a method are treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodSettings {
    /// How its tokens are kept unless a login says otherwise.
    pub token_type: TokenType,
    /// When a name is locked; `None` for the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockout: Option<LockoutConfig>,
}

impl Default for MethodSettings {
    fn default() -> Self {
        Self { token_type: TokenType::DefaultService, lockout: None }
    }
}

/// One outside system that holds credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Names it through its generations.
    pub id: TargetId,
    /// The mount it belongs to.
    pub mount: MountId,
    /// What operators call it.
    pub name: String,
    /// The kind of its engine.
    pub plugin_name: String,
    /// Which identity of it this is.
    pub generation: Generation,
    /// Which roles may use it: names, or patterns with `*`.
    #[serde(default)]
    pub allowed_roles: Vec<String>,
    /// Whether it is asked who it is when its configuration is written.
    #[serde(default = "yes")]
    pub verify_connection: bool,
    /// By which password policy its passwords are drawn; empty for the standard one.
    #[serde(default)]
    pub password_policy: String,
    /// How its administrator's secret is set; with none the engine has its own way.
    #[serde(default)]
    pub root_rotation_statements: Vec<String>,
    /// When its administrator is rotated.
    #[serde(default)]
    pub rotation: Plan,
    /// What the operator wrote for its engine, the administrator's secret included.
    pub fields: Hidden,
    /// Which server it said it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// How often it is compared with the leases by itself; never if zero.
    #[serde(default)]
    pub reconcile_period: Duration,
    /// Whether what differs then is repaired, where that takes nothing from anybody.
    #[serde(default)]
    pub reconcile_repair: bool,
    /// How many credentials it may have; as many as there may be if zero.
    #[serde(default)]
    pub max_credentials: u64,
    /// Set when it was deleted with its leases: they are taken from their holders, for as long as there are any.
    #[serde(default)]
    pub revokes: bool,
}

/// Fields of which some are secret; shown to nobody but an engine.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub Map<String, serde_json::Value>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

/// A recipe for one kind of credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// What operators call it.
    pub name: String,
    /// The target it is for; need not exist yet.
    pub target: String,
    /// How long its leases live; zero for the mount's default.
    #[serde(default)]
    pub default_ttl: Duration,
    /// How long they live at most; zero for the mount's maximum.
    #[serde(default)]
    pub max_ttl: Duration,
    /// Its leases do not end with the tokens they were lent to.
    #[serde(default)]
    pub orphan_leases: bool,
    /// The death of its credentials is to be proven.
    #[serde(default)]
    pub proof_of_death: bool,
    /// What the operator wrote for the engine.
    pub fields: Map<String, serde_json::Value>,
    /// When it was last written: credentials that were made before may be of another recipe.
    #[serde(default)]
    pub written_at: Timestamp,
}

fn yes() -> bool {
    true
}

/// Where a mount is kept.
#[must_use]
pub fn mount_at(id: MountId) -> Key {
    joined(&[b"mount/", id.bytes()])
}

fn mount_path_at(path: &str) -> Key {
    joined(&[b"mount-path/", path.as_bytes()])
}

/// Where a target is kept.
#[must_use]
pub fn target_at(mount: MountId, name: &str) -> Key {
    joined(&[b"target/", mount.bytes(), name.as_bytes()])
}

/// Where a role is kept.
#[must_use]
pub fn role_at(mount: MountId, name: &str) -> Key {
    joined(&[b"role/", mount.bytes(), name.as_bytes()])
}

/// Where a target is kept as it was.
#[must_use]
pub fn retired_at(target: TargetId, generation: Generation) -> Key {
    joined(&[b"retired/", target.bytes(), &generation.0.to_be_bytes()])
}

impl Records {
    /// Keeps a new mount, if nothing is at its path, and all is as the batch expects.
    pub async fn put_new_mount(&self, mount: &Mount, batch: Batch) -> Result<Revision, StoreError> {
        let at = mount_at(mount.id);
        let path = mount_path_at(&mount.path);
        let batch = batch
            .expect(path.clone(), None)
            .put(path, Value(mount.id.bytes().to_vec()))
            .put(at.clone(), self.seal(&at, mount)?);
        self.commit(batch).await
    }

    /// Whether a mount is at a path, readable or not.
    pub async fn has_mount_at(&self, path: &str) -> Result<bool, StoreError> {
        self.store_has(&mount_path_at(path)).await
    }

    /// Moves a mount to a path that nothing is at, and the quotas for it with it, if all is as the batch expects.
    pub async fn move_mount<'a>(
        &self,
        was: &Found<Mount>,
        to: &str,
        quotas: impl Iterator<Item = &'a Found<Quota>>,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let (at, path) = (mount_at(was.record.id), mount_path_at(to));
        let moved = Mount { path: to.to_owned(), ..was.record.clone() };
        let mut batch = batch
            .expect(at.clone(), Some(was.revision))
            .expect(path.clone(), None)
            .delete(mount_path_at(&was.record.path))
            .put(path, Value(was.record.id.bytes().to_vec()))
            .put(at.clone(), self.seal(&at, &moved)?);
        for quota in quotas {
            let mut record = quota.record.clone();
            to.clone_into(&mut record.scope.mount);
            let at = quota_at(record.kind(), &record.name);
            let sealed = self.seal(&at, &record)?;
            batch = batch.expect(at.clone(), Some(quota.revision)).put(at, sealed);
        }
        self.commit(batch).await
    }

    /// Closes a mount, if all is as the batch expects: its path is free, its record stays until its leases are gone.
    pub async fn close_mount(
        &self,
        was: &Found<Mount>,
        now: Timestamp,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let at = mount_at(was.record.id);
        let closed = Mount { closed_at: Some(now), ..was.record.clone() };
        let mut batch = batch
            .expect(at.clone(), Some(was.revision))
            .delete(mount_path_at(&was.record.path))
            .put(at.clone(), self.seal(&at, &closed)?);
        batch.spends_reserve = true;
        self.commit(batch).await
    }

    /// Removes some of what a method keeps under a closed mount; tells whether there may be more.
    pub async fn clear_method(&self, id: MountId) -> Result<bool, StoreError> {
        if self.clear_secret_ids(id, None, READ_CHUNK).await? {
            return Ok(true);
        }
        let mut may_be_more = false;
        for prefix in [user_at(id, ""), approle_at(id, ""), role_id_of(id), gone_of(id)] {
            may_be_more |= self.clear_under(&prefix, READ_CHUNK).await?;
        }
        Ok(may_be_more)
    }

    /// Forgets a retired target, if it is still as it was found, with what was held back at it and how far the rotation
    /// of its administrator is, if that is as it was as well: both would stay for ever by themselves.
    pub async fn forget_retired(
        &self,
        was: &Found<Target>,
        rotation: Option<Revision>,
    ) -> Result<Revision, StoreError> {
        let Target { id, generation, mount, .. } = was.record;
        let at = retired_at(id, generation);
        let batch = Batch::default().expect(at.clone(), Some(was.revision)).delete(at);
        let at = root_rotation_at(mount, id, generation);
        let batch = batch.expect(at.clone(), rotation).delete(at);
        let batch = batch.delete(hold_at(id, generation));
        self.commit(Batch { spends_reserve: true, ..batch }).await
    }

    /// Removes a closed mount with all that is under it, what was held back at its targets included.
    pub async fn remove_mount(
        &self,
        was: &Found<Mount>,
        targets: impl Iterator<Item = &Target>,
    ) -> Result<Revision, StoreError> {
        let id = was.record.id;
        let mut batch =
            Batch::default().expect(mount_at(id), Some(was.revision)).delete(mount_at(id));
        let own = [target_at(id, ""), role_at(id, "")];
        for prefix in own.into_iter().chain(accounts_of(id)) {
            let found = self.index(&prefix, &prefix.after_prefix(), usize::MAX).await?;
            batch.deletes.extend(found.into_iter().map(|(key, _)| key));
        }
        batch.deletes.extend(targets.map(|target| hold_at(target.id, target.generation)));
        batch.spends_reserve = true;
        self.commit(batch).await
    }

    /// Keeps a record of an operator's, expecting what was there before.
    pub async fn replace<T: Serialize>(
        &self,
        at: Key,
        was: Option<Revision>,
        record: &T,
    ) -> Result<Revision, StoreError> {
        self.replace_if(at, was, record, Batch::default()).await
    }

    /// Does the same, if whatever else the batch expects is so.
    pub async fn replace_if<T: Serialize>(
        &self,
        at: Key,
        was: Option<Revision>,
        record: &T,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let sealed = self.seal(&at, record)?;
        self.commit(batch.expect(at.clone(), was).put(at, sealed)).await
    }

    /// Keeps what an operator wrote under a mount, expecting the mount as it was read and what was there before, and
    /// whatever else the batch expects. Written
    /// under one that is closed meanwhile it would be left where nobody looks for it, an administrator's secret included.
    pub async fn replace_under<T: Serialize>(
        &self,
        mount: &Found<Mount>,
        (at, was): (Key, Option<Revision>),
        record: &T,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let sealed = self.seal(&at, record)?;
        let batch = batch.expect(mount_at(mount.record.id), Some(mount.revision));
        self.commit(batch.expect(at.clone(), was).put(at, sealed)).await
    }

    /// Keeps a target that is written for the first time, or again after one that had its name was abandoned; here and
    /// below, if all is as the batch expects.
    pub async fn put_new_target(
        &self,
        mount: &Found<Mount>,
        target: &Target,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let at = target_at(target.mount, &target.name);
        let batch = batch
            .expect(mount_at(mount.record.id), Some(mount.revision))
            .expect(retired_at(target.id, target.generation), None)
            .expect(at.clone(), None)
            .put(at.clone(), self.seal(&at, target)?);
        self.commit(batch).await
    }

    /// Keeps a target in place of another identity of it, which is retired. What is held back at the one is held back
    /// at the other: after a restore, what was issued since may be at either.
    pub async fn succeed_target(
        &self,
        mount: &Found<Mount>,
        (was, target): (&Found<Target>, &Target),
        hold: Option<&Hold>,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let at = target_at(target.mount, &target.name);
        let retired = retired_at(was.record.id, was.record.generation);
        let mut batch = batch
            .expect(mount_at(mount.record.id), Some(mount.revision))
            .expect(at.clone(), Some(was.revision))
            .put(at.clone(), self.seal(&at, target)?)
            .put(retired.clone(), self.seal(&retired, &was.record)?);
        if let Some(hold) = hold {
            let at = hold_at(target.id, target.generation);
            batch = batch.put(at.clone(), self.seal(&at, hold)?);
        }
        self.commit(batch).await
    }

    /// Takes a target away from callers, if all is as the batch expects; its administrator stays until its last lease is
    /// gone.
    pub async fn retire_target(
        &self,
        was: &Found<Target>,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        self.commit(self.retiring(was, &was.record, batch)?).await
    }

    /// Does the same, and keeps with it, and with all that had its name before, that their leases are to be revoked.
    pub async fn retire_with_leases<'a>(
        &self,
        was: Option<&Found<Target>>,
        before: impl Iterator<Item = &'a Found<Target>>,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let revoking = |target: &Target| Target { revokes: true, ..target.clone() };
        let mut batch = match was {
            Some(was) => self.retiring(was, &revoking(&was.record), batch)?,
            None => batch,
        };
        for retired in before {
            let at = retired_at(retired.record.id, retired.record.generation);
            let sealed = self.seal(&at, &revoking(&retired.record))?;
            batch = batch.expect(at.clone(), Some(retired.revision)).put(at, sealed);
        }
        batch.spends_reserve = true;
        self.commit(batch).await
    }

    fn retiring(
        &self,
        was: &Found<Target>,
        retired: &Target,
        batch: Batch,
    ) -> Result<Batch, StoreError> {
        let at = target_at(was.record.mount, &was.record.name);
        let kept_at = retired_at(retired.id, retired.generation);
        let sealed = self.seal(&kept_at, retired)?;
        Ok(batch.expect(at.clone(), Some(was.revision)).delete(at).put(kept_at, sealed))
    }

    /// Drops a record, if it is still as it was found.
    pub async fn drop_record(&self, at: Key, was: Revision) -> Result<Revision, StoreError> {
        self.drop_record_if(at, was, Batch::default()).await
    }

    /// Does the same, if whatever else the batch expects is so.
    pub async fn drop_record_if(
        &self,
        at: Key,
        was: Revision,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        self.commit(batch.expect(at.clone(), Some(was)).delete(at)).await
    }
}
