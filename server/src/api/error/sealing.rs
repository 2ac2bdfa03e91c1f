//! The errors of the seal and its keys, each to its status.

use super::{Refusal, bad, internal};
use crate::wiring::{FoundError, UnsealError};
use actix_web::http::StatusCode;
use leasehold_core::broker::{HolderError, KeyRingError};
use leasehold_core::seal::SealError;
use leasehold_core::seal::splits::WrongShare;

impl From<KeyRingError> for Refusal {
    fn from(error: KeyRingError) -> Self {
        match error {
            KeyRingError::Admit(error) => error.into(),
            KeyRingError::Bad(_) | KeyRingError::Seal(SealError::RingFull) => bad(error),
            KeyRingError::Seal(SealError::Store(error)) => error.into(),
            KeyRingError::Seal(
                SealError::AlreadyInitialized
                | SealError::NotInitialized
                | SealError::WrongKey
                | SealError::Altered(_),
            ) => internal(error),
        }
    }
}

impl From<SealError> for Refusal {
    fn from(error: SealError) -> Self {
        internal(error)
    }
}

impl From<HolderError> for Refusal {
    fn from(error: HolderError) -> Self {
        match error {
            HolderError::Admit(error) => error.into(),
            HolderError::Seal(SealError::Store(error)) => error.into(),
            HolderError::NoHolders
            | HolderError::InProgress(_)
            | HolderError::NotInProgress(_)
            | HolderError::OtherNonce { .. }
            | HolderError::Bad(_)
            | HolderError::Wrong(WrongShare::Unknown) => bad(error),
            HolderError::Wrong(WrongShare::Altered) | HolderError::Seal(_) => internal(error),
        }
    }
}

impl From<UnsealError> for Refusal {
    fn from(error: UnsealError) -> Self {
        match error {
            UnsealError::NotInitialized
            | UnsealError::IsMoving
            | UnsealError::IsNotMoving
            | UnsealError::OpensByItself(_)
            | UnsealError::NoRecoveryKey
            | UnsealError::Wrong(WrongShare::Unknown) => bad(error),
            UnsealError::ResetByStranger => Self::told(StatusCode::FORBIDDEN, error.to_string()),
            UnsealError::Wrong(WrongShare::Altered)
            | UnsealError::Seal(_)
            | UnsealError::Keeper(_) => internal(error),
        }
    }
}

impl From<FoundError> for Refusal {
    fn from(error: FoundError) -> Self {
        match error {
            FoundError::Seal(SealError::AlreadyInitialized) => bad("Vault is already initialized"),
            FoundError::Seal(
                SealError::NotInitialized
                | SealError::WrongKey
                | SealError::Altered(_)
                | SealError::RingFull
                | SealError::Store(_),
            )
            | FoundError::Keeper(_)
            | FoundError::Store(_) => internal(error),
        }
    }
}
