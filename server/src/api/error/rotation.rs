//! Errors of what is rotated, and of what passwords look like.

use super::{Refusal, bad, of_target};
use actix_web::http::StatusCode;
use leasehold_core::broker::{PasswordPolicyError, RotateError, StaticRoleError};

impl From<PasswordPolicyError> for Refusal {
    fn from(error: PasswordPolicyError) -> Self {
        let message = format!("1 error occurred:\n\t* {error}\n\n");
        match error {
            PasswordPolicyError::Admit(error) => error.into(),
            PasswordPolicyError::Store(error) => error.into(),
            PasswordPolicyError::Empty => Self::nothing_here(),
            PasswordPolicyError::NoPolicy => Self::told(StatusCode::NOT_FOUND, message),
            PasswordPolicyError::Missing | PasswordPolicyError::Text(_) => bad(message),
        }
    }
}

impl From<RotateError> for Refusal {
    fn from(error: RotateError) -> Self {
        let message = error.to_string();
        match error {
            RotateError::Admit(error) => error.into(),
            RotateError::Store(error) => error.into(),
            RotateError::Busy
            | RotateError::Unsettled
            | RotateError::NotCompared
            | RotateError::Older(_) => Self::told(StatusCode::SERVICE_UNAVAILABLE, message),
            RotateError::NotLetIn => Self::told(StatusCode::BAD_GATEWAY, message),
            RotateError::Target(ref target) => of_target(target, message),
            RotateError::NoRole | RotateError::NoTarget(_) | RotateError::Unusable(_) => {
                bad(message)
            }
        }
    }
}

impl From<StaticRoleError> for Refusal {
    fn from(error: StaticRoleError) -> Self {
        match error {
            StaticRoleError::Admit(error) => error.into(),
            StaticRoleError::Store(error) => error.into(),
            StaticRoleError::Rotate(error) => error.into(),
            StaticRoleError::Empty => Self::nothing_here(),
            StaticRoleError::NoMount(_) => Self::told(StatusCode::NOT_FOUND, error.to_string()),
            StaticRoleError::BeingRotated(_)
            | StaticRoleError::Older(_)
            | StaticRoleError::Untried(_) => {
                Self::told(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            StaticRoleError::NoRole(_) | StaticRoleError::Bad(_) => bad(error),
        }
    }
}
