//! Writes, shows and deletes targets, and tells one identity of a target from the next.

mod earlier;

use super::access::Rights;
use super::authenticate::{AdmitError, Caller, Recorded};
use super::rotate::OlderSecret;
use super::{Broker, Request};
use crate::audit::Answer;
use crate::engine::erased::Fields;
use crate::engine::rotation::{Account, Verify};
use crate::engine::{Cause as Failure, EngineError, FieldError};
use crate::ids::{MountId, TargetId};
use crate::lease::{Cause, Generation};
use crate::limits::{RECONCILE_MIN, TTL_MAX};
use crate::mount::MountEntry;
use crate::schedule::{Plan, PlanWrite};
use crate::store::holds::{Hold, HoldCause};
use crate::store::leases::Placed;
use crate::store::mounts::{Hidden, Target, target_at};
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a target is to be; what is `None` stays as it was.
#[derive(Default)]
pub struct TargetWrite {
    /// The mount it belongs to, by path.
    pub mount: String,
    /// What operators call it.
    pub name: String,
    /// The kind of its engine.
    pub plugin_name: Option<String>,
    /// Which roles may use it.
    pub allowed_roles: Option<Vec<String>>,
    /// Whether it is asked who it is.
    pub verify_connection: Option<bool>,
    /// By which password policy its passwords are drawn.
    pub password_policy: Option<String>,
    /// How its administrator's secret is set.
    pub root_rotation_statements: Option<Vec<String>>,
    /// How often it is compared with the leases by itself; never if zero.
    pub reconcile_period: Option<Duration>,
    /// Whether what differs then is repaired.
    pub reconcile_repair: Option<bool>,
    /// How many credentials it may have; as many as there may be if zero.
    pub max_credentials: Option<u64>,
    /// When its administrator is rotated.
    pub rotation: PlanWrite,
    /// An answer to the question whether the same server has a new address.
    pub moved: Option<bool>,
    /// Which identity of it, where that is configured no longer and only revokes.
    pub generation: Option<String>,
    /// What is for the engine.
    pub fields: Fields,
}

impl fmt::Debug for TargetWrite {
    /// Shows which target, and nothing of what is for its engine: there are secrets in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetWrite").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A target as operators see it.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// The target.
    pub target: Target,
    /// What of its engine's configuration is shown.
    pub shown: Fields,
    /// Set while its administrator is not let in, since a restore.
    pub older: Option<OlderSecret>,
}

/// The target is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such mount.
    #[error("no mount at `{0}`")]
    NoMount(String),
    /// There is no such target.
    #[error("no target is called `{0}`")]
    NoTarget(String),
    /// No such identity of it has leases.
    #[error(
        "no generation `{generation}` of `{target}` is kept for revoking; `leasehold abandon {target}` shows those that have \
         leases"
    )]
    NoEarlier {
        /// What operators call it.
        target: String,
        /// What was asked for.
        generation: String,
    },
    /// There is none at all.
    #[error("no value found")]
    Empty,
    /// The configuration cannot be accepted.
    #[error("{0}")]
    Bad(String),
    /// Only the address changed: the server cannot tell a failover from a copy.
    #[error(
        "leases live at `{0}` and only its address changes: write `moved=true` if it is the same server with the same \
         logins (a failover), `moved=false` if it is another one (the old one is kept for revoking)"
    )]
    Moved(String),
    /// The target could not be asked.
    #[error("error verifying connection: {0}")]
    Verify(EngineError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FieldError> for TargetError {
    fn from(FieldError(message): FieldError) -> Self {
        Self::Bad(message)
    }
}

impl Recorded for TargetView {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::Value::Object(self.shown.clone())))
    }
}

impl Broker {
    /// Writes a target.
    pub async fn write_target(
        self: &Arc<Self>,
        request: &Request,
        wanted: TargetWrite,
    ) -> Result<(), TargetError> {
        let put = async |caller: Caller| self.put_target(&wanted, &caller.rights).await;
        self.written(request, put).await
    }

