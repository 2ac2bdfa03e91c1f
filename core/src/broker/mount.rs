//! Enables, disables and lists mounts: those of engines, and those of methods under `auth/`.

mod lease_config;

use super::access::Rights;
use super::authenticate::{AdmitError, Caller, Recorded};
use super::revoke::Until;
use super::token::Children;
use super::{Broker, Request};
use crate::access::lockout::LockoutConfig;
use crate::access::login::METHODS;
use crate::access::params::TokenType;
use crate::access::policy::Acl;
use crate::access::token::EndCause;
use crate::audit::Answer;
use crate::ids::MountId;
use crate::limits::{TOKENS_AT_ONCE, TTL_MAX};
use crate::mount::MountEntry;
use crate::store::leases::of_login_leases;
use crate::store::mounts::{MethodSettings, Mount, mount_at};
use crate::store::tokens::TokenKey;
use crate::store::{Batch, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// The families of engines there are.
const KINDS: [&str; 2] = ["aws", "database"];
/// Families of Vault's that are there once, or never.
const SINGLE: [&str; 4] = ["cubbyhole", "identity", "system", "token"];
/// Families of Vault's that a caller may expect here.
const LATER: [&str; 11] =
    ["ad", "azure", "consul", "gcp", "kv", "ldap", "pki", "rabbitmq", "ssh", "totp", "transit"];
/// Methods of Vault's that a caller may expect here.
const METHODS_LATER: [&str; 12] = [
    "aws",
    "azure",
    "cert",
    "gcp",
    "github",
    "jwt",
    "kerberos",
    "kubernetes",
    "ldap",
    "oidc",
    "okta",
    "radius",
];
/// Where methods are.
const AUTH: &str = "auth/";
/// What is always there and cannot be a mount.
const RESERVED: [&str; 5] = ["sys/", "auth/", "cubbyhole/", "identity/", "audit/"];
/// The longest path of a mount, in bytes.
const PATH_MAX: usize = 512;

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// An engine family.
    #[default]
    Engines,
    /// A method, under `auth/`.
    Methods,
}

/// What a mount is to be.
#[derive(Clone, Debug, Default)]
pub struct MountWrite {
    /// An engine family or a method.
    pub side: Side,
    /// Where, without `auth/`; a `/` at the end is added.
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
    /// How the tokens of a method are kept.
    pub token_type: Option<TokenType>,
    /// When a method locks names.
    pub lockout: Option<LockoutWrite>,
}

/// What is to be changed of when names are locked; `None` leaves it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockoutWrite {
    /// See [`LockoutConfig`].
    pub threshold: Option<u32>,
    /// See [`LockoutConfig`].
    pub duration: Option<Duration>,
    /// See [`LockoutConfig`].
    pub reset_after: Option<Duration>,
    /// See [`LockoutConfig`].
    pub disabled: Option<bool>,
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
    /// How the tokens of a method are kept.
    pub token_type: Option<TokenType>,
    /// When a method locks names.
    pub lockout: Option<LockoutWrite>,
}

