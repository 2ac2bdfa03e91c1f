//! Every error to its status, in one match for each kind of error, and into Vault's shape.
//!
//! | status | what the caller does next |
//! |---|---|
//! | 400 | change the request, or what it needs to be set up |
//! | 403 | come with another token |
//! | 404 | look at what there is; what is not theirs is not there either |
//! | 405 | use another method |
//! | 408 | send the body within its time |
//! | 413 | send less |
//! | 429 | try again later: they ask for more than a quota lets them have, for what is done one at a time, or too many log in at once |
//! | 500 | the operator looks at the log |
//! | 502 | try again later: the target did not answer, or was busy |
//! | 503 | wait: until the store is initialized, an operator has seen to the clock, a rotation is over, or others' bodies are done with |

mod rotation;
mod sealing;
mod truth;

use super::envelope::Reply;
use actix_web::http::StatusCode;
use leasehold_core::broker::{
    AdmitError, BackupError, ClockError, CubbyholeError, DeviceError, IdentityError, IssueError,
    LoginError, LookupError, MethodError, MountError, PolicyError, QuotaError, RenewError,
    RevokeError, RoleError, TakeOverError, TargetError, TokenError, TooOften, WhoisError,
    WrapError,
};
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::store::StoreError;
use leasehold_core::time::watch::Doubt;
use serde_json::json;

/// A request that is not served.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The broker was not asked yet: who asks must still be admitted before they are told.
    Unasked {
        /// What kind of refusal.
        status: StatusCode,
        /// Why.
        message: String,
    },
    /// The caller is told.
    Told {
        /// What kind of refusal.
        status: StatusCode,
        /// Why; Vault tells nothing where there simply is nothing.
        message: Option<String>,
    },
}

impl Refusal {
    /// What was sent cannot be parsed.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::Unasked { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// The caller is told this.
    pub(super) fn told(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Told { status, message: Some(message.into()) }
    }

    /// There is nothing.
    pub(super) fn nothing_here() -> Self {
        Self::Told { status: StatusCode::NOT_FOUND, message: None }
    }

    /// There is something, but not by this method.
    pub(super) fn no_such_method() -> Self {
        Self::Told { status: StatusCode::METHOD_NOT_ALLOWED, message: None }
    }

    /// There is no broker.
    pub(super) fn sealed() -> Self {
        Self::told(StatusCode::SERVICE_UNAVAILABLE, "Vault is sealed")
    }

    /// Returns what is sent.
    pub(super) fn into_reply(self) -> Reply {
        let (status, message) = match self {
            Self::Unasked { status, message } => (status, Some(message)),
            Self::Told { status, message } => (status, message),
        };
        let errors: Vec<_> = message.into_iter().collect();
        Reply::json(status, &json!({ "errors": errors }))
    }
}

fn bad(error: impl std::fmt::Display) -> Refusal {
    Refusal::told(StatusCode::BAD_REQUEST, error.to_string())
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::told(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// What the target's answer means for the caller. Where asking again may help, the status is one that clients retry.
fn of_target(error: &EngineError, message: String) -> Refusal {
    let status = match error.reason().cause {
        Cause::Unreachable | Cause::Contended | Cause::TooLate => StatusCode::BAD_GATEWAY,
        Cause::Rejected | Cause::NeedsOperator | Cause::Lives(_) => StatusCode::BAD_REQUEST,
    };
    Refusal::told(status, message)
}

impl From<AdmitError> for Refusal {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::BadToken => Self::told(StatusCode::FORBIDDEN, error.to_string()),
            AdmitError::Denied { why: None } => {
                let message = format!("1 error occurred:\n\t* {error}\n\n");
                Self::told(StatusCode::FORBIDDEN, message)
            }
            AdmitError::Denied { why: Some(ref why) } => {
                let message = format!("2 errors occurred:\n\t* {error}\n\t* {why}\n\n");
                Self::told(StatusCode::FORBIDDEN, message)
            }
            AdmitError::Audit(error) => internal(error),
            AdmitError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict | StoreError::Refused(_) | StoreError::Uncertain(_) => {
                internal(error)
            }
        }
    }
}

impl From<BackupError> for Refusal {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Admit(error) => error.into(),
            BackupError::Running => Self::told(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
        }
    }
}

impl From<QuotaError> for Refusal {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::Admit(error) => error.into(),
            QuotaError::Store(error) => error.into(),
            QuotaError::Empty => Self::nothing_here(),
            QuotaError::Bad(_) => bad(error),
        }
    }
}

impl From<&TooOften> for Refusal {
    fn from(error: &TooOften) -> Self {
        Self::told(StatusCode::TOO_MANY_REQUESTS, error.to_string())
    }
}

impl From<TakeOverError> for Refusal {
    fn from(error: TakeOverError) -> Self {
        match error {
            TakeOverError::Admit(error) => error.into(),
            TakeOverError::Store(error) => error.into(),
            TakeOverError::NoTarget(_) => Self::told(StatusCode::NOT_FOUND, error.to_string()),
            TakeOverError::NotCopied(_) => bad(error),
        }
    }
}