    async fn put_target(&self, wanted: &TargetWrite, rights: &Rights) -> Result<(), TargetError> {
        let catalog = self.catalog();
        let entry =
            catalog.at(&wanted.mount).ok_or_else(|| TargetError::NoMount(wanted.mount.clone()))?;
        if let Some(generation) = &wanted.generation {
            return self.put_earlier(entry, wanted, generation, rights).await;
        }
        let mount = entry.mount.record.id;
        let was = entry.targets.get(&wanted.name);
        let mut target = self.merged(mount, was.map(|was| &was.record), wanted)?;
        let family = &entry.mount.record.kind;
        self.kind_in(family, &target.plugin_name)?.shown(&target.fields.0)?;
        let period = target.reconcile_period;
        if !period.is_zero() && !(RECONCILE_MIN..=TTL_MAX).contains(&period) {
            let message = "`reconcile_period` must be 0, or from 1m to 876000h";
            return Err(TargetError::Bad(message.into()));
        }
        self.check_administrator(entry, &target).await?;
        // A copy asks nothing of a target, wherever its configuration points meanwhile.
        let is_copied = was.is_some_and(|was| {
            catalog.holds_back(HoldCause::Copied, was.record.id, was.record.generation)
        });
        let is_let_in = target.verify_connection && !is_copied;
        if is_let_in {
            target.server = self.verify(&target).await?;
        }
        self.count_if_bounded(&target).await?;
        let batch = rights.expected(Batch::default());
        let Some(was) = was else {
            if let Some((id, generation)) = self.successor(&entry.mount, &target.name) {
                target = Target { id, generation, ..target };
            }
            self.records.put_new_target(&entry.mount, &target, batch).await?;
            self.reload().await?;
            self.plan_root_rotation(&target).await?;
            // Whether it may forget what it will be asked for is seen to from now on.
            self.wake_sweep();
            return Ok(());
        };
        target.generation = self.generation(was, &target, wanted.moved).await?;
        if target.generation == was.record.generation {
            let at = (target_at(mount, &target.name), Some(was.revision));
            let batch = if is_let_in { self.administrator_let_in(batch, &target)? } else { batch };
            self.records.replace_under(&entry.mount, at, &target, batch).await?;
        } else {
            let hold = catalog.hold(was.record.id, was.record.generation);
            // What is known of the one's administrator says nothing of the other's.
            let hold = hold.map(|hold| Hold { older_since: None, ..hold.record });
            let both = (&**was, &target);
            self.records.succeed_target(&entry.mount, both, hold.as_ref(), batch).await?;
        }
        self.reload().await?;
        // At another server nothing is planned yet.
        if target.rotation != was.record.rotation || target.generation != was.record.generation {
            self.plan_root_rotation(&target).await?;
        }
        // What is held back at it, or at a new identity of it, is seen to at once.
        self.compare_soon(&target);
        self.wake_sweep();
        Ok(())
    }

    /// Counts the leases there are before a bound on them holds: once it is written it does.
    async fn count_if_bounded(&self, target: &Target) -> Result<(), StoreError> {
        if target.credentials_max().is_none() {
            return Ok(());
        }
        let _writing = self.counted.writing.lock().await;
        self.count_for_quotas().await
    }

    /// Makes sure that the administrator is no account of a static role, and can be rotated if it is to be.
    async fn check_administrator(
        &self,
        entry: &MountEntry,
        target: &Target,
    ) -> Result<(), TargetError> {
        let kind = self.kind(&target.plugin_name)?;
        let administrator = kind.administrator(&target.fields.0)?;
        let name = administrator.as_ref().map_or("", |it| it.name.as_str());
        let managed = self.records.manager_of(entry.mount.record.id, &target.name, name).await?;
        if let Some(role) = managed {
            return Err(TargetError::Bad(format!(
                "the account `{name}` is managed by the static role `{role}`; delete that first, or use another \
                 administrator"
            )));
        }
        if let Some(why) = self.is_managed_beside(target, name).await? {
            return Err(TargetError::Bad(why));
        }
        let account = Account {
            name: name.to_owned(),
            administers: true,
            statements: target.root_rotation_statements.clone(),
            verify: Verify::Login,
        };
        kind.check_account(&account)?;
        if let Some(administrator) = administrator.filter(|_| target.rotation != Plan::default()) {
            kind.with_secret(&target.fields.0, &administrator.secret)?;
        }
        Ok(())
    }

