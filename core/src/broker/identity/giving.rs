//! What a caller may give to others, and what they may change of what they are themselves.
//!
//! Without `sudo` at the path nobody gives policies that they have not, whichever way: by the policies of an entity or
//! a group, by membership, by an alias, by a merge. And nobody changes what they are: their own entity, its aliases, and
//! the groups it is in. A name or a note there may be what a template reads, and a policy what denies them something.

use super::super::Request;
use super::super::access::{Rights, held};
use super::IdentityError;
use crate::access::identity::Identity;
use crate::access::token::Token;
use crate::ids::{EntityId, GroupId};
use crate::store::identity::Member;
use std::collections::BTreeSet;

/// A caller who writes entities or groups.
#[derive(Debug)]
pub(super) struct Giver {
    /// Whether they may give anything but `root`.
    free: bool,
    policies: BTreeSet<String>,
    entity: Option<EntityId>,
    groups: BTreeSet<GroupId>,
}

impl Giver {
    pub(super) fn new(request: &Request, token: &Token, rights: &Rights) -> Self {
        let identity = rights.identity.as_deref();
        let groups = identity.into_iter().flat_map(Identity::groups);
        Self {
            free: rights.have_sudo(request),
            policies: held(token, identity).iter().cloned().collect(),
            entity: identity.map(|identity| identity.entity.id),
            groups: groups.map(|group| group.id).collect(),
        }
    }

    /// Refuses to give policies that the caller has not.
    pub(super) fn give<'a>(
        &self,
        policies: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), IdentityError> {
        let lacks = policies.into_iter().filter(|policy| !self.policies.contains(*policy));
        let lacks: BTreeSet<_> = lacks.map(|policy| format!("`{policy}`")).collect();
        if self.free || lacks.is_empty() {
            return Ok(());
        }
        let lacks: Vec<_> = lacks.into_iter().collect();
        Err(IdentityError::NotTheirs(format!(
            "this would give policies that you do not have: {}; it takes `sudo` on the path",
            lacks.join(", ")
        )))
    }

    /// Refuses to change the caller's own entity.
    pub(super) fn change_entity(&self, id: EntityId) -> Result<(), IdentityError> {
        if !self.free && self.entity == Some(id) {
            return Err(own("your own entity"));
        }
        Ok(())
    }

    /// Refuses to change a group that the caller is in.
    pub(super) fn change_group(&self, id: GroupId) -> Result<(), IdentityError> {
        if !self.free && self.groups.contains(&id) {
            return Err(own("a group that you are in"));
        }
        Ok(())
    }

    /// Refuses to change what the caller is in.
    pub(super) fn change_membership(&self, member: Member) -> Result<(), IdentityError> {
        match member {
            Member::Entity(id) => self.change_entity(id),
            Member::Group(id) => self.change_group(id),
        }
    }
}

fn own(what: &str) -> IdentityError {
    IdentityError::NotTheirs(format!("this would change {what}; it takes `sudo` on the path"))
}