/// The mounts that a caller may do anything with.
#[derive(Debug)]
pub struct VisibleMounts {
    acl: Arc<Acl>,
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
    /// Whoever disabled it now would take away the only record of what an account may have.
    #[error(
        "the secret of {account} is being rotated, and only this mount knows what it may be; try again in a moment, or, if \
         the target `{target}` is gone for ever, delete its configuration first"
    )]
    Unsettled {
        /// Whose secret it is.
        account: String,
        /// Where the account is.
        target: String,
    },
    /// No such move is remembered.
    #[error("no move of a mount has this `migration_id` since the start of the server")]
    NoMove,
    /// There is nothing to be tuned.
    #[error("tune of path {0:?} failed: no mount entry found")]
    NoEntry(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl VisibleMounts {
    /// Whether the caller may do anything at or below a path.
    #[must_use]
    pub fn reaches(&self, path: &str) -> bool {
        self.acl.reaches(path)
    }
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
        let put = async |caller: Caller| self.put_mount(&wanted, &caller.rights).await;
        self.written(request, put).await
    }

    async fn put_mount(&self, wanted: &MountWrite, rights: &Rights) -> Result<(), MountError> {
        // Two at once could each see that nothing is in the way, and then be in each other's.
        let _mounting = self.mounting.lock().await;
        let path = checked_path(wanted.side, &wanted.path)?;
        if wanted.kind.is_empty() {
            return Err(MountError::Bad("backend type must be specified as a string".into()));
        }
        if let Some(message) = unmountable(wanted.side, &wanted.kind) {
            return Err(MountError::Bad(message));
        }
        if let Some(other) = self.catalog().in_the_way(&path) {
            return Err(in_use(other));
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
            kind: wanted.kind.clone(),
            description: wanted.description.clone(),
            default_lease_ttl: ttl,
            max_lease_ttl: max,
            options: wanted.options.clone(),
            method: (wanted.side == Side::Methods).then(MethodSettings::default),
            lease_config: None,
            closed_at: None,
        };
        let mount = with_method(mount, wanted.token_type, wanted.lockout)?;
        match self.records.put_new_mount(&mount, rights.expected(Batch::default())).await {
            Ok(_) => Ok(self.reload().await?),
            Err(StoreError::Conflict) if self.records.has_mount_at(&path).await? => {
                Err(in_use(&path))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Changes how a mount is described and how long its leases live. Leases keep the term they have; a renewal
    /// goes by what is set then.
    pub async fn tune_mount(
        self: &Arc<Self>,
        request: &Request,
        (side, path): (Side, &str),
        tune: MountTune,
    ) -> Result<(), MountError> {
        self.written(request, async |caller: Caller| {
            let path = full_path(side, path);
            if is_reserved(side, &path) {
                return Err(MountError::Bad(format!("cannot tune {path:?}")));
            }
            let catalog = self.catalog();
            let was = &catalog.at(&path).ok_or_else(|| MountError::NoEntry(path.clone()))?.mount;
            let tuned = tuned(&was.record, &tune)?;
            let batch = caller.rights.expected(Batch::default());
            let at = mount_at(tuned.id);
            self.records.replace_if(at, Some(was.revision), &tuned, batch).await?;
            Ok(self.reload().await?)
        })
        .await
    }

    /// Disables a mount: it is closed at once, its leases are revoked, and its targets stay until they are gone. The
    /// tokens of a method are good for nothing from then on, and are ended with what was lent to them. It is refused while
    /// nobody else would know the secret of an account: what was asked could land after one that managed it anew.
    pub async fn disable_mount(
        self: &Arc<Self>,
        request: &Request,
        (side, path): (Side, &str),
    ) -> Result<(), MountError> {
        self.written(request, async |caller: Caller| {
            let path = full_path(side, path);
            if is_reserved(side, &path) {
                return Err(MountError::Bad(match side {
                    Side::Engines => format!("cannot unmount {path:?}"),
                    Side::Methods => "token credential backend cannot be disabled".into(),
                }));
            }
            let _mounting = self.mounting.lock().await;
            let catalog = self.catalog();
            // As in Vault, a mount that is not there is disabled already.
            let Some(entry) = catalog.at(&path) else { return Ok(()) };
            let batch = caller.rights.expected(Batch::default());
            let batch = self.expect_settled(entry, batch).await?;
            self.records.close_mount(&entry.mount, self.clock.now(), batch).await?;
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
                tracing::error!(%error, "the leases and tokens of a disabled mount are not all marked; this is tried again");
            }
        }));
    }

    /// Ends the tokens that logins at a mount made, in bounded groups; those that have ended are looked after already.
    /// Batch tokens cannot be found, but what they were lent can.
    pub(super) async fn end_tokens_of(self: &Arc<Self>, mount: MountId) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let tokens =
                self.records.tokens_of_mount(mount, after.as_ref(), TOKENS_AT_ONCE).await?;
            let Some(last) = tokens.last() else { break };
            after = Some(*last);
            let ends = tokens.into_iter().map(|key| self.end_held_token(key));
            // All of them, whatever becomes of one.
            for outcome in futures_util::future::join_all(ends).await {
                outcome?;
            }
        }
        self.mark_leases(&of_login_leases(mount)).await?;
        Ok(())
    }

    async fn end_held_token(self: &Arc<Self>, key: TokenKey) -> Result<(), StoreError> {
        match self.records.token(&key).await?.filter(|held| held.record.ended.is_none()) {
            Some(_) => self.end_token(&key, Children::End, EndCause::MethodDisabled).await,
            None => Ok(()),
        }
    }

    /// Lists the mounts of one side.
    pub async fn list_mounts(
        self: &Arc<Self>,
        request: &Request,
        side: Side,
    ) -> Result<Vec<Arc<MountEntry>>, MountError> {
        self.served(request, async |_| {
            let catalog = self.catalog();
            let mounts = catalog.mounts().filter(|entry| Side::of(&entry.mount.record) == side);
            Ok(mounts.map(Arc::clone).collect())
        })
        .await
    }

    /// Returns the mounts at or below which the caller may do anything.
    pub async fn visible_mounts(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<VisibleMounts, MountError> {
        self.served(request, async |caller: Caller| {
            let acl = caller.rights.acl;
            let catalog = self.catalog();
            let entries = catalog.mounts().filter(|entry| acl.reaches(&entry.mount.record.path));
            let entries = entries.map(Arc::clone).collect();
            Ok(VisibleMounts { acl, entries })
        })
        .await
    }
}

