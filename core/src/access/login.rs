//! What a login brings, and by what a token was made: the values between the methods and the one verb of all of them.

use crate::ids::{AppRoleId, MountId};
use crate::secret::SecretText;
use serde::{Deserialize, Serialize};

/// The methods there are; Vault's words for their kinds.
pub const METHODS: [&str; 2] = ["approle", "userpass"];

/// What a caller brings to prove who they are. Each method takes one kind of it.
#[derive(Debug)]
pub enum Proof {
    /// To `userpass`.
    Password {
        /// The user, as it was written.
        name: String,
        /// Their password.
        password: SecretText,
    },
    /// To `approle`.
    SecretId {
        /// Which role.
        role_id: String,
        /// Not all roles ask for one.
        secret_id: Option<SecretText>,
    },
}

/// Which login made a token: what its renewal asks the method about again, and whose end is its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginOrigin {
    /// Where.
    pub mount: MountId,
    /// As whom.
    pub by: LoggedInAs,
}

/// Whom a method knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoggedInAs {
    /// A user of `userpass`, by name.
    User(String),
    /// A role of `approle`.
    Role {
        /// Which one.
        id: AppRoleId,
        /// What operators call it.
        name: String,
    },
}

/// A name has one way to be written, for whoever looks it up and for whoever counts it (CVE-2025-6004): case and space
/// around it do not count.
#[must_use]
pub fn plain_name(written: &str) -> String {
    written.trim().to_lowercase()
}

/// Returns the name under which a method knows somebody, however an operator writes it: as a login there has it, or
/// a token role. A `role_id` is one text and no other.
#[must_use]
pub fn alias_name(method: &str, written: &str) -> String {
    if matches!(method, "userpass" | "token") { plain_name(written) } else { written.to_owned() }
}
