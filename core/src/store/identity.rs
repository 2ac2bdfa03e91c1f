//! Entities and groups in the store, and what leads to them.
//!
//! | key | leads from |
//! |---|---|
//! | `entity/<id>` | the entity itself, with its aliases |
//! | `entity-name/<name>` | its name, written in one way; the value is its id, here and below |
//! | `entity-merged/<id>` | an entity that was merged into it |
//! | `entity-alias/<alias>` | the id of an alias |
//! | `entity-of/<mount><digest>` | where somebody logs in, and under which name |
//! | `group/<id>` | the group itself |
//! | `group-name/<name>` | its name, written in one way |
//! | `group-alias/<alias>` | the id of its alias |
//! | `group-of/<mount><digest>` | a method, and what it calls the group |
//! | `member/<group><kind><member>` | a group, to its members; the kind is `e` for an entity, `g` for a group |
//! | `member-of/<kind><member><group>` | a member, to the groups it is directly in |
//!
//! All writes of them expect the access revision and put it, so each is decided by all that was written before. The
//! one exception are entities that logins make: nothing rests on them yet, but what leads to them must be free.

use super::leases::{joined, tail};
use super::mounts::{Mount, mount_at};
use super::records::{Found, Records};
use super::{Batch, Key, StoreError, Value};
use crate::access::identity::{Entity, Group};
use crate::access::login::plain_name;
use crate::ids::{AliasId, EntityId, GroupId, MountId};
use crate::limits::READ_CHUNK;
use aws_lc_rs::digest::{SHA256, digest};
use std::collections::{BTreeMap, BTreeSet};

/// Who is directly in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Entities.
    pub entities: BTreeSet<EntityId>,
    /// Other groups, whose members are in it as well.
    pub groups: BTreeSet<GroupId>,
}

/// A member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// An entity.
    Entity(EntityId),
    /// Another group.
    Group(GroupId),
}

/// What a write changes. What leads to things is put and deleted by comparing what there was with what there is to be,
/// so that whatever moves from one thing to another is told once.
#[derive(Debug, Default)]
pub struct Change {
    batch: Batch,
    before: BTreeMap<Key, Value>,
    after: BTreeMap<Key, Value>,
}

fn entity_at(id: EntityId) -> Key {
    joined(&[b"entity/", id.bytes()])
}

fn merged_at(id: EntityId) -> Key {
    joined(&[b"entity-merged/", id.bytes()])
}

fn group_at(id: GroupId) -> Key {
    joined(&[b"group/", id.bytes()])
}

fn named_at(prefix: &str, name: &str) -> Key {
    joined(&[prefix.as_bytes(), plain_name(name).as_bytes()])
}

fn known_at(prefix: &str, mount: MountId, name: &str) -> Key {
    // Of one length, however long the name is.
    joined(&[prefix.as_bytes(), mount.bytes(), digest(&SHA256, name.as_bytes()).as_ref()])
}

fn alias_at(prefix: &str, id: AliasId) -> Key {
    joined(&[prefix.as_bytes(), id.bytes()])
}

impl Member {
    fn bytes(&self) -> [&[u8]; 2] {
        match self {
            Self::Entity(id) => [b"e", id.bytes()],
            Self::Group(id) => [b"g", id.bytes()],
        }
    }

    fn groups_at(&self) -> Key {
        let [kind, id] = self.bytes();
        joined(&[b"member-of/", kind, id])
    }
}

impl Members {
    /// Returns all of them.
    pub fn all(&self) -> impl Iterator<Item = Member> {
        let groups = self.groups.iter().copied().map(Member::Group);
        self.entities.iter().copied().map(Member::Entity).chain(groups)
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entities.len().saturating_add(self.groups.len())
    }
}

