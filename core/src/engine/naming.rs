//! How credentials are called: Vault's user name templates, with the lease's bits in every name.

use crate::ids::LeaseId;
use crate::time::Timestamp;

/// What a name is made of.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// The lease the credential will live under.
    pub lease: LeaseId,
    /// Who asks, as the auth method calls them.
    pub display_name: &'a str,
    /// The role's name.
    pub role_name: &'a str,
    /// When it is asked.
    pub now: Timestamp,
}
