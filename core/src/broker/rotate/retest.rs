//! After a restore: finds out which stored secrets are older than their accounts.
//!
//! A store that was restored may know a secret that was rotated since. It is not served, and nothing is rotated by
//! itself, until an operator has said that this installation is the one that counts, by `rotate-role`.

use super::Which;
use crate::broker::Broker;
use crate::engine::erased::OpenTarget;
use crate::engine::rotation::{AccountSecret, Tested};
use crate::limits::ISSUE_WITHIN;
use crate::store::StoreError;
use crate::store::accounts::{Begun, StaticRole, static_role_at};
use crate::store::mounts::Target;
use crate::store::records::Found;

/// What is told of an account whose stored secret is not let in.
const OLDER: &str = "the credential in the store is older than the target: it was rotated after the backup. run \
                     `rotate-role` if this installation is the one that rotates it";

impl Broker {
    /// Tries the stored secret of every static account of a target, and marks those that are not let in. One that was
    /// being set when the backup was taken counts as well. Nothing is rotated.
    pub(in crate::broker) async fn retest_accounts(
        &self,
        target: &Found<Target>,
    ) -> Result<(), StoreError> {
        let mount = target.record.mount;
        let roles = self.records.all::<StaticRole>(&static_role_at(mount, "")).await?;
        // What is held back is asked all the same: this is what the hold waits for.
        let Ok(open) = self.open_afresh(&target.record) else { return Ok(()) };
        for (at, found) in roles {
            let mut role = found.record;
            if role.target != target.record.name {
                continue;
            }
            let begun = role.rotation.begun.as_ref().and_then(Begun::secret);
            let is_let_in = self.is_let_in(&*open, &role, role.secret.as_ref()).await
                || self.is_let_in(&*open, &role, begun).await;
            role.rotation.is_older_than_target = !is_let_in;
            if !is_let_in {
                role.rotation.error = Some(OLDER.to_owned());
                role.rotation.due_at = None;
                role.rotation.begun = None;
            }
            let which = Which::Static(mount, role.name.clone());
            match self.records.replace(at, Some(found.revision), &role).await {
                Ok(_) => self.rotations.set(&which, role.rotation.due_at),
                // Somebody has seen to it meanwhile.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn is_let_in(
        &self,
        open: &dyn OpenTarget,
        role: &StaticRole,
        secret: Option<&AccountSecret>,
    ) -> bool {
        let Some(secret) = secret else { return false };
        let by = self.clock.now().plus(ISSUE_WITHIN);
        open.tested(&role.account(), secret, by).await == Ok(Tested::Works)
    }
}
