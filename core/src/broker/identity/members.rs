//! Who is in a group: what a write of one makes of its members, and what it must not.
//!
//! **Invariant:** no group is in itself, in however many steps, and no more than [`GROUP_DEPTH_MAX`] are inside each
//! other.

use super::super::Broker;
use super::giving::Giver;
use super::group::GroupWrite;
use super::{IdentityError, parsed};
use crate::access::identity::{Group, GroupKind};
use crate::ids::{EntityId, GroupId};
use crate::limits::{GROUP_DEPTH_MAX, MEMBERS_MAX, MEMBERSHIPS_MAX};
use crate::store::identity::{Change, Member, Members};
use std::collections::BTreeSet;

/// Which way groups are looked through.
#[derive(Clone, Copy)]
enum Way {
    /// From a group to those it is in.
    Up,
    /// To those that are in it.
    Down,
}

impl Broker {
    /// Decides who is to be in a group that is written.
    pub(super) async fn members_to_be(
        &self,
        giver: &Giver,
        change: &mut Change,
        group: &Group,
        wanted: &GroupWrite,
    ) -> Result<(), IdentityError> {
        if wanted.entities.is_none() && wanted.groups.is_none() {
            return Ok(());
        }
        if matches!(group.kind, GroupKind::External { .. }) {
            return Err(IdentityError::bad(
                "the method of an external group says who is in it; members can't be set manually for external groups",
            ));
        }
        let were = self.records.members_of(group.id).await?;
        let mut are = were.clone();
        if let Some(ids) = &wanted.entities {
            are.entities = self.entities_named(ids).await?;
        }
        if let Some(ids) = &wanted.groups {
            are.groups = self.groups_named(ids).await?;
        }
        if are.count() > MEMBERS_MAX {
            let message = format!("a group has {MEMBERS_MAX} direct members at most");
            return Err(IdentityError::Bad(message));
        }
        self.check_members(giver, group, &were, &are).await?;
        change.were_in(group.id, were.all());
        change.are_in(group.id, are.all());
        Ok(())
    }

    async fn entities_named(&self, ids: &[String]) -> Result<BTreeSet<EntityId>, IdentityError> {
        let mut entities = BTreeSet::new();
        for id in ids {
            let found = match parsed(id) {
                Some(id) => self.records.entity(id).await?,
                None => None,
            };
            let bad = || IdentityError::Bad(format!("invalid entity ID {id:?}"));
            entities.insert(found.ok_or_else(bad)?.id);
        }
        Ok(entities)
    }

    async fn groups_named(&self, ids: &[String]) -> Result<BTreeSet<GroupId>, IdentityError> {
        let mut groups = BTreeSet::new();
        for id in ids {
            let found = match parsed(id) {
                Some(id) => self.records.group(id).await?,
                None => None,
            };
            let bad = || IdentityError::Bad(format!("invalid group ID {id:?}"));
            groups.insert(found.ok_or_else(bad)?.id);
        }
        Ok(groups)
    }

    /// Refuses members that cannot be, or that the caller may not make some.
    async fn check_members(
        &self,
        giver: &Giver,
        group: &Group,
        were: &Members,
        are: &Members,
    ) -> Result<(), IdentityError> {
        let joining: Vec<_> = are.all().filter(|member| !has(were, *member)).collect();
        let leaving = were.all().filter(|member| !has(are, *member));
        for member in leaving.chain(joining.iter().copied()) {
            giver.change_membership(member)?;
        }
        if !joining.is_empty() {
            // The group as it is to be: what it is given by this write was asked about before.
            let above = self.records.groups_of(Member::Group(group.id), MEMBERSHIPS_MAX).await?;
            giver.give(&group.policies)?;
            for parent in above {
                giver.give(&self.given_by(parent).await?)?;
            }
        }
        for member in &joining {
            let groups = self.records.groups_of(*member, MEMBERSHIPS_MAX).await?;
            if groups.len() >= MEMBERSHIPS_MAX {
                return Err(IdentityError::Bad(format!(
                    "an entity or a group is directly in {MEMBERSHIPS_MAX} groups at most"
                )));
            }
        }
        let joins = |member: &Member| matches!(member, Member::Group(_));
        if joining.iter().any(joins) {
            self.check_depth(group.id, &are.groups).await
        } else {
            Ok(())
        }
    }

    /// Refuses groups in a group that it is in itself, and too many inside each other.
    async fn check_depth(
        &self,
        group: GroupId,
        members: &BTreeSet<GroupId>,
    ) -> Result<(), IdentityError> {
        let deep = || {
            let message = format!("at most {GROUP_DEPTH_MAX} groups may be inside each other");
            IdentityError::Bad(message)
        };
        let above = self.levels(BTreeSet::from([group]), Way::Up).await?.ok_or_else(deep)?;
        if above.iter().any(|level| !level.is_disjoint(members)) {
            return Err(IdentityError::bad(
                "a group cannot be in itself; one of `member_group_ids` is this group, or has it among its members",
            ));
        }
        let below = self.levels(members.clone(), Way::Down).await?.ok_or_else(deep)?;
        let depth = above.len().saturating_add(below.len());
        if depth > GROUP_DEPTH_MAX { Err(deep()) } else { Ok(()) }
    }

    /// Returns these groups, those that are reached from them in one step, in two, and so on; `None` if that goes too
    /// far.
    async fn levels(
        &self,
        first: BTreeSet<GroupId>,
        way: Way,
    ) -> Result<Option<Vec<BTreeSet<GroupId>>>, IdentityError> {
        let mut levels = Vec::new();
        let mut level = first;
        while !level.is_empty() {
            if levels.len() >= GROUP_DEPTH_MAX {
                return Ok(None);
            }
            let mut next = BTreeSet::new();
            for id in &level {
                match way {
                    Way::Up => {
                        let member = Member::Group(*id);
                        next.extend(self.records.groups_of(member, MEMBERSHIPS_MAX).await?);
                    }
                    Way::Down => next.extend(self.records.members_of(*id).await?.groups),
                }
            }
            levels.push(std::mem::replace(&mut level, next));
        }
        Ok(Some(levels))
    }
}

fn has(members: &Members, member: Member) -> bool {
    match member {
        Member::Entity(id) => members.entities.contains(&id),
        Member::Group(id) => members.groups.contains(&id),
    }
}
