//! What Leasehold asks of a kind of target, as an engine's author writes it.
//!
//! An engine only executes: it is handed batches of what is to be done and answers for every member.
//! Which batches are formed, when they are tried again and what is stored around them is the business
//! of [`crate::broker`]. Between the two stands [`erased`], written once for all engines.

pub mod denial;
pub mod erased;
mod failure;
pub mod in_use;
pub mod naming;
pub mod own_end;
pub mod rotation;

pub use failure::{Cause, EngineError, FieldError, PrepareError, Reason};

use crate::access::password::PasswordPolicy;
use crate::chance::Chance;
use crate::ids::{InstallationId, LeaseId, TargetId};
use crate::secret::Secret;
use crate::time::{Clock, Timestamp};
use denial::{Deniable, Denial, Denied, Standing};
use in_use::InUse;
use naming::Naming;
use own_end::Choice;
use rotation::{Account, AccountSecret, Administrator, Intent, Rotated, Tested};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;

/// Issues and revokes one kind of credential at one target.
///
/// Every value of an implementation stands for one target: the server, and the administrator it is
/// reached as. All its verbs may be called at once.
pub trait Engine: Sized + fmt::Debug + Send + Sync + 'static {
    /// The kind's name in Vault's API (`plugin_name`).
    const KIND: &'static str;
    /// Other names of Vault's for the same kind.
    const ALIASES: &'static [&'static str];
    /// Vault's name for the type of the mounts that its targets are in.
    const FAMILY: &'static str = "database";

    /// How to reach and administer the target; holds the administrator's secret, so it is sealed
    /// where it is stored and its `Debug` shows no secret.
    type Config: Serialize + DeserializeOwned + fmt::Debug + Clone + Send + Sync;
    /// What the operator set for one kind of credential.
    type Role: Serialize + DeserializeOwned + fmt::Debug + Send + Sync;
    /// The credential's name at the target with all that revoking needs, the role's revocation
    /// statements included. Known before the credential exists; not secret.
    type Handle: Serialize + DeserializeOwned + fmt::Debug + Clone + Send + Sync;
    /// What is prepared in memory before the target is asked: password, verifier.
    type Draft: Send + Sync;

    /// Parses and checks what an operator wrote, without asking the target.
    fn config(
        fields: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self::Config, FieldError>;

    /// Parses and checks a role, without asking the target.
    fn role(fields: &serde_json::Map<String, serde_json::Value>) -> Result<Self::Role, FieldError>;

    /// Returns what of the configuration an operator is shown: no secret.
    fn shown(config: &Self::Config) -> serde_json::Map<String, serde_json::Value>;

    /// Stands for the target from now on. Reaches it only once a verb asks. The clock is the one that all
    /// times it is handed come from: the target's is measured against it.
    fn open(
        config: Self::Config,
        origin: Origin,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, FieldError>;

    /// Returns how many batches the target may work on at once.
    fn connections(&self) -> usize;

    /// Returns how many of these may be revocations: fewer where the target does one after the other, so that the rest
    /// would only wait and slow down what is worked on.
    fn revoking_at_once(&self) -> usize;

    /// Names the credential and draws its secret, before anything is stored or asked. A password is drawn as
    /// `passwords` says.
    fn prepare(
        &self,
        role: &Self::Role,
        naming: &Naming<'_>,
        passwords: &PasswordPolicy,
        chance: &dyn Chance,
    ) -> Result<(Self::Handle, Self::Draft), PrepareError>;

    /// Does the part of an issue that only computes, while the lease is being committed.
    fn derive(&self, role: &Self::Role, draft: &mut Self::Draft);

    /// Whether [`Engine::derive`] takes so long (over 0.1 ms) that it is to be done beside the commit.
    fn derives_for_long(&self, role: &Self::Role) -> bool;

    /// Says with whom an issue may share a batch.
    fn sharing(&self, role: &Self::Role, handle: &Self::Handle) -> Sharing;

    /// Creates credentials of one role, one answer for each, in the order asked. Takes over nothing
    /// that exists, and creates nothing after the smallest `issue_by`. A member whose own is over already is refused,
    /// and the others go on without it.
    fn issue(
        &self,
        asked: &[Issue<Self>],
    ) -> impl Future<Output = Vec<Result<Secret, EngineError>>> + Send;

    /// Tells the target the new ends of credentials, where it knows ends.
    fn renew(
        &self,
        asked: &[Renewal<Self>],
    ) -> impl Future<Output = Vec<Result<Renewed, EngineError>>> + Send;

    /// Makes sure credentials do not exist: no new login, no open session. `Ok` counts, so it is
    /// answered only for what was seen to be gone and, where the issue is not known to be
    /// answered, can no longer come. What never was is `Ok` as well.
    fn revoke(
        &self,
        asked: &[Revocation<Self>],
    ) -> impl Future<Output = Vec<Result<(), EngineError>>> + Send;

    /// Returns what bears this installation's mark for this target.
    fn list(&self) -> impl Future<Output = Result<Vec<Marked<Self>>, EngineError>> + Send;

    /// Returns which server this is, and what it takes the time to be.
    fn identity(&self) -> impl Future<Output = Result<Identity, EngineError>> + Send;

    /// Returns what the administrator lacks to work for this role (or at all), each as a sentence
    /// that ends in the statement to run.
    fn lacks(
        &self,
        role: Option<&Self::Role>,
    ) -> impl Future<Output = Result<Vec<String>, EngineError>> + Send;

    /// Checks what an operator wrote of an account, without asking the target.
    fn check_account(account: &Account) -> Result<(), FieldError>;

    /// Returns the administrator; `None` where the configuration has no secret of one that could be rotated.
    fn administrator(config: &Self::Config) -> Option<Administrator>;

    /// Returns what an operator would have written had the administrator this secret.
    fn with_secret(
        fields: &serde_json::Map<String, serde_json::Value>,
        secret: &AccountSecret,
    ) -> Result<serde_json::Map<String, serde_json::Value>, FieldError>;

    /// Says what a rotation is to bring about, before anything is altered. Where the secret is ours to choose it is
    /// `chosen`, which was drawn as the target's password policy says.
    fn intend(
        &self,
        account: &Account,
        chosen: Intent,
        answer_by: Timestamp,
    ) -> impl Future<Output = Result<Intent, EngineError>> + Send;

    /// Brings about what was intended, as often as it is asked. `Ok` only for what the target has confirmed;
    /// `Refused` only if nothing was altered, and nothing will be. An account that does not exist is refused:
    /// none is ever created.
    fn rotate(
        &self,
        account: &Account,
        intent: &Intent,
        answer_by: Timestamp,
    ) -> impl Future<Output = Result<Rotated, EngineError>> + Send;

    /// Finds out whether a secret opens an account, by a connection of its own. What else may be the matter is an
    /// error: [`Tested::Denied`] is only ever the target's own word about the secret.
    fn tested(
        &self,
        account: &Account,
        secret: &AccountSecret,
        answer_by: Timestamp,
    ) -> impl Future<Output = Result<Tested, EngineError>> + Send;

    /// Drops what `secret` has replaced, where an account may have several at once. Asked, as often as it takes, once
    /// `secret` is durable and has worked.
    fn drop_replaced(
        &self,
        account: &Account,
        intent: &Intent,
        secret: &AccountSecret,
        answer_by: Timestamp,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Whether a target of this configuration forgets credentials by itself, so that it is looked at every few
    /// seconds whether it has ([`Identity::run`]).
    fn forgets(config: &Self::Config) -> bool;

    /// Returns what of a role that is accepted should be thought over, each a sentence for the operator.
    fn cautions(role: &Self::Role) -> Vec<String>;

    /// Returns the handle that a credential has once this engine puts it back. It is stored before
    /// [`Engine::put_back`] is asked, so that whoever revokes the credential knows who may have set it, and where.
    fn put_back_as(&self, handle: &Self::Handle) -> Self::Handle;

    /// Sets credentials again wherever the target has forgotten them, as their handles say, and alters nothing that
    /// is there. Nothing is set after a member's `issue_by`. A kind of target that forgets nothing refuses.
    fn put_back(
        &self,
        asked: &[PutBack<Self>],
    ) -> impl Future<Output = Vec<Result<(), EngineError>>> + Send;

    /// Reads what a caller says of the one credential that they ask for, by the fields of their request. `None` for a
    /// role whose credentials live until they are removed: it leaves no choice, and what is said is not looked at.
    fn choose(
        role: &Self::Role,
        said: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Option<Choice<Self>>, PrepareError>;

    /// Returns the handle that a credential has once this engine may arm it, by `answer_by`. It is stored before
    /// [`Engine::arm`] is asked: whatever of that is held up on its way, and could create, is then known to whoever
    /// revokes the credential.
    fn armed_as(&self, handle: &Self::Handle, answer_by: Timestamp) -> Self::Handle;

    /// Gives a credential that is about to be revoked the secret by which its death is proven. Returns the account that a
    /// login with it is tried as; where no secret can be set, one that is looked up in the catalog
    /// ([`Verify::Catalog`](rotation::Verify::Catalog)). Only what is this lease's is altered (law 9), and nothing is created.
    fn arm(
        &self,
        lease: LeaseId,
        handle: &Self::Handle,
        secret: &Intent,
        answer_by: Timestamp,
    ) -> impl Future<Output = Result<Account, EngineError>> + Send;

    /// Says by which standing denial a credential could be refused that nothing ends before its time, if whoever set up
    /// its role wants that.
    fn deniable(role: Option<&Self::Role>, handle: &Self::Handle)
    -> Option<Deniable<Self::Handle>>;

    /// Makes a standing denial refuse what is told and nothing else, whatever it refused before; an empty one is removed.
    /// `Refused`, and [`Denied::Full`], only if nothing was altered, and nothing will be. Nothing of it may land later
    /// than [`DENIAL_LANDS_WITHIN`](crate::limits::DENIAL_LANDS_WITHIN) after `answer_by`.
    fn deny(
        &self,
        denial: &Denial<Self::Handle>,
        answer_by: Timestamp,
    ) -> impl Future<Output = Result<Denied, EngineError>> + Send;

    /// Returns what a standing denial refuses now.
    fn standing(
        &self,
        reached_by: &Self::Handle,
        answer_by: Timestamp,
    ) -> impl Future<Output = Result<Standing, EngineError>> + Send;
    /// Looks what credentials are in use for, one answer for each, in the order asked, and alters nothing. What is not
    /// the lease's own is refused; what there was no time for is [`Cause::TooLate`], and may be asked again.
    fn in_use(
        &self,
        asked: &[(LeaseId, Self::Handle)],
        answer_by: Timestamp,
    ) -> impl Future<Output = Vec<Result<InUse, EngineError>>> + Send;
}

/// For whom an engine acts; what it marks its credentials with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whose store holds the leases.
    pub installation: InstallationId,
    /// Which target this is.
    pub target: TargetId,
}

/// Says at the target whose credential this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// For whom it was created, and where.
    pub origin: Origin,
    /// The lease it lives under.
    pub lease: LeaseId,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leasehold:{}:{}:{}", self.origin.installation, self.origin.target, self.lease)
    }
}

