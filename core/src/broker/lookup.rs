//! Tells what is known of leases.

use super::authenticate::{AdmitError, Recorded};
use super::{Broker, Request};
use crate::audit::Answer;
use crate::ids::{LeaseId, MountId};
use crate::lease::{Lease, LeaseState, Revoking};
use crate::limits::{READ_CHUNK, RETRY_LAST};
use crate::mount::Catalog;
use crate::store::StoreError;
use crate::store::leases::due_from;
use crate::store::records::Found;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A lease as its holder or an operator sees it.
#[derive(Clone, Debug)]
pub struct LeaseView {
    /// Its name on the wire.
    pub lease_id: String,
    /// The path it was asked from.
    pub path: String,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it was last renewed.
    pub renewed_at: Option<Timestamp>,
    /// When it ends unless renewed.
    pub lapses_at: Timestamp,
    /// The whole seconds that are left.
    pub seconds_left: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Why the last attempt to revoke it failed.
    pub revoke_error: Option<String>,
}

/// Nothing is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such lease.
    #[error("invalid lease")]
    NoLease,
    /// There is nothing under the prefix.
    #[error("no value found")]
    Empty,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A lease whose credential could not be removed yet.
#[derive(Clone, Debug)]
pub struct FailedRevocation {
    /// Its name on the wire.
    pub lease_id: String,
    /// The mount it was asked from.
    pub mount: MountId,
    /// Why the last attempt failed.
    pub error: String,
    /// How many attempts have failed.
    pub attempts: u32,
    /// When the next one starts.
    pub retry_at: Timestamp,
}

/// The leases whose credentials could not be removed yet.
#[derive(Clone, Debug, Default)]
pub struct FailedLeases {
    /// The first of them, as many as were asked for.
    pub leases: Vec<FailedRevocation>,
    /// How many there are of each mount.
    pub by_mount: BTreeMap<MountId, usize>,
}

impl FailedLeases {
    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_mount.values().copied().fold(0, usize::saturating_add)
    }
}

/// What a prefix of lease ids means.
#[derive(Clone, Debug)]
pub(super) enum Prefix {
    /// One lease.
    Lease(LeaseId),
    /// Mounts, or roles of mounts; none if nothing has leases under it.
    Places(Vec<(MountId, Option<String>)>),
}

impl Recorded for LeaseView {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "id": self.lease_id, "ttl": self.seconds_left })))
    }
}

impl Recorded for FailedLeases {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "lease_count": self.count() })))
    }
}

impl Recorded for Vec<String> {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "keys": self })))
    }
}

impl Prefix {
    /// Reads a prefix by whole segments: `app` is never a beginning of `app2`. Mounts that are disabled and still
    /// have leases are meant as well.
    pub(super) fn parse(catalog: &Catalog, text: &str) -> Self {
        let text = format!("{}/", text.trim_matches('/'));
        let mut places = Vec::new();
        for entry in catalog.all_mounts() {
            let mount = &entry.mount.record;
            if text != "/" && mount.path.starts_with(&text) {
                places.push((mount.id, None));
            }
            let Some(rest) = text.strip_prefix(&mount.path) else { continue };
            let mut segments = rest.split_terminator('/');
            match (segments.next(), segments.next(), segments.next(), segments.next()) {
                (Some("creds"), None, ..) => places.push((mount.id, None)),
                (Some("creds"), Some(role), None, _) => {
                    places.push((mount.id, Some(role.to_owned())));
                }
                (Some("creds"), Some(_), Some(id), None) => {
                    if let Ok(id) = id.parse() {
                        return Self::Lease(id);
                    }
                }
                _ => {}
            }
        }
        Self::Places(places)
    }
}

impl Broker {
    /// Tells what is known of a lease.
    pub async fn lookup_lease(
        self: &Arc<Self>,
        request: &Request,
        lease_id: &str,
    ) -> Result<LeaseView, LookupError> {
        self.served(request, async |_| {
            let lease = self.find_lease(request, lease_id).await?.ok_or(LookupError::NoLease)?;
            Ok(self.view(&lease.record))
        })
        .await
    }

    /// Lists what is one level under a prefix of lease ids; levels below end in `/`.
    pub async fn list_leases(
        self: &Arc<Self>,
        request: &Request,
        prefix: &str,
    ) -> Result<Vec<String>, LookupError> {
        self.served(request, async |_| {
            let keys = self.under(prefix).await?;
            if keys.is_empty() { Err(LookupError::Empty) } else { Ok(keys.into_iter().collect()) }
        })
        .await
    }

