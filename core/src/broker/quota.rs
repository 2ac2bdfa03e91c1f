//! Writes quotas, and counts requests under rate limits.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Request};
use crate::address::ClientAddress;
use crate::audit::{Answer, Who};
use crate::limits::{QUOTAS_MAX, TTL_MAX};
use crate::quota::Scope;
use crate::quota::windows::{Allowance, OverRate, Windows};
use crate::store::quotas::{Limit, Quota, QuotaConfig, QuotaKind, quota_at, quota_config_at};
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The longest path, name of a role, or list of exempt paths that is kept, in bytes and in paths.
const TEXT_MAX: usize = 1024;
/// What is there besides the mounts of the catalog.
const ALWAYS_THERE: [&str; 2] = ["sys/", "auth/token/"];

/// What is counted under quotas.
#[derive(Debug, Default)]
pub(super) struct Counted {
    windows: Mutex<Windows>,
    /// Of two quotas that are written at once each could miss that the other is for the same.
    pub(super) writing: futures_util::lock::Mutex<()>,
}

/// What a quota is to be. It is written whole: what is left out is as in a new one.
#[derive(Clone, Debug)]
pub struct QuotaWrite {
    /// What operators call it.
    pub name: String,
    /// What it is for; empty for all there is.
    pub path: String,
    /// The role it is for.
    pub role: String,
    /// Kept for clients that read it back; a quota for all there is is inherited unless said otherwise.
    pub inheritable: Option<bool>,
    /// What it bounds.
    pub limit: Limit,
}

/// What is to be changed of what holds for all quotas; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct QuotaConfigWrite {
    /// Whether requests that are refused for their rate are recorded.
    pub audits_refusals: Option<bool>,
    /// Whether answers tell how much is left of a rate.
    pub tells_what_is_left: Option<bool>,
    /// The paths whose requests no rate limits.
    pub exempt_paths: Option<Vec<String>>,
}

/// The quotas are as they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// What was asked for cannot be.
    #[error("{0}")]
    Bad(String),
    /// There is none.
    #[error("no value found")]
    Empty,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A sender asks more often than a quota lets them. Vault's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("request path {path:?}: rate limit quota exceeded")]
pub struct TooOften {
    path: String,
    /// How long they are refused.
    pub retry_after: Duration,
    /// What there was, if callers are told.
    pub allowance: Option<Allowance>,
}

impl Recorded for Arc<Found<Quota>> {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Recorded for QuotaConfig {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Broker {
    /// Counts a request, before anything else is done with it. Returns how much is left, if callers are told.
    pub fn within_rate(
        &self,
        path: &str,
        from: ClientAddress,
    ) -> Result<Option<Allowance>, TooOften> {
        let catalog = self.catalog();
        let quotas = catalog.quotas();
        let Some(quota) = quotas.of(QuotaKind::RateLimit, path) else { return Ok(None) };
        let rate = quota.record.rate().filter(|_| !quotas.config().exempts(path));
        let Some(rate) = rate else { return Ok(None) };
        let told = |allowance| quotas.config().tells_what_is_left.then_some(allowance);
        let now = self.clock.now();
        let taken = self.counted.windows.lock().take(quota.revision, rate, from.network(), now);
        taken.map(told).map_err(|OverRate { retry_after, allowance }| TooOften {
            path: path.to_owned(),
            retry_after,
            allowance: told(allowance),
        })
    }

    /// Records that a request is refused for its rate, if such are recorded.
    pub async fn record_too_often(
        &self,
        request: &Request,
        refused: &TooOften,
    ) -> Result<(), AdmitError> {
        if !self.catalog().quotas().config().audits_refusals {
            return Ok(());
        }
        let who = Who::stranger(request.token.as_ref(), self.trail.keys());
        self.record_refusal(request, &who, refused).await
    }