impl FromStr for Mark {
    type Err = crate::ids::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let mut part = || parts.next().ok_or(crate::ids::IdError);
        if part()? != "leasehold" {
            return Err(crate::ids::IdError);
        }
        let origin = Origin { installation: part()?.parse()?, target: part()?.parse()? };
        let lease = part()?.parse()?;
        parts.next().map_or(Ok(Self { origin, lease }), |_| Err(crate::ids::IdError))
    }
}

/// One credential to create.
#[derive(Debug)]
pub struct Issue<E: Engine> {
    /// The lease it will live under.
    pub lease: LeaseId,
    /// What it will be called.
    pub handle: E::Handle,
    /// What was prepared in memory.
    pub draft: Draft<E>,
    /// What the operator set; the same for the whole batch.
    pub role: Arc<E::Role>,
    /// When the target itself is to end it, should Leasehold be gone. One that ends by itself is to end by then
    /// however late it is made: it lives for what is left of this at `issue_by`.
    pub lapses_at: Timestamp,
    /// After this nothing may be created.
    pub issue_by: Timestamp,
}

/// A draft, kept out of every `Debug`.
pub struct Draft<E: Engine>(pub E::Draft);

impl<E: Engine> fmt::Debug for Draft<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draft(..)")
    }
}

/// One credential to extend.
#[derive(Debug)]
pub struct Renewal<E: Engine> {
    /// The lease it lives under.
    pub lease: LeaseId,
    /// What it is called.
    pub handle: E::Handle,
    /// What the operator set.
    pub role: Arc<E::Role>,
    /// The new end.
    pub lapses_at: Timestamp,
    /// After this the target need not be asked any more.
    pub answer_by: Timestamp,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The target knows the new end, or knows no ends.
    Extended,
    /// There is no such credential.
    Gone,
}

