//! Tells of an account that an operator made, by its name or the id of its key: by which static role it is rotated, or
//! which target it administers.

use super::super::Broker;
use crate::engine::rotation::AccountSecret;
use crate::ids::MountId;
use crate::secret::SecretText;
use crate::store::StoreError;
use crate::store::accounts::{Begun, StaticRole, all_static_roles, mount_of_static_role};
use crate::time::Timestamp;

/// An account that is no lease's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKnown {
    /// The mount of it, while that is there.
    pub mount: Option<String>,
    /// The target it is at.
    pub target: String,
    /// What it is called there.
    pub username: String,
    /// The static role that it is rotated by; `None` for the administrator of the target.
    pub static_role: Option<String>,
    /// When it was last rotated by its static role.
    pub rotated_at: Option<Timestamp>,
}

/// What somebody asks about.
struct Asked<'a> {
    name: &'a str,
    /// The same, to be compared with what is stored beside secrets.
    key: SecretText,
}

impl Asked<'_> {
    /// Whether this is the account, by its name or by the id of this key of it.
    fn is(&self, username: &str, secret: Option<&AccountSecret>) -> bool {
        let key = secret.and_then(|secret| secret.part("access_key"));
        username == self.name || key.is_some_and(|key| key.ct_eq(&self.key))
    }
}

impl Broker {
    /// Returns the accounts that are called so. Operators make few, so each is looked at.
    pub(super) async fn accounts_known_by(
        &self,
        name: &str,
    ) -> Result<Vec<AccountKnown>, StoreError> {
        let asked = Asked { name, key: SecretText::new(name.to_owned()) };
        let mut known = self.administrators(&asked);
        for (at, found) in self.records.all::<StaticRole>(&all_static_roles()).await? {
            let StaticRole { name, target, username, secret, rotation, .. } = found.record;
            let begun = rotation.begun.as_ref().and_then(Begun::secret);
            if asked.is(&username, secret.as_ref()) || asked.is(&username, begun) {
                known.push(AccountKnown {
                    mount: mount_of_static_role(&at).and_then(|mount| self.path_of(mount)),
                    target,
                    username,
                    static_role: Some(name),
                    rotated_at: rotation.rotated_at,
                });
            }
        }
        Ok(known)
    }

    fn administrators(&self, asked: &Asked<'_>) -> Vec<AccountKnown> {
        let catalog = self.catalog();
        let targets = catalog.targets().filter_map(|target| {
            let target = &target.record;
            let kind = self.kind(&target.plugin_name).ok()?;
            let administrator = kind.administrator(&target.fields.0).ok()??;
            let is_asked = asked.is(&administrator.name, Some(&administrator.secret));
            is_asked.then(|| AccountKnown {
                mount: self.path_of(target.mount),
                target: target.name.clone(),
                username: administrator.name,
                static_role: None,
                rotated_at: None,
            })
        });
        targets.collect()
    }

    fn path_of(&self, mount: MountId) -> Option<String> {
        self.catalog().mount(mount).map(|entry| entry.mount.record.path.clone())
    }
}
