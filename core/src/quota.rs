//! Quotas: how often somebody may ask, and how many leases there may be, of the whole installation or of a part of it.
//!
//! Of the quotas of a kind one counts for each request: the most specific. All here is pure; time comes as an argument.

pub mod estimates;
pub mod tallies;
pub mod windows;

use crate::store::quotas::{Quota, QuotaConfig, QuotaKind};
use crate::store::records::Found;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a quota is for: all there is, a mount, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scope {
    /// The path of a mount, which ends in `/`; empty for all there is.
    pub mount: String,
    /// What follows in the path; with `*` at the end, what it begins with.
    #[serde(default)]
    pub suffix: String,
    /// The role whose credentials are asked for, in place of what follows.
    #[serde(default)]
    pub role: String,
}

/// How closely a scope describes what it is for, as in Vault: a role, a path, the longest beginning of a path, a mount,
/// all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    All,
    Mount,
    Beginning(usize),
    Path,
    Role,
}

/// The quotas as they are now, in memory.
#[derive(Debug, Default)]
pub struct Quotas {
    kinds: BTreeMap<QuotaKind, ByMount>,
    config: QuotaConfig,
}

/// Quotas by the mount that they are for; under an empty path those for all there is.
type ByMount = BTreeMap<String, Vec<Arc<Found<Quota>>>>;

impl Scope {
    /// Returns it as one path, as it is shown.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}{}", self.mount, self.suffix)
    }

    /// Says how closely it describes what follows a mount in a path; `None` if it is for something else.
    fn specificity(&self, rest: &str) -> Option<Specificity> {
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if !self.role.is_empty() {
            return (rest.strip_prefix("creds/") == Some(&self.role)).then_some(Specificity::Role);
        }
        if let Some(beginning) = self.suffix.strip_suffix('*') {
            let specificity = Specificity::Beginning(beginning.len());
            return rest.starts_with(beginning).then_some(specificity);
        }
        match (self.mount.as_str(), self.suffix.as_str()) {
            ("", _) => Some(Specificity::All),
            (_, "") => Some(Specificity::Mount),
            (_, suffix) => (suffix == rest).then_some(Specificity::Path),
        }
    }
}

impl Quotas {
    /// Takes up what is kept.
    pub(crate) fn new(quotas: impl IntoIterator<Item = Found<Quota>>, config: QuotaConfig) -> Self {
        let mut kinds = BTreeMap::<_, ByMount>::new();
        for quota in quotas {
            let (kind, mount) = (quota.record.kind(), quota.record.scope.mount.clone());
            kinds.entry(kind).or_default().entry(mount).or_default().push(Arc::new(quota));
        }
        Self { kinds, config }
    }

    /// Returns what holds for all quotas.
    #[must_use]
    pub fn config(&self) -> &QuotaConfig {
        &self.config
    }

    /// Returns all of a kind.
    pub fn all(&self, kind: QuotaKind) -> impl Iterator<Item = &Arc<Found<Quota>>> {
        self.kinds.get(&kind).into_iter().flat_map(BTreeMap::values).flatten()
    }

    /// Whether there is any of a kind.
    #[must_use]
    pub fn has(&self, kind: QuotaKind) -> bool {
        self.kinds.contains_key(&kind)
    }

    /// Returns one of a kind by its name.
    #[must_use]
    pub fn named(&self, kind: QuotaKind, name: &str) -> Option<&Arc<Found<Quota>>> {
        self.all(kind).find(|quota| quota.record.name == name)
    }

    /// Returns the quota of a kind that counts for a path: the most specific one.
    #[must_use]
    pub fn of(&self, kind: QuotaKind, path: &str) -> Option<&Arc<Found<Quota>>> {
        let by_mount = self.kinds.get(&kind)?;
        // Mounts do not nest, so the only candidates are the path's own beginnings, and all there is.
        let ends = path.match_indices('/').map(|(at, _)| at.saturating_add(1));
        let candidates = std::iter::once(0).chain(ends).filter_map(|end| {
            let (mount, rest) = path.split_at_checked(end)?;
            Some((by_mount.get(mount)?, rest))
        });
        let specific = candidates.flat_map(|(quotas, rest)| {
            quotas
                .iter()
                .filter_map(move |quota| Some((quota.record.scope.specificity(rest)?, quota)))
        });
        specific.max_by_key(|(specificity, _)| *specificity).map(|(_, quota)| quota)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Revision;
    use crate::store::quotas::Limit;

    fn quotas(scopes: &[(&str, &str, &str)]) -> Quotas {
        let quota = |(mount, suffix, role): &(&str, &str, &str)| Quota {
            name: format!("{mount}{suffix}{role}"),
            scope: Scope { mount: (*mount).into(), suffix: (*suffix).into(), role: (*role).into() },
            inheritable: false,
            limit: Limit::Leases { max_leases: 1 },
        };
        let found = |record| Found { record, revision: Revision(1) };
        let quotas = scopes.iter().map(quota).map(found);
        Quotas::new(quotas, QuotaConfig::default())
    }

    #[test]
    fn the_most_specific_quota_counts() {
        let all = [
            ("", "", ""),
            ("database/", "", ""),
            ("database/", "creds/*", ""),
            ("database/", "creds/app*", ""),
            ("database/", "creds/app", ""),
            ("database/", "", "job"),
            ("database/", "creds/job", ""),
            ("team/db/", "*", ""),
        ];
        let quotas = quotas(&all);
        for (path, name) in [
            ("sys/mounts", ""),
            ("database/config", "database/"),
            ("database", ""),
            ("databases/creds/app", ""),
            ("database/creds", "database/"),
            ("database/creds/", "database/"),
            ("database/creds/x", "database/creds/*"),
            ("database/creds/app", "database/creds/app"),
            ("database/creds/app/", "database/creds/app"),
            ("database/creds/app2", "database/creds/app*"),
            ("database/creds/job", "database/job"),
            ("team/db/config/pg", "team/db/*"),
            ("team/other", ""),
            ("", ""),
        ] {
            let found = quotas.of(QuotaKind::LeaseCount, path);
            assert_eq!(found.map(|found| found.record.name.as_str()), Some(name), "{path}");
            assert!(quotas.of(QuotaKind::RateLimit, path).is_none());
        }
    }

    #[test]
    fn without_a_quota_for_it_nothing_is_counted() {
        let quotas = quotas(&[("database/", "creds/app", "")]);
        for path in ["database/creds/other", "database/creds/app/x", "sys/creds/app", "creds/app"] {
            assert!(quotas.of(QuotaKind::LeaseCount, path).is_none(), "{path}");
        }
    }
}
