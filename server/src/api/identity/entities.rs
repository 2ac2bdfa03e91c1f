//! `identity/entity`: people and workloads; written, shown, deleted, and merged.

use super::{metadata, shown, some_text};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::broker::{EntityWrite, Merge, Which};
use serde_json::{Value, json};

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let (wanted, ignored) = {
        let fields = call.fields();
        let (id, name) = (some_text(&fields, "id")?, some_text(&fields, "name")?);
        wanted(&fields, id, name)?
    };
    written(call, wanted, ignored).await
}

pub(in crate::api) async fn write_by_id(call: &Call) -> Result<Reply, Refusal> {
    let (wanted, ignored) = {
        let fields = call.fields();
        let name = some_text(&fields, "name")?;
        wanted(&fields, Some(call.name.clone()), name)?
    };
    written(call, wanted, ignored).await
}

pub(in crate::api) async fn write_by_name(call: &Call) -> Result<Reply, Refusal> {
    let (wanted, ignored) = wanted(&call.fields(), None, Some(call.name.clone()))?;
    written(call, wanted, ignored).await
}

/// Reads what is wanted, and says what of it nobody knows.
fn wanted(
    fields: &Fields<'_>,
    id: Option<String>,
    name: Option<String>,
) -> Result<(EntityWrite, Option<String>), Refusal> {
    let wanted = EntityWrite {
        id,
        name,
        metadata: metadata(fields, "metadata")?,
        policies: fields.texts("policies")?,
        disabled: fields.flag("disabled")?,
    };
    Ok((wanted, fields.ignored()))
}

async fn written(
    call: &Call,
    wanted: EntityWrite,
    ignored: Option<String>,
) -> Result<Reply, Refusal> {
    let written = call.broker.write_entity(&call.request, wanted).await?;

    if written.is_new {
        let data = json!({ "id": written.id, "name": written.name, "aliases": Value::Null });
        return Ok(Envelope::to(call.id()).data(data).warnings(ignored).reply());
    }
    Ok(match ignored {
        None => Reply::done(),
        Some(warning) => Envelope::<()>::to(call.id()).warnings([warning]).reply(),
    })
}

pub(in crate::api) async fn read_by_id(call: &Call) -> Result<Reply, Refusal> {
    read(call, Which::Id(call.name.clone())).await
}

pub(in crate::api) async fn read_by_name(call: &Call) -> Result<Reply, Refusal> {
    read(call, Which::Name(call.name.clone())).await
}

async fn read(call: &Call, which: Which) -> Result<Reply, Refusal> {
    let view = call.broker.read_entity(&call.request, &which).await?;

    Ok(Envelope::to(call.id()).data(shown::entity(call, &view)).reply())
}

pub(in crate::api) async fn delete_by_id(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_entity(&call.request, &Which::Id(call.name.clone())).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn delete_by_name(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_entity(&call.request, &Which::Name(call.name.clone())).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn delete_many(call: &Call) -> Result<Reply, Refusal> {
    let ids = call.fields().texts("entity_ids")?.filter(|ids| !ids.is_empty());
    let ids = ids.ok_or_else(|| Refusal::bad("missing entity ids to delete"))?;
    let which: Vec<_> = ids.into_iter().map(Which::Id).collect();

    call.broker.delete_entities(&call.request, &which).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn merge(call: &Call) -> Result<Reply, Refusal> {
    let (merge, ignored) = to_merge(&call.fields())?;

    call.broker.merge_entities(&call.request, merge).await?;

    Ok(match ignored {
        None => Reply::done(),
        Some(warning) => Envelope::<()>::to(call.id()).warnings([warning]).reply(),
    })
}

fn to_merge(fields: &Fields<'_>) -> Result<(Merge, Option<String>), Refusal> {
    let missing = |name: &str| Refusal::bad(format!("missing {name}"));
    let from = fields.texts("from_entity_ids")?.filter(|ids| !ids.is_empty());
    let merge = Merge {
        to: some_text(fields, "to_entity_id")?.ok_or_else(|| missing("to_entity_id"))?,
        from: from.ok_or_else(|| missing("from_entity_ids"))?,
        keep: fields.texts("conflicting_alias_ids_to_keep")?.unwrap_or_default(),
    };
    // It decides between second factors, of which there are none.
    let _ = fields.flag("force")?;
    Ok((merge, fields.ignored()))
}
