//! AWS: a credential is an IAM user with an access key, or a session.
//!
//! Sessions are in [`session`], and what callers may choose of one in [`choice`]. Of users, read [`issue`] and [`revoke`] first; they tell the story: an issue is several calls, of which the first creates the
//! user with its mark, and the last waits until the key works; revoking takes all that a user can hold, its keys first.
//! What was argued is in `docs/decisions/0017-aws.md`.
//!
//! **Invariant:** nothing is altered at AWS whose name does not bear the bits of its lease, or whose mark names another
//! ([`look`]); but a role that opted in has one policy of ours ([`deny`]).

mod arm;
mod choice;
mod client;
mod config;
mod deny;
mod failure;
mod in_use;
mod issue;
mod list;
mod look;
mod name;
mod policies;
mod renew;
mod revoke;
mod rights;
mod role;
mod rotate;
mod session;

pub use config::Config;
pub use role::Role;

use client::Clients;
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::chance::Chance;
use leasehold_core::engine::denial::{Deniable, Denial, Denied, Standing};
use leasehold_core::engine::in_use::InUse;
use leasehold_core::engine::naming::{Naming, Template};
use leasehold_core::engine::own_end::Choice;
use leasehold_core::engine::rotation::{
    Account, AccountSecret, Administrator, Intent, Rotated, Tested,
};
use leasehold_core::engine::{
    Cause, Engine, EngineError, FieldError, Identity, Issue, Mark, Marked, Origin, PrepareError,
    PutBack, Renewal, Renewed, Revocation, Sharing,
};
use leasehold_core::ids::LeaseId;
use leasehold_core::secret::Secret;
use leasehold_core::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// How many users are worked on at once. An issue is mostly waiting until AWS knows everywhere what it was told, and
/// what it takes of calls per second it says itself.
const CONNECTIONS: usize = 32;

/// The tag that says whose a user is.
const MARK_TAG: &str = "leasehold";

/// One AWS account and its administrator.
#[derive(Debug)]
pub struct Aws {
    origin: Origin,
    /// The id of the administrator's key.
    administrator: String,
    clients: Clients,
    template: Template,
    clock: Arc<dyn Clock>,
}

/// What revoking a credential needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "credential_type", rename_all = "snake_case")]
pub enum Handle {
    /// An IAM user.
    IamUser {
        /// What it is called; no other in the account is.
        name: String,
    },
    /// A session of a role.
    AssumedRole {
        /// What it is called.
        name: String,
        /// The role at AWS.
        role_arn: String,
        /// By whom it could be denied before it ends, as its role had it when it was made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        denied_by: Option<DeniedBy>,
    },
    /// A session with some of the administrator's rights.
    FederationToken {
        /// What it is called.
        name: String,
    },
    /// A session with the administrator's rights.
    SessionToken {
        /// What it is called here; AWS has no name for it.
        name: String,
    },
}

/// Who may write into a role at AWS that its sessions are denied everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeniedBy {
    /// The role at AWS that may.
    pub role_arn: String,
    /// What its trust asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// What is known before AWS is asked, and needed then.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Who the caller is, where a session says so.
    source_identity: Option<String>,
}

impl Handle {
    /// Returns the user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::IamUser { name }
            | Self::AssumedRole { name, .. }
            | Self::FederationToken { name }
            | Self::SessionToken { name } => name,
        }
    }
}

impl Aws {
    fn mark(&self, lease: LeaseId) -> String {
        Mark { origin: self.origin, lease }.to_string()
    }

    /// Returns where our users are, below the path that a role says: one folder for each target.
    fn folder(&self) -> String {
        format!("leasehold/{}/", self.origin.target)
    }
}

