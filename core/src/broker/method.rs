//! What administering every method has in common: its errors, its mount, and names that are locked.

use super::authenticate::{AdmitError, Recorded};
use super::{Broker, Request};
use crate::access::hash_queue::Full;
use crate::access::login::plain_name;
use crate::access::params::BadParams;
use crate::audit::Answer;
use crate::mount::MountEntry;
use crate::store::StoreError;
use std::sync::Arc;

/// A method is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// No such method is there.
    #[error("no handler for route {0:?}. route entry not found.")]
    NoMount(String),
    /// There is nothing of that name, or nothing at all.
    #[error("no value found")]
    Nothing,
    /// What it is about does not exist.
    #[error("{0}")]
    Missing(String),
    /// What the path names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for cannot be.
    #[error("{0}")]
    Bad(String),
    /// Too many passwords are being hashed.
    #[error("too many logins at once; try again in a few seconds")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BadParams> for MethodError {
    fn from(BadParams(message): BadParams) -> Self {
        Self::Bad(message)
    }
}

impl From<Full> for MethodError {
    fn from(Full: Full) -> Self {
        Self::Busy
    }
}

/// A name that is locked, and where.
#[derive(Clone, Debug)]
pub struct LockedName {
    /// The mount.
    pub mount: Arc<MountEntry>,
    /// The name, written in one way.
    pub name: String,
}

impl Recorded for Vec<LockedName> {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "total": self.len() })))
    }
}

impl Broker {
    /// Returns the mount of a method of this kind.
    pub(super) fn method_at(&self, kind: &str, path: &str) -> Result<Arc<MountEntry>, MethodError> {
        let entry = self.catalog().at(path).map(Arc::clone);
        let entry = entry.filter(|entry| entry.mount.record.kind == kind);
        entry.ok_or_else(|| MethodError::NoMount(path.to_owned()))
    }

    /// Lists the names that are locked, with their mounts.
    pub async fn locked_names(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<Vec<LockedName>, MethodError> {
        self.served(request, async |_| {
            let (catalog, now) = (self.catalog(), self.clock.now());
            let config = |mount| {
                let entry = catalog.mount(mount)?;
                Some(entry.mount.record.method.as_ref()?.lockout.unwrap_or_default())
            };
            let locked = self.lockouts.lock().locked(config, now);
            let named =
                |(mount, name)| Some(LockedName { mount: Arc::clone(catalog.mount(mount)?), name });
            Ok(locked.into_iter().filter_map(named).collect())
        })
        .await
    }

    /// Lets a name in again that is locked; one that is not stays as it is.
    pub async fn unlock_name(
        self: &Arc<Self>,
        request: &Request,
        mount: impl Fn(&MountEntry) -> bool,
        name: &str,
    ) -> Result<(), MethodError> {
        self.served(request, async |_| {
            let catalog = self.catalog();
            let mut methods = catalog.mounts().filter(|entry| entry.mount.record.method.is_some());
            let entry = methods.find(|entry| mount(entry));
            let entry = entry.ok_or_else(|| {
                MethodError::Missing("no auth method has this mount accessor".into())
            })?;
            self.lockouts.lock().unlock(entry.mount.record.id, &plain_name(name));
            Ok(())
        })
        .await
    }
}
