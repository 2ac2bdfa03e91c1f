//! Which engine, target and role a path means: all mounts as they are now, in memory.

use crate::access::policy::{Capability, is_caseless};
use crate::audit::AuditedHeaders;
use crate::ids::{InstallationId, MountId, TargetId};
use crate::lease::{Generation, Place};
use crate::limits::Limits;
use crate::quota::Quotas;
use crate::store::abandonments::{Abandonment, abandoned_target, all_abandoned};
use crate::store::holds::{Hold, HoldCause, all_holds, held_target};
use crate::store::mounts::{Mount, Role, Target, role_at, target_at};
use crate::store::records::{Found, Records};
use crate::store::{Key, StoreError};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything that operators have set up, as one read of the store saw it.
#[derive(Debug, Default)]
pub struct Catalog {
    read_at: Timestamp,
    mounts: BTreeMap<MountId, Arc<MountEntry>>,
    by_path: BTreeMap<String, Arc<MountEntry>>,
    targets: BTreeMap<(TargetId, Generation), Arc<Found<Target>>>,
    holds: BTreeMap<(TargetId, Generation), Found<Hold>>,
    abandonments: BTreeMap<(TargetId, Generation), Abandonment>,
    quotas: Arc<Quotas>,
    audited_headers: Arc<AuditedHeaders>,
}

/// A mount, with its targets and roles.
#[derive(Debug)]
pub struct MountEntry {
    /// The mount itself.
    pub mount: Found<Mount>,
    /// Its targets by name.
    pub targets: BTreeMap<String, Arc<Found<Target>>>,
    /// Its roles by name.
    pub roles: BTreeMap<String, Arc<Found<Role>>>,
}

impl Catalog {
    /// Reads everything that was written before `now`, and maybe some of what is written meanwhile.
    pub async fn load(records: &Records, now: Timestamp) -> Result<Self, StoreError> {
        let mut catalog = Self { read_at: now, ..Self::default() };
        for (_, mount) in records.all::<Mount>(&Key(b"mount/".to_vec())).await? {
            let id = mount.record.id;
            let roles = records.all::<Role>(&role_at(id, "")).await?;
            let targets = records.all::<Target>(&target_at(id, "")).await?;
            let entry = Arc::new(MountEntry {
                mount,
                roles: roles
                    .into_iter()
                    .map(|(_, r)| (r.record.name.clone(), Arc::new(r)))
                    .collect(),
                targets: targets
                    .into_iter()
                    .map(|(_, t)| (t.record.name.clone(), Arc::new(t)))
                    .collect(),
            });
            for target in entry.targets.values() {
                catalog
                    .targets
                    .insert((target.record.id, target.record.generation), Arc::clone(target));
            }
            if entry.mount.record.closed_at.is_none() {
                catalog.by_path.insert(entry.mount.record.path.clone(), Arc::clone(&entry));
            }
            catalog.mounts.insert(id, entry);
        }
        for (_, retired) in records.all::<Target>(&Key(b"retired/".to_vec())).await? {
            let key = (retired.record.id, retired.record.generation);
            catalog.targets.entry(key).or_insert_with(|| Arc::new(retired));
        }
        for (key, hold) in records.all::<Hold>(&all_holds()).await? {
            // One on a target that is gone holds nothing back.
            if let Some(target) = held_target(&key).filter(|at| catalog.targets.contains_key(at)) {
                catalog.holds.insert(target, hold);
            }
        }
        for (key, abandonment) in records.all::<Abandonment>(&all_abandoned()).await? {
            let at = abandoned_target(&key);
            catalog.abandonments.extend(at.map(|at| (at, abandonment.record)));
        }
        catalog.quotas = Arc::new(records.quotas().await?);
        let headers = records.audited_headers().await?.map(|found| found.record);
        catalog.audited_headers = Arc::new(headers.unwrap_or_default());
        Ok(catalog)
    }

    /// Returns which headers of requests are recorded.
    #[must_use]
    pub fn audited_headers(&self) -> &Arc<AuditedHeaders> {
        &self.audited_headers
    }

    /// Returns when the reading began.
    #[must_use]
    pub fn read_at(&self) -> Timestamp {
        self.read_at
    }

    /// Returns the quotas.
    #[must_use]
    pub fn quotas(&self) -> &Arc<Quotas> {
        &self.quotas
    }