    /// Writes a quota.
    pub async fn write_quota(
        self: &Arc<Self>,
        request: &Request,
        wanted: QuotaWrite,
    ) -> Result<(), QuotaError> {
        let put = async |caller: Caller| {
            let _writing = self.counted.writing.lock().await;
            let quota = self.checked_quota(wanted.clone())?;
            let catalog = self.catalog();
            let there = catalog.quotas();
            let same = |other: &&Arc<Found<Quota>>| {
                other.record.scope == quota.scope && other.record.name != quota.name
            };
            if let Some(other) = there.all(quota.kind()).find(same) {
                let name = &other.record.name;
                return Err(QuotaError::Bad(format!(
                    "quota rule with similar properties exists under the name {name:?}"
                )));
            }
            let was = there.named(quota.kind(), &quota.name).map(|was| was.revision);
            if was.is_none() && there.all(quota.kind()).count() >= QUOTAS_MAX {
                return Err(QuotaError::Bad(format!(
                    "there may be {QUOTAS_MAX} quotas of a kind; delete one first"
                )));
            }
            if quota.kind() == QuotaKind::LeaseCount {
                // Once it is written it holds, so the leases are counted before.
                self.count_for_quotas().await?;
            }
            let at = quota_at(quota.kind(), &quota.name);
            let batch = caller.rights.expected(Batch::default());
            let outcome = self.records.replace_if(at, was, &quota, batch).await;
            // Also after a conflict, so that whoever tries again sees what came between.
            self.reload().await?;
            Ok(outcome.map(|_| ())?)
        };
        self.written(request, put).await
    }

    fn checked_quota(&self, wanted: QuotaWrite) -> Result<Quota, QuotaError> {
        let QuotaWrite { name, path, role, inheritable, limit } = wanted;
        let bad = |message: &str| Err(QuotaError::Bad(message.to_owned()));
        if path.len() > TEXT_MAX || role.len() > TEXT_MAX {
            return bad(&format!("`path` and `role` may be of {TEXT_MAX} bytes at most"));
        }
        let scope = self.scope_of(&path, role, matches!(limit, Limit::Leases { .. }))?;
        let is_for_all = scope.mount.is_empty();
        if inheritable == Some(true) && !is_for_all {
            return bad("only a quota without `path` can be `inheritable`");
        }
        let quota = Quota { name, scope, inheritable: inheritable.unwrap_or(is_for_all), limit };
        match quota.limit {
            Limit::Rate { rate, interval, block_interval } => {
                if !(rate > 0.0 && rate.is_finite()) {
                    return bad("'rate' is invalid");
                }
                if interval > TTL_MAX || block_interval > TTL_MAX {
                    return bad("`interval` and `block_interval` may be at most 876000h");
                }
                if quota.rate().is_none_or(|rate| rate.window > TTL_MAX) {
                    return bad(
                        "'rate' is invalid: it lets less than one request through in 876000h",
                    );
                }
            }
            Limit::Leases { max_leases: 0 } => return bad("'max_leases' is invalid"),
            Limit::Leases { .. } => {}
        }
        Ok(quota)
    }

    /// Reads what a quota is for.
    fn scope_of(&self, path: &str, role: String, is_for_leases: bool) -> Result<Scope, QuotaError> {
        let path = path.trim_matches('/');
        if path.is_empty() {
            return match role.as_str() {
                "" => Ok(Scope::default()),
                _ => Err(QuotaError::Bad("`role` needs the mount of the role in `path`".into())),
            };
        }
        let path = format!("{path}/");
        let catalog = self.catalog();
        let always = ALWAYS_THERE.iter().find_map(|at| Some((*at, path.strip_prefix(at)?)));
        let lending = catalog.route(&path);
        let lends = lending.is_some();
        let lending = lending.map(|(entry, rest)| (entry.mount.record.path.as_str(), rest));
        let Some((mount, rest)) = lending.or(always) else {
            return Err(QuotaError::Bad(format!("invalid mount path {path:?}")));
        };
        let suffix = rest.trim_end_matches('/').to_owned();
        if !role.is_empty() && !suffix.is_empty() {
            return Err(QuotaError::Bad(
                "Quotas cannot contain both a path suffix and a role. If a role is provided, path must be a mount with a \
                 concept of roles"
                    .into(),
            ));
        }
        if is_for_leases && !lends {
            return Err(QuotaError::Bad(format!("the mount {mount:?} has no leases to count")));
        }
        if !role.is_empty() && !lends {
            return Err(QuotaError::Bad(format!(
                "Mount path {mount:?} does not support use with role-based quotas"
            )));
        }
        Ok(Scope { mount: mount.to_owned(), suffix, role })
    }