impl From<DeviceError> for Refusal {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Admit(error) => error.into(),
            DeviceError::Store(error) => error.into(),
            DeviceError::NoDevice(_) | DeviceError::Declared(_) | DeviceError::BadHeader(_) => {
                bad(error)
            }
        }
    }
}

impl From<WhoisError> for Refusal {
    fn from(error: WhoisError) -> Self {
        match error {
            WhoisError::Admit(error) => error.into(),
            WhoisError::Store(error) => error.into(),
            WhoisError::BadName => bad(error),
            WhoisError::Nobody => Self::told(StatusCode::NOT_FOUND, error.to_string()),
        }
    }
}

impl From<Doubt> for Refusal {
    fn from(doubt: Doubt) -> Self {
        Self::told(StatusCode::SERVICE_UNAVAILABLE, doubt.to_string())
    }
}

impl From<ClockError> for Refusal {
    fn from(error: ClockError) -> Self {
        match error {
            ClockError::Admit(error) => error.into(),
            ClockError::Store(error) => error.into(),
            ClockError::TooSoon(_) => bad(error),
        }
    }
}

impl From<IssueError> for Refusal {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Admit(error) => error.into(),
            IssueError::Store(error) => error.into(),
            IssueError::Clock(doubt) => doubt.into(),
            IssueError::TooMany(_) => Self::told(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
            IssueError::Target(ref target) => of_target(target, error.to_string()),
            IssueError::Older(_) => Self::told(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            IssueError::UnknownRole(_)
            | IssueError::UnknownTarget { .. }
            | IssueError::NotAllowed { .. }
            | IssueError::Unusable(_)
            | IssueError::Prepare(_)
            | IssueError::LastUse
            | IssueError::Revoked => bad(error),
        }
    }
}

impl From<RenewError> for Refusal {
    fn from(error: RenewError) -> Self {
        match error {
            RenewError::Admit(error) => error.into(),
            RenewError::Store(error) => error.into(),
            RenewError::Clock(doubt) => doubt.into(),
            RenewError::OwnerMayNot(_) => Self::told(StatusCode::FORBIDDEN, error.to_string()),
            RenewError::Target(ref target) => of_target(target, error.to_string()),
            RenewError::NoLease
            | RenewError::Lease(_)
            | RenewError::NoRole(_)
            | RenewError::NoTarget(_)
            | RenewError::Gone => bad(error),
        }
    }
}

impl From<RevokeError> for Refusal {
    fn from(error: RevokeError) -> Self {
        let message = error.to_string();
        match error {
            RevokeError::Admit(error) => error.into(),
            RevokeError::Store(error) => error.into(),
            RevokeError::NoSuchPrefix(_) => Self::told(StatusCode::NOT_FOUND, message),
            RevokeError::NotCompared => Self::told(StatusCode::SERVICE_UNAVAILABLE, message),
            RevokeError::Target { error, .. } => of_target(&error, message),
            RevokeError::Some { first, .. } => match Self::from(*first) {
                Self::Unasked { status, .. } | Self::Told { status, .. } => {
                    Self::told(status, message)
                }
            },
        }
    }
}

impl From<LookupError> for Refusal {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Admit(error) => error.into(),
            LookupError::Store(error) => error.into(),
            LookupError::NoLease => bad(error),
            LookupError::Empty => Self::nothing_here(),
        }
    }
}

impl From<MountError> for Refusal {
    fn from(error: MountError) -> Self {
        match error {
            MountError::Admit(error) => error.into(),
            MountError::Store(error) => error.into(),
            MountError::Unsettled { .. } => {
                Self::told(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            MountError::NoMove => Self::told(StatusCode::NOT_FOUND, error.to_string()),
            MountError::Bad(_) | MountError::NoMount(_) | MountError::NoEntry(_) => bad(error),
        }
    }
}

impl From<TargetError> for Refusal {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Admit(error) => error.into(),
            TargetError::Store(error) => error.into(),
            TargetError::NoTarget(_) | TargetError::Empty => Self::nothing_here(),
            TargetError::NoMount(_) | TargetError::NoEarlier { .. } => {
                Self::told(StatusCode::NOT_FOUND, error.to_string())
            }
            // Vault looks for the plugin before it makes anything of it.
            TargetError::Bad(ref message) if message == "empty plugin name" => bad(error),
            TargetError::Moved(_) => bad(error),
            TargetError::Bad(_) | TargetError::Verify(_) => {
                bad(format!("error creating database object: {error}"))
            }
        }
    }
}

impl From<RoleError> for Refusal {
    fn from(error: RoleError) -> Self {
        match error {
            RoleError::Admit(error) => error.into(),
            RoleError::Store(error) => error.into(),
            RoleError::NoRole(_) | RoleError::Empty => Self::nothing_here(),
            RoleError::NoMount(_) => Self::told(StatusCode::NOT_FOUND, error.to_string()),
            RoleError::Bad(_) => bad(error),
        }
    }
}

impl From<PolicyError> for Refusal {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Admit(error) => error.into(),
            PolicyError::Store(error) => error.into(),
            PolicyError::NoPolicy(_) => Self::nothing_here(),
            PolicyError::Unreadable(_) | PolicyError::Bad(_) => bad(error),
        }
    }
}

