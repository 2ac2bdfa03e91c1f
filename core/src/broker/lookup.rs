//! Tells what is known of leases.

use super::authenticate::{AdmitError, Recorded};
use super::{Broker, Request};
use crate::access::policy::Need;
use crate::audit::Answer;
use crate::ids::{LeaseId, MountId};
use crate::lease::{Lease, LeaseState};
use crate::mount::Catalog;
use crate::store::StoreError;
use crate::store::records::Found;
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

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
        self.served(request, Need::Policy, async |_| {
            let lease = self.find_lease(lease_id).await?.ok_or(LookupError::NoLease)?;
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
        self.served(request, Need::Policy, async |_| {
            let keys = self.under(prefix).await?;
            if keys.is_empty() { Err(LookupError::Empty) } else { Ok(keys.into_iter().collect()) }
        })
        .await
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

    /// Returns the lease that a name on the wire means: its last segment is the id.
    pub(super) async fn find_lease(
        &self,
        lease_id: &str,
    ) -> Result<Option<Found<Lease>>, StoreError> {
        match lease_id.rsplit('/').next().map(str::parse) {
            Some(Ok(id)) if lease_id.contains('/') => self.records.lease(id).await,
            Some(_) | None => Ok(None),
        }
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
            lapses_at: lease.term().lapses_at(),
            seconds_left: lease.term().seconds_left(now),
            renewable: lease.is_held(now),
            revoke_error,
        }
    }
}
