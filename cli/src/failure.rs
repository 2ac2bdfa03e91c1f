//! What can go wrong in a command, what it tells its user, and what the user may try next.

use crate::client::RequestError;
use std::fmt;

/// How a command ended, in Vault's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done,
    /// It was not asked properly, or something on this machine stood in the way.
    Local,
    /// The server refused, failed, or did not answer; or it is sealed, or has no such thing.
    Server,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Local => 1,
            Self::Server => 2,
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command was not asked properly, or this machine stood in the way; nothing was sent.
    Local(String),
    /// There is nothing where the command looked.
    Nothing {
        /// What was not found, as a sentence.
        what: String,
        /// What the server said besides.
        said: Vec<String>,
        /// What to try.
        hint: Option<String>,
    },
    /// The server was asked, and it did not work.
    Request {
        /// What was being done: `reading database/creds/app`.
        doing: String,
        /// What came of it.
        error: RequestError,
    },
}

impl Failure {
    /// The exit code of a command that ends so.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Local(_) => Exit::Local,
            Self::Nothing { .. } | Self::Request { .. } => Exit::Server,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(reason) => f.write_str(reason),
            Self::Nothing { what, said, hint } => {
                f.write_str(what)?;
                if !said.is_empty() {
                    f.write_str("\n")?;
                }
                for error in said {
                    write!(f, "\n* {error}")?;
                }
                hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n\n{hint}"))
            }
            Self::Request { doing, error } => {
                write!(f, "Error {doing}: {error}")?;
                error.hint().map_or(Ok(()), |hint| write!(f, "\n\n{hint}"))
            }
        }
    }
}

/// Says what was being done when a request fails.
pub(crate) trait Doing<T> {
    /// Names the deed, in a phrase that goes on after `Error `.
    fn doing(self, deed: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Doing<T> for Result<T, RequestError> {
    fn doing(self, deed: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::Request { doing: deed(), error })
    }
}