    /// Lists the leases whose last attempt to revoke failed, `limit` of them at most, and counts all. None is ever
    /// given up.
    pub async fn failed_leases(
        self: &Arc<Self>,
        request: &Request,
        limit: usize,
    ) -> Result<FailedLeases, LookupError> {
        self.served(request, async |_| {
            let mut failed = FailedLeases::default();
            // Every failed attempt is followed by another one within this, so no lease beyond it has failed.
            let to = self.clock.now().plus(RETRY_LAST).plus(Duration::from_millis(1));
            let mut from = due_from(Timestamp(0));
            loop {
                let due = self.records.leases_due(&from, to, READ_CHUNK).await?;
                let Some((.., last)) = due.last() else { return Ok(failed) };
                from = last.next();
                for (_, id, _) in due {
                    let Some(lease) = self.records.lease(id).await? else { continue };
                    let Some(failure) = self.failure(&lease.record) else { continue };
                    let count = failed.by_mount.entry(failure.mount).or_default();
                    *count = count.saturating_add(1);
                    if failed.leases.len() < limit {
                        failed.leases.push(failure);
                    }
                }
            }
        })
        .await
    }

    fn failure(&self, lease: &Lease) -> Option<FailedRevocation> {
        let LeaseState::Revoking(Revoking { error: Some(error), attempts, retry_at, .. }) =
            lease.state()
        else {
            return None;
        };
        Some(FailedRevocation {
            lease_id: self.catalog().wire_id(lease.place(), lease.id()),
            mount: lease.place().mount,
            error: error.clone(),
            attempts: *attempts,
            retry_at: *retry_at,
        })
    }

    async fn under(&self, prefix: &str) -> Result<BTreeSet<String>, StoreError> {
        let catalog = self.catalog();
        let text = prefix.trim_matches('/');
        let mut keys = BTreeSet::new();
        if let Prefix::Places(places) = Prefix::parse(&catalog, text) {
            for (mount, role) in places {
                if let Some(role) = role {
                    keys.append(&mut self.ids_of_role(mount, &role).await?);
                }
            }
        }
        // Above a role the levels are those of the mounts' paths and their roles.
        let above = if text.is_empty() { String::new() } else { format!("{text}/") };
        for entry in catalog.all_mounts() {
            for role in self.records.roles_with_leases(entry.mount.record.id).await? {
                let path = format!("{}creds/{role}/", entry.mount.record.path);
                let level =
                    path.strip_prefix(&above).and_then(|rest| rest.split_inclusive('/').next());
                keys.extend(level.map(str::to_owned));
            }
        }
        Ok(keys)
    }

    async fn ids_of_role(
        &self,
        mount: MountId,
        role: &str,
    ) -> Result<BTreeSet<String>, StoreError> {
        let mut ids = BTreeSet::new();
        let mut after = None;
        loop {
            let chunk = crate::limits::READ_CHUNK;
            let found =
                self.records.leases_of_role(mount, Some(role), after.as_ref(), chunk).await?;
            let Some((last, _)) = found.last() else { return Ok(ids) };
            after = Some(last.clone());
            ids.extend(found.iter().map(|(_, placed)| placed.lease.to_string()));
        }
    }

    /// Returns the lease that a name on the wire means: its last segment is the id. Where the request names it in its
    /// path, policies were asked about that path, so all of it must be the lease's.
    pub(super) async fn find_lease(
        &self,
        request: &Request,
        lease_id: &str,
    ) -> Result<Option<Found<Lease>>, StoreError> {
        let found = match lease_id.rsplit('/').next().map(str::parse) {
            Some(Ok(id)) if lease_id.contains('/') => self.records.lease(id).await?,
            Some(_) | None => None,
        };
        let in_path = request.asked.path.ends_with(lease_id);
        Ok(found.filter(|found| {
            let lease = &found.record;
            !in_path || self.catalog().wire_id(lease.place(), lease.id()) == lease_id
        }))
    }

    pub(super) fn view(&self, lease: &Lease) -> LeaseView {
        let now = self.clock.now();
        let lease_id = self.catalog().wire_id(lease.place(), lease.id());
        let path = lease_id.rsplit_once('/').map_or("", |(path, _)| path).to_owned();
        let revoke_error = match lease.state() {
            LeaseState::Held => None,
            LeaseState::Revoking(revoking) => revoking.error.clone(),
        };
        LeaseView {
            lease_id,
            path,
            issued_at: lease.issued_at(),
            renewed_at: lease.renewed_at(),
            lapses_at: lease.works_until(),
            seconds_left: lease.works_until().since(now).as_secs(),
            renewable: lease.is_held(now) && !lease.ends_itself(),
            revoke_error,
        }
    }
}
