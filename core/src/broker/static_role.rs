//! Writes, shows and deletes static roles, and tells their secrets.

use super::access::Rights;
use super::authenticate::{AdmitError, Caller, Recorded};
use super::rotate::{RotateError, Which, Why};
use super::{Broker, Request};
use crate::audit::Answer;
use crate::engine::FieldError;
use crate::engine::rotation::Verify;
use crate::mount::MountEntry;
use crate::schedule::{Plan, PlanWrite};
use crate::secret::{Field, Secret};
use crate::store::accounts::{Begun, Rotation, StaticRole, static_role_at};
use crate::store::holds::HoldCause;
use crate::store::mounts::{Target, role_at};
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The longest name of an account, in bytes: it is part of a key of the store.
const ACCOUNT_NAME_MAX: usize = 512;

/// What a static role is to be; what is `None` stays as it was.
#[derive(Clone, Debug, Default)]
pub struct StaticRoleWrite {
    /// The mount it belongs to, by path.
    pub mount: String,
    /// What operators call it.
    pub name: String,
    /// The target it is at (`db_name`).
    pub target: Option<String>,
    /// What the account is called there.
    pub username: Option<String>,
    /// The operator's own statements for setting the secret.
    pub statements: Option<Vec<String>>,
    /// How a new secret is tested.
    pub verify: Option<Verify>,
    /// When it is rotated.
    pub plan: PlanWrite,
}

/// A static role as operators see it: no secret.
#[derive(Clone, Debug)]
pub struct StaticRoleView {
    /// The target it is at.
    pub target: String,
    /// What the account is called there.
    pub username: String,
    /// The operator's own statements.
    pub statements: Vec<String>,
    /// How a new secret is tested.
    pub verify: Verify,
    /// When it is rotated.
    pub plan: Plan,
    /// When it was last rotated.
    pub rotated_at: Option<Timestamp>,
    /// When it is rotated next.
    pub due_at: Option<Timestamp>,
    /// Why the last try failed.
    pub error: Option<String>,
}

/// The secret of a static role.
#[derive(Debug)]
pub struct StaticCredential {
    /// The account's name and secret.
    pub secret: Secret,
    /// When it was last rotated.
    pub rotated_at: Timestamp,
    /// How long it is good for; nothing if it is rotated only when somebody asks.
    pub ttl: Option<Duration>,
    /// When it is rotated.
    pub plan: Plan,
}