    /// Returns the mount whose path a request's path begins with, and what is left of the path.
    #[must_use]
    pub fn route<'a>(&self, path: &'a str) -> Option<(&Arc<MountEntry>, &'a str)> {
        // Mounts do not nest, so the only candidates are the path's own beginnings.
        path.match_indices('/').map(|(at, _)| at.saturating_add(1)).find_map(|end| {
            let (mount, rest) = path.split_at_checked(end)?;
            self.by_path.get(mount).map(|entry| (entry, rest))
        })
    }

    /// Returns the open mounts by path: those of engines, then those of methods are under `auth/`.
    pub fn mounts(&self) -> impl Iterator<Item = &Arc<MountEntry>> {
        self.by_path.values()
    }

    /// Returns all mounts, closed ones included.
    pub fn all_mounts(&self) -> impl Iterator<Item = &Arc<MountEntry>> {
        self.mounts.values()
    }

    /// Returns the mount at exactly this path (which ends in `/`).
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Arc<MountEntry>> {
        self.by_path.get(path)
    }

    /// Returns the method whose mount has this accessor.
    #[must_use]
    pub fn method_of(&self, accessor: &str) -> Option<&Arc<MountEntry>> {
        let mut methods = self.by_path.values().filter(|entry| entry.mount.record.method.is_some());
        methods.find(|entry| entry.mount.record.accessor() == accessor)
    }

    /// Returns the mount that a new one at `path` would hide, or be hidden by.
    #[must_use]
    pub fn in_the_way(&self, path: &str) -> Option<&str> {
        self.by_path.keys().map(String::as_str).find(|at| nest(at, path))
    }

    /// Returns a mount, closed or not.
    #[must_use]
    pub fn mount(&self, id: MountId) -> Option<&Arc<MountEntry>> {
        self.mounts.get(&id)
    }

    /// Returns a mount by its id, if it is not closed.
    #[must_use]
    pub fn open_mount(&self, id: MountId) -> Option<&Arc<MountEntry>> {
        self.mount(id).filter(|entry| entry.mount.record.closed_at.is_none())
    }

    /// Returns a target in one of its generations, retired or not.
    #[must_use]
    pub fn target(&self, id: TargetId, generation: Generation) -> Option<&Arc<Found<Target>>> {
        self.targets.get(&(id, generation))
    }

    /// Returns all targets in all of their generations, retired ones included.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Found<Target>>> {
        self.targets.values()
    }

    /// Returns what is held back at a target.
    #[must_use]
    pub fn hold(&self, id: TargetId, generation: Generation) -> Option<&Found<Hold>> {
        self.holds.get(&(id, generation))
    }

    /// Returns what an operator has said of a target that is gone for ever.
    #[must_use]
    pub fn abandonment(&self, id: TargetId, generation: Generation) -> Option<&Abandonment> {
        self.abandonments.get(&(id, generation))
    }

    /// Returns all targets that were abandoned, with what was said of them.
    pub fn abandonments(&self) -> impl Iterator<Item = (&(TargetId, Generation), &Abandonment)> {
        self.abandonments.iter()
    }

    /// Whether something is held back at a target for this reason.
    #[must_use]
    pub fn holds_back(&self, cause: HoldCause, id: TargetId, generation: Generation) -> bool {
        self.hold(id, generation).is_some_and(|hold| hold.record.cause == cause)
    }

    /// Returns the holds there are for one reason, with the targets they are on.
    pub fn holds_of(
        &self,
        cause: HoldCause,
    ) -> impl Iterator<Item = (&Arc<Found<Target>>, &Found<Hold>)> {
        self.holds().filter(move |(_, hold)| hold.record.cause == cause)
    }

    /// Returns all holds, with the targets they are on.
    pub fn holds(&self) -> impl Iterator<Item = (&Arc<Found<Target>>, &Found<Hold>)> {
        self.holds.iter().filter_map(|(at, hold)| Some((self.targets.get(at)?, hold)))
    }

    /// Returns the targets that are retired: no longer in any mount, kept for revoking.
    pub fn retired(&self) -> impl Iterator<Item = &Arc<Found<Target>>> {
        self.targets.values().filter(|target| {
            let current = self
                .mounts
                .get(&target.record.mount)
                .and_then(|m| m.targets.get(&target.record.name));
            current.is_none_or(|now| !Arc::ptr_eq(now, target))
        })
    }

    /// Returns the role a lease was made by, if it is still there and still of that target.
    #[must_use]
    pub fn role_of(&self, place: &Place) -> Option<&Arc<Found<Role>>> {
        let entry = self.mounts.get(&place.mount)?;
        let role = entry.roles.get(&place.role)?;
        let target = entry.targets.get(&role.record.target)?;
        (target.record.id == place.target).then_some(role)
    }

    /// Returns a lease's name on the wire: `<mount>creds/<role>/<id>`.
    #[must_use]
    pub fn wire_id(&self, place: &Place, id: crate::ids::LeaseId) -> String {
        format!("{}/{id}", self.creds_path(place.mount, &place.role))
    }

    /// Returns the path that a role's credentials are asked from: `<mount>creds/<role>`.
    #[must_use]
    pub fn creds_path(&self, mount: MountId, role: &str) -> String {
        let mount = self.mounts.get(&mount).map_or("unknown/", |entry| &entry.mount.record.path);
        format!("{mount}creds/{role}")
    }
}

