//! What can be wrong with what operators and callers write, and with what a target did.

use crate::time::Timestamp;

/// A field of a configuration or role cannot be accepted. The message names it and shows no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FieldError(pub String);

/// No credential can be named. Nothing was stored or asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The role cannot be used, and says what to change.
    #[error("{0}")]
    Role(String),
    /// The name is longer than the target takes.
    #[error(
        "the name `{name}` has {bytes} bytes; the target takes {bytes_max}. shorten `username_template`"
    )]
    NameTooLong {
        /// The name.
        name: String,
        /// Its length.
        bytes: usize,
        /// The longest the target takes.
        bytes_max: usize,
    },
}

/// A target did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Provably nothing was changed.
    #[error("{0}")]
    Refused(Reason),
    /// The change may take effect, now or later.
    #[error("{0}")]
    Uncertain(Reason),
}

/// Why a target did not do what it was asked, and what that means for the next try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Reason {
    /// What kind of failure it was.
    pub cause: Cause,
    /// For people, without secrets: what the target said, and what to do.
    pub message: String,
}

impl Reason {
    /// Whether the credential lives until it ends by itself, and nothing else is the matter.
    #[must_use]
    pub fn lives(&self) -> bool {
        matches!(self.cause, Cause::Lives(_))
    }
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The target could not be reached, or let nobody in.
    Unreachable,
    /// Others were in the way; soon tried again it may well succeed.
    Contended,
    /// The target understood and said no.
    Rejected,
    /// Only a person can clear the way; the message says how. Trying again soon is of no use.
    NeedsOperator,
    /// Time was up.
    TooLate,
    /// Nothing ends the credential before this, when it ends by itself.
    Lives(Timestamp),
}

impl EngineError {
    /// Provably nothing was changed.
    #[must_use]
    pub fn refused(cause: Cause, message: impl Into<String>) -> Self {
        Self::Refused(Reason { cause, message: message.into() })
    }

    /// The change may take effect, now or later.
    #[must_use]
    pub fn uncertain(cause: Cause, message: impl Into<String>) -> Self {
        Self::Uncertain(Reason { cause, message: message.into() })
    }

    /// Returns why.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        match self {
            Self::Refused(reason) | Self::Uncertain(reason) => reason,
        }
    }
}
