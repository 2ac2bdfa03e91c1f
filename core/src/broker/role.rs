//! Writes, shows and deletes roles.

use super::access::Rights;
use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Request};
use crate::audit::Answer;
use crate::engine::erased::{Fields, RoleRef};
use crate::engine::{Cause as Failure, FieldError};
use crate::ids::MountId;
use crate::lease::Cause;
use crate::limits::TTL_MAX;
use crate::store::accounts::static_role_at;
use crate::store::mounts::{Role, role_at};
use crate::store::{Batch, Revision, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// What a role is to be; what is `None` stays as it was.
#[derive(Debug, Default)]
pub struct RoleWrite {
    /// The mount it belongs to, by path.
    pub mount: String,
    /// What operators call it.
    pub name: String,
    /// The target it is for (`db_name`).
    pub target: Option<String>,
    /// How long its leases live; zero for the mount's default.
    pub default_ttl: Option<Duration>,
    /// How long they live at most; zero for the mount's maximum.
    pub max_ttl: Option<Duration>,
    /// Whether its leases live on when the token they were lent to ends.
    pub orphan_leases: Option<bool>,
    /// Whether the death of its credentials is to be proven.
    pub proof_of_death: Option<bool>,
    /// What is for the engine.
    pub fields: Fields,
}

/// A role as operators see it.
#[derive(Clone, Debug)]
pub struct RoleView {
    /// The role.
    pub role: Role,
    /// Its recipe, with every default filled in.
    pub recipe: Fields,
}

/// The role is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such mount.
    #[error("no mount at `{0}`")]
    NoMount(String),
    /// There is no such role.
    #[error("no role is called `{0}`")]
    NoRole(String),
    /// There is none at all.
    #[error("no value found")]
    Empty,
    /// The role cannot be accepted.
    #[error("{0}")]
    Bad(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FieldError> for RoleError {
    fn from(FieldError(message): FieldError) -> Self {
        Self::Bad(message)
    }
}

impl Recorded for RoleView {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::Value::Object(self.recipe.clone())))
    }
}

/// What of a role or a policy that was written should be thought over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cautions(pub Vec<String>);

impl Recorded for Cautions {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Broker {
    /// Writes a role. Its target need not exist yet; if it does, it is asked whether it has what the role needs.
    /// Returns what of the role should be thought over.
    pub async fn write_role(
        self: &Arc<Self>,
        request: &Request,
        wanted: RoleWrite,
    ) -> Result<Cautions, RoleError> {
        let put = async |caller: Caller| self.put_role(&wanted, &caller.rights).await;
        self.written(request, put).await
    }

    async fn put_role(&self, wanted: &RoleWrite, rights: &Rights) -> Result<Cautions, RoleError> {
        let catalog = self.catalog();
        let entry =
            catalog.at(&wanted.mount).ok_or_else(|| RoleError::NoMount(wanted.mount.clone()))?;
        let was = entry.roles.get(&wanted.name);
        let before = was.map(|was| &was.record);
        let target = wanted.target.clone().or_else(|| before.map(|was| was.target.clone()));
        let target = target.filter(|target| !target.is_empty());
        let mut fields = before.map(|was| was.fields.clone()).unwrap_or_default();
        fields.extend(wanted.fields.clone());
        let role = Role {
            name: wanted.name.clone(),
            target: target.ok_or_else(|| RoleError::Bad("empty database name attribute".into()))?,
            default_ttl: wanted
                .default_ttl
                .or_else(|| before.map(|was| was.default_ttl))
                .unwrap_or_default(),
            max_ttl: wanted.max_ttl.or_else(|| before.map(|was| was.max_ttl)).unwrap_or_default(),
            orphan_leases: wanted
                .orphan_leases
                .or_else(|| before.map(|was| was.orphan_leases))
                .unwrap_or_default(),
            proof_of_death: wanted
                .proof_of_death
                .or_else(|| before.map(|was| was.proof_of_death))
                .unwrap_or_default(),
            fields,
            written_at: self.clock.now(),
        };
        if role.default_ttl > TTL_MAX || role.max_ttl > TTL_MAX {
            return Err(RoleError::Bad("a ttl may be at most 876000h".into()));
        }
        if !role.max_ttl.is_zero() && role.default_ttl > role.max_ttl {
            return Err(RoleError::Bad("default_ttl exceeds max_ttl".into()));
        }
        let cautions = match entry.targets.get(&role.target) {
            Some(target) => {
                let cautions = self.kind(&target.record.plugin_name)?.cautions(&role.fields)?;
                self.check_needs(target, &role).await?;
                cautions
            }
            None => {
                self.kind_of_role(&entry.mount.record.kind, &role.fields)?.cautions(&role.fields)?
            }
        };
        let id = entry.mount.record.id;
        if self.records.store_has(&static_role_at(id, &role.name)).await? {
            return Err(RoleError::Bad("Role and Static Role names must be unique".into()));
        }
        let (was, batch) = (was.map(|was| was.revision), rights.expected(Batch::default()));
        self.records.put_role(&entry.mount, was, &role, batch).await?;
        self.reload().await?;
        Ok(Cautions(cautions))
    }

