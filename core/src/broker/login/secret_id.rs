//! Checks a role id and a secret id: by the keyed hash of 256 bits, and never more often than a secret id is good for.

use super::super::{Broker, Request};
use super::{LoginError, Proven};
use crate::access::login::LoggedInAs;
use crate::access::params::{is_within, networks};
use crate::address::ClientAddress;
use crate::limits::CONFLICT_TRIES;
use crate::mount::MountEntry;
use crate::secret::SecretText;
use crate::store::approles::AppRole;
use crate::store::records::Found;
use crate::store::secret_ids::{SecretId, SecretIdKey};
use crate::store::{Key, Revision, StoreError};
use std::collections::BTreeMap;

const WRONG: LoginError = LoginError::Wrong("invalid role or secret ID");

/// What a secret id has shown: what it adds to a token, and its record if it is still there.
#[derive(Default)]
struct Shown {
    meta: BTreeMap<String, String>,
    bound_cidrs: Vec<String>,
    by_record: Option<(Key, Revision)>,
}

impl Broker {
    /// Says as which role somebody may log in. A network whose logins fail too often must wait: roles are not locked, or
    /// whoever knows a role id could lock its application out.
    pub(super) async fn prove_by_secret_id(
        &self,
        entry: &MountEntry,
        request: &Request,
        role_id: &str,
        secret_id: Option<SecretText>,
    ) -> Result<Proven, LoginError> {
        let network = request.network();
        if self.throttle.lock().wait(network, self.clock.now()).is_some() {
            return Err(LoginError::Busy);
        }
        let proven = self.check_secret_id(entry, request, role_id, secret_id).await;
        if matches!(
            proven,
            Err(LoginError::Wrong(_) | LoginError::Bad(_) | LoginError::Elsewhere(_))
        ) {
            self.throttle.lock().failed(network, self.clock.now());
        }
        proven
    }

    async fn check_secret_id(
        &self,
        entry: &MountEntry,
        request: &Request,
        role_id: &str,
        secret_id: Option<SecretText>,
    ) -> Result<Proven, LoginError> {
        let mount = entry.mount.record.id;
        let role = self.records.approle_by_role_id(mount, role_id).await?;
        let asks = role.as_ref().is_none_or(|role| role.record.bind_secret_id);
        if asks && secret_id.is_none() {
            // The same for a role that does not exist.
            return Err(LoginError::Bad("missing secret_id".into()));
        }
        let role = role.ok_or(WRONG)?;
        let shown = if let Some(text) = secret_id.filter(|_| asks) {
            let key = SecretIdKey::of(&self.token_key, mount, role.record.id, &text);
            self.show_secret_id(request, &role.record, &key).await?
        } else {
            within(request, &role.record.secret_id_bound_cidrs)?;
            Shown::default()
        };
        let AppRole { id, name, .. } = role.record;
        let mut meta = shown.meta;
        // Its own name last: nobody who makes a secret id can say that it is another's.
        meta.insert("role_name".to_owned(), name.clone());
        Ok(Proven {
            by: LoggedInAs::Role { id, name },
            secret: 0,
            name: None,
            meta,
            bound_cidrs: shown.bound_cidrs,
            by_record: shown.by_record,
            otherwise: WRONG,
        })
    }

    /// Checks all that can be checked, and then spends a use: durably, before anything is done that rests on it, and
    /// never to be given back. **Invariant:** of callers with one use, one is served.
    async fn show_secret_id(
        &self,
        request: &Request,
        role: &AppRole,
        key: &SecretIdKey,
    ) -> Result<Shown, LoginError> {
        for _ in 0..CONFLICT_TRIES.saturating_mul(8) {
            let found = self.records.secret_id(key).await?.ok_or(WRONG)?;
            let SecretId { meta, cidr_list, token_bound_cidrs, num_uses, .. } =
                found.record.clone();
            if !found.record.is_good(self.clock.now()) {
                return Err(WRONG);
            }
            within(request, &role.secret_id_bound_cidrs)?;
            within(request, &cidr_list)?;
            within(request, &role.params.bound_cidrs)?;
            within(request, &token_bound_cidrs)?;
            let is_there = match num_uses {
                0 => true,
                _ => match self.spend(key, &found).await? {
                    Spent::Now { is_there } => is_there,
                    Spent::Before => return Err(WRONG),
                    Spent::Lost => continue,
                },
            };
            let by_record = is_there.then(|| (key.at(), found.revision));
            return Ok(Shown { meta, bound_cidrs: token_bound_cidrs, by_record });
        }
        Err(StoreError::Conflict.into())
    }

    async fn spend(&self, key: &SecretIdKey, was: &Found<SecretId>) -> Result<Spent, LoginError> {
        match self.records.spend_secret_id(key, was).await {
            Ok(Some(is_there)) => Ok(Spent::Now { is_there }),
            Ok(None) => Ok(Spent::Before),
            Err(StoreError::Conflict) => Ok(Spent::Lost),
            Err(error) => Err(error.into()),
        }
    }
}

/// What became of a use.
enum Spent {
    /// It is spent.
    Now {
        /// Whether the secret id has others.
        is_there: bool,
    },
    /// Others have spent all.
    Before,
    /// Somebody else was faster; there may be more.
    Lost,
}

fn within(request: &Request, cidrs: &[String]) -> Result<(), LoginError> {
    let ip = request.asked.from.map(ClientAddress::ip);
    match networks(cidrs) {
        Ok(networks) if is_within(&networks, ip) => Ok(()),
        Ok(_) | Err(_) => {
            Err(LoginError::Elsewhere(ip.map(|ip| ip.to_string()).unwrap_or_default()))
        }
    }
}
