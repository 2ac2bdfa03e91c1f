//! The engine as the broker holds it: without its types.
//!
//! Written once, here, so that neither the broker nor an engine converts, and nothing is downcast.

use super::denial::{Deniable, Denial, Denied, Standing};
use super::in_use::InUse;
use super::rotation::{Account, AccountSecret, Administrator, Intent, Rotated, Tested};
use super::{Engine, EngineError, FieldError, Identity, Origin, PrepareError, Renewed, Unanswered};
use crate::access::password::PasswordPolicy;
use crate::broker::batch::{Line, LinePorts};
use crate::chance::Chance;
use crate::engine::naming::Naming;
use crate::engine::own_end::OwnEnd;
use crate::ids::LeaseId;
use crate::lease::Handle;
use crate::secret::Secret;
use crate::store::Revision;
use crate::tasks::Pending;
use crate::time::Timestamp;
use serde_json::{Map, Value};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// What an operator writes.
pub type Fields = Map<String, Value>;

/// A kind of engine, before it stands for any target.
pub trait Kind: fmt::Debug + Send + Sync {
    /// Its name in Vault's API.
    fn name(&self) -> &'static str;
    /// Whether it goes by this name, or has it as an alias.
    fn is_called(&self, name: &str) -> bool;
    /// The type of the mounts that its targets are in.
    fn family(&self) -> &'static str;
    /// Checks a configuration without asking the target; returns what of it is shown.
    fn shown(&self, fields: &Fields) -> Result<Fields, FieldError>;
    /// Checks a role without asking the target; returns it with every default filled in.
    fn role(&self, fields: &Fields) -> Result<Fields, FieldError>;
    /// See [`Engine::cautions`].
    fn cautions(&self, fields: &Fields) -> Result<Vec<String>, FieldError>;
    /// See [`Engine::forgets`].
    fn forgets(&self, fields: &Fields) -> Result<bool, FieldError>;
    /// Stands for a target from now on.
    fn open(
        &self,
        fields: &Fields,
        origin: Origin,
        ports: LinePorts,
    ) -> Result<Arc<dyn OpenTarget>, FieldError>;
    /// See [`Engine::check_account`].
    fn check_account(&self, account: &Account) -> Result<(), FieldError>;
    /// See [`Engine::administrator`].
    fn administrator(&self, fields: &Fields) -> Result<Option<Administrator>, FieldError>;
    /// See [`Engine::with_secret`].
    fn with_secret(&self, fields: &Fields, secret: &AccountSecret) -> Result<Fields, FieldError>;
}

/// A role as the store has it.
#[derive(Clone, Copy, Debug)]
pub struct RoleRef<'a> {
    /// Its name.
    pub name: &'a str,
    /// Which write of it this is.
    pub revision: Revision,
    /// What the operator wrote.
    pub fields: &'a Fields,
}

/// A credential to extend.
#[derive(Debug)]
pub struct ToRenew<'a> {
    /// The lease it lives under.
    pub lease: LeaseId,
    /// What it is called.
    pub handle: &'a Handle,
    /// The role as it is now.
    pub role: RoleRef<'a>,
    /// The new end.
    pub lapses_at: Timestamp,
    /// When nobody waits any longer.
    pub answer_by: Timestamp,
}

/// A credential to remove.
#[derive(Debug)]
pub struct ToRevoke<'a> {
    /// The lease it lives under.
    pub lease: LeaseId,
    /// What it is called.
    pub handle: &'a Handle,
    /// The role as it is now, if it is still of this target.
    pub role: Option<RoleRef<'a>>,
    /// Set while its issue is not known to have been answered.
    pub unanswered: Option<Unanswered>,
    /// When its term ends, or would have ended.
    pub lapses_at: Timestamp,
    /// When nobody waits any longer.
    pub answer_by: Timestamp,
}

/// A credential to set again.
#[derive(Debug)]
pub struct ToPutBack {
    /// The lease it lives under.
    pub lease: LeaseId,
    /// What it is called, and what it is.
    pub handle: Handle,
    /// After this nothing may be set.
    pub issue_by: Timestamp,
}

/// A credential that bears our mark.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The lease the mark names.
    pub lease: LeaseId,
    /// What it is called.
    pub handle: Handle,
    /// Its own end, where the target knows ends.
    pub lapses_at: Option<Timestamp>,
    /// Whether it may log in.
    pub may_log_in: bool,
    /// What it may do; see [`super::Marked::rights`].
    pub rights: Vec<String>,
    /// Whether it is wherever it should be.
    pub everywhere: bool,
}

