//! Users of the method `userpass` in the store, under `user/<mount><name>`; and `password-cost`, which is what it costs to
//! check the password of any of them.

use super::leases::joined;
use super::records::{Found, Records};
use super::{Batch, Key, StoreError};
use crate::access::params::TokenParams;
use crate::access::password_hash::{Cost, PasswordHash};
use crate::ids::MountId;
use crate::limits::CONFLICT_TRIES;
use serde::{Deserialize, Serialize};

/// Somebody with a name and a password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// Their name, written in one way.
    pub name: String,
    /// Their password.
    pub password: PasswordHash,
    /// How often the password was set: tells whether it is still the one that was checked.
    pub password_set: u64,
    /// The tokens that they are given.
    pub params: TokenParams,
}

/// Where a user is kept.
#[must_use]
pub fn user_at(mount: MountId, name: &str) -> Key {
    joined(&[b"user/", mount.bytes(), name.as_bytes()])
}

fn password_cost_at() -> Key {
    joined(&[b"password-cost"])
}

impl Records {
    /// Returns what the installation spends on checking a password.
    pub async fn password_cost(&self) -> Result<Cost, StoreError> {
        let found = self.read::<Cost>(&password_cost_at()).await?;
        Ok(found.map(|found| found.record).unwrap_or_default())
    }

    /// Raises that, if it is less and all is as the batch expects.
    pub async fn raise_password_cost(&self, least: Cost, batch: Batch) -> Result<(), StoreError> {
        let at = password_cost_at();
        for _ in 0..CONFLICT_TRIES {
            let was = self.read::<Cost>(&at).await?;
            let revision = was.as_ref().map(|was| was.revision);
            let cost = was.map(|was| was.record).unwrap_or_default();
            if cost.raised(least) == cost {
                return Ok(());
            }
            let raised = cost.raised(least);
            match self.replace_if(at.clone(), revision, &raised, batch.clone()).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Returns a user.
    pub async fn user(
        &self,
        mount: MountId,
        name: &str,
    ) -> Result<Option<Found<User>>, StoreError> {
        self.read(&user_at(mount, name)).await
    }

    /// Returns the names of all users of a mount.
    pub async fn user_names(&self, mount: MountId) -> Result<Vec<String>, StoreError> {
        self.names_under(&user_at(mount, "")).await
    }
}
