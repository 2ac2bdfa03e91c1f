//! Writes, shows and deletes groups.

use super::super::authenticate::{Caller, Recorded};
use super::super::{Broker, Request};
use super::entity::{Which, Written};
use super::giving::Giver;
use super::{IdentityError, drawn_name, parsed};
use crate::access::identity::{
    Group, GroupKind, Metadata, checked_metadata, checked_name, checked_policies,
};
use crate::audit::Answer;
use crate::ids::GroupId;
use crate::limits::{GROUPS_MAX, MEMBERSHIPS_MAX};
use crate::store::identity::{Change, Member, Members};
use serde_json::json;
use std::sync::Arc;

/// What a group is to be; what is `None` stays as it was.
#[derive(Clone, Debug, Default)]
pub struct GroupWrite {
    /// The one that is changed; there must be such a one.
    pub id: Option<String>,
    /// What it is to be called; without an id, the one that is changed or made.
    pub name: Option<String>,
    /// Who says who is in it: `internal` or `external`.
    pub kind: Option<String>,
    /// See [`Group`].
    pub metadata: Option<Metadata>,
    /// See [`Group`].
    pub policies: Option<Vec<String>>,
    /// The entities in it, by their ids.
    pub entities: Option<Vec<String>>,
    /// The groups in it, likewise.
    pub groups: Option<Vec<String>>,
}

/// A group as callers see it.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// The group.
    pub group: Group,
    /// Who is directly in it.
    pub members: Members,
    /// The groups that it is directly in.
    pub parents: Vec<GroupId>,
}

impl Recorded for GroupView {
    fn recorded(&self) -> Answer {
        let Group { id, name, .. } = &self.group;
        Answer::data(Some(json!({ "id": id.to_string(), "name": name })))
    }
}

impl Broker {
    /// Writes a group.
    pub async fn write_group(
        self: &Arc<Self>,
        request: &Request,
        wanted: GroupWrite,
    ) -> Result<Written, IdentityError> {
        self.served(request, async |caller: Caller| {
            let decide = async |giver, change| self.group_to_be(&giver, change, &wanted).await;
            self.changed(request, &caller, decide).await
        })
        .await
    }

    async fn group_to_be(
        &self,
        giver: &Giver,
        mut change: Change,
        wanted: &GroupWrite,
    ) -> Result<(Change, Written), IdentityError> {
        let name = wanted.name.as_deref().map(checked_name).transpose()?;
        let was = match (&wanted.id, &name) {
            (Some(id), _) => {
                let found = match parsed(id) {
                    Some(id) => self.records.group(id).await?,
                    None => None,
                };
                Some(found.ok_or_else(|| IdentityError::bad("invalid group ID"))?)
            }
            (None, Some(name)) => self.records.group_named(name).await?,
            (None, None) => None,
        };
        let mut group = match was.clone() {
            Some(was) => was,
            None => self.new_group(name.clone()).await?,
        };
        if was.is_some() {
            giver.change_group(group.id)?;
        }
        if let (Some(_), Some(name)) = (&wanted.id, name) {
            let other = self.records.group_named(&name).await?;
            if other.is_some_and(|other| other.id != group.id) {
                return Err(IdentityError::bad("group name is already in use"));
            }
            group.name = name;
        }
        group.kind = kind_of(&group, wanted.kind.as_deref(), was.is_none())?;
        if let Some(policies) = &wanted.policies {
            let policies = checked_policies(policies)?;
            giver.give(policies.iter().filter(|policy| !group.policies.contains(policy)))?;
            group.policies = policies;
        }
        if let Some(metadata) = wanted.metadata.clone() {
            group.metadata = checked_metadata(metadata)?;
        }
        group.version = group.version.saturating_add(1);
        group.changed_at = self.clock.now();
        change.group(&self.records, was.as_ref(), Some(&group))?;
        self.members_to_be(giver, &mut change, &group, wanted).await?;
        let (id, is_new) = (group.id.to_string(), was.is_none());
        Ok((change, Written { id, name: group.name, is_new }))
    }

    async fn new_group(&self, name: Option<String>) -> Result<Group, IdentityError> {
        if self.records.group_ids(None, GROUPS_MAX).await?.len() >= GROUPS_MAX {
            return Err(IdentityError::Bad(format!("there are {GROUPS_MAX} groups already")));
        }
        let now = self.clock.now();
        let id = GroupId::new(now, &*self.chance);
        Ok(Group {
            id,
            name: name.unwrap_or_else(|| drawn_name("group", &id.to_string())),
            kind: GroupKind::Internal,
            metadata: Metadata::new(),
            policies: Vec::new(),
            version: 0,
            made_at: now,
            changed_at: now,
        })
    }

    /// Shows a group.
    pub async fn read_group(
        self: &Arc<Self>,
        request: &Request,
        which: &Which,
    ) -> Result<GroupView, IdentityError> {
        self.served(request, async |_| {
            let group = self.group_meant(which).await?.ok_or(IdentityError::Nothing)?;
            self.group_shown(group).await
        })
        .await
    }

    pub(super) async fn group_shown(&self, group: Group) -> Result<GroupView, IdentityError> {
        let members = self.records.members_of(group.id).await?;
        let parents = self.records.groups_of(Member::Group(group.id), MEMBERSHIPS_MAX).await?;
        Ok(GroupView { group, members, parents })
    }

    pub(super) async fn group_meant(&self, which: &Which) -> Result<Option<Group>, IdentityError> {
        Ok(match which {
            Which::Id(id) => match parsed(id) {
                Some(id) => self.records.group(id).await?,
                None => None,
            },
            Which::Name(name) => self.records.group_named(name).await?,
        })
    }

    /// Deletes a group, if there is one. Its members stay, and have no more of it.
    pub async fn delete_group(
        self: &Arc<Self>,
        request: &Request,
        which: &Which,
    ) -> Result<(), IdentityError> {
        self.served(request, async |caller: Caller| {
            let decide = async |giver: Giver, mut change: Change| {
                let group = self.group_meant(which).await?;
                // One that cannot be read is deleted by its id, with what leads to its members.
                let id = match (&group, which) {
                    (Some(group), _) => Some(group.id),
                    (None, Which::Id(id)) => parsed(id),
                    (None, Which::Name(_)) => None,
                };
                if let Some(id) = id {
                    giver.change_group(id)?;
                    change.were_in(id, self.records.members_of(id).await?.all());
                    let member = Member::Group(id);
                    for parent in self.records.groups_of(member, MEMBERSHIPS_MAX).await? {
                        change.were_in(parent, [member]);
                    }
                }
                if let Some(group) = &group {
                    change.group(&self.records, Some(group), None)?;
                }
                Ok((change, ()))
            };
            self.changed(request, &caller, decide).await
        })
        .await
    }
}

/// Returns who is to say who is in a group: that is said once.
fn kind_of(group: &Group, wanted: Option<&str>, is_new: bool) -> Result<GroupKind, IdentityError> {
    match wanted {
        None => Ok(group.kind.clone()),
        Some(word) if word == group.kind.word() => Ok(group.kind.clone()),
        Some("external") if is_new => Ok(GroupKind::External { alias: None }),
        Some("internal" | "external") => Err(IdentityError::bad("group type cannot be changed")),
        Some(word) => {
            let message =
                format!("group type {word:?} is not valid; it is `internal` or `external`");
            Err(IdentityError::Bad(message))
        }
    }
}