    fn merged(
        &self,
        mount: MountId,
        was: Option<&Target>,
        wanted: &TargetWrite,
    ) -> Result<Target, TargetError> {
        let plugin_name =
            wanted.plugin_name.clone().or_else(|| was.map(|was| was.plugin_name.clone()));
        let plugin_name = plugin_name.filter(|name| !name.is_empty());
        let plugin_name =
            plugin_name.ok_or_else(|| TargetError::Bad("empty plugin name".into()))?;
        let mut fields = was.map(|was| was.fields.0.clone()).unwrap_or_default();
        fields.extend(wanted.fields.clone());
        Ok(Target {
            id: was.map_or_else(|| TargetId::new(self.clock.now(), &*self.chance), |was| was.id),
            mount,
            name: wanted.name.clone(),
            plugin_name,
            generation: was.map_or(Generation(1), |was| was.generation),
            allowed_roles: wanted
                .allowed_roles
                .clone()
                .or_else(|| was.map(|was| was.allowed_roles.clone()))
                .unwrap_or_default(),
            verify_connection: wanted.verify_connection.unwrap_or(true),
            password_policy: wanted
                .password_policy
                .clone()
                .or_else(|| was.map(|was| was.password_policy.clone()))
                .unwrap_or_default(),
            root_rotation_statements: wanted
                .root_rotation_statements
                .clone()
                .or_else(|| was.map(|was| was.root_rotation_statements.clone()))
                .unwrap_or_default(),
            rotation: wanted
                .rotation
                .onto(was.map(|was| &was.rotation))
                .map_err(TargetError::Bad)?,
            fields: Hidden(fields),
            server: was.and_then(|was| was.server.clone()),
            reconcile_period: wanted
                .reconcile_period
                .or_else(|| was.map(|was| was.reconcile_period))
                .unwrap_or_default(),
            reconcile_repair: wanted
                .reconcile_repair
                .or_else(|| was.map(|was| was.reconcile_repair))
                .unwrap_or_default(),
            max_credentials: wanted
                .max_credentials
                .or_else(|| was.map(|was| was.max_credentials))
                .unwrap_or_default(),
            revokes: false,
        })
    }

    /// Asks the target who it is, and whether the administrator may do what is needed.
    async fn verify(&self, target: &Target) -> Result<Option<String>, TargetError> {
        let open = self.open_afresh(target)?;
        let identity = open.identity().await.map_err(TargetError::Verify)?;
        let lacks = open.lacks(None).await.map_err(TargetError::Verify)?;
        if !lacks.is_empty() {
            let message = lacks.join("; ");
            return Err(TargetError::Verify(EngineError::refused(Failure::NeedsOperator, message)));
        }
        Ok(identity.server)
    }

    /// Decides whether a configuration points at the same target as before.
    async fn generation(
        &self,
        was: &Found<Target>,
        target: &Target,
        moved: Option<bool>,
    ) -> Result<Generation, TargetError> {
        let was = &was.record;
        let next = Generation(was.generation.0.saturating_add(1));
        let kind = self.kind(&target.plugin_name)?;
        let (before, after) = (kind.shown(&was.fields.0)?, kind.shown(&target.fields.0)?);
        let other_server =
            was.server.is_some() && target.server.is_some() && was.server != target.server;
        let other_administrator = before.get("username") != after.get("username");
        let other_kind = self.kind(&was.plugin_name)?.name() != kind.name();
        if other_kind || other_server || other_administrator {
            return Ok(next);
        }
        if before.get("connection_url") == after.get("connection_url") {
            return Ok(was.generation);
        }
        let leases = self.has_leases(was.mount, was.id, was.generation).await?;
        match moved {
            Some(true) => Ok(was.generation),
            None if leases => Err(TargetError::Moved(was.name.clone())),
            Some(false) | None => Ok(next),
        }
    }

    /// Whether any lease of this generation of a target lives.
    pub(super) async fn has_leases(
        &self,
        mount: MountId,
        target: TargetId,
        generation: Generation,
    ) -> Result<bool, StoreError> {
        let (lane, mut after) = ((target, generation), None);
        while let Some((last, here)) = self.records.leases_at(mount, lane, after.as_ref()).await? {
            if !here.is_empty() {
                return Ok(true);
            }
            after = Some(last);
        }
        Ok(false)
    }

