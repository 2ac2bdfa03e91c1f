//! Entities, aliases and groups as Vault's clients see them.

use crate::api::caller::Call;
use crate::api::standing::Standing;
use leasehold_core::access::identity::{Alias, Entity, Metadata};
use leasehold_core::broker::{AliasView, EntityView, GroupView};
use leasehold_core::mount::token_mount;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) fn entity(call: &Call, view: &EntityView) -> Value {
    let EntityView { entity, direct, inherited } = view;
    let aliases: Vec<_> =
        entity.aliases.iter().map(|alias| of_entity(call, entity, alias)).collect();
    json!({
        "aliases": aliases,
        "creation_time": entity.made_at.rfc3339(),
        "direct_group_ids": ids(direct.iter()),
        "disabled": entity.disabled,
        "group_ids": ids(direct.iter().chain(inherited)),
        "id": entity.id.to_string(),
        "inherited_group_ids": ids(inherited.iter()),
        "last_update_time": entity.changed_at.rfc3339(),
        "merged_entity_ids": some(&ids(entity.merged.iter())),
        "metadata": noted(&entity.metadata),
        "name": entity.name,
        "namespace_id": "root",
        "policies": entity.policies,
    })
}

pub(super) fn listed_entity(call: &Call, entity: &Entity) -> Value {
    let aliases = entity.aliases.iter().map(|one| listed_alias(call, one, &entity.id.to_string()));
    let aliases: Vec<_> = aliases.collect();
    json!({ "name": entity.name, "aliases": aliases })
}

fn of_entity(call: &Call, entity: &Entity, alias: &Alias) -> Value {
    let canonical_id = entity.id.to_string();
    entity_alias(call, &AliasView { alias: alias.clone(), canonical_id })
}

/// The alias of an entity.
pub(super) fn entity_alias(call: &Call, view: &AliasView) -> Value {
    let mut shown = whole(call, view);
    let noted = noted(&view.alias.custom_metadata);
    shown.extend([("custom_metadata".to_owned(), noted), ("local".to_owned(), json!(false))]);
    Value::Object(shown)
}

/// The alias of a group.
pub(super) fn group_alias(call: &Call, view: &AliasView) -> Value {
    Value::Object(whole(call, view))
}

fn whole(call: &Call, AliasView { alias, canonical_id }: &AliasView) -> Map<String, Value> {
    let merged_from = some(&ids(alias.merged_from.iter()));
    let mut shown = placed(call, alias, canonical_id);
    shown.extend([
        ("creation_time".to_owned(), json!(alias.made_at.rfc3339())),
        ("id".to_owned(), json!(alias.id.to_string())),
        ("last_update_time".to_owned(), json!(alias.changed_at.rfc3339())),
        ("merged_from_canonical_ids".to_owned(), merged_from),
        ("namespace_id".to_owned(), json!("root")),
    ]);
    shown
}

/// An alias as a list tells of it.
pub(super) fn listed_alias(call: &Call, alias: &Alias, canonical_id: &str) -> Value {
    let mut shown = placed(call, alias, canonical_id);
    let noted = noted(&alias.custom_metadata);
    shown.extend([("custom_metadata".to_owned(), noted), ("local".to_owned(), json!(false))]);
    Value::Object(shown)
}

/// Where a name is known. A mount that is gone has no path any more.
fn placed(call: &Call, alias: &Alias, canonical_id: &str) -> Map<String, Value> {
    let entry = call.broker.catalog().mount(alias.mount).map(Arc::clone);
    let tokens = (alias.mount == token_mount(call.broker.installation()))
        .then(|| (Standing::Tokens.point(), Standing::Tokens.kind()));
    let mount = entry.as_ref().map(|entry| &entry.mount.record);
    let mount = mount.map(|mount| (mount.path.as_str(), mount.kind.as_str())).or(tokens);
    let (path, kind) = mount.unwrap_or_default();
    Map::from_iter([
        ("canonical_id".to_owned(), json!(canonical_id)),
        ("metadata".to_owned(), noted(&alias.metadata)),
        ("mount_accessor".to_owned(), json!(alias.mount_accessor)),
        ("mount_path".to_owned(), json!(path)),
        ("mount_type".to_owned(), json!(kind)),
        ("name".to_owned(), json!(alias.name)),
    ])
}

pub(super) fn group(call: &Call, view: &GroupView) -> Value {
    let GroupView { group, members, parents } = view;
    let alias = group.alias().map_or_else(
        || json!({}),
        |alias| {
            let canonical_id = group.id.to_string();
            group_alias(call, &AliasView { alias: alias.clone(), canonical_id })
        },
    );
    json!({
        "alias": alias,
        "creation_time": group.made_at.rfc3339(),
        "id": group.id.to_string(),
        "last_update_time": group.changed_at.rfc3339(),
        "member_entity_ids": some(&ids(members.entities.iter())),
        "member_group_ids": some(&ids(members.groups.iter())),
        "metadata": noted(&group.metadata),
        "modify_index": group.version,
        "name": group.name,
        "namespace_id": "root",
        "parent_group_ids": some(&ids(parents.iter())),
        "policies": group.policies,
        "type": group.kind.word(),
    })
}

pub(super) fn listed_group(view: &GroupView) -> Value {
    json!({
        "name": view.group.name,
        "num_member_entities": view.members.entities.len(),
        "num_parent_groups": view.parents.len(),
    })
}

fn ids(ids: impl Iterator<Item = impl ToString>) -> Vec<String> {
    ids.map(|id| id.to_string()).collect()
}

/// Where there is none of something that is listed, Vault says so.
fn some(ids: &[String]) -> Value {
    if ids.is_empty() { Value::Null } else { json!(ids) }
}

fn noted(metadata: &Metadata) -> Value {
    if metadata.is_empty() { Value::Null } else { json!(metadata) }
}
