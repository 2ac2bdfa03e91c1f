//! LIST of entities, aliases and groups, by id or by name, a bounded part at a time.

use super::{shown, some_text};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::{AliasView, Listed, Page};
use serde_json::{Map, Value, json};

pub(in crate::api) async fn entities(call: &Call) -> Result<Reply, Refusal> {
    let page = page(call)?;

    let listed = call.broker.list_entities(&call.request, &page, false).await?;

    let told = listed
        .items
        .iter()
        .map(|entity| (entity.id.to_string(), Some(shown::listed_entity(call, entity))));
    Ok(told_of(call, told.collect(), &page, listed.more))
}

pub(in crate::api) async fn entity_names(call: &Call) -> Result<Reply, Refusal> {
    let page = page(call)?;

    let listed = call.broker.list_entities(&call.request, &page, true).await?;

    let told = listed.items.into_iter().map(|entity| (entity.name, None));
    Ok(told_of(call, told.collect(), &page, listed.more))
}

pub(in crate::api) async fn groups(call: &Call) -> Result<Reply, Refusal> {
    let page = page(call)?;

    let listed = call.broker.list_groups(&call.request, &page, false).await?;

    let told = listed.items.iter();
    let told = told.map(|view| (view.group.id.to_string(), Some(shown::listed_group(view))));
    Ok(told_of(call, told.collect(), &page, listed.more))
}

pub(in crate::api) async fn group_names(call: &Call) -> Result<Reply, Refusal> {
    let page = page(call)?;

    let listed = call.broker.list_groups(&call.request, &page, true).await?;

    let told = listed.items.into_iter().map(|view| (view.group.name, None));
    Ok(told_of(call, told.collect(), &page, listed.more))
}

pub(in crate::api) async fn entity_aliases(call: &Call) -> Result<Reply, Refusal> {
    let page = page(call)?;

    let listed = call.broker.list_entity_aliases(&call.request, &page).await?;

    Ok(aliases(call, &page, &listed))
}

pub(in crate::api) async fn group_aliases(call: &Call) -> Result<Reply, Refusal> {
    let page = page(call)?;

    let listed = call.broker.list_group_aliases(&call.request, &page).await?;

    Ok(aliases(call, &page, &listed))
}

fn aliases(call: &Call, page: &Page, listed: &Listed<AliasView>) -> Reply {
    let told = listed.items.iter().map(|view| {
        let shown = shown::listed_alias(call, &view.alias, &view.canonical_id);
        (view.alias.id.to_string(), Some(shown))
    });
    told_of(call, told.collect(), page, listed.more)
}

fn page(call: &Call) -> Result<Page, Refusal> {
    let fields = call.fields();
    let limit = fields.number("limit")?;
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or_default());
    Ok(Page { after: some_text(&fields, "after")?, limit })
}

/// Tells a list: its keys, what is known of each, and, unless less was asked for, that there is more.
fn told_of(call: &Call, told: Vec<(String, Option<Value>)>, page: &Page, more: bool) -> Reply {
    let keys: Vec<_> = told.iter().map(|(key, _)| key.clone()).collect();
    let cut = more && page.limit.is_none();
    let warning = cut.then(|| {
        format!(
            "there is more than these {}; ask for the rest with `after` the last key",
            keys.len()
        )
    });
    let infos = told.into_iter().filter_map(|(key, info)| Some((key, info?)));
    let infos: Map<String, Value> = infos.collect();
    let data = if infos.is_empty() {
        json!({ "keys": keys })
    } else {
        json!({ "keys": keys, "key_info": infos })
    };
    Envelope::to(call.id()).data(data).warnings(warning).reply()
}