/// A target that an engine stands for.
pub trait OpenTarget: fmt::Debug + Send + Sync {
    /// Binds a role, so that credentials can be made by it.
    fn bind(&self, role: RoleRef<'_>) -> Result<Arc<dyn Recipe>, FieldError>;
    /// See [`Engine::renew`].
    fn renew(&self, asked: ToRenew<'_>) -> Pending<'static, Result<Renewed, EngineError>>;
    /// See [`Engine::revoke`].
    fn revoke(&self, asked: ToRevoke<'_>) -> Pending<'static, Result<(), EngineError>>;
    /// See [`Engine::list`].
    fn list(&self) -> Pending<'_, Result<Vec<Listed>, EngineError>>;
    /// See [`Engine::identity`].
    fn identity(&self) -> Pending<'_, Result<Identity, EngineError>>;
    /// See [`Engine::lacks`].
    fn lacks<'a>(
        &'a self,
        role: Option<RoleRef<'a>>,
    ) -> Pending<'a, Result<Vec<String>, EngineError>>;
    /// See [`Engine::intend`].
    fn intend<'a>(
        &'a self,
        account: &'a Account,
        chosen: Intent,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Intent, EngineError>>;
    /// See [`Engine::rotate`].
    fn rotate<'a>(
        &'a self,
        account: &'a Account,
        intent: &'a Intent,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Rotated, EngineError>>;
    /// See [`Engine::tested`].
    fn tested<'a>(
        &'a self,
        account: &'a Account,
        secret: &'a AccountSecret,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Tested, EngineError>>;
    /// See [`Engine::drop_replaced`].
    fn drop_replaced<'a>(
        &'a self,
        account: &'a Account,
        intent: &'a Intent,
        secret: &'a AccountSecret,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<(), EngineError>>;
    /// See [`Engine::put_back_as`].
    fn put_back_as(&self, handle: &Handle) -> Result<Handle, EngineError>;
    /// See [`Engine::put_back`].
    fn put_back(&self, asked: Vec<ToPutBack>) -> Pending<'_, Vec<Result<(), EngineError>>>;
    /// See [`Engine::armed_as`].
    fn armed_as(&self, handle: &Handle, answer_by: Timestamp) -> Result<Handle, EngineError>;
    /// See [`Engine::arm`].
    fn arm<'a>(
        &'a self,
        lease: LeaseId,
        handle: &'a Handle,
        secret: &'a Intent,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Account, EngineError>>;
    /// See [`Engine::in_use`].
    fn in_use<'a>(
        &'a self,
        asked: &'a [(LeaseId, Handle)],
        answer_by: Timestamp,
    ) -> Pending<'a, Vec<Result<InUse, EngineError>>>;
    /// See [`Engine::deniable`].
    fn deniable(
        &self,
        role: Option<RoleRef<'_>>,
        handle: &Handle,
    ) -> Result<Option<Deniable<Handle>>, EngineError>;
    /// See [`Engine::deny`].
    fn deny<'a>(
        &'a self,
        denial: &'a Denial<Handle>,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Denied, EngineError>>;
    /// See [`Engine::standing`].
    fn standing<'a>(
        &'a self,
        reached_by: &'a Handle,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Standing, EngineError>>;
}

/// A role bound to its target.
pub trait Recipe: fmt::Debug + Send + Sync {
    /// See [`Engine::prepare`].
    fn prepare(
        &self,
        naming: &Naming<'_>,
        passwords: &PasswordPolicy,
        chance: &dyn Chance,
    ) -> Result<Box<dyn Drafted>, PrepareError>;
    /// See [`Engine::choose`]: the recipe for what was chosen.
    fn choose(&self, said: &Fields) -> Result<Option<Chosen>, PrepareError>;
}

/// The recipe for what was chosen, and when what is made by it ends by itself.
pub type Chosen = (Arc<dyn Recipe>, OwnEnd);

/// A credential prepared in memory, between its name and its issue.
pub trait Drafted: Send {
    /// What the credential will be called.
    fn handle(&self) -> &Handle;
    /// See [`Engine::derives_for_long`].
    fn derives_for_long(&self) -> bool;
    /// See [`Engine::derive`].
    fn derive(&mut self);
    /// Asks the target.
    fn issue(
        self: Box<Self>,
        lapses_at: Timestamp,
        issue_by: Timestamp,
    ) -> Pending<'static, Result<Secret, EngineError>>;
}

/// The one implementation of [`Kind`].
pub struct KindOf<E>(PhantomData<fn() -> E>);

impl<E: Engine> KindOf<E> {
    /// Makes the engine `E` known.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a kind is only ever held without its type")]
    pub fn new() -> Arc<dyn Kind> {
        Arc::new(Self(PhantomData))
    }
}

impl<E: Engine> fmt::Debug for KindOf<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KindOf({})", E::KIND)
    }
}

impl<E: Engine> Kind for KindOf<E> {
    fn name(&self) -> &'static str {
        E::KIND
    }

    fn is_called(&self, name: &str) -> bool {
        E::KIND == name || E::ALIASES.contains(&name)
    }

    fn family(&self) -> &'static str {
        E::FAMILY
    }

    fn shown(&self, fields: &Fields) -> Result<Fields, FieldError> {
        E::config(fields).map(|config| E::shown(&config))
    }

    fn role(&self, fields: &Fields) -> Result<Fields, FieldError> {
        match serde_json::to_value(E::role(fields)?) {
            Ok(Value::Object(role)) => Ok(role),
            Ok(_) | Err(_) => Err(FieldError("the role cannot be written down".into())),
        }
    }

    fn cautions(&self, fields: &Fields) -> Result<Vec<String>, FieldError> {
        E::role(fields).map(|role| E::cautions(&role))
    }

    fn forgets(&self, fields: &Fields) -> Result<bool, FieldError> {
        E::config(fields).map(|config| E::forgets(&config))
    }

    fn open(
        &self,
        fields: &Fields,
        origin: Origin,
        ports: LinePorts,
    ) -> Result<Arc<dyn OpenTarget>, FieldError> {
        let engine = E::open(E::config(fields)?, origin, Arc::clone(&ports.clock))?;
        Ok(Arc::new(Line::new(engine, ports)))
    }

    fn check_account(&self, account: &Account) -> Result<(), FieldError> {
        E::check_account(account)
    }

    fn administrator(&self, fields: &Fields) -> Result<Option<Administrator>, FieldError> {
        Ok(E::administrator(&E::config(fields)?))
    }

    fn with_secret(&self, fields: &Fields, secret: &AccountSecret) -> Result<Fields, FieldError> {
        E::with_secret(fields, secret)
    }
}
