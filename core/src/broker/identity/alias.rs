//! Writes, shows and deletes the aliases of entities: where they log in, and under which names.

use super::super::authenticate::{Caller, Recorded};
use super::super::{Broker, Request};
use super::giving::Giver;
use super::{IdentityError, parsed};
use crate::access::identity::{Alias, Entity, Metadata, checked_alias_name, checked_metadata};
use crate::access::login::alias_name;
use crate::audit::Answer;
use crate::ids::{AliasId, EntityId, InstallationId, MountId};
use crate::mount::{MountEntry, token_accessor, token_mount};
use crate::store::identity::Change;
use serde_json::json;
use std::sync::Arc;

/// What an alias is to be, of an entity or a group; what is `None` stays as it was.
#[derive(Clone, Debug, Default)]
pub struct AliasWrite {
    /// The one that is changed; there must be such a one.
    pub id: Option<String>,
    /// The name, as it was written.
    pub name: Option<String>,
    /// The accessor of the method's mount.
    pub mount_accessor: Option<String>,
    /// The entity or the group.
    pub canonical_id: Option<String>,
    /// What is noted on it; only of an entity.
    pub custom_metadata: Option<Metadata>,
}

/// An alias as callers see it.
#[derive(Clone, Debug)]
pub struct AliasView {
    /// The alias.
    pub alias: Alias,
    /// Whose it is.
    pub canonical_id: String,
}

impl Recorded for AliasView {
    fn recorded(&self) -> Answer {
        let (id, canonical_id) = (self.alias.id.to_string(), &self.canonical_id);
        Answer::data(Some(json!({ "id": id, "canonical_id": canonical_id })))
    }
}

impl AliasView {
    pub(super) fn of_entity(entity: &Entity, alias: &Alias) -> Self {
        Self { alias: alias.clone(), canonical_id: entity.id.to_string() }
    }
}

/// Where names are known.
pub(super) struct Method {
    pub(super) id: MountId,
    /// Vault's word for what it is.
    pub(super) kind: String,
    accessor: String,
    /// Its mount; none for the tokens themselves, which are always there.
    entry: Option<Arc<MountEntry>>,
}

impl Method {
    fn of(entry: &Arc<MountEntry>) -> Self {
        let mount = &entry.mount.record;
        let (kind, accessor) = (mount.kind.clone(), mount.accessor());
        Self { id: mount.id, kind, accessor, entry: Some(Arc::clone(entry)) }
    }

    fn tokens(installation: InstallationId) -> Self {
        let (id, accessor) = (token_mount(installation), token_accessor(installation));
        Self { id, kind: "token".to_owned(), accessor, entry: None }
    }
}

impl Broker {
    /// Writes an alias of an entity. Without an entity, a new one gets it.
    pub async fn write_entity_alias(
        self: &Arc<Self>,
        request: &Request,
        wanted: AliasWrite,
    ) -> Result<AliasView, IdentityError> {
        self.served(request, async |caller: Caller| {
            let decide = async |giver, change| self.alias_to_be(&giver, change, &wanted).await;
            self.changed(request, &caller, decide).await
        })
        .await
    }

    async fn alias_to_be(
        &self,
        giver: &Giver,
        mut change: Change,
        wanted: &AliasWrite,
    ) -> Result<(Change, AliasView), IdentityError> {
        let found = match &wanted.id {
            Some(id) => {
                let found = self.entity_and_alias(id).await?;
                Some(found.ok_or_else(|| IdentityError::bad("invalid alias ID"))?)
            }
            None => self.alias_known_as(wanted).await?,
        };
        let was = found.as_ref().map(|(_, alias)| alias);
        let alias = self.alias_wanted(wanted, was, &mut change)?;
        self.refuse_taken(&alias).await?;
        let target = match &wanted.canonical_id {
            Some(id) => {
                let target = match parsed(id) {
                    Some(id) => self.records.entity(id).await?,
                    None => None,
                };
                Some(target.ok_or_else(|| IdentityError::bad("invalid canonical ID"))?)
            }
            None => found.as_ref().map(|(entity, _)| entity.clone()),
        };
        // Whoever logs in by it has what its entity has, and is no more what they were.
        if let Some((entity, _)) = &found {
            giver.change_entity(entity.id)?;
        }
        if let Some(target) = &target {
            giver.change_entity(target.id)?;
            giver.give(&self.given_to(target).await?)?;
        }
        let now = self.clock.now();
        let mut entity = match target.clone() {
            Some(target) => target,
            None => self.new_entity(EntityId::new(now, &*self.chance), None),
        };
        if let Some((from, _)) = found.filter(|(from, _)| from.id != entity.id) {
            let mut left = Entity { changed_at: now, ..from.clone() };
            left.aliases.retain(|other| other.id != alias.id);
            change.entity(&self.records, Some(&from), Some(&left))?;
        }
        entity.changed_at = now;
        entity.aliases.retain(|other| other.id != alias.id);
        if entity.aliases.iter().any(|other| other.mount == alias.mount) {
            return Err(IdentityError::bad(
                "the entity already has an alias at this mount; change or delete that one",
            ));
        }
        entity.aliases.push(alias.clone());
        change.entity(&self.records, target.as_ref(), Some(&entity))?;
        Ok((change, AliasView::of_entity(&entity, &alias)))
    }

