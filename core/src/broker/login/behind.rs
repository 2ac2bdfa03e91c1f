//! Finds who is behind a login: the entity that logs in under this name, or a new one.

use super::super::Broker;
use super::LoginError;
use crate::access::identity::{Alias, Entity, Identity, Metadata};
use crate::ids::{AliasId, EntityId};
use crate::store::Batch;
use crate::store::identity::Change;
use crate::store::mounts::Mount;
use crate::store::policies::access_at;
use crate::store::records::Found;
use std::sync::Arc;

/// Who is behind a login.
pub(super) struct Behind {
    /// The entity, with its groups.
    pub(super) identity: Arc<Identity>,
    /// Keeps the entity, if it is new; expects it to be as it was read, if it is not.
    pub(super) batch: Batch,
}

impl Broker {
    /// Finds who logs in at a mount under a name; nobody does as an entity that is disabled.
    pub(super) async fn behind(
        &self,
        mount: &Found<Mount>,
        name: &str,
    ) -> Result<Behind, LoginError> {
        let access = self.records.access_revision().await?;
        let Some(entity) = self.records.entity_known_as(mount.record.id, name).await? else {
            return self.newcomer(mount, name);
        };
        let identity = self.identity_with_groups(entity).await?.ok_or(LoginError::Denied)?;
        if identity.entity.disabled {
            return Err(LoginError::Denied);
        }
        let batch = Batch::default().expect(access_at(), access);
        Ok(Behind { identity: Arc::new(identity), batch })
    }

    /// Makes an entity of somebody who logs in for the first time. It is in no group and has no policies, so nobody may
    /// do more or less by it, and the access revision stays.
    fn newcomer(&self, mount: &Found<Mount>, name: &str) -> Result<Behind, LoginError> {
        let now = self.clock.now();
        let id = EntityId::new(now, &*self.chance);
        let alias = Alias {
            id: AliasId::new(now, &*self.chance),
            mount: mount.record.id,
            mount_accessor: mount.record.accessor(),
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
