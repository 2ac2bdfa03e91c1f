//! The desk: a target of its own at the first server, with accounts that people made there and whose secrets are
//! rotated, its administrator's included. Nobody moves it or deletes it, so that what a store says of an account is about this server.

use leasehold_core::secret::{Field, Secret};

/// Where its mount is.
pub const MOUNT: &str = "desk/";
/// What the target is called.
pub const TARGET: &str = "desk";
/// The account that administers it, whose password is rotated as well.
pub const KEEPER: &str = "keeper";
/// The accounts of its static roles, which are called like them.
pub const CLERKS: [&str; 2] = ["clerk", "teller"];

/// Returns the password of what was told of an account.
pub fn password_of(secret: &Secret) -> Option<String> {
    secret.fields().find_map(|(name, field)| match field {
        Field::Hidden(text) if name == "password" => Some(text.reveal().to_owned()),
        Field::Hidden(_) | Field::Open(_) => None,
    })
}
