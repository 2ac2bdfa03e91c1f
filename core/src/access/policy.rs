//! What a caller may do.
//!
//! Policies other than `root` are carried by tokens but grant nothing yet: a token without `root` may
//! look itself up, renew itself and revoke itself. It fails closed.

use super::token::Token;

/// What a request needs to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A right given by a policy.
    Policy,
    /// Nothing but a token that is good: the request concerns the token itself.
    OwnToken,
}

/// Decides whether the holder of a token may do what needs `need`.
#[must_use]
pub fn allows(token: &Token, need: Need) -> bool {
    match need {
        Need::OwnToken => true,
        Need::Policy => token.is_root(),
    }
}