    /// Shows a quota.
    pub async fn read_quota(
        self: &Arc<Self>,
        request: &Request,
        kind: QuotaKind,
        name: &str,
    ) -> Result<Arc<Found<Quota>>, QuotaError> {
        self.served(request, async |_| {
            self.catalog().quotas().named(kind, name).map(Arc::clone).ok_or(QuotaError::Empty)
        })
        .await
    }

    /// Lists the names of the quotas of a kind.
    pub async fn list_quotas(
        self: &Arc<Self>,
        request: &Request,
        kind: QuotaKind,
    ) -> Result<Vec<String>, QuotaError> {
        self.served(request, async |_| {
            let catalog = self.catalog();
            let mut names: Vec<_> =
                catalog.quotas().all(kind).map(|quota| quota.record.name.clone()).collect();
            names.sort_unstable();
            if names.is_empty() { Err(QuotaError::Empty) } else { Ok(names) }
        })
        .await
    }

    /// Deletes a quota; one that is not there is deleted already.
    pub async fn delete_quota(
        self: &Arc<Self>,
        request: &Request,
        kind: QuotaKind,
        name: &str,
    ) -> Result<(), QuotaError> {
        let delete = async |caller: Caller| {
            let _writing = self.counted.writing.lock().await;
            let was = self.catalog().quotas().named(kind, name).map(|was| was.revision);
            let Some(was) = was else { return Ok(()) };
            let batch = caller.rights.expected(Batch::default());
            let outcome = self.records.drop_record_if(quota_at(kind, name), was, batch).await;
            self.reload().await?;
            Ok(outcome.map(|_| ())?)
        };
        self.written(request, delete).await
    }

    /// Shows what holds for all quotas.
    pub async fn read_quota_config(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<QuotaConfig, QuotaError> {
        self.served(request, async |_| Ok(self.catalog().quotas().config().clone())).await
    }

    /// Changes what holds for all quotas.
    pub async fn write_quota_config(
        self: &Arc<Self>,
        request: &Request,
        wanted: QuotaConfigWrite,
    ) -> Result<(), QuotaError> {
        let put = async |caller: Caller| {
            let _writing = self.counted.writing.lock().await;
            let found = self.records.read::<QuotaConfig>(&quota_config_at()).await?;
            let (mut config, was) = found.map(|found| (found.record, found.revision)).unzip();
            let config: &mut QuotaConfig = config.get_or_insert_default();
            if let Some(paths) = wanted.exempt_paths.clone() {
                if paths.len() > TEXT_MAX || paths.iter().any(|path| path.len() > TEXT_MAX) {
                    let message =
                        format!("there may be {TEXT_MAX} exempt paths of {TEXT_MAX} bytes each");
                    return Err(QuotaError::Bad(message));
                }
                config.exempt_paths = paths;
            }
            config.audits_refusals = wanted.audits_refusals.unwrap_or(config.audits_refusals);
            config.tells_what_is_left =
                wanted.tells_what_is_left.unwrap_or(config.tells_what_is_left);
            let batch = caller.rights.expected(Batch::default());
            let outcome = self.records.replace_if(quota_config_at(), was, config, batch).await;
            self.reload().await?;
            Ok(outcome.map(|_| ())?)
        };
        self.written(request, put).await
    }
}
