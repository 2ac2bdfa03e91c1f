//! Whether a write makes what is not there yet, which takes `create` in place of `update`.
//!
//! As in Vault that is asked only at some paths: at all others every write is an `update`.

use super::super::{Broker, Request};
use crate::access::token::{Token, TokenRole};
use crate::store::StoreError;
use crate::store::accounts::static_role_at;
use crate::store::tokens::token_role_at;

impl Broker {
    /// Whether the write that a token asks for makes something.
    pub(super) async fn would_make(
        &self,
        token: &Token,
        request: &Request,
    ) -> Result<bool, StoreError> {
        let path = request.asked.path.as_str();
        if let Some(name) = path.strip_prefix("auth/token/roles/") {
            return Ok(self.records.read::<TokenRole>(&token_role_at(name)).await?.is_none());
        }
        if let (Some(at), Some(text)) = (path.strip_prefix("cubbyhole/"), &request.token) {
            let (open, _) = self.open_cubbyhole(&token.key, text).await?;
            return Ok(open.read(at).is_none());
        }
        let catalog = self.catalog();
        let Some((entry, rest)) = catalog.route(path) else { return Ok(false) };
        // What has a name in front is one of its fields: it is there, or nothing is.
        let named = rest.split_once('/').filter(|(_, name)| !name.contains('/'));
        let Some((kind, name)) = named else { return Ok(false) };
        let mount = entry.mount.record.id;
        let is_there = match (entry.mount.record.kind.as_str(), kind) {
            ("database", "config") => entry.targets.contains_key(name),
            ("database", "roles") => entry.roles.contains_key(name),
            ("database", "static-roles") => {
                self.records.revision(&static_role_at(mount, name)).await?.is_some()
            }
            ("userpass", "users") => self.records.user(mount, name).await?.is_some(),
            ("approle", "role") => self.records.approle(mount, name).await?.is_some(),
            _ => true,
        };
        Ok(!is_there)
    }
}
