//! PostgreSQL: a credential is a role that may log in.
//!
//! Read [`issue`] and [`revoke`] first; they tell the story: issues are one round trip and one
//! transaction a batch, revoking takes three commits, and an issue that nobody answered for is settled by
//! creating its name ([`settle`]). What was argued is in `docs/decisions/0002-postgresql-engine.md`.
//!
//! **Invariant:** nothing is altered at the server whose name does not bear the bits of its lease, or
//! whose mark names another ([`look`]).

mod address;
mod arm;
mod config;
mod failure;
mod in_use;
mod issue;
mod lexer;
mod link;
mod list;
mod look;
mod message;
mod owned;
mod owners;
mod parts;
mod quote;
mod renew;
mod revoke;
mod role;
mod rotate;
mod scram;
mod settle;
mod shown;
mod statement;

pub use config::Config;
pub use role::Role;

use config::Authentication;
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::chance::Chance;
use leasehold_core::engine::denial::{Deniable, Denial, Denied, Standing};
use leasehold_core::engine::in_use::InUse;
use leasehold_core::engine::naming::{Naming, Template, with_lease_bits};
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
use link::Links;
use owners::Owners;
use role::Recipe;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use statement::Reach;
use std::fmt;
use std::sync::Arc;

/// The longest name the server takes; it cuts longer ones, and two leases would share one role.
const NAME_BYTES_MAX: usize = 63;

/// Up to here a verifier takes less than 0.1 ms; a thousand iterations take about 0.3 ms.
const QUICK_ITERATIONS: u32 = 200;

/// One PostgreSQL server and its administrator.
#[derive(Debug)]
pub struct Postgres {
    origin: Origin,
    links: Links,
    owners: Owners,
    template: Template,
    authentication: Authentication,
}

/// What revoking a credential needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    name: String,
    /// Which owner role creates it, where one has to.
    owner: u8,
    /// Its transaction begins by creating the name, so that the name tells whether it can still land.
    begins_with_the_name: bool,
    /// The operator's revocation statements as they were when it was issued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revocation: Vec<String>,
}

impl Handle {
    /// Returns the role's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A password that nobody knows yet, and what the server will know of it.
pub struct Draft {
    password: SecretText,
    salt: [u8; scram::SALT_BYTES],
    authentication: Authentication,
    verifier: Option<SecretText>,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draft(..)")
    }
}

impl Draft {
    fn password(&self) -> &SecretText {
        &self.password
    }

    /// Returns what the server is told.
    fn told(&self) -> &SecretText {
        self.verifier.as_ref().unwrap_or(&self.password)
    }

    fn secrets(&self) -> impl Iterator<Item = &SecretText> {
        std::iter::once(&self.password).chain(&self.verifier)
    }
}

impl Engine for Postgres {
    const KIND: &'static str = "postgresql-database-plugin";
    const ALIASES: &'static [&'static str] = &[];

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
        let options = config.connect_options()?;
        Ok(Self {
            origin,
            links: Links::new(
                options,
                config.connections(),
                config.idle_connections(),
                config.lifetime(),
                clock,
            ),
            owners: Owners::default(),
            template: config.template(),
            authentication: config.authentication(),
        })
    }

    fn connections(&self) -> usize {
        self.links.max()
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
        let recipe = role.recipe()?;
        let name = with_lease_bits(self.template.render(naming, chance), naming.lease);
        check_name(&name)?;
        let mut salt = [0; scram::SALT_BYTES];
        chance.fill(&mut salt);
        let draft = Draft {
            password: passwords.generate(chance),
            salt,
            authentication: self.authentication,
            verifier: None,
        };
        let handle = Handle {
            name,
            owner: owners::slot(naming.lease),
            begins_with_the_name: recipe.begins_with_the_name(),
            revocation: role.revocation().to_vec(),
        };
        Ok((handle, draft))
    }

    fn derive(&self, role: &Role, draft: &mut Draft) {
        if draft.authentication == Authentication::ScramSha256 {
            draft.verifier = Some(scram::verifier(&draft.password, &draft.salt, role.iterations()));
        }
    }

    fn derives_for_long(&self, role: &Role) -> bool {
        self.authentication == Authentication::ScramSha256
            && role.iterations().get() > QUICK_ITERATIONS
    }

    fn sharing(&self, role: &Role, handle: &Handle) -> Sharing {
        let Ok(recipe) = role.recipe() else { return Sharing { group: None, one_lane: false } };
        let reach = recipe.reach();
        let group = match (&recipe, reach) {
            // Without owner roles all may share; before the server was asked they may be needed.
            (Recipe::Granting(_), _) => Some(match self.links.facts() {
                Some(facts) if !facts.joins_what_it_creates() => 0,
                Some(_) | None => u64::from(handle.owner),
            }),
            (Recipe::Own(_), Reach::Own | Reach::Shared) => Some(0),
            (Recipe::Own(_), Reach::Session | Reach::Transactions) => None,
        };
        Sharing { group, one_lane: reach > Reach::Own }
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
        config.administrator()
    }

    fn with_secret(
        fields: &Map<String, Value>,
        secret: &AccountSecret,
    ) -> Result<Map<String, Value>, FieldError> {
        config::with_secret(fields, secret)
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

    /// A role has one password: the new one is in the old one's place.
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
        false
    }

    fn cautions(_role: &Role) -> Vec<String> {
        Vec::new()
    }

    fn put_back_as(&self, handle: &Handle) -> Handle {
        handle.clone()
    }

    async fn put_back(&self, asked: &[PutBack<Self>]) -> Vec<Result<(), EngineError>> {
        let refused =
            || EngineError::refused(Cause::Rejected, "a PostgreSQL server forgets no role");
        asked.iter().map(|_| Err(refused())).collect()
    }

    fn choose(
        _role: &Self::Role,
        _said: &Map<String, Value>,
    ) -> Result<Option<Choice<Self>>, PrepareError> {
        Ok(None)
    }

    fn armed_as(&self, handle: &Handle, _answer_by: Timestamp) -> Handle {
        handle.clone()
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
        Err(EngineError::refused(Cause::Rejected, "PostgreSQL ends what it has made"))
    }

    async fn standing(
        &self,
        _reached_by: &Handle,
        _answer_by: Timestamp,
    ) -> Result<Standing, EngineError> {
        Ok(Standing::default())
    }
}

fn check_name(name: &str) -> Result<(), PrepareError> {
    if name.len() > NAME_BYTES_MAX {
        let (name, bytes) = (name.to_owned(), name.len());
        return Err(PrepareError::NameTooLong { name, bytes, bytes_max: NAME_BYTES_MAX });
    }
    // The server would take all but zero, but clients refuse to log in by such a name (SASLprep), and in
    // a log it is more than one line.
    if name.chars().any(char::is_control) {
        return Err(PrepareError::Role(
            "the name has a control character in it; change `username_template`, or rename the role".to_owned(),
        ));
    }
    if name.starts_with("pg_") {
        return Err(PrepareError::Role(format!(
            "the name `{name}` begins with `pg_`, which the server keeps for itself; change `username_template`"
        )));
    }
    Ok(())
}
