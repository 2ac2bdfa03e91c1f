//! Forgets the names that a method knew entities and groups by, once its mount is gone: nobody logs in by them any more.

use super::super::Broker;
use crate::access::identity::{Group, GroupKind};
use crate::ids::MountId;
use crate::limits::REVOKE_CHUNK;
use crate::store::StoreError;
use crate::store::identity::Change;

impl Broker {
    /// Takes some of the aliases at a mount from those who have them; tells whether there may be more.
    pub(in crate::broker) async fn forget_aliases(
        &self,
        mount: MountId,
    ) -> Result<bool, StoreError> {
        let access = self.records.access_revision().await?;
        let (entities, groups) = self.records.known_at_mount(mount, REVOKE_CHUNK).await?;
        if entities.is_empty() && groups.is_empty() {
            return Ok(false);
        }
        let (now, mut change) = (self.clock.now(), Change::default());
        for id in entities {
            let Some(was) = self.records.entity_itself(id).await? else { continue };
            let mut entity = was.clone();
            entity.aliases.retain(|alias| alias.mount != mount);
            if entity == was {
                continue;
            }
            entity.changed_at = now;
            change.entity(&self.records, Some(&was), Some(&entity))?;
        }
        for id in groups {
            let found = self.records.group(id).await?;
            let Some(was) = found.filter(|group| group.alias().is_some()) else { continue };
            let kind = GroupKind::External { alias: None };
            let group = Group { kind, changed_at: now, ..was.clone() };
            change.group(&self.records, Some(&was), Some(&group))?;
        }
        let mut batch = change.batch();
        batch.spends_reserve = true;
        if batch.puts.is_empty() {
            // Whoever has them cannot be read: it would be the same each time.
            return Ok(false);
        }
        self.records.commit_access(batch, access).await?;
        Ok(true)
    }
}
