//! Errors of what compares targets with the leases, and of mass revocations.

use super::{Refusal, bad, of_target};
use actix_web::http::StatusCode;
use leasehold_core::broker::{AbandonError, MassRevocationError, ReconcileError, RehearseError};

impl From<AbandonError> for Refusal {
    fn from(error: AbandonError) -> Self {
        match error {
            AbandonError::Admit(error) => error.into(),
            AbandonError::Store(error) => error.into(),
            AbandonError::Nothing(_) => Self::told(StatusCode::NOT_FOUND, error.to_string()),
            AbandonError::Configured(_) | AbandonError::Which { .. } | AbandonError::NoReason => {
                bad(error)
            }
        }
    }
}

impl From<ReconcileError> for Refusal {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Admit(error) => error.into(),
            ReconcileError::Store(error) => error.into(),
            ReconcileError::Target(ref target) => of_target(target, error.to_string()),
            ReconcileError::NoTarget(_) | ReconcileError::NotCompared(_) => {
                Self::told(StatusCode::NOT_FOUND, error.to_string())
            }
            ReconcileError::NoPlan
            | ReconcileError::TooMuch { .. }
            | ReconcileError::Unusable(_) => bad(error),
        }
    }
}

impl From<RehearseError> for Refusal {
    fn from(error: RehearseError) -> Self {
        match error {
            RehearseError::Admit(error) => error.into(),
            RehearseError::Issue(error) => error.into(),
            RehearseError::Store(error) => error.into(),
            RehearseError::UnderWay(_) => {
                Self::told(StatusCode::TOO_MANY_REQUESTS, error.to_string())
            }
            RehearseError::Never(_) => Self::told(StatusCode::NOT_FOUND, error.to_string()),
        }
    }
}

impl From<MassRevocationError> for Refusal {
    fn from(error: MassRevocationError) -> Self {
        match error {
            MassRevocationError::Admit(error) => error.into(),
            MassRevocationError::Store(error) => error.into(),
            MassRevocationError::NoSuchPrefix(_)
            | MassRevocationError::NoTarget(_)
            | MassRevocationError::NoLease(_)
            | MassRevocationError::NoJob => Self::told(StatusCode::NOT_FOUND, error.to_string()),
            MassRevocationError::TooMany => {
                Self::told(StatusCode::TOO_MANY_REQUESTS, error.to_string())
            }
            MassRevocationError::OneLease(_)
            | MassRevocationError::Tokens(_)
            | MassRevocationError::Done => bad(error),
        }
    }
}