impl Engine for Aws {
    const KIND: &'static str = "aws";
    const ALIASES: &'static [&'static str] = &[];
    const FAMILY: &'static str = "aws";

    type Config = Config;
    type Role = Role;
    type Handle = Handle;
    type Draft = Draft;

    fn config(fields: &Map<String, Value>) -> Result<Config, FieldError> {
        Config::parse(fields)
    }

    fn role(fields: &Map<String, Value>) -> Result<Role, FieldError> {
        Role::parse(fields)
    }

    fn shown(config: &Config) -> Map<String, Value> {
        config.shown()
    }

    fn open(config: Config, origin: Origin, clock: Arc<dyn Clock>) -> Result<Self, FieldError> {
        let administrator = config.key().0.to_owned();
        let (clients, template) = (Clients::new(&config), config.template()?);
        Ok(Self { origin, administrator, clients, template, clock })
    }

    fn connections(&self) -> usize {
        CONNECTIONS
    }

    fn revoking_at_once(&self) -> usize {
        self.connections()
    }

    fn prepare(
        &self,
        role: &Role,
        naming: &Naming<'_>,
        _: &PasswordPolicy,
        chance: &dyn Chance,
    ) -> Result<(Handle, Draft), PrepareError> {
        let handle = name::handle(&self.template, role, naming, chance)?;
        let source_identity = role.tells_caller().then(|| name::of_caller(naming));
        Ok((handle, Draft { source_identity }))
    }

    fn derive(&self, _: &Role, _: &mut Draft) {}

    fn derives_for_long(&self, _: &Role) -> bool {
        false
    }

    fn sharing(&self, _: &Role, _: &Handle) -> Sharing {
        // Each user is made by calls of its own, so that there is nothing to share.
        Sharing { group: None, one_lane: false }
    }

    async fn issue(&self, asked: &[Issue<Self>]) -> Vec<Result<Secret, EngineError>> {
        issue::issue(self, asked).await
    }

    async fn renew(&self, asked: &[Renewal<Self>]) -> Vec<Result<Renewed, EngineError>> {
        renew::renew(self, asked).await
    }

    async fn revoke(&self, asked: &[Revocation<Self>]) -> Vec<Result<(), EngineError>> {
        revoke::revoke(self, asked).await
    }

    async fn list(&self) -> Result<Vec<Marked<Self>>, EngineError> {
        list::list(self).await
    }

    async fn identity(&self) -> Result<Identity, EngineError> {
        list::identity(self).await
    }

    async fn lacks(&self, role: Option<&Role>) -> Result<Vec<String>, EngineError> {
        list::lacks(self, role).await
    }

    fn check_account(account: &Account) -> Result<(), FieldError> {
        rotate::check(account)
    }

    fn administrator(config: &Config) -> Option<Administrator> {
        Some(config.administrator())
    }

    fn with_secret(
        fields: &Map<String, Value>,
        secret: &AccountSecret,
    ) -> Result<Map<String, Value>, FieldError> {
        config::with_secret(fields, secret)
    }

    /// AWS draws the key, so that what was drawn here is not used.
    async fn intend(
        &self,
        account: &Account,
        _: Intent,
        answer_by: Timestamp,
    ) -> Result<Intent, EngineError> {
        rotate::intend(self, account, answer_by).await
    }

    async fn rotate(
        &self,
        account: &Account,
        intent: &Intent,
        answer_by: Timestamp,
    ) -> Result<Rotated, EngineError> {
        rotate::rotate(self, account, intent, answer_by).await
    }

    async fn tested(
        &self,
        account: &Account,
        secret: &AccountSecret,
        answer_by: Timestamp,
    ) -> Result<Tested, EngineError> {
        rotate::tested(self, account, secret, answer_by).await
    }

    async fn drop_replaced(
        &self,
        account: &Account,
        intent: &Intent,
        secret: &AccountSecret,
        answer_by: Timestamp,
    ) -> Result<(), EngineError> {
        rotate::drop_replaced(self, account, intent, secret, answer_by).await
    }

    fn forgets(_config: &Config) -> bool {
        false
    }

    fn cautions(_role: &Role) -> Vec<String> {
        Vec::new()
    }

    fn put_back_as(&self, handle: &Handle) -> Handle {
        handle.clone()
    }

    async fn put_back(&self, asked: &[PutBack<Self>]) -> Vec<Result<(), EngineError>> {
        let refused = || EngineError::refused(Cause::Rejected, "AWS forgets no user");
        asked.iter().map(|_| Err(refused())).collect()
    }

    fn armed_as(&self, handle: &Handle, _answer_by: Timestamp) -> Handle {
        handle.clone()
    }

    async fn arm(
        &self,
        lease: LeaseId,
        handle: &Handle,
        _secret: &Intent,
        answer_by: Timestamp,
    ) -> Result<Account, EngineError> {
        arm::arm(self, lease, handle, answer_by).await
    }

    fn choose(
        role: &Role,
        said: &Map<String, Value>,
    ) -> Result<Option<Choice<Self>>, PrepareError> {
        choice::choose(role, said)
    }

    async fn in_use(
        &self,
        asked: &[(LeaseId, Handle)],
        answer_by: Timestamp,
    ) -> Vec<Result<InUse, EngineError>> {
        in_use::in_use(self, asked, answer_by).await
    }

    fn deniable(role: Option<&Role>, handle: &Handle) -> Option<Deniable<Handle>> {
        deny::deniable(role, handle)
    }

    async fn deny(
        &self,
        denial: &Denial<Handle>,
        answer_by: Timestamp,
    ) -> Result<Denied, EngineError> {
        deny::deny(self, denial, answer_by).await
    }

    async fn standing(
        &self,
        reached_by: &Handle,
        answer_by: Timestamp,
    ) -> Result<Standing, EngineError> {
        deny::standing(self, reached_by, answer_by).await
    }
}