fn leads_to_entity(entity: &Entity) -> Vec<(Key, Value)> {
    let aliases = entity.aliases.iter().flat_map(|alias| {
        let known = known_at("entity-of/", alias.mount, &alias.name);
        [alias_at("entity-alias/", alias.id), known]
    });
    let merged = entity.merged.iter().copied().map(merged_at);
    let keys = aliases.chain(merged).chain([named_at("entity-name/", &entity.name)]);
    keys.map(|key| (key, Value(entity.id.bytes().to_vec()))).collect()
}

fn leads_to_group(group: &Group) -> Vec<(Key, Value)> {
    let alias = group.alias().into_iter().flat_map(|alias| {
        let known = known_at("group-of/", alias.mount, &alias.name);
        [alias_at("group-alias/", alias.id), known]
    });
    let keys = alias.chain([named_at("group-name/", &group.name)]);
    keys.map(|key| (key, Value(group.id.bytes().to_vec()))).collect()
}

impl Change {
    /// Puts an entity, or deletes it.
    pub fn entity(
        &mut self,
        records: &Records,
        was: Option<&Entity>,
        now: Option<&Entity>,
    ) -> Result<(), StoreError> {
        self.before.extend(was.into_iter().flat_map(leads_to_entity));
        self.after.extend(now.into_iter().flat_map(leads_to_entity));
        match now {
            Some(now) => {
                let at = entity_at(now.id);
                self.batch.puts.push((at.clone(), records.seal(&at, now)?));
            }
            None => self.batch.deletes.extend(was.map(|was| entity_at(was.id))),
        }
        Ok(())
    }

    /// Puts a group, or deletes it.
    pub fn group(
        &mut self,
        records: &Records,
        was: Option<&Group>,
        now: Option<&Group>,
    ) -> Result<(), StoreError> {
        self.before.extend(was.into_iter().flat_map(leads_to_group));
        self.after.extend(now.into_iter().flat_map(leads_to_group));
        match now {
            Some(now) => {
                let at = group_at(now.id);
                self.batch.puts.push((at.clone(), records.seal(&at, now)?));
            }
            None => self.batch.deletes.extend(was.map(|was| group_at(was.id))),
        }
        Ok(())
    }

    /// These were in a group.
    pub fn were_in(&mut self, group: GroupId, members: impl IntoIterator<Item = Member>) {
        let pairs = members.into_iter().flat_map(|member| pair(group, member));
        self.before.extend(pairs);
    }

    /// These are to be in a group.
    pub fn are_in(&mut self, group: GroupId, members: impl IntoIterator<Item = Member>) {
        let pairs = members.into_iter().flat_map(|member| pair(group, member));
        self.after.extend(pairs);
    }

    /// Nothing is written under a mount that is not as it was read.
    pub fn under(&mut self, mount: &Found<Mount>) {
        self.batch.expected.push((mount_at(mount.record.id), Some(mount.revision)));
    }

    /// Returns what is to be written. A name or an alias that is new must be free.
    #[must_use]
    pub fn batch(self) -> Batch {
        let Self { mut batch, mut before, after } = self;
        for (key, value) in after {
            match before.remove(&key) {
                Some(was) if was == value => continue,
                Some(_) => {}
                None if value.0.is_empty() => {}
                None => batch.expected.push((key.clone(), None)),
            }
            batch.puts.push((key, value));
        }
        batch.deletes.extend(before.into_keys());
        batch
    }
}

fn pair(group: GroupId, member: Member) -> [(Key, Value); 2] {
    let [kind, id] = member.bytes();
    let down = joined(&[b"member/", group.bytes(), kind, id]);
    let up = joined(&[&member.groups_at().0, group.bytes()]);
    [(down, Value::default()), (up, Value::default())]
}

impl Records {
    /// Returns an entity; of one that was merged, the one that it was merged into.
    pub async fn entity(&self, id: EntityId) -> Result<Option<Entity>, StoreError> {
        if let Some(found) = self.read(&entity_at(id)).await? {
            return Ok(Some(found.record));
        }
        match self.led_to(&merged_at(id)).await? {
            Some(survivor) => self.entity_itself(EntityId::from_bytes(survivor)).await,
            None => Ok(None),
        }
    }