/// One credential to remove.
#[derive(Debug)]
pub struct Revocation<E: Engine> {
    /// The lease it lives under.
    pub lease: LeaseId,
    /// What it is called.
    pub handle: E::Handle,
    /// The role as it is now, where it is still there and still of this target; its revocation
    /// statements go before those in the handle.
    pub role: Option<Arc<E::Role>>,
    /// Set while its issue is not known to have been answered: then absence alone proves nothing.
    pub unanswered: Option<Unanswered>,
    /// When its term ends, or would have ended. One that ends by itself has by then.
    pub lapses_at: Timestamp,
    /// When the caller stops waiting for an answer.
    pub answer_by: Timestamp,
}

/// One credential to set again.
#[derive(Debug)]
pub struct PutBack<E: Engine> {
    /// The lease it lives under.
    pub lease: LeaseId,
    /// What it is called, and what it is.
    pub handle: E::Handle,
    /// After this nothing may be set.
    pub issue_by: Timestamp,
}

/// An issue that may have been sent and is not known to have been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// After this, the target was not to create.
    pub issue_by: Timestamp,
    /// After this, nothing that was sent can take effect any more, whatever it was. An engine that can prove
    /// it earlier need not wait.
    pub settles_at: Timestamp,
}

/// A credential that bears our mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked<E: Engine> {
    /// The lease the mark names.
    pub lease: LeaseId,
    /// What it is called, with what revoking it by default needs.
    pub handle: E::Handle,
    /// Its own end, where the target knows ends.
    pub lapses_at: Option<Timestamp>,
    /// Whether it may log in.
    pub may_log_in: bool,
    /// What it may do, as far as the target tells that of all at once: a text for each right, sorted, the same for all
    /// credentials that were made alike.
    pub rights: Vec<String>,
    /// Whether it is wherever it should be. A target of several servers may have it at some and not at others.
    pub everywhere: bool,
}

/// Which server a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What no other server has, and this one keeps; `None` if it does not tell.
    pub server: Option<String>,
    /// What it takes the time to be.
    pub clock: Timestamp,
    /// Its version, for people.
    pub version: String,
    /// Another one whenever it may have forgotten credentials, or remembered some that were removed: after a restart,
    /// or when a server joins it or changes its part. `None` for a kind of target that does neither.
    pub run: Option<String>,
}

/// With whom an issue may share a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sharing {
    /// Issues of one role share a batch if they have the same group; `None` goes alone.
    pub group: Option<u64>,
    /// Touches what others touch as well: only one batch of this kind is at the target at a time.
    pub one_lane: bool,
}
