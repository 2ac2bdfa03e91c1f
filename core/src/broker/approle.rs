//! Writes, shows and deletes the roles of the method `approle`.

mod secret_id;

pub use secret_id::{SecretIdMade, SecretIdView, SecretIdWrite, WhichSecretId};

use super::access::Rights;
use super::authenticate::{Caller, Recorded};
use super::{Broker, MethodError, Request};
use crate::access::login::plain_name;
use crate::access::params::{ParamsWrite, TokenParams, networks};
use crate::audit::Answer;
use crate::ids::AppRoleId;
use crate::limits::TTL_MAX;
use crate::mount::MountEntry;
use crate::store::Batch;
use crate::store::approles::AppRole;
use crate::store::records::Found;
use std::sync::Arc;
use std::time::Duration;

const KIND: &str = "approle";
/// The longest role id and secret id that one may choose, in bytes.
const CHOSEN_MAX: usize = 4096;

/// What a role is to be; what is `None` stays as it was.
#[derive(Clone, Debug, Default)]
pub struct AppRoleWrite {
    /// The mount, by path.
    pub mount: String,
    /// What operators call it.
    pub name: String,
    /// See [`AppRole`].
    pub role_id: Option<String>,
    /// See [`AppRole`].
    pub bind_secret_id: Option<bool>,
    /// See [`AppRole`]; only of a new role.
    pub local_secret_ids: Option<bool>,
    /// See [`AppRole`].
    pub secret_id_bound_cidrs: Option<Vec<String>>,
    /// See [`AppRole`].
    pub secret_id_num_uses: Option<u32>,
    /// See [`AppRole`].
    pub secret_id_ttl: Option<Duration>,
    /// The tokens that its logins make.
    pub params: ParamsWrite,
    /// Whether there must be such a role.
    pub must_exist: bool,
}

impl Recorded for AppRole {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "token_policies": self.params.policies })))
    }
}

impl Broker {
    /// Writes a role.
    pub async fn write_approle(
        self: &Arc<Self>,
        request: &Request,
        wanted: AppRoleWrite,
    ) -> Result<(), MethodError> {
        let put = async |caller: Caller| self.put_approle(&caller.rights, &wanted).await;
        self.written(request, put).await
    }

    async fn put_approle(&self, rights: &Rights, wanted: &AppRoleWrite) -> Result<(), MethodError> {
        let entry = self.method_at(KIND, &wanted.mount)?;
        let mount = entry.mount.record.id;
        let name = plain_name(&wanted.name);
        let was = self.records.approle(mount, &name).await?;
        if was.is_none() && wanted.must_exist {
            return Err(no_role(&name));
        }
        let before = was.as_ref().map_or_else(|| self.new_approle(name), |was| was.record.clone());
        let role = changed(before, wanted, was.is_none())?;
        if was.as_ref().map(|was| &was.record.role_id) != Some(&role.role_id) {
            let other = self.records.approle_by_role_id(mount, &role.role_id).await?;
            if other.is_some_and(|other| other.record.id != role.id) {
                return Err(MethodError::Bad("role_id is already in use by another role".into()));
            }
        }
        let batch = rights.expected(Batch::default());
        Ok(self.records.put_approle(&entry.mount, was.as_ref(), &role, batch).await?)
    }

    fn new_approle(&self, name: String) -> AppRole {
        let mut bytes = [0; 16];
        self.chance.fill(&mut bytes);
        AppRole {
            id: AppRoleId::new(self.clock.now(), &*self.chance),
            name,
            role_id: uuid::Builder::from_random_bytes(bytes).into_uuid().to_string(),
            bind_secret_id: true,
            local_secret_ids: false,
            secret_id_bound_cidrs: Vec::new(),
            secret_id_num_uses: 0,
            secret_id_ttl: Duration::ZERO,
            params: TokenParams::default(),
        }
    }

    /// Shows a role.
    pub async fn read_approle(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<AppRole, MethodError> {
        self.served(request, async |_| {
            let entry = self.method_at(KIND, mount)?;
            let role = self.records.approle(entry.mount.record.id, &plain_name(name)).await?;
            role.map(|role| role.record).ok_or(MethodError::Nothing)
        })
        .await
    }

    /// Lists the roles of a mount.
    pub async fn list_approles(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
    ) -> Result<Vec<String>, MethodError> {
        self.served(request, async |_| {
            let entry = self.method_at(KIND, mount)?;
            let names = self.records.approle_names(entry.mount.record.id).await?;
            if names.is_empty() { Err(MethodError::Nothing) } else { Ok(names) }
        })
        .await
    }

    /// Deletes a role, if there is one: its secret ids are good for nothing from now on. Its tokens keep their term, and
    /// are not renewed any more.
    pub async fn delete_approle(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<(), MethodError> {
        let delete = async |caller: Caller| {
            let entry = self.method_at(KIND, mount)?;
            let (mount, name) = (entry.mount.record.id, plain_name(name));
            let Some(role) = self.records.approle(mount, &name).await? else { return Ok(()) };
            let batch = caller.rights.expected(Batch::default());
            Ok(self.records.drop_approle(mount, &role, batch).await?)
        };
        self.written(request, delete).await
    }

    /// Returns a role, with its mount.
    async fn approle_at(
        &self,
        mount: &str,
        name: &str,
    ) -> Result<(Arc<MountEntry>, Found<AppRole>), MethodError> {
        let entry = self.method_at(KIND, mount)?;
        let name = plain_name(name);
        let role = self.records.approle(entry.mount.record.id, &name).await?;
        Ok((entry, role.ok_or_else(|| no_role(&name))?))
    }
}

fn no_role(name: &str) -> MethodError {
    MethodError::NotFound(format!("role {name:?} does not exist"))
}

fn changed(mut role: AppRole, wanted: &AppRoleWrite, is_new: bool) -> Result<AppRole, MethodError> {
    let bad = |message: &str| Err(MethodError::Bad(message.to_owned()));
    match wanted.local_secret_ids {
        Some(local) if local != role.local_secret_ids && !is_new => {
            return bad("local_secret_ids can only be modified during role creation");
        }
        Some(local) => role.local_secret_ids = local,
        None => {}
    }
    if let Some(role_id) = &wanted.role_id {
        role.role_id.clone_from(role_id);
    }
    if role.role_id.is_empty() || role.role_id.len() > CHOSEN_MAX {
        return Err(MethodError::Bad(format!("a role_id has 1 to {CHOSEN_MAX} bytes")));
    }
    if let Some(cidrs) = &wanted.secret_id_bound_cidrs {
        networks(cidrs)?;
        role.secret_id_bound_cidrs.clone_from(cidrs);
    }
    role.bind_secret_id = wanted.bind_secret_id.unwrap_or(role.bind_secret_id);
    role.secret_id_num_uses = wanted.secret_id_num_uses.unwrap_or(role.secret_id_num_uses);
    role.secret_id_ttl = wanted.secret_id_ttl.unwrap_or(role.secret_id_ttl);
    if role.secret_id_ttl > TTL_MAX {
        return bad("a ttl may be at most 876000h");
    }
    role.params = role.params.changed(wanted.params.clone())?;
    let is_bound = !role.secret_id_bound_cidrs.is_empty() || !role.params.bound_cidrs.is_empty();
    if !role.bind_secret_id && !is_bound {
        return bad("at least one constraint should be enabled on the role");
    }
    Ok(role)
}