    /// Returns an entity that was not merged into another.
    pub async fn entity_itself(&self, id: EntityId) -> Result<Option<Entity>, StoreError> {
        Ok(self.read(&entity_at(id)).await?.map(|found| found.record))
    }

    /// Returns the entity of a name, however it is written.
    pub async fn entity_named(&self, name: &str) -> Result<Option<Entity>, StoreError> {
        self.entity_behind(&named_at("entity-name/", name)).await
    }

    /// Returns the entity that logs in under a name.
    pub async fn entity_known_as(
        &self,
        mount: MountId,
        name: &str,
    ) -> Result<Option<Entity>, StoreError> {
        self.entity_behind(&known_at("entity-of/", mount, name)).await
    }

    /// Returns the entity that has an alias.
    pub async fn entity_with(&self, alias: AliasId) -> Result<Option<Entity>, StoreError> {
        self.entity_behind(&alias_at("entity-alias/", alias)).await
    }

    async fn entity_behind(&self, at: &Key) -> Result<Option<Entity>, StoreError> {
        match self.led_to(at).await? {
            Some(id) => self.entity_itself(EntityId::from_bytes(id)).await,
            None => Ok(None),
        }
    }

    /// Returns a group.
    pub async fn group(&self, id: GroupId) -> Result<Option<Group>, StoreError> {
        Ok(self.read(&group_at(id)).await?.map(|found| found.record))
    }

    /// Returns the group of a name, however it is written.
    pub async fn group_named(&self, name: &str) -> Result<Option<Group>, StoreError> {
        self.group_behind(&named_at("group-name/", name)).await
    }

    /// Returns the group that a method calls so.
    pub async fn group_known_as(
        &self,
        mount: MountId,
        name: &str,
    ) -> Result<Option<Group>, StoreError> {
        self.group_behind(&known_at("group-of/", mount, name)).await
    }

    /// Returns the group that has an alias.
    pub async fn group_with(&self, alias: AliasId) -> Result<Option<Group>, StoreError> {
        self.group_behind(&alias_at("group-alias/", alias)).await
    }

    async fn group_behind(&self, at: &Key) -> Result<Option<Group>, StoreError> {
        match self.led_to(at).await? {
            Some(id) => self.group(GroupId::from_bytes(id)).await,
            None => Ok(None),
        }
    }

    async fn led_to(&self, at: &Key) -> Result<Option<[u8; 16]>, StoreError> {
        let found = self.index(at, &at.next(), 1).await?.pop();
        Ok(found.and_then(|(_, value)| value.0.try_into().ok()))
    }

    /// Returns up to `limit` groups that something is directly in.
    pub async fn groups_of(
        &self,
        member: Member,
        limit: usize,
    ) -> Result<Vec<GroupId>, StoreError> {
        let prefix = member.groups_at();
        let found = self.index(&prefix, &prefix.after_prefix(), limit).await?;
        Ok(found.iter().filter_map(|(key, _)| tail(key)).map(GroupId::from_bytes).collect())
    }

    /// Returns who is directly in a group.
    pub async fn members_of(&self, group: GroupId) -> Result<Members, StoreError> {
        let prefix = joined(&[b"member/", group.bytes()]);
        let mut members = Members::default();
        let mut from = prefix.clone();
        loop {
            let found = self.index(&from, &prefix.after_prefix(), READ_CHUNK).await?;
            let Some((last, _)) = found.last() else { return Ok(members) };
            from = last.next();
            for key in found.iter().map(|(key, _)| key) {
                match (key.0.get(prefix.0.len()), tail(key)) {
                    (Some(b'e'), Some(id)) => {
                        members.entities.insert(EntityId::from_bytes(id));
                    }
                    (Some(b'g'), Some(id)) => {
                        members.groups.insert(GroupId::from_bytes(id));
                    }
                    (Some(_) | None, _) => {}
                }
            }
        }
    }

