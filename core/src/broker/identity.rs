//! Entities, their aliases and groups: who is behind tokens, and what that gives.
//!
//! Every write of them raises the access revision, and expects it as it was when the write was decided. So two writes
//! are never decided by the same state, and whatever was decided by what they change is decided anew.

mod alias;
mod entity;
mod giving;
mod group;
mod group_alias;
mod lists;
mod lookup;
mod members;
mod merge;
mod unmounted;

pub use alias::{AliasView, AliasWrite};
pub use entity::{EntityView, EntityWrite, Which, Written};
pub use group::{GroupView, GroupWrite};
pub use lists::{Listed, Page};
pub use lookup::LookedFor;
pub use merge::Merge;

use super::authenticate::{AdmitError, Caller};
use super::{Broker, Request};
use crate::access::identity::{BadIdentity, Entity, Group, Identity, Metadata};
use crate::ids::{EntityId, GroupId};
use crate::limits::{CONFLICT_TRIES, GROUPS_MAX, MEMBERSHIPS_MAX};
use crate::store::StoreError;
use crate::store::identity::{Change, Member};
use giving::Giver;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What was to be shown is not there, or nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is nothing of that name or id, or nothing at all.
    #[error("no value found")]
    Nothing,
    /// What was asked for cannot be.
    #[error("{0}")]
    Bad(String),
    /// The caller would give what they have not.
    #[error("{0}")]
    NotTheirs(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BadIdentity> for IdentityError {
    fn from(BadIdentity(message): BadIdentity) -> Self {
        Self::Bad(message)
    }
}

impl IdentityError {
    fn bad(message: impl Into<String>) -> Self {
        Self::Bad(message.into())
    }
}

impl Broker {
    /// Returns an entity with all groups that it is in; of one that was merged, the one that it was merged into.
    /// `None` if it is not there, or a group of it cannot be read: what that denies is not known.
    pub(super) async fn identity(&self, id: EntityId) -> Result<Option<Identity>, StoreError> {
        match self.records.entity(id).await? {
            Some(entity) => self.identity_with_groups(entity).await,
            None => Ok(None),
        }
    }

    /// The same of an entity that was read.
    pub(super) async fn identity_with_groups(
        &self,
        entity: Entity,
    ) -> Result<Option<Identity>, StoreError> {
        let direct = self.records.groups_of(Member::Entity(entity.id), MEMBERSHIPS_MAX).await?;
        let Some(mut groups) = self.groups_from(direct.clone()).await? else {
            tracing::error!(entity = %entity.id, "a group of an entity cannot be read; its tokens are refused until that group is deleted");
            return Ok(None);
        };
        let inherited = groups.split_off(direct.len().min(groups.len()));
        Ok(Some(Identity::new(entity, groups, inherited)))
    }

    /// Returns these groups, then those that they are in, and so on, each once. `None` if one of them cannot be read.
    async fn groups_from(&self, first: Vec<GroupId>) -> Result<Option<Vec<Group>>, StoreError> {
        let mut groups = Vec::new();
        for id in self.ids_from(first).await? {
            let Some(group) = self.records.group(id).await? else { return Ok(None) };
            groups.push(group);
        }
        Ok(Some(groups))
    }

    /// The same, the ids alone.
    async fn ids_from(&self, first: Vec<GroupId>) -> Result<Vec<GroupId>, StoreError> {
        let mut seen: BTreeSet<_> = first.iter().copied().collect();
        let mut found = first;
        let mut next = 0;
        while let Some(id) = found.get(next).copied() {
            next = next.saturating_add(1);
            let above = self.records.groups_of(Member::Group(id), MEMBERSHIPS_MAX).await?;
            found.extend(above.into_iter().filter(|id| seen.insert(*id)));
            if found.len() > GROUPS_MAX {
                return Err(StoreError::Refused("there are too many groups".into()));
            }
        }
        Ok(found)
    }

    /// Returns what a group gives its members: its own policies, and those of the groups that it is in.
    async fn given_by(&self, group: GroupId) -> Result<Vec<String>, IdentityError> {
        let groups = self.groups_from(vec![group]).await?;
        let groups = groups.ok_or_else(|| IdentityError::bad(unreadable()))?;
        Ok(groups.into_iter().flat_map(|group| group.policies).collect())
    }

    /// Returns what an entity gives to whoever logs in as it.
    async fn given_to(&self, entity: &Entity) -> Result<Vec<String>, IdentityError> {
        let identity = self.identity_with_groups(entity.clone()).await?;
        Ok(identity.ok_or_else(|| IdentityError::bad(unreadable()))?.policies)
    }

    /// Serves a write: decides it by all that is so now, and anew if that has changed when it is to be stored.
    async fn changed<T, F>(
        self: &Arc<Self>,
        request: &Request,
        caller: &Caller,
        decide: impl Fn(Giver, Change) -> F,
    ) -> Result<T, IdentityError>
    where
        F: Future<Output = Result<(Change, T), IdentityError>>,
    {
        for _ in 0..CONFLICT_TRIES {
            let access = self.records.access_revision().await?;
            // A right that was taken away before this is written does not write it.
            let rights = self.allowed_now(&caller.token.record, request).await?;
            let giver = Giver::new(request, &caller.token.record, &rights);
            let (change, told) = decide(giver, Change::default()).await?;
            match self.records.commit_access(change.batch(), access).await {
                Ok(_) => return Ok(told),
                // A mount may be another one now.
                Err(StoreError::Conflict) => self.reload().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Returns an entity that nothing is known of yet; without a name it gets one of its id.
    pub(super) fn new_entity(&self, id: EntityId, name: Option<String>) -> Entity {
        let now = self.clock.now();
        Entity {
            id,
            name: name.unwrap_or_else(|| drawn_name("entity", &id.to_string())),
            metadata: Metadata::new(),
            policies: Vec::new(),
            disabled: false,
            aliases: Vec::new(),
            merged: Vec::new(),
            made_at: now,
            changed_at: now,
        }
    }
}

/// Names what nobody has named, by the part of its id that is chance.
fn drawn_name(kind: &str, id: &str) -> String {
    format!("{kind}_{}", id.get(16..).unwrap_or(id))
}

fn unreadable() -> &'static str {
    "a group that this concerns cannot be read; look at the server's log, and delete that group"
}

fn parsed<T: std::str::FromStr>(id: &str) -> Option<T> {
    id.parse().ok()
}