    /// Asks the target whether the administrator may do what the role needs. A target that cannot be asked now is
    /// taken at its word later.
    async fn check_needs(
        &self,
        target: &crate::store::records::Found<crate::store::mounts::Target>,
        role: &Role,
    ) -> Result<(), RoleError> {
        if !target.record.verify_connection {
            return Ok(());
        }
        let open = self.open_target(target)?;
        // A revision that no stored role has: what is being checked is not stored yet.
        let role =
            RoleRef { name: "", revision: Revision(self.clock.now().0), fields: &role.fields };
        match open.lacks(Some(role)).await {
            Ok(lacks) if lacks.is_empty() => Ok(()),
            Ok(lacks) => Err(RoleError::Bad(lacks.join("; "))),
            Err(error)
                if matches!(error.reason().cause, Failure::Unreachable | Failure::TooLate) =>
            {
                tracing::warn!(%error, "a role was written without asking its target what it needs");
                Ok(())
            }
            Err(error) => Err(RoleError::Bad(error.to_string())),
        }
    }

    /// Shows a role.
    pub async fn read_role(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<RoleView, RoleError> {
        self.served(request, async |_| {
            let catalog = self.catalog();
            let entry = catalog.at(mount).ok_or_else(|| RoleError::NoMount(mount.to_owned()))?;
            let role = entry.roles.get(name).ok_or_else(|| RoleError::NoRole(name.to_owned()))?;
            let target = entry.targets.get(&role.record.target);
            let kind = match target {
                Some(target) => self.kind(&target.record.plugin_name),
                None => self.kind_of_role(&entry.mount.record.kind, &role.record.fields),
            };
            let recipe = kind.and_then(|kind| kind.role(&role.record.fields)).ok();
            let recipe = recipe.unwrap_or_else(|| role.record.fields.clone());
            Ok(RoleView { role: role.record.clone(), recipe })
        })
        .await
    }

    /// Lists the roles of a mount.
    pub async fn list_roles(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
    ) -> Result<Vec<String>, RoleError> {
        self.served(request, async |_| {
            let catalog = self.catalog();
            let entry = catalog.at(mount).ok_or_else(|| RoleError::NoMount(mount.to_owned()))?;
            let names: Vec<_> = entry.roles.keys().cloned().collect();
            if names.is_empty() { Err(RoleError::Empty) } else { Ok(names) }
        })
        .await
    }

    /// Deletes a role: no more issues and renewals; its leases keep their term unless they are to be revoked, which
    /// takes `sudo` as it does to revoke them by their prefix.
    pub async fn delete_role(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
        revoke: bool,
    ) -> Result<(), RoleError> {
        let delete = async |caller: Caller| {
            if revoke {
                caller.require_sudo(request)?;
            }
            let (id, was_there) = self.drop_role(mount, name, &caller.rights).await?;
            if revoke {
                if !was_there {
                    self.begin_if(caller.rights.expected(Batch::default())).await?;
                }
                let place = [(id, Some(name.to_owned()))];
                self.mark_all(&place, Cause::Asked, |_| true).await?;
            }
            Ok(())
        };
        self.written(request, delete).await
    }

    /// Drops a role, if it is there, and tells of which mount it is and whether it was.
    async fn drop_role(
        &self,
        mount: &str,
        name: &str,
        rights: &Rights,
    ) -> Result<(MountId, bool), RoleError> {
        let catalog = self.catalog();
        let entry = catalog.at(mount).ok_or_else(|| RoleError::NoMount(mount.to_owned()))?;
        let id = entry.mount.record.id;
        let Some(was) = entry.roles.get(name) else { return Ok((id, false)) };
        let batch = rights.expected(Batch::default());
        self.records.drop_record_if(role_at(id, name), was.revision, batch).await?;
        self.reload().await?;
        Ok((id, true))
    }
}