impl Side {
    /// Tells what a mount is of.
    #[must_use]
    pub fn of(mount: &Mount) -> Self {
        if mount.method.is_some() { Self::Methods } else { Self::Engines }
    }
}

/// Returns the path of a mount as it is kept.
pub(super) fn full_path(side: Side, path: &str) -> String {
    let path = path.trim_matches('/');
    match side {
        Side::Engines => format!("{path}/"),
        Side::Methods => format!("{AUTH}{path}/"),
    }
}

fn in_use(path: &str) -> MountError {
    let path = path.strip_prefix(AUTH).unwrap_or(path);
    MountError::Bad(format!("path is already in use at {path}"))
}

/// Changes what only a method has.
fn with_method(
    mut mount: Mount,
    token_type: Option<TokenType>,
    lockout: Option<LockoutWrite>,
) -> Result<Mount, MountError> {
    let Some(method) = &mut mount.method else { return Ok(mount) };
    method.token_type = match token_type.unwrap_or(method.token_type) {
        TokenType::Default => TokenType::DefaultService,
        set @ (TokenType::DefaultService
        | TokenType::DefaultBatch
        | TokenType::Service
        | TokenType::Batch) => set,
    };
    let Some(write) = lockout else { return Ok(mount) };
    let was = method.lockout.unwrap_or_default();
    let lockout = LockoutConfig {
        threshold: write.threshold.unwrap_or(was.threshold),
        duration: write.duration.unwrap_or(was.duration),
        reset_after: write.reset_after.unwrap_or(was.reset_after),
        disabled: write.disabled.unwrap_or(was.disabled),
    };
    if lockout.duration > TTL_MAX || lockout.reset_after > TTL_MAX {
        return Err(MountError::Bad(
            "a duration of `user_lockout_config` may be at most 876000h".into(),
        ));
    }
    if lockout.threshold == 0 {
        return Err(MountError::Bad(
            "`lockout_threshold` is at least 1; `lockout_disable` switches the lockout off".into(),
        ));
    }
    method.lockout = Some(lockout);
    Ok(mount)
}

fn tuned(was: &Mount, tune: &MountTune) -> Result<Mount, MountError> {
    let mut mount = with_method(was.clone(), tune.token_type, tune.lockout)?;
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

pub(super) fn checked_path(side: Side, path: &str) -> Result<String, MountError> {
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
    // What is below `sys/mounts` and ends so tunes the mount before it, so that this one could be neither read nor disabled.
    if path.ends_with("/tune/") {
        return Err(MountError::Bad(format!("cannot mount {path:?}: the path ends in `/tune`")));
    }
    let full = full_path(side, &path);
    match side {
        Side::Methods if is_reserved(side, &full) => Err(in_use(&path)),
        Side::Engines if is_reserved(side, &full) => {
            Err(MountError::Bad(format!("cannot mount {path:?}")))
        }
        Side::Engines | Side::Methods => Ok(full),
    }
}

/// Whether a path is that of something that is always there.
pub(super) fn is_reserved(side: Side, path: &str) -> bool {
    match side {
        Side::Engines => RESERVED.iter().any(|reserved| path.starts_with(reserved)),
        Side::Methods => path.to_lowercase().starts_with("auth/token/"),
    }
}

/// Says why no mount can be of a family, or of a method.
fn unmountable(side: Side, kind: &str) -> Option<String> {
    let (kinds, later): (&[&str], &[&str]) = match side {
        Side::Engines => (&KINDS, &LATER),
        Side::Methods => (&METHODS, &METHODS_LATER),
    };
    if kinds.contains(&kind) {
        None
    } else if SINGLE.contains(&kind) {
        Some(format!("mount type of {kind:?} is not mountable"))
    } else if later.contains(&kind) {
        let known = kinds.join(", ");
        Some(format!(
            "plugin not found in the catalog: {kind}; it is not supported yet, there is: {known}"
        ))
    } else {
        Some(format!("plugin not found in the catalog: {kind}"))
    }
}
