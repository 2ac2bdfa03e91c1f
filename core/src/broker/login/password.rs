//! Checks a name and a password, at the same cost whether there is such a user or not.

use super::super::Broker;
use super::{LoginError, Proven};
use crate::access::lockout::{Guess, Judged};
use crate::access::login::{LoggedInAs, plain_name};
use crate::access::password_hash::{PASSWORD_MAX, PasswordHash};
use crate::address::Network;
use crate::limits::USER_NAME_MAX;
use crate::mount::MountEntry;
use crate::secret::SecretText;
use std::collections::BTreeMap;
use std::sync::Arc;

const WRONG: LoginError = LoginError::Wrong("invalid username or password");

impl Broker {
    /// Says who somebody is by their password.
    ///
    /// **Invariant:** one hash for every answer, whoever is named and whatever becomes of it: no user, the wrong
    /// password, a name that is locked (CVE-2025-6011, CVE-2023-3462).
    pub(super) async fn prove_by_password(
        self: &Arc<Self>,
        entry: &Arc<MountEntry>,
        from: Option<Network>,
        name: &str,
        password: SecretText,
    ) -> Result<Proven, LoginError> {
        if password.len() > PASSWORD_MAX {
            return Err(LoginError::Bad(format!("a password has {PASSWORD_MAX} bytes at most")));
        }
        let mount = entry.mount.record.id;
        let name = plain_name(name);
        let user = match name.len() {
            0..=USER_NAME_MAX => self.records.user(mount, &name).await?,
            _ => None,
        };
        let known = user.as_ref().map(|user| user.record.password.clone());
        let is_user = known.is_some();
        let hash = known.unwrap_or_else(PasswordHash::of_nobody);
        let cost = self.records.password_cost().await?;
        let verified = self.in_turn(from, move || (hash.verifies(&password, cost), password)).await;
        let (verified, password) = verified.map_err(|_full| LoginError::Busy)?;
        let is_right = verified && is_user;

        let guess = Guess { mount, name: counted_name(&name), network: from };
        let method = entry.mount.record.method.as_ref();
        let config = method.and_then(|method| method.lockout).unwrap_or_default();
        match self.lockouts.lock().judge(&guess, is_right, &config, self.clock.now()) {
            Judged::Right => {}
            Judged::Wrong => return Err(WRONG),
            Judged::Locked => return Err(LoginError::Denied),
        }
        self.know_network(from);
        let secret = user.as_ref().map_or(0, |user| user.record.password_set);
        if let Some(user) = user.filter(|user| user.record.password.is_outdated(&password, cost)) {
            self.renew_hash_soon(Arc::clone(entry), user, password, (cost, from));
        }
        Ok(Proven {
            meta: BTreeMap::from([("username".to_owned(), name.clone())]),
            name: Some(name.clone()),
            by: LoggedInAs::User(name),
            secret,
            bound_cidrs: Vec::new(),
            by_record: None,
            otherwise: WRONG,
        })
    }
}

/// No user has a name that is longer than one may be, so all that begin alike are counted as one.
fn counted_name(name: &str) -> String {
    let within = |end: &usize| *end <= USER_NAME_MAX;
    let end = name.char_indices().map(|(at, _)| at).take_while(within).last().unwrap_or(0);
    let short = if name.len() <= USER_NAME_MAX { Some(name) } else { name.get(..end) };
    short.unwrap_or_default().to_owned()
}
