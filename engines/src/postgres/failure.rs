//! What can go wrong between Leasehold and a server, and what each of it proves.

use leasehold_core::engine::{Cause, EngineError};
use std::fmt;

/// The text by which a batch that came too late says so. See [`super::issue`].
pub(super) const TOO_LATE: &str = "leasehold: its time has passed";

/// One message to a server failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection was to be had, and why; nothing was sent.
    Unreached(String),
    /// Time was up before anything was sent.
    Expired,
    /// The owner roles are not as they were left, so everything was rolled back; they are set up again.
    Unready,
    /// The server said no and rolled back the transaction the message was.
    Denied { code: String, message: String },
    /// The message was sent, and no answer tells what became of it.
    Lost(String),
    /// No answer came in time.
    TimedOut,
}

impl Failure {
    /// Sorts out a driver's error on a connection that is open.
    pub(super) fn of(error: &sqlx::Error) -> Self {
        let sqlx::Error::Database(said) = error else { return Self::Lost(describe(error)) };
        let code = said.code().unwrap_or_default().into_owned();
        let message = said.message().to_owned();
        let severe = said
            .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
            .is_none_or(|error| !matches!(error.severity(), sqlx::postgres::PgSeverity::Error));
        // A session that is ended (57P01 …) may be ended while its commit waits for a standby: then
        // the commit has happened all the same.
        if severe || code.starts_with("57P") {
            return Self::Lost(format!("{message} ({code})"));
        }
        Self::Denied { code, message }
    }

    /// Sorts out a driver's error while a connection is opened.
    pub(super) fn unreached(error: &sqlx::Error) -> Self {
        // A server that says no is there; whoever reads this looks at the password or at pg_hba.conf.
        let what = if matches!(error, sqlx::Error::Database(_)) {
            "the server does not let the administrator in"
        } else {
            "the server cannot be reached"
        };
        Self::Unreached(format!("{what}: {}", describe(error)))
    }

    /// Sorts out why it is not known whether an account can log in.
    pub(super) fn undecided(name: &str, error: &sqlx::Error) -> Self {
        Self::Unreached(format!(
            "whether `{name}` can log in could not be found out: {}",
            describe(error)
        ))
    }

    /// Returns the server's code, if it said no.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Denied { code, .. } => code,
            Self::Unreached(_) | Self::Expired | Self::Unready | Self::Lost(_) | Self::TimedOut => {
                ""
            }
        }
    }

    /// Tells whether the connection can still be used.
    pub(super) fn leaves_the_connection(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// Tells whether the server said that a name is taken. A name that is taken may be our own, made
    /// by a message whose answer was lost, so this never proves that nothing was created.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self.code(), "42710" | "23505")
    }

    /// Tells whether the server said that there is no such thing.
    pub(super) fn is_missing(&self) -> bool {
        self.code() == "42704"
    }

    /// Tells whether others were in the way: soon tried again it may well succeed.
    pub(super) fn is_contended(&self) -> bool {
        match self {
            Self::Denied { code, message } => {
                matches!(code.as_str(), "40001" | "40P01" | "55P03" | "55006")
                    || (code == "XX000" && message.contains("concurrently"))
            }
            Self::Unready => true,
            Self::Unreached(_) | Self::Expired | Self::Lost(_) | Self::TimedOut => false,
        }
    }

    /// Tells whether time was up.
    pub(super) fn is_late(&self) -> bool {
        match self {
            Self::Denied { code, message } => code == "57014" || message.contains(TOO_LATE),
            Self::Expired | Self::TimedOut => true,
            Self::Unreached(_) | Self::Unready | Self::Lost(_) => false,
        }
    }

    /// Returns what kind of failure it was.
    pub(super) fn cause(&self) -> Cause {
        if self.is_late() {
            return Cause::TooLate;
        }
        let code = self.code();
        if self.is_contended() || code.starts_with("53") || code.starts_with("57") {
            Cause::Contended
        } else if !self.leaves_the_connection() {
            Cause::Unreachable
        } else if code == "42501" {
            Cause::NeedsOperator
        } else {
            Cause::Rejected
        }
    }

    /// Says it for the answer of an issue of one transaction.
    pub(super) fn of_issue(&self) -> EngineError {
        let text = self.to_string();
        match self {
            Self::Unreached(_) | Self::Expired | Self::Unready => {
                EngineError::refused(self.cause(), text)
            }
            Self::Denied { .. } if !self.is_taken() => EngineError::refused(self.cause(), text),
            Self::Denied { .. } | Self::Lost(_) | Self::TimedOut => {
                EngineError::uncertain(self.cause(), text)
            }
        }
    }

    /// Says it for the answers of several issues in one transaction. A server that still answers has rolled it
    /// back whole, and a name that is taken there is one member's trouble: sent alone, the others may succeed.
    pub(super) fn of_batch(&self) -> EngineError {
        if self.leaves_the_connection() {
            return EngineError::refused(self.cause(), self.to_string());
        }
        self.of_issue()
    }

    /// Says it for the answer of a verb of which a part may have happened before.
    pub(super) fn of_part(&self, doing: &str) -> EngineError {
        EngineError::uncertain(self.cause(), format!("{doing}: {self}"))
    }

    /// Takes secrets out of what the server said: it quotes what it did not understand.
    pub(super) fn without<'a>(self, secrets: impl Iterator<Item = &'a str>) -> Self {
        let Self::Denied { code, mut message } = self else { return self };
        for secret in secrets.filter(|secret| !secret.is_empty()) {
            message = message.replace(secret, "[password]");
        }
        Self::Denied { code, message }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreached(why) => f.write_str(why),
            Self::Expired => f.write_str("time was up before the server could be asked"),
            Self::Unready => f.write_str(
                "the owner roles are not as they were set up; they are set up again with the next try",
            ),
            Self::Denied { code, message } => write!(f, "the server refused: {message} ({code})"),
            Self::Lost(why) => write!(f, "the connection was lost before the answer: {why}"),
            Self::TimedOut => f.write_str("the server did not answer in time"),
        }
    }
}

/// Says what to do about a certificate that nobody vouches for.
fn with_remedy(mut error: String) -> String {
    if error.contains("UnknownIssuer") {
        error.push_str(". put the authority that signed the server's certificate into `tls_ca`");
    }
    error
}

/// Says what a driver's error is without the details it may carry.
fn describe(error: &sqlx::Error) -> String {
    if let sqlx::Error::Database(said) = error {
        return format!("{} ({})", said.message(), said.code().unwrap_or_default());
    }
    if let sqlx::Error::Io(error) = error {
        return with_remedy(error.to_string());
    }
    if let sqlx::Error::Tls(error) = error {
        return with_remedy(format!("tls: {error}"));
    }
    if let sqlx::Error::Protocol(what) = error {
        return format!("protocol: {what}");
    }
    "the driver failed".to_owned()
}
