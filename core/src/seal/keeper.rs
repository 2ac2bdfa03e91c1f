//! The port to whatever keeps the root key of a store that opens by itself: a file, a credential of the system, and
//! one day a key service.

use super::RootKey;
use crate::tasks::Pending;
use std::fmt;

/// Keeps a root key, outside the store.
pub trait Keeper: fmt::Debug + Send + Sync {
    /// Returns the word for it that clients are shown.
    fn kind(&self) -> &'static str;

    /// Returns the root key.
    fn recall(&self) -> Pending<'_, Result<RootKey, KeeperError>>;

    /// Keeps a root key where none is kept yet; returns once it is durable.
    fn keep(&self, root: RootKey) -> Pending<'_, Result<(), KeeperError>>;
}

/// There is no root key to be had. Says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeeperError {
    /// None is kept.
    #[error("{0}")]
    Missing(String),
    /// It cannot be read or written.
    #[error("{0}")]
    Unusable(String),
}
