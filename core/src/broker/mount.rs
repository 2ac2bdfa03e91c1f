//! Enables, disables and lists mounts.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Request};
use crate::audit::Answer;
use crate::ids::MountId;
use crate::limits::{CONFLICT_TRIES, TTL_MAX};
use crate::mount::MountEntry;
use crate::store::StoreError;
use crate::store::mounts::{Mount, mount_at};
use std::sync::Arc;
use std::time::Duration;

/// The families of engines there are.
const KINDS: [&str; 1] = ["database"];
/// Families of Vault's that are there once, or never.
const SINGLE: [&str; 4] = ["cubbyhole", "identity", "system", "token"];
/// Families of Vault's that a caller may expect here.
const LATER: [&str; 12] = [
    "ad", "aws", "azure", "consul", "gcp", "kv", "ldap", "pki", "rabbitmq", "ssh", "totp",
    "transit",
];
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

/// What is to be changed of a mount; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct MountTune {
    /// For people.
    pub description: Option<String>,
    /// How long its leases live; zero for the system's default.
    pub default_lease_ttl: Option<Duration>,
    /// How long they live at most; zero for the system's maximum.
    pub max_lease_ttl: Option<Duration>,
    /// Added to those there are; an empty text takes one away.
    pub options: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The mounts that a caller may do anything with.
#[derive(Debug)]
pub struct VisibleMounts {
    /// The server itself.
    pub system: bool,
    /// Its tokens.
    pub tokens: bool,
    /// What operators have mounted.
    pub entries: Vec<Arc<MountEntry>>,
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
    /// There is nothing to be tuned.
    #[error("tune of path {0:?} failed: no mount entry found")]
    NoEntry(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorded for VisibleMounts {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
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
        self.served(request, async |_| self.put_mount(wanted).await).await
    }

    async fn put_mount(&self, wanted: MountWrite) -> Result<(), MountError> {
        // Two at once could each see that nothing is in the way, and then be in each other's.
        let _mounting = self.mounting.lock().await;
        let path = checked_path(&wanted.path)?;
        if wanted.kind.is_empty() {
            return Err(MountError::Bad("backend type must be specified as a string".into()));
        }
        if let Some(message) = unmountable(&wanted.kind) {
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

    /// Changes how a mount is described and how long its leases live. Leases keep the term they have; a renewal
    /// goes by what is set then.
    pub async fn tune_mount(
        self: &Arc<Self>,
        request: &Request,
        path: &str,
        tune: MountTune,
    ) -> Result<(), MountError> {
        self.served(request, async |_| {
            let path = format!("{}/", path.trim_matches('/'));
            if is_reserved(&path) {
                return Err(MountError::Bad(format!("cannot tune {path:?}")));
            }
            for _ in 0..CONFLICT_TRIES {
                let catalog = self.catalog();
                let was =
                    &catalog.at(&path).ok_or_else(|| MountError::NoEntry(path.clone()))?.mount;
                let tuned = tuned(&was.record, &tune)?;
                let at = mount_at(tuned.id);
                let outcome = self.records.replace(at, Some(was.revision), &tuned).await;
                // Also after a conflict: the next try needs to see what came between.
                self.reload().await?;
                match outcome {
                    Ok(_) => return Ok(()),
                    Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(StoreError::Conflict.into())
        })
        .await
    }

    /// Disables a mount: it is closed at once, its leases are revoked, and its targets stay until they are gone.
    pub async fn disable_mount(
        self: &Arc<Self>,
        request: &Request,
        path: &str,
    ) -> Result<(), MountError> {
        self.served(request, async |_| {
            let path = format!("{}/", path.trim_matches('/'));
            if is_reserved(&path) {
                return Err(MountError::Bad(format!("cannot unmount {path:?}")));
            }
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
            if let Err(error) = broker.mark_all(&[(mount, None)], |_| true).await {
                tracing::error!(%error, "the leases of a disabled mount are not all marked; this is tried again");
            }
        }));
    }

    /// Lists the mounts.
    pub async fn list_mounts(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<Vec<Arc<MountEntry>>, MountError> {
        self.served(request, async |_| Ok(self.catalog().mounts().map(Arc::clone).collect())).await
    }

    /// Returns the mounts at or below which the caller may do anything.
    pub async fn visible_mounts(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<VisibleMounts, MountError> {
        self.served(request, async |caller: Caller| {
            let acl = &caller.rights.acl;
            let catalog = self.catalog();
            let entries = catalog.mounts().filter(|entry| acl.reaches(&entry.mount.record.path));
            Ok(VisibleMounts {
                system: acl.reaches("sys/"),
                tokens: acl.reaches("auth/token/"),
                entries: entries.map(Arc::clone).collect(),
            })
        })
        .await
    }
}

fn tuned(was: &Mount, tune: &MountTune) -> Result<Mount, MountError> {
    let mut mount = was.clone();
    if let Some(description) = &tune.description {
        mount.description.clone_from(description);
    }
    if let Some(options) = &tune.options {
        mount.options.extend(options.clone());
        // An empty value takes an option away, as in Vault.
        mount.options.retain(|_, value| value.as_str() != Some(""));
    }
    mount.default_lease_ttl = tune.default_lease_ttl.unwrap_or(mount.default_lease_ttl);
    mount.max_lease_ttl = tune.max_lease_ttl.unwrap_or(mount.max_lease_ttl);
    let (ttl, max) = (mount.default_lease_ttl, mount.max_lease_ttl);
    if !max.is_zero() && ttl > max {
        let (ttl, max) = (ttl.as_secs(), max.as_secs());
        return Err(MountError::Bad(format!(
            "backend max lease TTL of {max} would be less than backend default lease TTL of {ttl}"
        )));
    }
    if ttl > TTL_MAX || max > TTL_MAX {
        return Err(MountError::Bad("a lease TTL may be at most 876000h".into()));
    }
    Ok(mount)
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
    if is_reserved(&path) {
        return Err(MountError::Bad(format!("cannot mount {path:?}")));
    }
    Ok(path)
}

fn is_reserved(path: &str) -> bool {
    RESERVED.iter().any(|reserved| path.starts_with(reserved))
}

/// Says why no mount can be of a family.
fn unmountable(kind: &str) -> Option<String> {
    if KINDS.contains(&kind) {
        None
    } else if SINGLE.contains(&kind) {
        Some(format!("mount type of {kind:?} is not mountable"))
    } else if LATER.contains(&kind) {
        let known = KINDS.join(", ");
        Some(format!(
            "plugin not found in the catalog: {kind}; it is not supported yet, there is: {known}"
        ))
    } else {
        Some(format!("plugin not found in the catalog: {kind}"))
    }
}
