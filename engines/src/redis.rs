//! Redis and Valkey: a credential is a user of the server's ACL.
//!
//! Read [`issue`], [`revoke`] and [`put_back`] first. ACLs are not replicated: every node has users of its own, so each
//! is asked, replicas included ([`nodes`]). A server without an `aclfile` forgets its users when it restarts, so they are
//! put back from their handles. What was argued is in `docs/decisions/0016-redis-engine.md`.
//!
//! **Invariant:** nothing is altered at a node whose name does not end with the lease it is done for, and with the tag
//! of this installation and target ([`name`]).

mod address;
mod arm;
mod config;
mod failure;
mod in_use;
mod issue;
mod landing;
mod link;
mod list;
mod name;
mod needs;
mod nodes;
mod put_back;
mod renew;
mod revoke;
mod role;
mod rotate;
mod save;

pub use config::Config;
pub use role::Role;

use address::Address;
use aws_lc_rs::{digest, rand};
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
    Cause, Engine, EngineError, FieldError, Identity, Issue, Marked, Origin, PrepareError, PutBack,
    Renewal, Renewed, Revocation, Sharing,
};
use leasehold_core::ids::LeaseId;
use leasehold_core::secret::{Secret, SecretText};
use leasehold_core::time::{Clock, Timestamp};
use name::Tag;
use nodes::Nodes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::time::Instant;

/// How much longer than the target an answer is waited for.
const GRACE: Duration = Duration::from_millis(500);

/// One Redis target, however many nodes it has, and its administrator.
#[derive(Debug)]
pub struct Redis {
    origin: Origin,
    tag: Tag,
    nodes: Nodes,
    clock: Arc<dyn Clock>,
    template: Template,
    /// Tells the connections of this engine from those of any other.
    own: String,
    /// How often a replica was left out of an issue, because it could not be reached: it is compared once it can.
    left_out: AtomicU64,
}

/// What revoking a credential needs, and what setting it again does.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    name: String,
    /// The SHA-256 of the password, which is all that the server keeps of it. Empty in the handle of what was only listed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    verifier: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rules: Vec<String>,
    /// Where it may have been set, if there may be several nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<Address>,
    /// Which engines may have set it, by what their connections are called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    by: Vec<String>,
    /// Which engines may have given it another password, for the proof of its death.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    armed: Vec<arm::Armed>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Handle {
    /// Returns the user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A password that nobody knows yet.
pub struct Draft(SecretText);

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draft(..)")
    }
}

impl Redis {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns when an answer is no longer waited for, on a clock that nobody steps.
    fn until(&self, by: Timestamp) -> Instant {
        link::within(by.since(self.now()).saturating_add(GRACE))
    }

    /// Returns what all connections to this target begin their names with, whichever engine's they are.
    fn connection_names(origin: &Origin) -> String {
        format!("leasehold:{}:{}:", origin.installation, origin.target)
    }
}

impl Engine for Redis {
    const KIND: &'static str = "redis-database-plugin";
    const ALIASES: &'static [&'static str] = &["valkey-database-plugin"];

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
        let mut random = [0; 8];
        let drawn = rand::fill(&mut random);
        drawn.map_err(|_| {
            FieldError("the system has no chance to name connections by".to_owned())
        })?;
        let own = hex(&random);
        let template = config.template()?;
        let called = format!("{}{own}", Self::connection_names(&origin));
        Ok(Self {
            origin,
            tag: Tag::of(&origin),
            nodes: Nodes::new(config, called, Arc::clone(&clock))?,
            clock,
            template,
            own,
            left_out: AtomicU64::new(0),
        })
    }

    fn connections(&self) -> usize {
        self.nodes.config().connections()
    }

    fn revoking_at_once(&self) -> usize {
        self.connections()
    }

    fn prepare(
        &self,
        role: &Role,
        naming: &Naming<'_>,
        passwords: &PasswordPolicy,
        chance: &dyn Chance,
    ) -> Result<(Handle, Draft), PrepareError> {
        let name = self.tag.name(&self.template, naming, chance)?;
        let password = passwords.generate(chance);
        let verifier = digest::digest(&digest::SHA256, password.reveal().as_bytes());
        let handle = Handle {
            name,
            verifier: hex(verifier.as_ref()),
            rules: role.rules(),
            nodes: self.nodes.seen(),
            by: vec![self.own.clone()],
            armed: Vec::new(),
        };
        Ok((handle, Draft(password)))
    }

    fn derive(&self, _role: &Role, _draft: &mut Draft) {}

    fn derives_for_long(&self, _role: &Role) -> bool {
        false
    }

    fn sharing(&self, _role: &Role, _handle: &Handle) -> Sharing {
        Sharing { group: Some(0), one_lane: false }
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
        needs::lacks(self, role).await
    }

    fn check_account(account: &Account) -> Result<(), FieldError> {
        rotate::check(account)
    }

    fn administrator(config: &Config) -> Option<Administrator> {
        Some(rotate::administrator(config))
    }

    fn with_secret(
        fields: &Map<String, Value>,
        secret: &AccountSecret,
    ) -> Result<Map<String, Value>, FieldError> {
        rotate::with_secret(fields, secret)
    }

    async fn intend(
        &self,
        _account: &Account,
        chosen: Intent,
        _answer_by: Timestamp,
    ) -> Result<Intent, EngineError> {
        Ok(chosen)
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

    /// The new password is in the place of all others.
    async fn drop_replaced(
        &self,
        _account: &Account,
        _intent: &Intent,
        _secret: &AccountSecret,
        _answer_by: Timestamp,
    ) -> Result<(), EngineError> {
        Ok(())
    }

    fn forgets(_config: &Config) -> bool {
        true
    }

    fn cautions(role: &Role) -> Vec<String> {
        role.cautions()
    }

    fn put_back_as(&self, handle: &Handle) -> Handle {
        put_back::put_back_as(self, handle)
    }

    async fn put_back(&self, asked: &[PutBack<Self>]) -> Vec<Result<(), EngineError>> {
        put_back::put_back(self, asked).await
    }

    fn choose(
        _role: &Self::Role,
        _said: &Map<String, Value>,
    ) -> Result<Option<Choice<Self>>, PrepareError> {
        Ok(None)
    }

    fn armed_as(&self, handle: &Handle, answer_by: Timestamp) -> Handle {
        arm::armed_as(self, handle, answer_by)
    }

    async fn arm(
        &self,
        lease: LeaseId,
        handle: &Handle,
        secret: &Intent,
        answer_by: Timestamp,
    ) -> Result<Account, EngineError> {
        arm::arm(self, lease, handle, secret, answer_by).await
    }

    async fn in_use(
        &self,
        asked: &[(LeaseId, Handle)],
        answer_by: Timestamp,
    ) -> Vec<Result<InUse, EngineError>> {
        in_use::in_use(self, asked, answer_by).await
    }

    fn deniable(_role: Option<&Role>, _handle: &Handle) -> Option<Deniable<Handle>> {
        None
    }

    async fn deny(
        &self,
        _denial: &Denial<Handle>,
        _answer_by: Timestamp,
    ) -> Result<Denied, EngineError> {
        Err(EngineError::refused(Cause::Rejected, "Redis ends what it has made"))
    }

    async fn standing(
        &self,
        _reached_by: &Handle,
        _answer_by: Timestamp,
    ) -> Result<Standing, EngineError> {
        Ok(Standing::default())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
