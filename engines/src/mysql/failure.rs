//! What can go wrong between Leasehold and a server, and what each of it proves.

use leasehold_core::engine::{Cause, EngineError};
use std::fmt;

/// One message to a server failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection was to be had, and why; nothing was sent.
    Unreached(String),
    /// Time was up before anything was sent.
    Expired,
    /// The server said no to one statement, which changed nothing but what its kind may leave behind.
    Denied { number: u16, message: String },
    /// The message was sent, and no answer tells what became of it.
    Lost(String),
    /// No answer came in time.
    TimedOut,
}

/// A statement was broken off: the session was told to end (1053, 1927), so it may have come through.
const ENDED: [u16; 3] = [1053, 1927, 3169];
/// Others were in the way: locks, or too many connections.
const CONTENDED: [u16; 6] = [1205, 1213, 1040, 1041, 1203, 1226];
/// Time was up at the server.
const LATE: [u16; 3] = [1969, 3024, 1317];
/// The administrator may not do it.
const FORBIDDEN: [u16; 11] = [1044, 1095, 1142, 1143, 1227, 1290, 1370, 1410, 1419, 1698, 4006];
/// `CREATE USER` or the like failed for one account of several, or because it is there.
pub(super) const ACCOUNT: u16 = 1396;
/// There is no such session.
pub(super) const NO_SUCH_SESSION: u16 = 1094;
/// A password is too simple, or a hash does not tell whether it is.
const TOO_SIMPLE: u16 = 1819;
/// The text by which the server shows where it stopped to understand, which ends after 80 characters.
const PARSE: u16 = 1064;

impl Failure {
    /// Sorts out a driver's error on a connection that is open.
    pub(super) fn of(error: &sqlx::Error) -> Self {
        let sqlx::Error::Database(said) = error else { return Self::Lost(describe(error)) };
        let number = number(&**said);
        let message = said.message().to_owned();
        if ENDED.contains(&number) {
            return Self::Lost(format!("{message} ({number})"));
        }
        Self::Denied { number, message }
    }

    /// Sorts out a driver's error while a connection is opened.
    pub(super) fn unreached(error: &sqlx::Error) -> Self {
        // A server that says no is there; whoever reads this looks at the password or at the host.
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

    /// Returns the server's number, if it said no.
    pub(super) fn number(&self) -> Option<u16> {
        match self {
            Self::Denied { number, .. } => Some(*number),
            Self::Unreached(_) | Self::Expired | Self::Lost(_) | Self::TimedOut => None,
        }
    }

    fn is_one_of(&self, numbers: &[u16]) -> bool {
        self.number().is_some_and(|number| numbers.contains(&number))
    }

    /// Tells whether the connection can still be used.
    pub(super) fn leaves_the_connection(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// Tells whether others were in the way: soon tried again it may well succeed.
    pub(super) fn is_contended(&self) -> bool {
        self.is_one_of(&CONTENDED)
    }

    /// Tells whether time was up.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Self::Expired | Self::TimedOut) || self.is_one_of(&LATE)
    }

    /// Tells whether a refused statement that creates one user has certainly created none: it was not understood,
    /// not allowed, or not begun. A name that is taken may be our own.
    pub(super) fn proves_nothing_was_created(&self) -> bool {
        self.leaves_the_connection() && !self.is_late() && self.number() != Some(ACCOUNT)
    }

    /// Returns what kind of failure it was.
    pub(super) fn cause(&self) -> Cause {
        if self.is_late() {
            Cause::TooLate
        } else if self.is_contended() {
            Cause::Contended
        } else if !self.leaves_the_connection() {
            Cause::Unreachable
        } else if self.is_one_of(&FORBIDDEN) {
            Cause::NeedsOperator
        } else {
            Cause::Rejected
        }
    }

    /// Says it for an answer where provably nothing was changed.
    pub(super) fn refused(&self) -> EngineError {
        EngineError::refused(self.cause(), self.to_string())
    }

    /// Says it for the answer of a verb of which a part may have happened.
    pub(super) fn of_part(&self, doing: &str) -> EngineError {
        EngineError::uncertain(self.cause(), format!("{doing}: {self}"))
    }

    /// Says it for the answer of a verb that only asks, or only sends one statement.
    pub(super) fn of_one(&self) -> EngineError {
        match self {
            Self::Unreached(_) | Self::Expired | Self::Denied { .. } => self.refused(),
            Self::Lost(_) | Self::TimedOut => {
                EngineError::uncertain(self.cause(), self.to_string())
            }
        }
    }

    /// Takes secrets out of what the server said: it quotes what it did not understand, and cuts it off
    /// somewhere, which may be within a secret.
    pub(super) fn without<'a>(self, secrets: impl Iterator<Item = &'a str>) -> Self {
        let Self::Denied { number, mut message } = self else { return self };
        for secret in secrets.filter(|secret| !secret.is_empty()) {
            message = message.replace(secret, "[password]");
            let begins = secret.char_indices().rev().filter_map(|(at, _)| secret.get(..at));
            for cut in begins.filter(|cut| number == PARSE && !cut.is_empty()) {
                message = message.replace(&format!("{cut}' at line"), "[password]' at line");
            }
        }
        Self::Denied { number, message }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreached(why) => f.write_str(why),
            Self::Expired => f.write_str("time was up before the server could be asked"),
            Self::Denied { number, message } => {
                write!(f, "the server refused: {message} ({number})")?;
                if *number == TOO_SIMPLE {
                    f.write_str(
                        ". if it has to see passwords to judge them, set `password_authentication` to `password`",
                    )?;
                }
                Ok(())
            }
            Self::Lost(why) => write!(f, "the connection was lost before the answer: {why}"),
            Self::TimedOut => f.write_str("the server did not answer in time"),
        }
    }
}

fn number(said: &dyn sqlx::error::DatabaseError) -> u16 {
    said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map_or(0, sqlx::mysql::MySqlDatabaseError::number)
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
        return format!("{} ({})", said.message(), number(&**said));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_out_of_what_the_server_quotes_even_if_it_is_cut_off() {
        for (said, told) in [
            ("near 'x 'hush-hush' y' at line 1", "near 'x '[password]' y' at line 1"),
            ("near 'x 'hush-hu' at line 1", "near 'x '[password]' at line 1"),
            ("near 'x 'h' at line 1", "near 'x '[password]' at line 1"),
            ("near 'x y' at line 1", "near 'x y' at line 1"),
        ] {
            let failure = Failure::Denied { number: PARSE, message: said.to_owned() };
            let Failure::Denied { message, .. } = failure.without(["hush-hush"].into_iter()) else {
                panic!("it stays what it was");
            };
            assert_eq!(message, told);
        }
    }

    #[test]
    fn what_a_refusal_proves_depends_on_what_was_refused() {
        let denied = |number| Failure::Denied { number, message: String::new() };
        assert!(
            denied(PARSE).proves_nothing_was_created() && denied(1205).proves_nothing_was_created()
        );
        for number in [ACCOUNT, 1969] {
            assert!(!denied(number).proves_nothing_was_created(), "{number}");
        }
        assert!(!Failure::TimedOut.proves_nothing_was_created());
        for (number, cause) in [
            (1205, Cause::Contended),
            (1969, Cause::TooLate),
            (1227, Cause::NeedsOperator),
            (1064, Cause::Rejected),
        ] {
            assert_eq!(denied(number).cause(), cause, "{number}");
        }
    }
}
