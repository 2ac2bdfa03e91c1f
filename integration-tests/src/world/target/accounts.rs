//! The accounts that operators made at a simulated target: its administrator's, and those of static roles.

use super::secret_of;
use super::{Seen, SimulatedEngine, SimulatedTarget};
use leasehold_core::engine::rotation::{Account, AccountSecret, Intent, Rotated, Tested};
use leasehold_core::engine::{Cause, EngineError};
use std::collections::BTreeMap;

/// What the administrator of a fresh target is called.
pub const ADMINISTRATOR: &str = "admin";
/// What it logs in with there.
pub const FIRST_PASSWORD: &str = "the-first-password";

/// Who may log in, and with what.
#[derive(Clone, Debug)]
pub(super) struct Accounts(BTreeMap<String, String>);

impl Default for Accounts {
    fn default() -> Self {
        Self(BTreeMap::from([(ADMINISTRATOR.into(), FIRST_PASSWORD.into())]))
    }
}

impl SimulatedTarget {
    /// An operator makes an account, or gives it another password.
    pub fn set_password(&self, name: &str, password: &str) {
        self.seen.lock().unwrap().accounts.0.insert(name.into(), password.into());
    }

    /// What an account logs in with.
    pub fn password_of(&self, name: &str) -> Option<String> {
        self.seen.lock().unwrap().accounts.0.get(name).cloned()
    }

    /// All accounts of operators.
    pub fn accounts(&self) -> BTreeMap<String, String> {
        self.seen.lock().unwrap().accounts.0.clone()
    }

    /// Turns down passwords that begin with this, as a target does that has rules of its own.
    pub fn turn_down(&self, passwords: Option<&str>) {
        self.seen.lock().unwrap().turned_down = passwords.map(str::to_owned);
    }
}

impl SimulatedEngine {
    /// Whether the target lets this administrator in.
    pub(super) fn admitted(&self) -> Result<(), EngineError> {
        let is_right =
            self.target.password_of(ADMINISTRATOR).as_deref() == Some(&*self.config.password);
        let denied = || EngineError::refused(Cause::Unreachable, "the target lets nobody in");
        is_right.then_some(()).ok_or_else(denied)
    }

    /// Sets a password.
    pub(super) async fn set(
        &self,
        account: &Account,
        intent: &Intent,
    ) -> Result<Rotated, EngineError> {
        self.admitted()?;
        let name = account.name.clone();
        let password = password(intent.secret().unwrap());
        let set = self.target.asked(1, move |seen| vec![seen.set(&name, &password)]);
        one(set.await)??;
        Ok(Rotated::AsIntended)
    }

    /// Tries a login.
    pub(super) async fn try_login(
        &self,
        account: &Account,
        secret: &AccountSecret,
    ) -> Result<Tested, EngineError> {
        let (name, password) = (account.name.clone(), password(secret));
        self.target.refuses_logins()?;
        let tried = self.target.asked(1, move |seen| {
            let is_lent = name.parse().is_ok_and(|lease| {
                let given = seen.armed.get(&lease).cloned();
                seen.lets_in(lease) && password == given.unwrap_or_else(|| secret_of(lease))
            });
            vec![is_lent || seen.accounts.0.get(&name).is_some_and(|it| *it == password)]
        });
        one(tried.await).map(|works| if works { Tested::Works } else { Tested::Denied })
    }
}

impl Seen {
    fn set(&mut self, name: &str, password: &str) -> Result<(), EngineError> {
        if self.turned_down.as_deref().is_some_and(|bad| password.starts_with(bad)) {
            return Err(EngineError::refused(Cause::Rejected, "the password is too weak"));
        }
        let kept = self.accounts.0.get_mut(name);
        let kept =
            kept.ok_or_else(|| EngineError::refused(Cause::Rejected, "there is no such account"))?;
        password.clone_into(kept);
        Ok(())
    }
}

pub(super) fn password(secret: &AccountSecret) -> String {
    secret.part("password").unwrap().reveal().to_owned()
}

pub(super) fn one<A>(mut answers: Vec<Result<A, EngineError>>) -> Result<A, EngineError> {
    answers.pop().unwrap()
}