    /// Shows a target.
    pub async fn read_target(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<TargetView, TargetError> {
        self.served(request, async |_| {
            let catalog = self.catalog();
            let target = entry(&catalog, mount)?.targets.get(name);
            let target = &target.ok_or_else(|| TargetError::NoTarget(name.to_owned()))?.record;
            let shown = self.kind(&target.plugin_name)?.shown(&target.fields.0)?;
            let older = self.older_secret(target);
            Ok(TargetView { target: target.clone(), shown, older })
        })
        .await
    }

    /// Lists the targets of a mount.
    pub async fn list_targets(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
    ) -> Result<Vec<String>, TargetError> {
        self.served(request, async |_| {
            let names: Vec<_> = entry(&self.catalog(), mount)?.targets.keys().cloned().collect();
            if names.is_empty() { Err(TargetError::Empty) } else { Ok(names) }
        })
        .await
    }

    /// Closes the connections to a target once nobody uses them; whoever needs it next opens others.
    pub async fn reset_target(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<(), TargetError> {
        self.served(request, async |_| {
            let catalog = self.catalog();
            let target = entry(&catalog, mount)?.targets.get(name);
            let target = &target.ok_or_else(|| TargetError::NoTarget(name.to_owned()))?.record;
            self.close_target(target.id, target.generation);
            Ok(())
        })
        .await
    }

    /// Deletes a target: no more issues and renewals; its leases keep their term unless they are to be revoked. Then so
    /// are those of all targets that had its name before: whoever repeats it finds what is left. To revoke them takes
    /// `sudo`, as it does by their prefix.
    pub async fn delete_target(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
        revoke: bool,
    ) -> Result<(), TargetError> {
        let delete = async |caller: Caller| {
            if !revoke {
                return self.retire(mount, name, &caller.rights).await;
            }
            caller.require_sudo(request)?;
            self.delete_with_leases(mount, name, &caller.rights).await
        };
        self.written(request, delete).await
    }

    async fn retire(&self, mount: &str, name: &str, rights: &Rights) -> Result<(), TargetError> {
        let catalog = self.catalog();
        let Some(was) = entry(&catalog, mount)?.targets.get(name) else { return Ok(()) };
        self.records.retire_target(was, rights.expected(Batch::default())).await?;
        Ok(self.reload().await?)
    }

    async fn delete_with_leases(
        self: &Arc<Self>,
        mount: &str,
        name: &str,
        rights: &Rights,
    ) -> Result<(), TargetError> {
        let catalog = self.catalog();
        let entry = entry(&catalog, mount)?;
        let id = entry.mount.record.id;
        let was = entry.targets.get(name).map(|was| &**was);
        let of_name =
            |target: &&Arc<Found<Target>>| target.record.mount == id && target.record.name == name;
        let retired: Vec<_> = catalog.retired().filter(of_name).collect();
        let untold: Vec<_> = retired.iter().filter(|target| !target.record.revokes).collect();
        let batch = rights.expected(Batch::default());
        if was.is_none() && untold.is_empty() {
            self.begin_if(batch).await?;
        } else {
            let untold = untold.into_iter().map(|target| &***target);
            self.records.retire_with_leases(was, untold, batch).await?;
            self.reload().await?;
        }
        let of_any = retired.iter().map(|target| &***target).chain(was);
        let lanes: Vec<_> = of_any.map(|it| (it.record.id, it.record.generation)).collect();
        let is_meant = |placed: &Placed| lanes.contains(&(placed.target, placed.generation));
        Ok(self.mark_all(&[(id, None)], Cause::Asked, is_meant).await?)
    }

    /// Goes on taking the leases of a target from their holders that was deleted with them, beside the caller: those of
    /// this identity of it, for what is configured by now may go on with its id (`successor`).
    pub(super) fn revoke_target_soon(self: &Arc<Self>, target: &Target) {
        let (broker, mount) = (Arc::clone(self), target.mount);
        let lane = (target.id, target.generation);
        self.tasks.spawn(Box::pin(async move {
            let places = [(mount, None)];
            let is_meant = |placed: &Placed| (placed.target, placed.generation) == lane;
            let marked = broker.mark_all(&places, Cause::Asked, is_meant);
            if let Err(error) = marked.await {
                tracing::error!(%error, "the leases of a deleted target are not all marked; this is tried again");
            }
        }));
    }
}

fn entry<'a>(
    catalog: &'a crate::mount::Catalog,
    mount: &str,
) -> Result<&'a Arc<MountEntry>, TargetError> {
    catalog.at(mount).ok_or_else(|| TargetError::NoMount(mount.to_owned()))
}
