//! Merges entities into one: their aliases, groups and policies are its own, and so are their tokens.

use super::super::authenticate::Caller;
use super::super::{Broker, Request};
use super::giving::Giver;
use super::{IdentityError, parsed};
use crate::access::identity::{Alias, Entity};
use crate::ids::{EntityId, GroupId};
use crate::limits::{MEMBERSHIPS_MAX, MERGED_MAX, POLICIES_MAX};
use crate::store::identity::{Change, Member};
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which entities are to be one.
#[derive(Clone, Debug, Default)]
pub struct Merge {
    /// The one that stays, by its id.
    pub to: String,
    /// Those that are merged into it.
    pub from: Vec<String>,
    /// Of two aliases at one mount, the ones that stay.
    pub keep: Vec<String>,
}

impl Broker {
    /// Merges entities in one write: before it each is who it was, and after it all are one.
    pub async fn merge_entities(
        self: &Arc<Self>,
        request: &Request,
        merge: Merge,
    ) -> Result<(), IdentityError> {
        self.served(request, async |caller: Caller| {
            let decide = async |giver, change| self.merged_to_be(&giver, change, &merge).await;
            self.changed(request, &caller, decide).await
        })
        .await
    }

    async fn merged_to_be(
        &self,
        giver: &Giver,
        mut change: Change,
        merge: &Merge,
    ) -> Result<(Change, ()), IdentityError> {
        let was = self.to_merge(&merge.to).await?;
        let was = was.ok_or_else(|| IdentityError::bad("entity id to merge to is invalid"))?;
        let mut entity = was.clone();
        entity.changed_at = self.clock.now();
        let mut all = vec![was.clone()];
        for id in &merge.from {
            let from = self.to_merge(id).await?;
            let from =
                from.ok_or_else(|| IdentityError::bad("entity id to merge from is invalid"))?;
            if from.id == was.id {
                let message = "to_entity_id should not be present in from_entity_ids";
                return Err(IdentityError::bad(message));
            }
            if !all.iter().any(|one| one.id == from.id) {
                all.push(from);
            }
        }
        if all.len() < 2 {
            return Err(IdentityError::bad("missing from_entity_ids"));
        }
        let keep = Kept::read(merge, all.len())?;
        for one in &all {
            giver.change_entity(one.id)?;
            giver.give(&self.given_to(one).await?)?;
        }
        // What is disabled comes back to life in nobody else.
        if all.iter().any(|one| one.disabled != was.disabled) {
            return Err(IdentityError::bad(
                "some of these entities are disabled and some are not; enable or disable them first",
            ));
        }
        for from in all.iter().skip(1) {
            absorb(&mut entity, from, &keep)?;
            change.entity(&self.records, Some(from), None)?;
        }
        change.entity(&self.records, Some(&was), Some(&entity))?;
        let ids = all.iter().map(|one| one.id);
        self.move_memberships(&mut change, ids, entity.id).await?;
        Ok((change, ()))
    }

    async fn to_merge(&self, id: &str) -> Result<Option<Entity>, IdentityError> {
        match parsed(id) {
            Some(id) => Ok(self.records.entity_itself(id).await?),
            None => Ok(None),
        }
    }

    async fn move_memberships(
        &self,
        change: &mut Change,
        all: impl Iterator<Item = EntityId>,
        to: EntityId,
    ) -> Result<(), IdentityError> {
        let mut groups = BTreeSet::<GroupId>::new();
        for id in all {
            let member = Member::Entity(id);
            for group in self.records.groups_of(member, MEMBERSHIPS_MAX).await? {
                change.were_in(group, [member]);
                groups.insert(group);
            }
        }
        if groups.len() > MEMBERSHIPS_MAX {
            let message = format!("one entity would be in more than {MEMBERSHIPS_MAX} groups");
            return Err(IdentityError::Bad(message));
        }
        for group in groups {
            change.are_in(group, [Member::Entity(to)]);
        }
        Ok(())
    }
}

/// Which aliases stay where two are at one mount.
struct Kept(BTreeSet<crate::ids::AliasId>);

impl Kept {
    fn read(merge: &Merge, entities: usize) -> Result<Self, IdentityError> {
        if !merge.keep.is_empty() && entities > 2 {
            return Err(IdentityError::bad(
                "conflicting_alias_ids_to_keep can only be given with exactly one of from_entity_ids",
            ));
        }
        let ids = merge.keep.iter().map(|id| {
            let bad =
                || IdentityError::bad("conflicting_alias_ids_to_keep has an invalid alias ID");
            parsed(id).ok_or_else(bad)
        });
        Ok(Self(ids.collect::<Result<_, _>>()?))
    }

    /// Tells whether the alias that comes goes before the one that is there.
    fn prefers(&self, comes: &Alias, there: &Alias) -> Result<bool, IdentityError> {
        match (self.0.contains(&comes.id), self.0.contains(&there.id)) {
            (true, false) => Ok(true),
            (false, true) => Ok(false),
            (true, true) | (false, false) => Err(IdentityError::Bad(format!(
                "both entities have an alias at the mount {:?}: {} ({:?}) and {} ({:?}); name the one to keep in \
                 conflicting_alias_ids_to_keep, with exactly one of from_entity_ids",
                there.mount_accessor, there.id, there.name, comes.id, comes.name
            ))),
        }
    }
}

/// Makes one entity of two.
fn absorb(entity: &mut Entity, from: &Entity, keep: &Kept) -> Result<(), IdentityError> {
    for policy in &from.policies {
        if !entity.policies.contains(policy) {
            entity.policies.push(policy.clone());
        }
    }
    if entity.policies.len() > POLICIES_MAX {
        return Err(IdentityError::Bad(format!("more than {POLICIES_MAX} policies")));
    }
    for alias in &from.aliases {
        let there = entity.aliases.iter().position(|there| there.mount == alias.mount);
        let Some(there) = there.and_then(|at| entity.aliases.get_mut(at)) else {
            entity.aliases.push(moved(alias, from.id, entity.changed_at));
            continue;
        };
        if keep.prefers(alias, there)? {
            *there = moved(alias, from.id, entity.changed_at);
        }
    }
    entity.merged.push(from.id);
    entity.merged.extend(&from.merged);
    if entity.merged.len() > MERGED_MAX {
        return Err(IdentityError::Bad(format!(
            "at most {MERGED_MAX} entities are merged into one"
        )));
    }
    Ok(())
}

fn moved(alias: &Alias, from: EntityId, now: Timestamp) -> Alias {
    let mut alias = Alias { changed_at: now, ..alias.clone() };
    alias.merged_from.push(from);
    alias
}
