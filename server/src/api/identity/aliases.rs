//! `identity/entity-alias` and `identity/group-alias`: under which names methods know entities and groups.

use super::{metadata, shown, some_text};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::broker::{AliasView, AliasWrite};
use serde_json::json;

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    write_of_entity(call, None).await
}

pub(in crate::api) async fn write_by_id(call: &Call) -> Result<Reply, Refusal> {
    write_of_entity(call, Some(call.name.clone())).await
}

async fn write_of_entity(call: &Call, id: Option<String>) -> Result<Reply, Refusal> {
    let (wanted, ignored) = {
        let fields = call.fields();
        // What `canonical_id` once was called.
        let old = some_text(&fields, "entity_id")?;
        let custom_metadata = metadata(&fields, "custom_metadata")?;
        let wanted = wanted(&fields, id)?;
        let canonical_id = wanted.canonical_id.or(old);
        (AliasWrite { canonical_id, custom_metadata, ..wanted }, fields.ignored())
    };

    let view = call.broker.write_entity_alias(&call.request, wanted).await?;

    Ok(written(call, &view, ignored))
}

pub(in crate::api) async fn write_group(call: &Call) -> Result<Reply, Refusal> {
    write_of_group(call, None).await
}

pub(in crate::api) async fn write_group_by_id(call: &Call) -> Result<Reply, Refusal> {
    write_of_group(call, Some(call.name.clone())).await
}

async fn write_of_group(call: &Call, id: Option<String>) -> Result<Reply, Refusal> {
    let (wanted, ignored) = {
        let fields = call.fields();
        (wanted(&fields, id)?, fields.ignored())
    };

    let view = call.broker.write_group_alias(&call.request, wanted).await?;

    Ok(written(call, &view, ignored))
}

/// Reads what both kinds have; the id is in the path, or else in the body.
fn wanted(fields: &Fields<'_>, id: Option<String>) -> Result<AliasWrite, Refusal> {
    let own = some_text(fields, "id")?;
    Ok(AliasWrite {
        id: id.or(own),
        name: some_text(fields, "name")?,
        mount_accessor: some_text(fields, "mount_accessor")?,
        canonical_id: some_text(fields, "canonical_id")?,
        custom_metadata: None,
    })
}

fn written(call: &Call, view: &AliasView, ignored: Option<String>) -> Reply {
    let id = view.alias.id.to_string();
    let data = json!({ "id": id, "canonical_id": view.canonical_id });
    Envelope::to(call.id()).data(data).warnings(ignored).reply()
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let view = call.broker.read_entity_alias(&call.request, &call.name).await?;

    Ok(Envelope::to(call.id()).data(shown::entity_alias(call, &view)).reply())
}

pub(in crate::api) async fn read_group(call: &Call) -> Result<Reply, Refusal> {
    let view = call.broker.read_group_alias(&call.request, &call.name).await?;

    Ok(Envelope::to(call.id()).data(shown::group_alias(call, &view)).reply())
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_entity_alias(&call.request, &call.name).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn delete_group(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_group_alias(&call.request, &call.name).await?;

    Ok(Reply::done())
}