/// The static role is as it was, unless the target's answer is not known: then it is carried on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaticRoleError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such mount.
    #[error("no mount at `{0}`")]
    NoMount(String),
    /// There is no such static role.
    #[error("unknown role: {0}")]
    NoRole(String),
    /// There is none at all.
    #[error("no value found")]
    Empty,
    /// The static role cannot be accepted.
    #[error("{0}")]
    Bad(String),
    /// Nothing can be told before a rotation is over.
    #[error(
        "the secret is being rotated, and no new one has been tested yet; try again in a moment{}",
        .0.as_deref().map(|why| format!(" (the last try: {why})")).unwrap_or_default()
    )]
    BeingRotated(Option<String>),
    /// After a restore nothing can be told.
    #[error("{0}")]
    Older(String),
    /// After a restore nothing is told that was not let in since.
    #[error(
        "after the restore it is not known yet whether the secret in the store is still let in: {0}; try again in a moment"
    )]
    Untried(String),
    /// It was not rotated.
    #[error(transparent)]
    Rotate(RotateError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FieldError> for StaticRoleError {
    fn from(FieldError(message): FieldError) -> Self {
        Self::Bad(message)
    }
}

impl Recorded for StaticRoleView {
    fn recorded(&self) -> Answer {
        let (username, db_name) = (&self.username, &self.target);
        Answer::data(Some(serde_json::json!({ "username": username, "db_name": db_name })))
    }
}

impl Broker {
    /// Writes a static role. A new one is rotated before this returns; if the target will not, there is no role.
    pub async fn write_static_role(
        self: &Arc<Self>,
        request: &Request,
        wanted: StaticRoleWrite,
    ) -> Result<(), StaticRoleError> {
        let put = async |caller: Caller| self.put_static_role(&wanted, &caller.rights).await;
        self.written(request, put).await
    }

    async fn put_static_role(
        self: &Arc<Self>,
        wanted: &StaticRoleWrite,
        rights: &Rights,
    ) -> Result<(), StaticRoleError> {
        let catalog = self.catalog();
        let entry = entry(&catalog, &wanted.mount)?;
        let id = entry.mount.record.id;
        let batch = rights.expected(Batch::default());
        let Some(was) = self.records.static_role(id, &wanted.name).await? else {
            return self.make_static_role(entry, wanted, batch).await;
        };
        let differs =
            |given: &Option<String>, kept: &str| given.as_ref().is_some_and(|it| it != kept);
        if differs(&wanted.username, &was.record.username) {
            return Err(StaticRoleError::Bad("cannot update static account username".into()));
        }
        if differs(&wanted.target, &was.record.target) {
            return Err(StaticRoleError::Bad("cannot update static account db_name".into()));
        }
        let (at, revision) = (static_role_at(id, &wanted.name), was.revision);
        let before = was.record.plan.clone();
        let mut role = was.record;
        role.plan = wanted.plan.onto(Some(&role.plan)).map_err(StaticRoleError::Bad)?;
        role.statements = wanted.statements.clone().unwrap_or(role.statements);
        role.verify = wanted.verify.unwrap_or(role.verify);
        self.check_static_role(entry, &role)?;
        let is_free = role.rotation.begun.is_none() && !role.rotation.is_older_than_target;
        if before != role.plan && is_free {
            let last = role.rotation.rotated_at.unwrap_or_else(|| self.clock.now());
            let from = if role.plan.schedule.is_some() { self.clock.now() } else { last };
            let slot = role.plan.next(from);
            role.rotation.due_at = slot.map(|slot| slot.from);
            role.rotation.due_by = slot.and_then(|slot| slot.to);
        }
        self.records.replace_under(&entry.mount, (at, Some(revision)), &role, batch).await?;
        self.rotations.set(&Which::Static(id, role.name.clone()), role.rotation.due_at);
        self.wake_sweep();
        Ok(())
    }

    async fn make_static_role(
        self: &Arc<Self>,
        entry: &MountEntry,
        wanted: &StaticRoleWrite,
        batch: Batch,
    ) -> Result<(), StaticRoleError> {
        let bad = |message: &str| StaticRoleError::Bad(message.to_owned());
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let username = given(&wanted.username)
            .ok_or_else(|| bad("username is a required field to create a static account"))?;
        if username.len() > ACCOUNT_NAME_MAX || username.chars().any(char::is_control) {
            return Err(bad("`username` has at most 512 bytes, and no control characters"));
        }
        let plan = wanted.plan.onto(None).map_err(StaticRoleError::Bad)?;
        if plan == Plan::default() {
            return Err(bad("rotation_period is required to create static accounts"));
        }
        let role = StaticRole {
            name: wanted.name.clone(),
            target: given(&wanted.target).ok_or_else(|| bad("empty database name attribute"))?,
            username,
            statements: wanted.statements.clone().unwrap_or_default(),
            verify: wanted.verify.unwrap_or_default(),
            plan,
            secret: None,
            rotation: Rotation::default(),
        };
        let id = entry.mount.record.id;
        if self.records.store_has(&role_at(id, &role.name)).await? {
            return Err(bad("Role and Static Role names must be unique"));
        }
        self.check_static_role(entry, &role)?;
        if let Some(manager) = self.records.manager_of(id, &role.target, &role.username).await? {
            return Err(StaticRoleError::Bad(format!(
                "the account `{}` is managed by the static role `{manager}` already; two would take each other's \
                 secret away",
                role.username
            )));
        }
        if let Some(target) = entry.targets.get(&role.target)
            && let Some(why) = self.is_had_beside(&target.record, &role.username).await?
        {
            return Err(StaticRoleError::Bad(why));
        }
        self.records.put_new_static_role(&entry.mount, &role, batch).await?;
        let which = Which::Static(id, role.name.clone());
        let outcome = self.rotate(&which, Why::Asked, Batch::default()).await;
        let Err(error) = outcome else { return Ok(()) };
        self.forget_unbegun(&which, &role.name).await?;
        Err(StaticRoleError::Rotate(error))
    }

    /// Drops a new static role whose account was not touched.
    async fn forget_unbegun(&self, which: &Which, name: &str) -> Result<(), StoreError> {
        let Which::Static(mount, _) = which else { return Ok(()) };
        if let Some(found) = self.records.static_role(*mount, name).await?
            && found.record.secret.is_none()
            && found
                .record
                .rotation
                .begun
                .as_ref()
                .is_none_or(|begun| begun.may_land_until.is_none())
        {
            self.records.drop_static_role(*mount, &found, Batch::default()).await?;
            self.rotations.set(which, None);
        }
        Ok(())
    }

    /// Checks what can be checked without asking the target.
    fn check_static_role(
        &self,
        entry: &MountEntry,
        role: &StaticRole,
    ) -> Result<(), StaticRoleError> {
        let target = entry.targets.get(&role.target).ok_or_else(|| {
            StaticRoleError::Bad(format!(
                "no target is called `{0}`; write `config/{0}` first",
                role.target
            ))
        })?;
        if !target.record.allows(&role.name) {
            return Err(StaticRoleError::Bad(format!(
                "{:?} is not an allowed role of `{1}`; add it to `allowed_roles` of `config/{1}`",
                role.name, role.target
            )));
        }
        let kind = self.kind(&target.record.plugin_name)?;
        kind.check_account(&role.account())?;
        let administrator = kind.administrator(&target.record.fields.0)?;
        if administrator.is_some_and(|administrator| administrator.name == role.username) {
            return Err(StaticRoleError::Bad(format!(
                "`{}` is the administrator of the target `{}`; it is rotated by `rotate-root/{1}`, and its secret is \
                 told to nobody",
                role.username, role.target
            )));
        }
        Ok(())
    }

    /// Shows a static role.
    pub async fn read_static_role(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<StaticRoleView, StaticRoleError> {
        self.served(request, async |_| {
            let Found { record: role, .. } = self.found_static_role(mount, name).await?;
            Ok(StaticRoleView {
                target: role.target,
                username: role.username,
                statements: role.statements,
                verify: role.verify,
                plan: role.plan,
                rotated_at: role.rotation.rotated_at,
                due_at: role.rotation.due_at,
                error: role.rotation.error,
            })
        })
        .await
    }

    /// Lists the static roles of a mount.
    pub async fn list_static_roles(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
    ) -> Result<Vec<String>, StaticRoleError> {
        self.served(request, async |_| {
            let id = entry(&self.catalog(), mount)?.mount.record.id;
            let names = self.records.names_under(&static_role_at(id, "")).await?;
            if names.is_empty() { Err(StaticRoleError::Empty) } else { Ok(names) }
        })
        .await
    }

    /// Deletes a static role. Its account stays as it is, with the secret that was told last (law 9).
    pub async fn delete_static_role(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<(), StaticRoleError> {
        let delete = async |caller: Caller| {
            let found = match self.found_static_role(mount, name).await {
                Err(StaticRoleError::NoRole(_)) => return Ok(()),
                found => found?,
            };
            let catalog = self.catalog();
            let target = entry(&catalog, mount)?.targets.get(&found.record.target);
            if self.is_unsettled(&found.record.rotation, target.map(|target| &target.record)) {
                // Whoever deleted it now would take away the only record of a secret that may be the account's.
                return Err(StaticRoleError::BeingRotated(found.record.rotation.error));
            }
            let id = entry(&catalog, mount)?.mount.record.id;
            let batch = caller.rights.expected(Batch::default());
            self.records.drop_static_role(id, &found, batch).await?;
            self.rotations.set(&Which::Static(id, name.to_owned()), None);
            Ok(())
        };
        self.written(request, delete).await
    }

    /// Rotates the account of a static role now.
    pub async fn rotate_role(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<(), RotateError> {
        self.written(request, async |caller: Caller| {
            let id = self.catalog().at(mount).map(|entry| entry.mount.record.id);
            let which = Which::Static(id.ok_or(RotateError::NoRole)?, name.to_owned());
            self.rotate(&which, Why::Asked, caller.rights.expected(Batch::default())).await
        })
        .await
    }

    /// Tells the secret of a static role: only one that has been tested, and none while another may be landing.
    pub async fn static_credential(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<StaticCredential, StaticRoleError> {
        let caller: Caller = self.admit(request).await?;
        let outcome = self.tested_secret(mount, name).await;
        let answer = match &outcome {
            Ok(told) => Answer::secret(String::new(), &told.secret, self.trail.keys()),
            Err(error) => Answer::error(error),
        };
        self.conclude(request, &caller, &answer).await?;
        outcome
    }

    async fn tested_secret(
        &self,
        mount: &str,
        name: &str,
    ) -> Result<StaticCredential, StaticRoleError> {
        // Read first: once the comparison is over, what it has found out is stored with the role.
        let catalog = self.catalog();
        let role = self.found_static_role(mount, name).await?.record;
        let target = entry(&catalog, mount)?.targets.get(&role.target);
        let held_back = |cause| {
            let is_held = |it: &&Arc<Found<Target>>| {
                catalog.holds_back(cause, it.record.id, it.record.generation)
            };
            target.filter(is_held)
        };
        if let Some(target) = held_back(HoldCause::Copied) {
            let FieldError(why) = self.left_alone(&target.record);
            return Err(StaticRoleError::Older(why));
        }
        let rotation = &role.rotation;
        if rotation.is_older_than_target {
            return Err(StaticRoleError::Older(rotation.error.clone().unwrap_or_default()));
        }
        let differs = |begun: &Begun| begun.may_land_until.is_some() && !begun.is_served;
        let may_differ = rotation.begun.as_ref().is_some_and(differs);
        let (false, Some(secret), Some(rotated_at)) =
            (may_differ, &role.secret, rotation.rotated_at)
        else {
            return Err(StaticRoleError::BeingRotated(rotation.error.clone()));
        };
        if let Some(target) = held_back(HoldCause::Restored) {
            let tried = self.require_let_in(target, &role, secret).await;
            tried.map_err(StaticRoleError::Untried)?;
        }
        let mut fields = vec![("username", Field::Open(role.username))];
        for part in ["password", "access_key", "secret_key"] {
            fields.extend(secret.part(part).map(|text| (part, Field::Hidden(text))));
        }
        let ttl = role.plan.next(rotated_at).map(|slot| slot.from.since(self.clock.now()));
        Ok(StaticCredential { secret: Secret::new(fields), rotated_at, ttl, plan: role.plan })
    }

    async fn found_static_role(
        &self,
        mount: &str,
        name: &str,
    ) -> Result<Found<StaticRole>, StaticRoleError> {
        let id = entry(&self.catalog(), mount)?.mount.record.id;
        let found = self.records.static_role(id, name).await?;
        found.ok_or_else(|| StaticRoleError::NoRole(name.to_owned()))
    }
}

fn entry<'a>(
    catalog: &'a crate::mount::Catalog,
    mount: &str,
) -> Result<&'a Arc<MountEntry>, StaticRoleError> {
    catalog.at(mount).ok_or_else(|| StaticRoleError::NoMount(mount.to_owned()))
}
