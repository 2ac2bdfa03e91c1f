//! Writes, shows and deletes the aliases of external groups: what a method calls them.

use super::super::authenticate::Caller;
use super::super::{Broker, Request};
use super::alias::{AliasView, AliasWrite};
use super::giving::Giver;
use super::{IdentityError, parsed};
use crate::access::identity::{Alias, Group, GroupKind};
use crate::store::identity::Change;
use std::sync::Arc;

impl AliasView {
    pub(super) fn of_group(group: &Group, alias: &Alias) -> Self {
        Self { alias: alias.clone(), canonical_id: group.id.to_string() }
    }
}

impl Broker {
    /// Writes the alias of an external group.
    pub async fn write_group_alias(
        self: &Arc<Self>,
        request: &Request,
        wanted: AliasWrite,
    ) -> Result<AliasView, IdentityError> {
        self.served(request, async |caller: Caller| {
            let decide =
                async |giver, change| self.group_alias_to_be(&giver, change, &wanted).await;
            self.changed(request, &caller, decide).await
        })
        .await
    }

    async fn group_alias_to_be(
        &self,
        giver: &Giver,
        mut change: Change,
        wanted: &AliasWrite,
    ) -> Result<(Change, AliasView), IdentityError> {
        let found = match &wanted.id {
            Some(id) => {
                let found = self.group_and_alias(id).await?;
                Some(found.ok_or_else(|| IdentityError::bad("invalid alias ID"))?)
            }
            None => None,
        };
        let target = match (&wanted.canonical_id, &found) {
            (Some(id), _) => match parsed(id) {
                Some(id) => self.records.group(id).await?,
                None => None,
            },
            (None, Some((group, _))) => Some(group.clone()),
            (None, None) => return Err(IdentityError::bad("missing canonical_id")),
        };
        let was = target.ok_or_else(|| IdentityError::bad("invalid canonical ID"))?;
        let GroupKind::External { alias: own } = &was.kind else {
            return Err(IdentityError::bad("only an external group has an alias"));
        };
        let before = found.as_ref().map(|(_, alias)| alias).or(own.as_ref());
        let alias = self.alias_wanted(wanted, before, &mut change)?;
        if own.as_ref().is_some_and(|own| own.id != alias.id) {
            return Err(IdentityError::bad(
                "the group has an alias already; delete that one first",
            ));
        }
        let other = self.records.group_known_as(alias.mount, &alias.name).await?;
        let mut others = other.iter().filter_map(Group::alias);
        if others.any(|other| other.id != alias.id) {
            return Err(IdentityError::bad("another group has this alias; delete that one first"));
        }
        giver.change_group(was.id)?;
        giver.give(&self.given_by(was.id).await?)?;
        if let Some((from, _)) = found.filter(|(from, _)| from.id != was.id) {
            giver.change_group(from.id)?;
            change.group(&self.records, Some(&from), Some(&self.with_alias(&from, None)))?;
        }
        let group = self.with_alias(&was, Some(alias.clone()));
        change.group(&self.records, Some(&was), Some(&group))?;
        Ok((change, AliasView::of_group(&group, &alias)))
    }

    fn with_alias(&self, group: &Group, alias: Option<Alias>) -> Group {
        let version = group.version.saturating_add(1);
        let kind = GroupKind::External { alias };
        Group { kind, version, changed_at: self.clock.now(), ..group.clone() }
    }

    /// Returns the alias of a group by its id, with the group.
    pub(super) async fn group_and_alias(
        &self,
        id: &str,
    ) -> Result<Option<(Group, Alias)>, IdentityError> {
        let Some(id) = parsed(id) else { return Ok(None) };
        let Some(group) = self.records.group_with(id).await? else { return Ok(None) };
        let alias = group.alias().filter(|alias| alias.id == id).cloned();
        Ok(alias.map(|alias| (group, alias)))
    }

    /// Shows the alias of a group.
    pub async fn read_group_alias(
        self: &Arc<Self>,
        request: &Request,
        id: &str,
    ) -> Result<AliasView, IdentityError> {
        self.served(request, async |_| {
            let (group, alias) = self.group_and_alias(id).await?.ok_or(IdentityError::Nothing)?;
            Ok(AliasView::of_group(&group, &alias))
        })
        .await
    }

    /// Deletes the alias of a group, if there is one.
    pub async fn delete_group_alias(
        self: &Arc<Self>,
        request: &Request,
        id: &str,
    ) -> Result<(), IdentityError> {
        self.served(request, async |caller: Caller| {
            let decide = async |giver: Giver, mut change: Change| {
                if let Some((was, _)) = self.group_and_alias(id).await? {
                    giver.change_group(was.id)?;
                    let group = self.with_alias(&was, None);
                    change.group(&self.records, Some(&was), Some(&group))?;
                }
                Ok((change, ()))
            };
            self.changed(request, &caller, decide).await
        })
        .await
    }
}
