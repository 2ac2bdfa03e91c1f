//! Finds who is behind a token: the entity that is known under this name where it is made, or a new one.

use super::super::Broker;
use crate::access::identity::{Alias, Entity, Identity, Metadata};
use crate::ids::{AliasId, EntityId, MountId};
use crate::store::identity::Change;
use crate::store::policies::{access_at, raising_access};
use crate::store::{Batch, StoreError};
use std::sync::Arc;

/// Who is behind a token that is to be made.
pub(in crate::broker) struct Behind {
    /// The entity, with its groups.
    pub(in crate::broker) identity: Arc<Identity>,
    /// Keeps the entity, if it is new or has told something new; expects it to be as it was read, if it is not.
    pub(in crate::broker) batch: Batch,
}

impl Broker {
    /// Finds who is known at a mount under a name, and keeps what they tell of themselves with it; `None` if it is an
    /// entity that is disabled.
    pub(in crate::broker) async fn behind(
        &self,
        (mount, accessor): (MountId, String),
        name: &str,
        told: &Metadata,
    ) -> Result<Option<Behind>, StoreError> {
        let access = self.records.access_revision().await?;
        let Some(was) = self.records.entity_known_as(mount, name).await? else {
            return self.newcomer((mount, accessor), name, told).map(Some);
        };
        let entity = self.telling(&was, (mount, name), told);
        let identity = self.identity_with_groups(entity).await?;
        let Some(identity) = identity.filter(|identity| !identity.entity.disabled) else {
            return Ok(None);
        };
        let batch = if identity.entity == was {
            Batch::default().expect(access_at(), access)
        } else {
            // Templates read what is told, so that others may do more or less by it.
            let mut change = Change::default();
            change.entity(&self.records, Some(&was), Some(&identity.entity))?;
            raising_access(change.batch(), access)
        };
        Ok(Some(Behind { identity: Arc::new(identity), batch }))
    }

    /// Returns an entity as it is once a login by this name has told this of itself: as it was, most of the time.
    fn telling(&self, was: &Entity, (mount, name): (MountId, &str), told: &Metadata) -> Entity {
        let mut entity = was.clone();
        let by = |alias: &&mut Alias| alias.mount == mount && alias.name == name;
        if let Some(alias) = entity.aliases.iter_mut().find(by)
            && alias.metadata != *told
        {
            let now = self.clock.now();
            alias.metadata.clone_from(told);
            alias.changed_at = now;
            entity.changed_at = now;
        }
        entity
    }

    /// Makes an entity of somebody who comes for the first time. It is in no group and has no policies, so nobody may
    /// do more or less by it, and the access revision stays.
    fn newcomer(
        &self,
        (mount, mount_accessor): (MountId, String),
        name: &str,
        told: &Metadata,
    ) -> Result<Behind, StoreError> {
        let now = self.clock.now();
        let id = EntityId::new(now, &*self.chance);
        let alias = Alias {
            id: AliasId::new(now, &*self.chance),
            mount,
            mount_accessor,
            name: name.to_owned(),
            metadata: told.clone(),
            custom_metadata: Metadata::new(),
            merged_from: Vec::new(),
            made_at: now,
            changed_at: now,
        };
        let entity = Entity { aliases: vec![alias], ..self.new_entity(id, None) };
        let mut change = Change::default();
        change.entity(&self.records, None, Some(&entity))?;
        let identity = Arc::new(Identity::new(entity, Vec::new(), Vec::new()));
        Ok(Behind { identity, batch: change.batch() })
    }
}
