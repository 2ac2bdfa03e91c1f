//! Whether a write makes what is not there yet, which takes `create` in place of `update`.
//!
//! As in Vault that is asked only at some paths: at all others every write is an `update`. What is asked about may come or
//! go before the write is kept, so that expects it as it was.

use super::super::{Broker, Request};
use super::About;
use crate::access::token::{Token, TokenRole};
use crate::store::accounts::static_role_at;
use crate::store::approles::approle_at;
use crate::store::mounts::{role_at, target_at};
use crate::store::records::Found;
use crate::store::tokens::{cubbyhole_at, token_role_at};
use crate::store::users::user_at;
use crate::store::{Key, Revision, StoreError};

/// What a write is about, at a path where it matters whether that is there.
pub(super) struct Meant {
    pub(super) is_there: bool,
    pub(super) about: About,
}

impl Meant {
    /// Of what is a record of its own.
    fn record(at: Key, revision: Option<Revision>) -> Self {
        Self { is_there: revision.is_some(), about: About(at, revision) }
    }
}

impl Broker {
    /// Returns what the write is about that a token asks for; `None` where every write is an `update`.
    pub(super) async fn meant(
        &self,
        token: &Token,
        request: &Request,
    ) -> Result<Option<Meant>, StoreError> {
        let path = request.asked.path.as_str();
        if let Some(name) = path.strip_prefix("auth/token/roles/") {
            let at = token_role_at(name);
            let found = revision(self.records.read::<TokenRole>(&at).await?);
            return Ok(Some(Meant::record(at, found)));
        }
        if let (Some(at), Some(text)) = (path.strip_prefix("cubbyhole/"), &request.token) {
            let (open, was) = self.open_cubbyhole(&token.key, text).await?;
            let about = About(cubbyhole_at(&token.key), was);
            return Ok(Some(Meant { is_there: open.read(at).is_some(), about }));
        }
        let catalog = self.catalog();
        let Some((entry, rest)) = catalog.route(path) else { return Ok(None) };
        // What has a name in front is one of its fields: it is there, or nothing is.
        let named = rest.split_once('/').filter(|(_, name)| !name.contains('/'));
        let Some((kind, name)) = named else { return Ok(None) };
        let mount = entry.mount.record.id;
        let (at, was) = match (entry.mount.record.kind.as_str(), kind) {
            ("database", "config") => {
                let was = entry.targets.get(name).map(|was| was.revision);
                (target_at(mount, name), was)
            }
            ("database", "roles") => {
                let was = entry.roles.get(name).map(|was| was.revision);
                (role_at(mount, name), was)
            }
            ("database", "static-roles") => {
                let at = static_role_at(mount, name);
                let was = self.records.revision(&at).await?;
                (at, was)
            }
            ("userpass", "users") => {
                (user_at(mount, name), revision(self.records.user(mount, name).await?))
            }
            ("approle", "role") => {
                (approle_at(mount, name), revision(self.records.approle(mount, name).await?))
            }
            _ => return Ok(None),
        };
        Ok(Some(Meant::record(at, was)))
    }
}

fn revision<T>(found: Option<Found<T>>) -> Option<Revision> {
    found.map(|found| found.revision)
}
