//! Writes, shows and deletes entities.

use super::super::authenticate::{Caller, Recorded};
use super::super::{Broker, Request};
use super::giving::Giver;
use super::{IdentityError, parsed};
use crate::access::identity::{
    Entity, Identity, Metadata, checked_metadata, checked_name, checked_policies,
};
use crate::audit::Answer;
use crate::ids::{EntityId, GroupId};
use crate::limits::MEMBERSHIPS_MAX;
use crate::store::identity::{Change, Member};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Entities that are deleted by one write at most.
const DELETED_MAX: usize = 1000;

/// Which entity, group or alias a request is about.
#[derive(Clone, Debug)]
pub enum Which {
    /// The one with this id, as it was written.
    Id(String),
    /// The one of this name, however it is written.
    Name(String),
}

/// What an entity is to be; what is `None` stays as it was.
#[derive(Clone, Debug, Default)]
pub struct EntityWrite {
    /// The one that is changed; there must be such a one.
    pub id: Option<String>,
    /// What it is to be called; without an id, the one that is changed or made.
    pub name: Option<String>,
    /// See [`Entity`].
    pub metadata: Option<Metadata>,
    /// See [`Entity`].
    pub policies: Option<Vec<String>>,
    /// See [`Entity`].
    pub disabled: Option<bool>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is new.
    pub is_new: bool,
}

/// An entity as callers see it.
#[derive(Clone, Debug)]
pub struct EntityView {
    /// The entity.
    pub entity: Entity,
    /// The groups that it is a member of.
    pub direct: Vec<GroupId>,
    /// The groups that these are in, and so on.
    pub inherited: Vec<GroupId>,
}

impl Recorded for Written {
    fn recorded(&self) -> Answer {
        Answer::data(Some(json!({ "id": self.id, "name": self.name })))
    }
}

impl Recorded for EntityView {
    fn recorded(&self) -> Answer {
        let Entity { id, name, .. } = &self.entity;
        Answer::data(Some(json!({ "id": id.to_string(), "name": name })))
    }
}

impl From<Identity> for EntityView {
    fn from(identity: Identity) -> Self {
        let ids = |groups: &[crate::access::identity::Group]| groups.iter().map(|g| g.id).collect();
        Self {
            direct: ids(&identity.direct),
            inherited: ids(&identity.inherited),
            entity: identity.entity,
        }
    }
}

impl Broker {
    /// Writes an entity.
    pub async fn write_entity(
        self: &Arc<Self>,
        request: &Request,
        wanted: EntityWrite,
    ) -> Result<Written, IdentityError> {
        self.served(request, async |caller: Caller| {
            let decide = async |giver, change| self.entity_to_be(&giver, change, &wanted).await;
            self.changed(request, &caller, decide).await
        })
        .await
    }

    async fn entity_to_be(
        &self,
        giver: &Giver,
        mut change: Change,
        wanted: &EntityWrite,
    ) -> Result<(Change, Written), IdentityError> {
        let name = wanted.name.as_deref().map(checked_name).transpose()?;
        let was = match (&wanted.id, &name) {
            (Some(id), _) => {
                let id =
                    parsed(id).ok_or_else(|| IdentityError::bad("entity not found from id"))?;
                let found = self.records.entity(id).await?;
                Some(found.ok_or_else(|| IdentityError::bad("entity not found from id"))?)
            }
            (None, Some(name)) => self.records.entity_named(name).await?,
            (None, None) => None,
        };
        let now = self.clock.now();
        let mut entity = match was.clone() {
            Some(was) => Entity { changed_at: now, ..was },
            None => self.new_entity(EntityId::new(now, &*self.chance), name.clone()),
        };
        if was.is_some() {
            giver.change_entity(entity.id)?;
        }
        // Found by its name it keeps it as it was first written.
        if let (Some(_), Some(name)) = (&wanted.id, name) {
            let other = self.records.entity_named(&name).await?;
            if other.is_some_and(|other| other.id != entity.id) {
                return Err(IdentityError::bad("entity name is already in use"));
            }
            entity.name = name;
        }
        if let Some(policies) = &wanted.policies {
            let policies = checked_policies(policies)?;
            giver.give(policies.iter().filter(|policy| !entity.policies.contains(policy)))?;
            entity.policies = policies;
        }
        if let Some(metadata) = wanted.metadata.clone() {
            entity.metadata = checked_metadata(metadata)?;
        }
        entity.disabled = wanted.disabled.unwrap_or(entity.disabled);
        change.entity(&self.records, was.as_ref(), Some(&entity))?;
        let (id, is_new) = (entity.id.to_string(), was.is_none());
        Ok((change, Written { id, name: entity.name, is_new }))
    }

    /// Shows an entity.
    pub async fn read_entity(
        self: &Arc<Self>,
        request: &Request,
        which: &Which,
    ) -> Result<EntityView, IdentityError> {
        self.served(request, async |_| {
            let entity = self.entity_meant(which).await?.ok_or(IdentityError::Nothing)?;
            self.entity_shown(entity).await
        })
        .await
    }

    pub(super) async fn entity_shown(&self, entity: Entity) -> Result<EntityView, IdentityError> {
        let direct = self.records.groups_of(Member::Entity(entity.id), MEMBERSHIPS_MAX).await?;
        let mut inherited = self.ids_from(direct.clone()).await?;
        let inherited = inherited.split_off(direct.len().min(inherited.len()));
        Ok(EntityView { entity, direct, inherited })
    }

    /// Returns the entity that is meant; one that was merged is not there any more.
    pub(super) async fn entity_meant(
        &self,
        which: &Which,
    ) -> Result<Option<Entity>, IdentityError> {
        Ok(match which {
            Which::Id(id) => match parsed(id) {
                Some(id) => self.records.entity_itself(id).await?,
                None => None,
            },
            Which::Name(name) => self.records.entity_named(name).await?,
        })
    }

    /// Deletes an entity, if there is one: its tokens are good for nothing, and it is in no group.
    pub async fn delete_entity(
        self: &Arc<Self>,
        request: &Request,
        which: &Which,
    ) -> Result<(), IdentityError> {
        self.delete_entities(request, std::slice::from_ref(which)).await
    }

    /// Deletes entities, those that there are, all in one write.
    pub async fn delete_entities(
        self: &Arc<Self>,
        request: &Request,
        which: &[Which],
    ) -> Result<(), IdentityError> {
        self.served(request, async |caller: Caller| {
            if which.len() > DELETED_MAX {
                let message = format!("at most {DELETED_MAX} entities are deleted at once");
                return Err(IdentityError::Bad(message));
            }
            let decide = async |giver: Giver, mut change: Change| {
                let mut gone = BTreeSet::new();
                for one in which {
                    let Some(entity) = self.entity_meant(one).await? else { continue };
                    if !gone.insert(entity.id) {
                        continue;
                    }
                    giver.change_entity(entity.id)?;
                    self.remove_entity(&mut change, &entity).await?;
                }
                Ok((change, ()))
            };
            self.changed(request, &caller, decide).await
        })
        .await
    }

    async fn remove_entity(
        &self,
        change: &mut Change,
        entity: &Entity,
    ) -> Result<(), IdentityError> {
        let member = Member::Entity(entity.id);
        for group in self.records.groups_of(member, MEMBERSHIPS_MAX).await? {
            change.were_in(group, [member]);
        }
        Ok(change.entity(&self.records, Some(entity), None)?)
    }
}
