//! Lists entities, aliases and groups, a bounded part at a time.

use super::super::authenticate::Recorded;
use super::super::{Broker, Request};
use super::alias::AliasView;
use super::group::GroupView;
use super::{IdentityError, parsed};
use crate::access::identity::Entity;
use crate::audit::Answer;
use crate::limits::LISTED_MAX;
use std::sync::Arc;

/// Which part of a list is told.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The id or the name after which it begins; from the beginning if there is none.
    pub after: Option<String>,
    /// How many it tells at most.
    pub limit: Option<usize>,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// What is listed.
    pub items: Vec<T>,
    /// Whether there is more than could be told.
    pub more: bool,
}

impl<T> Recorded for Listed<T> {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "total": self.items.len() })))
    }
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.filter(|limit| *limit > 0).map_or(LISTED_MAX, |limit| limit.min(LISTED_MAX))
    }

    /// One more than is told, to know whether there is more.
    fn looked_at(&self) -> usize {
        self.limit().saturating_add(1)
    }

    fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, IdentityError> {
        let Some(after) = self.after.as_deref().filter(|after| !after.is_empty()) else {
            return Ok(None);
        };
        let bad = || IdentityError::bad("`after` must be an id that was listed");
        parsed(after).map(Some).ok_or_else(bad)
    }

    /// Cuts a list off. An empty one is none, as in Vault; nor is it told that there is more of what was asked for less.
    fn cut<T>(&self, mut ids: Vec<T>) -> Result<(Vec<T>, bool), IdentityError> {
        if ids.is_empty() {
            return Err(IdentityError::Nothing);
        }
        let more = ids.len() > self.limit();
        ids.truncate(self.limit());
        Ok((ids, more))
    }
}

impl Broker {
    /// Lists entities by id, or by name.
    pub async fn list_entities(
        self: &Arc<Self>,
        request: &Request,
        page: &Page,
        by_name: bool,
    ) -> Result<Listed<Entity>, IdentityError> {
        self.served(request, async |_| {
            let ids = if by_name {
                let after = page.after.as_deref().unwrap_or_default();
                self.records.entity_ids_by_name(after, page.looked_at()).await?
            } else {
                self.records.entity_ids(page.after()?, page.looked_at()).await?
            };
            let (ids, more) = page.cut(ids)?;
            let mut items = Vec::with_capacity(ids.len());
            for id in ids {
                items.extend(self.records.entity_itself(id).await?);
            }
            Ok(Listed { items, more })
        })
        .await
    }

    /// Lists groups by id, or by name.
    pub async fn list_groups(
        self: &Arc<Self>,
        request: &Request,
        page: &Page,
        by_name: bool,
    ) -> Result<Listed<GroupView>, IdentityError> {
        self.served(request, async |_| {
            let ids = if by_name {
                let after = page.after.as_deref().unwrap_or_default();
                self.records.group_ids_by_name(after, page.looked_at()).await?
            } else {
                self.records.group_ids(page.after()?, page.looked_at()).await?
            };
            let (ids, more) = page.cut(ids)?;
            let mut items = Vec::with_capacity(ids.len());
            for id in ids {
                if let Some(group) = self.records.group(id).await? {
                    items.push(self.group_shown(group).await?);
                }
            }
            Ok(Listed { items, more })
        })
        .await
    }

    /// Lists the aliases of entities.
    pub async fn list_entity_aliases(
        self: &Arc<Self>,
        request: &Request,
        page: &Page,
    ) -> Result<Listed<AliasView>, IdentityError> {
        self.served(request, async |_| {
            let ids = self.records.entity_alias_ids(page.after()?, page.looked_at()).await?;
            let (ids, more) = page.cut(ids)?;
            let mut items = Vec::with_capacity(ids.len());
            for id in ids {
                let Some(entity) = self.records.entity_with(id).await? else { continue };
                let mut aliases = entity.aliases.iter();
                let alias = aliases.find(|alias| alias.id == id);
                items.extend(alias.map(|alias| AliasView::of_entity(&entity, alias)));
            }
            Ok(Listed { items, more })
        })
        .await
    }

    /// Lists the aliases of groups.
    pub async fn list_group_aliases(
        self: &Arc<Self>,
        request: &Request,
        page: &Page,
    ) -> Result<Listed<AliasView>, IdentityError> {
        self.served(request, async |_| {
            let ids = self.records.group_alias_ids(page.after()?, page.looked_at()).await?;
            let (ids, more) = page.cut(ids)?;
            let mut items = Vec::with_capacity(ids.len());
            for id in ids {
                let Some(group) = self.records.group_with(id).await? else { continue };
                items.extend(group.alias().map(|alias| AliasView::of_group(&group, alias)));
            }
            Ok(Listed { items, more })
        })
        .await
    }
}
