//! Finds who is behind a token: the entity that is known under this name where it is made, or a new one.

use super::super::Broker;
use crate::access::identity::{Alias, Entity, Identity, Metadata};
use crate::ids::{AliasId, EntityId, MountId};
use crate::store::identity::Change;
use crate::store::policies::access_at;
use crate::store::{Batch, StoreError};
use std::sync::Arc;

/// Who is behind a token that is to be made.
pub(in crate::broker) struct Behind {
    /// The entity, with its groups.
    pub(in crate::broker) identity: Arc<Identity>,
    /// Keeps the entity, if it is new; expects it to be as it was read, if it is not.
    pub(in crate::broker) batch: Batch,
}

impl Broker {
    /// Finds who is known at a mount under a name; `None` if it is an entity that is disabled.
    pub(in crate::broker) async fn behind(
        &self,
        mount: MountId,
        accessor: String,
        name: &str,
    ) -> Result<Option<Behind>, StoreError> {
        let access = self.records.access_revision().await?;
        let Some(entity) = self.records.entity_known_as(mount, name).await? else {
            return self.newcomer(mount, accessor, name).map(Some);
        };
        let identity = self.identity_with_groups(entity).await?;
        Ok(identity.filter(|identity| !identity.entity.disabled).map(|identity| {
            let batch = Batch::default().expect(access_at(), access);
            Behind { identity: Arc::new(identity), batch }
        }))
    }

    /// Makes an entity of somebody who comes for the first time. It is in no group and has no policies, so nobody may
    /// do more or less by it, and the access revision stays.
    fn newcomer(
        &self,
        mount: MountId,
        mount_accessor: String,
        name: &str,
    ) -> Result<Behind, StoreError> {
        let now = self.clock.now();
        let id = EntityId::new(now, &*self.chance);
        let alias = Alias {
            id: AliasId::new(now, &*self.chance),
            mount,
            mount_accessor,
            name: name.to_owned(),
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
