//! Roles of the method `approle` in the store.
//!
//! | key | record |
//! |---|---|
//! | `approle/<mount><name>` | a role |
//! | `approle-id/<mount><digest>` | the name of the role with a role id |
//! | `approle-gone/<mount><role>` | a role that was deleted, while anything of it is left |

use super::leases::{joined, tail};
use super::mounts::{Mount, mount_at};
use super::records::{Found, Records};
use super::{Batch, Key, StoreError, Value};
use crate::access::params::TokenParams;
use crate::ids::{AppRoleId, MountId};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A role that applications log in as.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppRole {
    /// Names it for ever.
    pub id: AppRoleId,
    /// What operators call it, written in one way.
    pub name: String,
    /// What applications call it. Not secret.
    pub role_id: String,
    /// Whether a secret id is asked for.
    pub bind_secret_id: bool,
    /// Kept for clients that read it back: all secret ids are of this installation.
    pub local_secret_ids: bool,
    /// From where one may log in with a secret id, as it was written; none for from everywhere.
    pub secret_id_bound_cidrs: Vec<String>,
    /// How many logins a secret id is good for; 0 for any number.
    pub secret_id_num_uses: u32,
    /// How long a secret id is good; zero for ever.
    pub secret_id_ttl: Duration,
    /// The tokens that its logins make.
    pub params: TokenParams,
}

/// Where a role is kept.
#[must_use]
pub fn approle_at(mount: MountId, name: &str) -> Key {
    joined(&[b"approle/", mount.bytes(), name.as_bytes()])
}

/// Where the role ids of a mount lead from.
#[must_use]
pub fn role_id_of(mount: MountId) -> Key {
    joined(&[b"approle-id/", mount.bytes()])
}

fn role_id_at(mount: MountId, role_id: &str) -> Key {
    // Of one length, however long the role id is.
    joined(&[&role_id_of(mount).0, digest(&SHA256, role_id.as_bytes()).as_ref()])
}

/// Where the deleted roles of a mount are noted.
#[must_use]
pub fn gone_of(mount: MountId) -> Key {
    joined(&[b"approle-gone/", mount.bytes()])
}

fn gone_at(mount: MountId, role: AppRoleId) -> Key {
    joined(&[&gone_of(mount).0, role.bytes()])
}

impl Records {
    /// Returns a role.
    pub async fn approle(
        &self,
        mount: MountId,
        name: &str,
    ) -> Result<Option<Found<AppRole>>, StoreError> {
        self.read(&approle_at(mount, name)).await
    }

    /// Returns the role with a role id.
    pub async fn approle_by_role_id(
        &self,
        mount: MountId,
        role_id: &str,
    ) -> Result<Option<Found<AppRole>>, StoreError> {
        let at = role_id_at(mount, role_id);
        let found = self.index(&at, &at.next(), 1).await?.pop();
        match found.and_then(|(_, name)| String::from_utf8(name.0).ok()) {
            Some(name) => self.approle(mount, &name).await,
            None => Ok(None),
        }
    }

    /// Returns the names of all roles of a mount.
    pub async fn approle_names(&self, mount: MountId) -> Result<Vec<String>, StoreError> {
        self.names_under(&approle_at(mount, "")).await
    }

    /// Keeps a role under a mount that is open, if no other has its role id.
    pub async fn put_approle(
        &self,
        mount: &Found<Mount>,
        was: Option<&Found<AppRole>>,
        role: &AppRole,
        batch: Batch,
    ) -> Result<(), StoreError> {
        let id = mount.record.id;
        let at = approle_at(id, &role.name);
        let mut batch = batch
            .expect(mount_at(id), Some(mount.revision))
            .expect(at.clone(), was.map(|was| was.revision))
            .put(at.clone(), self.seal(&at, role)?);
        let old = was.map(|was| &was.record.role_id);
        if old != Some(&role.role_id) {
            let by_id = role_id_at(id, &role.role_id);
            batch =
                batch.expect(by_id.clone(), None).put(by_id, Value(role.name.as_bytes().to_vec()));
            batch.deletes.extend(old.map(|old| role_id_at(id, old)));
        }
        self.commit(batch).await?;
        Ok(())
    }

    /// Deletes a role. No secret id of it is good any more; they are removed later, in bounded steps.
    pub async fn drop_approle(
        &self,
        mount: MountId,
        was: &Found<AppRole>,
        batch: Batch,
    ) -> Result<(), StoreError> {
        let role = &was.record;
        let at = approle_at(mount, &role.name);
        let batch = batch
            .expect(at.clone(), Some(was.revision))
            .delete(at)
            .delete(role_id_at(mount, &role.role_id))
            .put(gone_at(mount, role.id), Value::default());
        self.commit(batch).await?;
        Ok(())
    }

    /// Returns up to `limit` roles that were deleted and may have left secret ids.
    pub async fn gone_approles(
        &self,
        limit: usize,
    ) -> Result<Vec<(MountId, AppRoleId)>, StoreError> {
        let prefix = joined(&[b"approle-gone/"]);
        let found = self.index(&prefix, &prefix.after_prefix(), limit).await?;
        let read = |key: &Key| {
            let mount = key.0.get(13..29)?.try_into().ok().map(MountId::from_bytes)?;
            Some((mount, AppRoleId::from_bytes(tail(key)?)))
        };
        Ok(found.iter().filter_map(|(key, _)| read(key)).collect())
    }

    /// Notes that nothing is left of a deleted role.
    pub async fn forget_gone_approle(
        &self,
        mount: MountId,
        role: AppRoleId,
    ) -> Result<(), StoreError> {
        let batch = Batch::default().delete(gone_at(mount, role));
        self.commit(Batch { spends_reserve: true, ..batch }).await?;
        Ok(())
    }
}
