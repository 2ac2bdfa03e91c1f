//! Enables, disables and lists mounts.

use super::authenticate::{AdmitError, Recorded};
use super::revoke::Until;
use super::{Broker, Request};
use crate::access::policy::Need;
use crate::audit::Answer;
use crate::ids::MountId;
use crate::limits::TTL_MAX;
use crate::mount::MountEntry;
use crate::store::StoreError;
use crate::store::mounts::Mount;
use std::sync::Arc;
use std::time::Duration;

/// The families of engines there are.
const KINDS: [&str; 1] = ["database"];
/// What is always there and cannot be a mount.
const RESERVED: [&str; 5] = ["sys/", "auth/", "cubbyhole/", "identity/", "audit/"];
/// The longest path of a mount, in bytes.
const PATH_MAX: usize = 512;

/// What a mount is to be.
#[derive(Clone, Debug, Default)]
pub struct MountWrite {
    /// Where; a `/` at the end is added.
    pub path: String,
    /// Which family.
    pub kind: String,
    /// For people.
    pub description: String,
    /// How long its leases live; zero for the system's default.
    pub default_lease_ttl: Duration,
    /// How long they live at most; zero for the system's maximum.
    pub max_lease_ttl: Duration,
    /// Read back as they were written.
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// The mounts are as they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// What was asked for cannot be.
    #[error("{0}")]
    Bad(String),
    /// There is no such mount.
    #[error("no matching mount: {0:?}")]
    NoMount(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorded for Vec<Arc<MountEntry>> {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Broker {
    /// Enables a mount.
    pub async fn enable_mount(
        self: &Arc<Self>,
        request: &Request,
        wanted: MountWrite,
    ) -> Result<(), MountError> {
        self.served(request, Need::Policy, async |_| self.put_mount(wanted).await).await
    }

    async fn put_mount(&self, wanted: MountWrite) -> Result<(), MountError> {
        // Two at once could each see that nothing is in the way, and then be in each other's.
        let _mounting = self.mounting.lock().await;
        let path = checked_path(&wanted.path)?;
        if wanted.kind.is_empty() {
            return Err(MountError::Bad("backend type must be specified as a string".into()));
        }
        if !KINDS.contains(&wanted.kind.as_str()) {
            let known = KINDS.join(", ");
            let message =
                format!("plugin not found in the catalog: {}; there is: {known}", wanted.kind);
            return Err(MountError::Bad(message));
        }
        if let Some(other) = self.catalog().in_the_way(&path) {
            return Err(MountError::Bad(format!("path is already in use at {other}")));
        }
        let (ttl, max) = (wanted.default_lease_ttl, wanted.max_lease_ttl);
        if !max.is_zero() && ttl > max {
            return Err(MountError::Bad(
                "given default lease TTL greater than given max lease TTL".into(),
            ));
        }
        if ttl > TTL_MAX || max > TTL_MAX {
            return Err(MountError::Bad("a lease TTL may be at most 876000h".into()));
        }
        let mount = Mount {
            id: MountId::new(self.clock.now(), &*self.chance),
            path: path.clone(),
            kind: wanted.kind,
            description: wanted.description,
            default_lease_ttl: ttl,
            max_lease_ttl: max,
            options: wanted.options,
            closed_at: None,
        };
        match self.records.put_new_mount(&mount).await {
            Ok(_) => Ok(self.reload().await?),
            Err(StoreError::Conflict) => {
                Err(MountError::Bad(format!("path is already in use at {path}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Disables a mount: it is closed at once, its leases are revoked, and its targets stay until they are gone.
    pub async fn disable_mount(
        self: &Arc<Self>,
        request: &Request,
        path: &str,
    ) -> Result<(), MountError> {
        self.served(request, Need::Policy, async |_| {
            let path = format!("{}/", path.trim_matches('/'));
            let _mounting = self.mounting.lock().await;
            let catalog = self.catalog();
            // As in Vault, a mount that is not there is disabled already.
            let Some(entry) = catalog.at(&path) else { return Ok(()) };
            self.records.close_mount(&entry.mount, self.clock.now()).await?;
            self.reload().await?;
            self.revoke_mount_soon(entry.mount.record.id);
            Ok(())
        })
        .await
    }

    /// Takes the leases of a closed mount from their holders, beside the caller; the sweep does the rest.
    pub(super) fn revoke_mount_soon(self: &Arc<Self>, mount: MountId) {
        let broker = Arc::clone(self);
        self.tasks.spawn(Box::pin(async move {
            if let Err(error) = broker.revoke_all(&[(mount, None)], Until::Marked).await {
                tracing::error!(%error, "the leases of a disabled mount are not all marked; this is tried again");
            }
        }));
    }

    /// Lists the mounts.
    pub async fn list_mounts(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<Vec<Arc<MountEntry>>, MountError> {
        self.served(request, Need::Policy, async |_| {
            Ok(self.catalog().mounts().map(Arc::clone).collect())
        })
        .await
    }
}

fn checked_path(path: &str) -> Result<String, MountError> {
    let path = format!("{}/", path.trim_matches('/'));
    if path == "/" || path.len() > PATH_MAX {
        return Err(MountError::Bad(format!("a mount needs a path of 1 to {PATH_MAX} bytes")));
    }
    let plain = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment
                .chars()
                .all(|char| !char.is_control() && !char.is_whitespace() && !"\\*+?#".contains(char))
    };
    if !path.trim_end_matches('/').split('/').all(plain) {
        return Err(MountError::Bad(format!(
            "the path {path:?} holds empty segments, spaces, or one of \\ * + ? #"
        )));
    }
    if RESERVED.iter().any(|reserved| path.starts_with(reserved)) {
        return Err(MountError::Bad(format!("path {path:?} is reserved")));
    }
    Ok(path)
}