impl From<IdentityError> for Refusal {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Admit(error) => error.into(),
            IdentityError::Store(error) => error.into(),
            IdentityError::Nothing => Self::nothing_here(),
            IdentityError::NotTheirs(_) => Self::told(StatusCode::FORBIDDEN, error.to_string()),
            IdentityError::Bad(_) => bad(error),
        }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Admit(error) => error.into(),
            TokenError::Store(error) => error.into(),
            TokenError::Empty => Self::nothing_here(),
            TokenError::BadToken => Self::told(StatusCode::FORBIDDEN, error.to_string()),
            TokenError::NoAccessor => bad(format!("1 error occurred:\n\t* {error}\n\n")),
            TokenError::Bad(_)
            | TokenError::NoToken
            | TokenError::NotRenewable
            | TokenError::Lease(_) => bad(error),
        }
    }
}

impl From<MethodError> for Refusal {
    fn from(error: MethodError) -> Self {
        match error {
            MethodError::Admit(error) => error.into(),
            MethodError::Store(error) => error.into(),
            MethodError::NoMount(_) | MethodError::NotFound(_) => {
                Self::told(StatusCode::NOT_FOUND, error.to_string())
            }
            MethodError::Nothing => Self::nothing_here(),
            MethodError::Busy => Self::told(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
            MethodError::Missing(_) => bad(format!("1 error occurred:\n\t* {error}\n\n")),
            MethodError::Bad(_) => bad(error),
        }
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Audit(error) => internal(error),
            LoginError::Store(error) => error.into(),
            LoginError::NoMount(_) => Self::told(StatusCode::NOT_FOUND, error.to_string()),
            LoginError::Denied => Self::told(StatusCode::FORBIDDEN, error.to_string()),
            LoginError::Busy => Self::told(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
            LoginError::Bad(_) | LoginError::Wrong(_) | LoginError::Elsewhere(_) => bad(error),
        }
    }
}

impl From<CubbyholeError> for Refusal {
    fn from(error: CubbyholeError) -> Self {
        match error {
            CubbyholeError::Admit(error) => error.into(),
            CubbyholeError::Store(error) => error.into(),
            CubbyholeError::Empty => Self::nothing_here(),
            CubbyholeError::Bad(_) => bad(error),
        }
    }
}

impl From<WrapError> for Refusal {
    fn from(error: WrapError) -> Self {
        match error {
            WrapError::Admit(error) => error.into(),
            WrapError::Store(error) => error.into(),
            WrapError::NotValid | WrapError::Bad(_) => bad(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(refusal: impl Into<Refusal>) -> (u16, String) {
        let reply = refusal.into().into_reply();
        (reply.status.as_u16(), String::from_utf8(reply.body).unwrap())
    }

    #[test]
    fn a_refusal_is_a_list_of_errors_and_a_newline() {
        assert_eq!(
            sent(AdmitError::BadToken),
            (403, "{\"errors\":[\"permission denied\"]}\n".into())
        );
        let denied = "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}\n";
        assert_eq!(sent(AdmitError::Denied { why: None }), (403, denied.into()));
        let denied =
            "{\"errors\":[\"2 errors occurred:\\n\\t* permission denied\\n\\t* why\\n\\n\"]}\n";
        assert_eq!(sent(AdmitError::Denied { why: Some("why".into()) }), (403, denied.into()));
        assert_eq!(sent(LookupError::Empty), (404, "{\"errors\":[]}\n".into()));
    }

    #[test]
    fn clients_retry_what_may_succeed_and_nothing_else() {
        let status =
            |cause| sent(IssueError::Target(EngineError::refused(cause, "the target said no"))).0;
        for cause in [Cause::Unreachable, Cause::Contended, Cause::TooLate] {
            assert_eq!(status(cause), 502, "{cause:?}");
        }
        for cause in [Cause::Rejected, Cause::NeedsOperator] {
            assert_eq!(status(cause), 400, "{cause:?}");
        }
    }

    #[test]
    fn a_target_that_cannot_be_is_refused_as_vault_does() {
        let bad = |message: &str| sent(TargetError::Bad(message.to_owned()));
        let (status, body) = bad("`connection_url` cannot be empty");
        assert_eq!(status, 400);
        assert!(body.contains("error creating database object: `connection_url` cannot"), "{body}");
        assert_eq!(bad("empty plugin name").1, "{\"errors\":[\"empty plugin name\"]}\n");
        assert_eq!(sent(TargetError::Empty), (404, "{\"errors\":[]}\n".into()));
    }

    #[test]
    fn several_failures_have_the_status_of_the_first() {
        let first = RevokeError::Target {
            lease_id: "database/creds/app/x".into(),
            error: EngineError::uncertain(Cause::Unreachable, "no route"),
        };
        let (status, body) = sent(RevokeError::Some { failed: 2, all: 3, first: Box::new(first) });
        assert_eq!(status, 502);
        assert!(body.contains("2 of 3 leases"), "{body}");
    }
}
