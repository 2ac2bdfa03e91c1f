//! MySQL and MariaDB: a credential is a user, of one host or of several.
//!
//! Read [`issue`] and [`revoke`] first; they tell the story: every statement commits alone, so the answers of a
//! message are read one by one; revoking locks the accounts, ends the sessions and drops; and an issue that nobody
//! answered for is settled by the named lock that it holds while it creates ([`held`]). What was argued is in
//! `docs/decisions/0015-mysql-engine.md`.
//!
//! **Invariant:** nothing is altered at the server whose name does not bear the bits of its lease, or whose mark or
//! tag names another ([`look`]).

mod address;
mod arm;
mod config;
mod failure;
mod flavor;
mod held;
mod in_use;
mod issue;
mod lexer;
mod link;
mod list;
mod look;
mod naming;
mod quote;
mod renew;
mod revoke;
mod rights;
mod role;
mod rotate;
mod statement;

pub use config::Config;
pub use role::Role;

use aws_lc_rs::digest;
use config::Authentication;
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::chance::Chance;
use leasehold_core::engine::denial::{Deniable, Denial, Denied, Standing};
use leasehold_core::engine::in_use::InUse;
use leasehold_core::engine::naming::Naming;
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
use naming::Names;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use statement::Reach;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

/// How many batches of revocations the server is given at once. It drops users one after the other, and the slower the
/// more connections ask for it (of 10,000 users one connection drops 400 a second, four together 300); of two the other
/// goes on where one waits for a session that does not end.
const REVOKING: usize = 2;

/// One MySQL or MariaDB server and its administrator.
#[derive(Debug)]
pub struct MySql {
    origin: Origin,
    links: Links,
    names: Names,
    authentication: Authentication,
}

/// What revoking a credential needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    name: String,
    /// The operator's revocation statements as they were when it was issued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revocation: Vec<String>,
}

impl Handle {
    /// Returns the user's name, which all its hosts have in common.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A password that nobody knows yet, and its hash.
pub struct Draft {
    password: SecretText,
    hash: SecretText,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draft(..)")
    }
}

impl Draft {
    fn new(password: SecretText) -> Self {
        let hash = native_hash(password.reveal());
        Self { password, hash }
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        [self.password.reveal(), self.hash.reveal()].into_iter()
    }
}

/// Returns what `mysql_native_password` keeps of a password.
fn native_hash(password: &str) -> SecretText {
    let sha1 = |bytes: &[u8]| digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let mut hash = "*".to_owned();
    for byte in sha1(sha1(password.as_bytes()).as_ref()).as_ref() {
        let _ = write!(hash, "{byte:02X}");
    }
    SecretText::new(hash)
}

impl Engine for MySql {
    const KIND: &'static str = "mysql-database-plugin";
    const ALIASES: &'static [&'static str] =
        &["mysql-aurora-database-plugin", "mysql-rds-database-plugin"];

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
        let links = Links::new(
            options,
            config.connections(),
            config.idle_connections(),
            config.lifetime(),
            clock,
        );
        let names = Names::new(config.template(), &origin)
            .map_err(|error| FieldError(format!("`username_template`: {error}")))?;
        Ok(Self { origin, links, names, authentication: config.authentication() })
    }

    fn connections(&self) -> usize {
        self.links.max()
    }

    fn revoking_at_once(&self) -> usize {
        REVOKING
    }

    fn prepare(
        &self,
        role: &Role,
        naming: &Naming<'_>,
        passwords: &PasswordPolicy,
        chance: &dyn Chance,
    ) -> Result<(Handle, Draft), PrepareError> {
        role.recipe()?;
        let flavor = self.links.facts().map(|facts| facts.flavor);
        let name = self.names.name(naming, chance, flavor)?;
        let handle = Handle { name, revocation: role.revocation().to_vec() };
        Ok((handle, Draft::new(passwords.generate(chance))))
    }

    fn derive(&self, _: &Role, _: &mut Draft) {}

    fn derives_for_long(&self, _: &Role) -> bool {
        false
    }

    fn sharing(&self, role: &Role, _: &Handle) -> Sharing {
        let alone = role.recipe().map_or(true, |recipe| recipe.reach() > Reach::Own);
        // The server itself lets one statement about accounts work at a time.
        Sharing { group: (!alone).then_some(0), one_lane: false }
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

    /// A user has one password: the new one is in the old one's place.
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
        let refused = || EngineError::refused(Cause::Rejected, "a MySQL server forgets no user");
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
        Err(EngineError::refused(Cause::Rejected, "MySQL ends what it has made"))
    }

    async fn standing(
        &self,
        _reached_by: &Handle,
        _answer_by: Timestamp,
    ) -> Result<Standing, EngineError> {
        Ok(Standing::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_the_hash_that_servers_compute() {
        // As `SELECT PASSWORD('password')` says.
        assert_eq!(native_hash("password").reveal(), "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19");
    }
}
