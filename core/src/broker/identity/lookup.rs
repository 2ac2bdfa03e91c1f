//! Finds an entity or a group by whatever is known of it.

use super::super::authenticate::Recorded;
use super::super::{Broker, Request};
use super::entity::{EntityView, Which};
use super::group::GroupView;
use super::{IdentityError, parsed};
use crate::access::login::alias_name;
use crate::audit::Answer;
use crate::ids::MountId;
use std::sync::Arc;

/// What is known of an entity or a group; one of these.
#[derive(Clone, Debug)]
pub enum LookedFor {
    /// Its id or its name.
    Itself(Which),
    /// The id of an alias of it.
    Alias(String),
    /// Where it is known, by the accessor of the method's mount, and under which name.
    KnownAs {
        /// The accessor.
        mount_accessor: String,
        /// The name, as it was written.
        name: String,
    },
}

impl Recorded for Option<EntityView> {
    fn recorded(&self) -> Answer {
        self.as_ref().map_or_else(Answer::default, Recorded::recorded)
    }
}

impl Recorded for Option<GroupView> {
    fn recorded(&self) -> Answer {
        self.as_ref().map_or_else(Answer::default, Recorded::recorded)
    }
}

impl Broker {
    /// Finds an entity, if there is such a one; one that was merged by its id is the one that it was merged into.
    pub async fn lookup_entity(
        self: &Arc<Self>,
        request: &Request,
        wanted: &LookedFor,
    ) -> Result<Option<EntityView>, IdentityError> {
        self.served(request, async |_| {
            let found = match wanted {
                LookedFor::Itself(Which::Id(id)) => match parsed(id) {
                    Some(id) => self.records.entity(id).await?,
                    None => None,
                },
                LookedFor::Itself(which @ Which::Name(_)) => self.entity_meant(which).await?,
                LookedFor::Alias(id) => self.entity_and_alias(id).await?.map(|(entity, _)| entity),
                LookedFor::KnownAs { mount_accessor, name } => {
                    let (mount, name) = self.known_name(mount_accessor, name)?;
                    self.records.entity_known_as(mount, &name).await?
                }
            };
            match found {
                Some(entity) => Ok(Some(self.entity_shown(entity).await?)),
                None => Ok(None),
            }
        })
        .await
    }

    /// Finds a group, if there is such a one.
    pub async fn lookup_group(
        self: &Arc<Self>,
        request: &Request,
        wanted: &LookedFor,
    ) -> Result<Option<GroupView>, IdentityError> {
        self.served(request, async |_| {
            let found = match wanted {
                LookedFor::Itself(which) => self.group_meant(which).await?,
                LookedFor::Alias(id) => self.group_and_alias(id).await?.map(|(group, _)| group),
                LookedFor::KnownAs { mount_accessor, name } => {
                    let (mount, name) = self.known_name(mount_accessor, name)?;
                    self.records.group_known_as(mount, &name).await?
                }
            };
            match found {
                Some(group) => Ok(Some(self.group_shown(group).await?)),
                None => Ok(None),
            }
        })
        .await
    }

    fn known_name(&self, accessor: &str, name: &str) -> Result<(MountId, String), IdentityError> {
        let mount = self.method_with(accessor)?;
        Ok((mount.id, alias_name(&mount.kind, name)))
    }
}