    /// Returns up to `limit` ids of entities that come after this one.
    pub async fn entity_ids(
        &self,
        after: Option<EntityId>,
        limit: usize,
    ) -> Result<Vec<EntityId>, StoreError> {
        let found = self.ids_under("entity/", after.as_ref().map(EntityId::bytes), limit).await?;
        Ok(found.into_iter().map(EntityId::from_bytes).collect())
    }

    /// The same of groups.
    pub async fn group_ids(
        &self,
        after: Option<GroupId>,
        limit: usize,
    ) -> Result<Vec<GroupId>, StoreError> {
        let found = self.ids_under("group/", after.as_ref().map(GroupId::bytes), limit).await?;
        Ok(found.into_iter().map(GroupId::from_bytes).collect())
    }

    /// The same of the aliases of entities.
    pub async fn entity_alias_ids(
        &self,
        after: Option<AliasId>,
        limit: usize,
    ) -> Result<Vec<AliasId>, StoreError> {
        let after = after.as_ref().map(AliasId::bytes);
        let found = self.ids_under("entity-alias/", after, limit).await?;
        Ok(found.into_iter().map(AliasId::from_bytes).collect())
    }

    /// The same of the aliases of groups.
    pub async fn group_alias_ids(
        &self,
        after: Option<AliasId>,
        limit: usize,
    ) -> Result<Vec<AliasId>, StoreError> {
        let after = after.as_ref().map(AliasId::bytes);
        let found = self.ids_under("group-alias/", after, limit).await?;
        Ok(found.into_iter().map(AliasId::from_bytes).collect())
    }

    async fn ids_under(
        &self,
        prefix: &str,
        after: Option<&[u8; 16]>,
        limit: usize,
    ) -> Result<Vec<[u8; 16]>, StoreError> {
        let prefix = joined(&[prefix.as_bytes()]);
        let from = after.map_or_else(|| prefix.clone(), |id| joined(&[&prefix.0, id]).next());
        let found = self.index(&from, &prefix.after_prefix(), limit).await?;
        Ok(found.iter().filter_map(|(key, _)| tail(key)).collect())
    }

    /// Returns up to `limit` ids of entities by name, of those whose names come after this one.
    pub async fn entity_ids_by_name(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<EntityId>, StoreError> {
        let found = self.ids_by_name("entity-name/", after, limit).await?;
        Ok(found.into_iter().map(EntityId::from_bytes).collect())
    }

    /// The same of groups.
    pub async fn group_ids_by_name(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<GroupId>, StoreError> {
        let found = self.ids_by_name("group-name/", after, limit).await?;
        Ok(found.into_iter().map(GroupId::from_bytes).collect())
    }

    async fn ids_by_name(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<[u8; 16]>, StoreError> {
        let all = joined(&[prefix.as_bytes()]);
        let from = if after.is_empty() { all.clone() } else { named_at(prefix, after).next() };
        let found = self.index(&from, &all.after_prefix(), limit).await?;
        Ok(found.into_iter().filter_map(|(_, id)| id.0.try_into().ok()).collect())
    }

    /// Returns up to `limit` entities and groups that the method at a mount knows.
    pub async fn known_at_mount(
        &self,
        mount: MountId,
        limit: usize,
    ) -> Result<(Vec<EntityId>, Vec<GroupId>), StoreError> {
        let under = async |prefix: &str| {
            let prefix = joined(&[prefix.as_bytes(), mount.bytes()]);
            let found = self.index(&prefix, &prefix.after_prefix(), limit).await?;
            Ok::<Vec<[u8; 16]>, StoreError>(
                found.into_iter().filter_map(|(_, id)| id.0.try_into().ok()).collect(),
            )
        };
        let entities = under("entity-of/").await?.into_iter().map(EntityId::from_bytes).collect();
        let groups = under("group-of/").await?.into_iter().map(GroupId::from_bytes).collect();
        Ok((entities, groups))
    }
}
