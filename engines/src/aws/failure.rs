//! What can go wrong between Leasehold and AWS, and what each of it proves.

use aws_sdk_iam::config::http::HttpResponse;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use leasehold_core::engine::{Cause, EngineError};
use std::error::Error;
use std::fmt;

/// Codes by which AWS says that it is asked too much, or by too many at once.
const BUSY: [&str; 9] = [
    "ConcurrentModification",
    "EntityTemporarilyUnmodifiable",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "DeleteConflict",
];
/// Codes by which it says that it does not know who asks.
const STRANGER: [&str; 7] = [
    "AuthFailure",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
/// Codes by which it says that whoever asks may not, or not so many.
const FORBIDDEN: [&str; 5] = [
    "AccessDenied",
    "AccessDeniedException",
    "LimitExceeded",
    "OptInRequired",
    "UnauthorizedOperation",
];

/// One call at AWS failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Time was up before anything was asked.
    Expired,
    /// The call could not even be written down.
    Unsent(String),
    /// AWS said no, and did nothing.
    Denied { code: String, message: String },
    /// The call may have been sent, and no answer tells what became of it.
    Lost(String),
    /// No answer came in time.
    TimedOut,
    /// It was answered otherwise than AWS answers.
    Odd(&'static str),
}

impl Failure {
    /// Sorts out an error of AWS's clients.
    pub(super) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        if let SdkError::ServiceError(said) = error
            && said.raw().status().is_client_error()
            // Without one it is not AWS that answers, but something in between.
            && let Some(code) = said.err().code()
        {
            let message = said.err().message().unwrap_or_default().to_owned();
            return Self::Denied { code: code.to_owned(), message };
        }
        match error {
            SdkError::ConstructionFailure(_) => {
                Self::Unsent("the call could not be written".to_owned())
            }
            SdkError::ServiceError(said) => {
                Self::Lost(format!("it answered {}", said.raw().status().as_u16()))
            }
            SdkError::DispatchFailure(failure) => Self::Lost(
                failure
                    .as_connector_error()
                    .map_or_else(|| "the call failed".to_owned(), |error| described(error)),
            ),
            // Nothing of what was answered is told: it may be a key.
            SdkError::ResponseError(_) => Self::Odd("its answer could not be read"),
            SdkError::TimeoutError(_) => Self::TimedOut,
            _ => Self::Lost("the call failed".to_owned()),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Denied { code, .. } => code,
            Self::Expired | Self::Unsent(_) | Self::Lost(_) | Self::TimedOut | Self::Odd(_) => "",
        }
    }

    /// Whether AWS said that a name is taken. It may be our own, made by a call whose answer was lost, so this never
    /// proves that nothing was created.
    fn is_taken(&self) -> bool {
        self.code() == "EntityAlreadyExists"
    }

    /// Whether it said that there is no such thing.
    pub(super) fn is_gone(&self) -> bool {
        self.code() == "NoSuchEntity"
    }

    /// Whether the thing that it does not know is this user, and not a policy or a group.
    pub(super) fn is_missing(&self, user: &str) -> bool {
        match self {
            Self::Denied { message, .. } => self.is_gone() && message.contains(user),
            Self::Expired | Self::Unsent(_) | Self::Lost(_) | Self::TimedOut | Self::Odd(_) => {
                false
            }
        }
    }

    /// Whether it does not know who asks.
    pub(super) fn is_stranger(&self) -> bool {
        STRANGER.contains(&self.code())
    }

    /// Whether it knows who asks, and does not let them.
    pub(super) fn is_forbidden(&self) -> bool {
        FORBIDDEN.contains(&self.code())
    }

    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        self.code() == "LimitExceeded"
    }

    /// Whether others were in the way.
    pub(super) fn is_busy(&self) -> bool {
        BUSY.contains(&self.code())
    }

    /// Returns what kind of failure it was.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Expired | Self::TimedOut => Cause::TooLate,
            Self::Lost(_) | Self::Odd(_) => Cause::Unreachable,
            Self::Denied { .. } if self.is_busy() => Cause::Contended,
            Self::Denied { .. } if self.is_stranger() => Cause::Unreachable,
            Self::Denied { .. } if self.is_forbidden() => Cause::NeedsOperator,
            Self::Unsent(_) | Self::Denied { .. } => Cause::Rejected,
        }
    }

    /// Says it where nothing is altered by asking.
    pub(super) fn refused(&self) -> EngineError {
        EngineError::refused(self.cause(), self.to_string())
    }

    /// Says it for the call that an issue begins with, which is sent once.
    pub(super) fn of_first(&self) -> EngineError {
        match self {
            Self::Expired | Self::Unsent(_) => self.refused(),
            Self::Denied { .. } if !self.is_taken() => self.refused(),
            Self::Denied { .. } | Self::Lost(_) | Self::TimedOut | Self::Odd(_) => {
                EngineError::uncertain(self.cause(), self.to_string())
            }
        }
    }

    /// Says it for the answer of a verb of which a part may have happened before.
    pub(super) fn of_part(&self, doing: &str) -> EngineError {
        EngineError::uncertain(self.cause(), format!("{doing}: {self}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("time was up before AWS could be asked"),
            Self::Unsent(why) => f.write_str(why),
            Self::Denied { code, message } if self.is_stranger() => {
                write!(
                    f,
                    "AWS does not let the administrator in: {message} ({code}). write `config/root` with a key that is good"
                )
            }
            Self::Denied { code, message } => write!(f, "AWS refused: {message} ({code})"),
            Self::Lost(why) => write!(f, "AWS cannot be reached: {why}"),
            Self::TimedOut => f.write_str("AWS did not answer in time"),
            Self::Odd(what) => write!(f, "AWS was not understood: {what}"),
        }
    }
}

/// Says why a connection failed: what lies beneath says more than what is above.
fn described(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut beneath = error.source();
    while let Some(error) = beneath {
        texts.push(error.to_string());
        beneath = error.source();
    }
    texts.dedup();
    texts.join(": ")
}