impl MountEntry {
    /// Returns what lends a credential here: to read its path, and at some mounts, as in Vault, to write it.
    #[must_use]
    pub fn lent_by(&self) -> &'static [Capability] {
        match self.mount.record.kind.as_str() {
            "aws" => &[Capability::Read, Capability::Update],
            _ => &[Capability::Read],
        }
    }

    /// How long a lease of this role lives, and how long at most.
    #[must_use]
    pub fn ttls(&self, role: &Role, limits: &Limits) -> (Duration, Duration) {
        self.bounded(role.default_ttl, role.max_ttl, limits)
    }

    /// Returns how long what ends by itself may live: as long as the mount or the system says. What a mount's
    /// configuration says of its leases is about those that are renewed.
    #[must_use]
    pub fn ttl_max(&self, limits: &Limits) -> Duration {
        let of_mount = self.mount.record.max_lease_ttl;
        if of_mount.is_zero() { limits.max_lease_ttl } else { of_mount }
    }

    /// The same where nothing is a role: zero is the mount's, or else the system's.
    #[must_use]
    pub fn bounded(&self, ttl: Duration, max: Duration, limits: &Limits) -> (Duration, Duration) {
        let mount = &self.mount.record;
        let or = |ttl: Duration, other: Duration| if ttl.is_zero() { other } else { ttl };
        let told = mount.lease_config.unwrap_or_default();
        let mount_max = or(mount.max_lease_ttl, limits.max_lease_ttl);
        let told_max = or(told.max_ttl, mount_max).min(mount_max);
        let max = or(max, told_max).min(told_max);
        let mount_ttl = or(mount.default_lease_ttl, limits.default_lease_ttl);
        let ttl = or(ttl, or(told.ttl, mount_ttl));
        (ttl, max)
    }
}

impl Mount {
    /// Returns what names it to Vault's clients, and to templates of policies.
    #[must_use]
    pub fn accessor(&self) -> String {
        match self.method {
            Some(_) => accessor(&format!("auth_{}", self.kind), self.id.bytes()),
            None => accessor(&self.kind, self.id.bytes()),
        }
    }
}

/// The auth method of tokens, which is always there: every installation has another one.
#[must_use]
pub fn token_mount(installation: InstallationId) -> MountId {
    let mut id = *installation.bytes();
    id.iter_mut().skip(10).for_each(|byte| *byte = !*byte);
    MountId::from_bytes(id)
}

/// Returns what names it to Vault's clients, and to templates of policies.
#[must_use]
pub fn token_accessor(installation: InstallationId) -> String {
    accessor("auth_token", token_mount(installation).bytes())
}

/// Names something to Vault's clients by what it is of.
#[must_use]
pub fn accessor(kind: &str, id: &[u8; 16]) -> String {
    // The first half of an id is the time: mounts made in one go would look alike.
    let hex = uuid::Uuid::from_bytes(*id).simple().to_string();
    format!("{kind}_{}", hex.get(24..).unwrap_or_default())
}

impl Target {
    /// Whether a role may use this target.
    #[must_use]
    pub fn allows(&self, role: &str) -> bool {
        self.allowed_roles.iter().any(|pattern| matches(pattern, role))
    }

    /// Returns how many credentials it may have, if that is bounded.
    #[must_use]
    pub fn credentials_max(&self) -> Option<u64> {
        Some(self.max_credentials).filter(|max| *max > 0)
    }
}

/// Vault's globs of names and values: `*` at the beginning, at the end, or at both. Allocates nothing.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    globs(pattern.as_bytes(), name.as_bytes(), |one, other| one == other)
}

/// The same for names that are the same in any case.
pub(crate) fn matches_in_any_case(pattern: &str, name: &str) -> bool {
    globs(pattern.as_bytes(), name.as_bytes(), <[u8]>::eq_ignore_ascii_case)
}

fn globs(pattern: &[u8], name: &[u8], same: fn(&[u8], &[u8]) -> bool) -> bool {
    let is = |part: Option<&[u8]>, wanted: &[u8]| part.is_some_and(|part| same(part, wanted));
    match (pattern.strip_prefix(b"*"), pattern.strip_suffix(b"*")) {
        (Some(b""), _) => true,
        (Some(rest), Some(_)) => rest.strip_suffix(b"*").is_some_and(|middle| {
            middle.is_empty() || name.windows(middle.len()).any(|part| same(part, middle))
        }),
        (Some(end), None) => {
            is(name.len().checked_sub(end.len()).and_then(|at| name.get(at..)), end)
        }
        (None, Some(start)) => is(name.get(..start.len()), start),
        (None, None) => same(pattern, name),
    }
}

/// Whether of two paths of mounts one would hide the other. Methods have to differ in more than case: policies compare
/// what is behind them in any case.
#[must_use]
pub fn nest(one: &str, other: &str) -> bool {
    let compared =
        |path: &str| if is_caseless(path) { path.to_lowercase() } else { path.to_owned() };
    let (one, other) = (compared(one), compared(other));
    one.starts_with(&other) || other.starts_with(&one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_roles_match_as_in_vault() {
        for (pattern, name, allowed) in [
            ("*", "app", true),
            ("app", "app", true),
            ("app", "app2", false),
            ("app*", "app2", true),
            ("*app", "my-app", true),
            ("*pp*", "app2", true),
            ("", "app", false),
        ] {
            assert_eq!(matches(pattern, name), allowed, "{pattern} {name}");
            let upper = pattern.to_uppercase();
            assert_eq!(matches_in_any_case(&upper, name), allowed, "{upper} {name}");
        }
    }
}
