//! What has been compiled, and who was found to be behind tokens, as long as nothing changes.
//!
//! Tokens with the same policies share one list of rules. Where a rule has something to be filled in, whoever is behind
//! a token has a list of their own.

use super::ReadAt;
use crate::access::identity::Identity;
use crate::access::policy::Acl;
use crate::ids::EntityId;
use crate::limits::{ACLS_MAX, IDENTITIES_MAX};
use parking_lot::Mutex;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What has been compiled.
#[derive(Debug, Default)]
pub(in crate::broker) struct Compiled(Mutex<Sets>);

#[derive(Debug, Default)]
struct Sets {
    read_at: ReadAt,
    /// Of those behind whom nobody is, and where that makes no difference.
    shared: Kept<Vec<String>, Arc<Acl>>,
    /// Of an entity alone.
    own: Kept<(EntityId, Vec<String>), Arc<Acl>>,
    identities: Kept<EntityId, Arc<Identity>>,
}

/// Values of which those that are used stay.
#[derive(Debug)]
struct Kept<K, V> {
    young: BTreeMap<K, V>,
    /// What was young before; whatever of it is used becomes young again.
    old: BTreeMap<K, V>,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new() }
    }
}

impl<K: Ord, V: Clone> Kept<K, V> {
    fn find<Q: Ord + ?Sized>(&mut self, key: &Q, max: usize) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.keep(key, value.clone(), max);
        Some(value)
    }

    /// Keeps a value; about `max` of the last that were used are kept.
    fn keep(&mut self, key: K, value: V, max: usize) {
        if self.young.len() >= max / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

impl Compiled {
    /// Returns what these policies come to for an entity, or for whoever is none.
    pub(super) fn acl(
        &self,
        read_at: ReadAt,
        policies: &[String],
        entity: Option<EntityId>,
    ) -> Option<Arc<Acl>> {
        let mut sets = self.0.lock();
        sets.begin(read_at);
        let shared = sets.shared.find(policies, ACLS_MAX);
        match entity {
            Some(entity) if shared.as_ref().is_none_or(|acl| acl.is_filled_in()) => {
                sets.own.find(&(entity, policies.to_vec()), ACLS_MAX)
            }
            Some(_) | None => shared,
        }
    }

    pub(super) fn keep_acl(
        &self,
        read_at: ReadAt,
        policies: Vec<String>,
        entity: Option<EntityId>,
        acl: &Arc<Acl>,
    ) {
        let mut sets = self.0.lock();
        // Something may have changed since; what was compiled is then good for this once.
        if sets.read_at != read_at {
            return;
        }
        let acl = Arc::clone(acl);
        match entity.filter(|_| acl.is_filled_in()) {
            Some(entity) => sets.own.keep((entity, policies), acl, ACLS_MAX),
            None => sets.shared.keep(policies, acl, ACLS_MAX),
        }
    }

    /// Returns who an entity is.
    pub(super) fn identity(&self, read_at: ReadAt, entity: EntityId) -> Option<Arc<Identity>> {
        let mut sets = self.0.lock();
        sets.begin(read_at);
        sets.identities.find(&entity, IDENTITIES_MAX)
    }

    pub(super) fn keep_identity(
        &self,
        read_at: ReadAt,
        entity: EntityId,
        identity: &Arc<Identity>,
    ) {
        let mut sets = self.0.lock();
        if sets.read_at == read_at {
            sets.identities.keep(entity, Arc::clone(identity), IDENTITIES_MAX);
        }
    }
}

impl Sets {
    /// Forgets whatever was so at another time.
    fn begin(&mut self, read_at: ReadAt) {
        if self.read_at != read_at {
            *self = Self { read_at, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::policy::{Facts, Policy, PolicyName};
    use crate::store::Revision;

    fn names(number: usize) -> Vec<String> {
        vec![format!("p{number}")]
    }

    #[test]
    fn what_is_compiled_is_bounded_and_forgotten_with_every_change() {
        let compiled = Compiled::default();
        let (before, after) = (ReadAt(Some(Revision(1))), ReadAt(Some(Revision(2))));
        assert!(compiled.acl(before, &names(0), None).is_none());
        for number in 0..ACLS_MAX * 2 {
            compiled.keep_acl(before, names(number), None, &Arc::default());
            // Whatever is used stays.
            assert!(compiled.acl(before, &names(0), None).is_some(), "{number}");
        }
        let sets = compiled.0.lock();
        assert!(sets.shared.young.len() + sets.shared.old.len() <= ACLS_MAX);
        drop(sets);
        assert!(compiled.acl(after, &names(0), None).is_none());
        // Compiled of what was in force before.
        compiled.keep_acl(before, names(0), None, &Arc::new(Acl::root()));
        assert!(compiled.acl(after, &names(0), None).is_none());
    }

    #[test]
    fn a_list_that_was_filled_in_is_shared_by_nobody() {
        let compiled = Compiled::default();
        let (one, other) = (EntityId::from_bytes([1; 16]), EntityId::from_bytes([2; 16]));
        let read_at = ReadAt::default();
        let acl = |text: &str| {
            let policy = Policy::parse(PolicyName::parse("p").unwrap(), text).unwrap();
            Arc::new(Acl::compile([&policy], &Facts::default()))
        };
        let filled = acl("path \"a/{{identity.entity.id}}\" { capabilities = [\"read\"] }");
        compiled.keep_acl(read_at, names(1), None, &filled);
        assert!(compiled.acl(read_at, &names(1), Some(one)).is_none());
        compiled.keep_acl(read_at, names(1), Some(one), &filled);
        assert!(compiled.acl(read_at, &names(1), Some(one)).is_some());
        assert!(compiled.acl(read_at, &names(1), Some(other)).is_none());
        compiled.keep_acl(read_at, names(2), Some(one), &acl("path \"a\" {}"));
        assert!(compiled.acl(read_at, &names(2), Some(other)).is_some());
        assert!(compiled.acl(read_at, &names(2), None).is_some());
    }
}
