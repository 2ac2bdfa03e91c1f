//! What can go wrong between Leasehold and a node, and what each of it proves.

use leasehold_core::engine::{Cause, EngineError};
use redis::{ErrorKind, RedisError, ServerError};
use std::fmt;

/// A question to a node failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection was to be had, and why; nothing was sent.
    Unreached(String),
    /// Time was up before anything was sent.
    Expired,
    /// The nodes of the target are not those that were known when the credential was named; nothing was sent.
    NewNodes,
    /// The server said no to one command, which did nothing.
    Denied { code: String, message: String },
    /// Something was sent, and no answer tells what became of it.
    Lost(String),
    /// No answer came in time.
    TimedOut,
}

impl Failure {
    /// Sorts out what the server said to one command.
    pub(super) fn denied(said: &ServerError) -> Self {
        let (code, message) =
            (said.code().to_owned(), said.details().unwrap_or_default().to_owned());
        Self::Denied { code, message }
    }

    /// Sorts out a driver's error on a connection that is open.
    pub(super) fn lost(error: &RedisError) -> Self {
        Self::Lost(error.to_string())
    }

    /// Sorts out a driver's error while a connection is opened.
    pub(super) fn unreached(error: &RedisError) -> Self {
        let text = error.to_string();
        if error.code().is_some() || error.kind() == ErrorKind::AuthenticationFailed {
            return Self::Unreached(format!(
                "the server does not let the administrator in: {text}"
            ));
        }
        let remedy = if text.contains("UnknownIssuer") {
            ". put the authority that signed the server's certificate into `ca_cert`"
        } else {
            ""
        };
        Self::Unreached(format!("the server cannot be reached: {text}{remedy}"))
    }

    /// Returns the server's code, if it said no.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Denied { code, .. } => code,
            Self::Unreached(_)
            | Self::Expired
            | Self::NewNodes
            | Self::Lost(_)
            | Self::TimedOut => "",
        }
    }

    /// Returns what kind of failure it was.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Expired | Self::TimedOut => Cause::TooLate,
            // Asked again under the same name, new nodes are refused again.
            Self::Unreached(_) | Self::Lost(_) | Self::NewNodes => Cause::Unreachable,
            Self::Denied { code, .. } => match code.as_str() {
                "NOPERM" => Cause::NeedsOperator,
                "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "OOM" => Cause::Contended,
                _ => Cause::Rejected,
            },
        }
    }

    /// Says it of a question that altered nothing yet.
    pub(super) fn of_nothing(&self) -> EngineError {
        EngineError::refused(self.cause(), self.to_string())
    }

    /// Says it of a command that may have been carried out.
    pub(super) fn of_sent(&self) -> EngineError {
        match self {
            Self::Lost(_) | Self::TimedOut => {
                EngineError::uncertain(self.cause(), self.to_string())
            }
            Self::Unreached(_) | Self::Expired | Self::NewNodes | Self::Denied { .. } => {
                self.of_nothing()
            }
        }
    }

    /// Says it of a verb of which a part may have happened before.
    pub(super) fn of_part(&self, doing: &str) -> EngineError {
        EngineError::uncertain(self.cause(), format!("{doing}: {self}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreached(why) => f.write_str(why),
            Self::Expired => f.write_str("time was up before the server could be asked"),
            Self::NewNodes => f.write_str(
                "the target has a primary that was not known when the credential was named; ask again",
            ),
            Self::Denied { code, message } if code == "NOPERM" => write!(
                f,
                "the administrator lacks a permission: {message} ({code}); write the target again to be told the \
                 `ACL SETUSER` line to run"
            ),
            Self::Denied { code, message } => write!(f, "the server refused: {message} ({code})"),
            Self::Lost(why) => write!(f, "the connection was lost before the answer: {why}"),
            Self::TimedOut => f.write_str("the server did not answer in time"),
        }
    }
}