    /// Makes of an alias what it is to be.
    pub(super) fn alias_wanted(
        &self,
        wanted: &AliasWrite,
        was: Option<&Alias>,
        change: &mut Change,
    ) -> Result<Alias, IdentityError> {
        let now = self.clock.now();
        let method = match (&wanted.mount_accessor, was) {
            (Some(accessor), _) => self.method_with(accessor)?,
            (None, Some(was)) => self.method_at_id(was.mount).ok_or_else(|| {
                IdentityError::bad("the mount of the alias is gone; name another `mount_accessor`")
            })?,
            (None, None) => return Err(IdentityError::bad("missing mount_accessor")),
        };
        let name = match (&wanted.name, was) {
            (Some(name), _) => checked_alias_name(alias_name(&method.kind, name))?,
            (None, Some(was)) => was.name.clone(),
            (None, None) => return Err(IdentityError::bad("missing alias name")),
        };
        let custom_metadata = match (wanted.custom_metadata.clone(), was) {
            (Some(metadata), _) => checked_metadata(metadata)?,
            (None, was) => was.map(|was| was.custom_metadata.clone()).unwrap_or_default(),
        };
        if let Some(entry) = &method.entry {
            change.under(&entry.mount);
        }
        // What a login has told is of the name that it was by.
        let same = was.filter(|was| was.mount == method.id && was.name == name);
        Ok(Alias {
            id: was.map_or_else(|| AliasId::new(now, &*self.chance), |was| was.id),
            mount: method.id,
            mount_accessor: method.accessor,
            name,
            metadata: same.map(|was| was.metadata.clone()).unwrap_or_default(),
            custom_metadata,
            merged_from: was.map(|was| was.merged_from.clone()).unwrap_or_default(),
            made_at: was.map_or(now, |was| was.made_at),
            changed_at: now,
        })
    }

    /// Returns the method whose mount has this accessor.
    pub(super) fn method_with(&self, accessor: &str) -> Result<Method, IdentityError> {
        if accessor == token_accessor(self.installation) {
            return Ok(Method::tokens(self.installation));
        }
        let entry = self.catalog().method_of(accessor).map(Method::of);
        entry.ok_or_else(|| IdentityError::Bad(format!("invalid mount accessor {accessor:?}")))
    }

    fn method_at_id(&self, mount: MountId) -> Option<Method> {
        if mount == token_mount(self.installation) {
            return Some(Method::tokens(self.installation));
        }
        self.catalog().mount(mount).map(Method::of)
    }

    async fn refuse_taken(&self, alias: &Alias) -> Result<(), IdentityError> {
        let other = self.records.entity_known_as(alias.mount, &alias.name).await?;
        let aliases = other.iter().flat_map(|entity| &entity.aliases);
        let mut same = aliases.filter(|other| {
            other.mount == alias.mount && other.name == alias.name && other.id != alias.id
        });
        if same.next().is_some() {
            return Err(IdentityError::bad(
                "another entity has this alias; merge the two entities, or delete that alias first",
            ));
        }
        Ok(())
    }

    /// Returns the alias that is meant by where and how it is known, with its entity.
    async fn alias_known_as(
        &self,
        wanted: &AliasWrite,
    ) -> Result<Option<(Entity, Alias)>, IdentityError> {
        let (Some(name), Some(accessor)) = (&wanted.name, &wanted.mount_accessor) else {
            return Ok(None);
        };
        let mount = self.method_with(accessor)?;
        let name = alias_name(&mount.kind, name);
        let entity = self.records.entity_known_as(mount.id, &name).await?;
        Ok(entity.and_then(|entity| {
            let mut aliases = entity.aliases.iter();
            let alias = aliases.find(|alias| alias.mount == mount.id && alias.name == name);
            let alias = alias.cloned()?;
            Some((entity, alias))
        }))
    }

    /// Returns an alias by its id, with its entity.
    pub(super) async fn entity_and_alias(
        &self,
        id: &str,
    ) -> Result<Option<(Entity, Alias)>, IdentityError> {
        let Some(id) = parsed(id) else { return Ok(None) };
        let Some(entity) = self.records.entity_with(id).await? else { return Ok(None) };
        let alias = entity.aliases.iter().find(|alias| alias.id == id).cloned();
        Ok(alias.map(|alias| (entity, alias)))
    }

    /// Shows an alias of an entity.
    pub async fn read_entity_alias(
        self: &Arc<Self>,
        request: &Request,
        id: &str,
    ) -> Result<AliasView, IdentityError> {
        self.served(request, async |_| {
            let (entity, alias) = self.entity_and_alias(id).await?.ok_or(IdentityError::Nothing)?;
            Ok(AliasView::of_entity(&entity, &alias))
        })
        .await
    }

    /// Deletes an alias of an entity, if there is one. Whoever logs in under the name is somebody new.
    pub async fn delete_entity_alias(
        self: &Arc<Self>,
        request: &Request,
        id: &str,
    ) -> Result<(), IdentityError> {
        self.served(request, async |caller: Caller| {
            let decide = async |giver: Giver, mut change: Change| {
                if let Some((was, alias)) = self.entity_and_alias(id).await? {
                    giver.change_entity(was.id)?;
                    let mut entity = Entity { changed_at: self.clock.now(), ..was.clone() };
                    entity.aliases.retain(|other| other.id != alias.id);
                    change.entity(&self.records, Some(&was), Some(&entity))?;
                }
                Ok((change, ()))
            };
            self.changed(request, &caller, decide).await
        })
        .await
    }
}
