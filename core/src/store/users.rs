//! Users of the method `userpass` in the store, under `user/<mount><name>`.

use super::leases::joined;
use super::records::{Found, Records};
use super::{Key, StoreError};
use crate::access::params::TokenParams;
use crate::access::password_hash::PasswordHash;
use crate::ids::MountId;
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

impl Records {
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
