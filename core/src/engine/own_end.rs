//! Credentials that end by themselves: when one ends is fixed when it is made, and nothing makes it live longer.
//!
//! Their target keeps nothing that could be listed or extended, so a lease of one is not renewed and not looked for by a
//! comparison. Some cannot even be ended before their time; what is lent of these ends before the token does that it is
//! lent to.

use super::{Engine, FieldError, PrepareError};
use std::fmt;
use std::time::Duration;

/// When a credential ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnEnd {
    /// How long it lives, as its caller or its role asks.
    pub after: Duration,
    /// The shortest life that its target gives.
    pub after_min: Duration,
    /// Whether a revocation ends it before.
    pub can_be_ended: bool,
}

/// What a caller chose of a role, where the role leaves them a choice.
pub struct Choice<E: Engine> {
    /// The role, with what was chosen.
    pub role: E::Role,
    /// When what is made of it ends.
    pub own_end: OwnEnd,
}

impl<E: Engine> fmt::Debug for Choice<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choice").field("own_end", &self.own_end).finish_non_exhaustive()
    }
}

impl From<FieldError> for PrepareError {
    fn from(FieldError(message): FieldError) -> Self {
        Self::Role(message)
    }
}
