//! `identity/entity`: people and workloads; written, shown, deleted, and merged.

use super::{Subject, metadata, shown, some_text};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::broker::{EntityWrite, Merge, Which};
use serde_json::{Value, json};

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    put(call, Subject::InBody).await
}

pub(in crate::api) async fn write_by_id(call: &Call) -> Result<Reply, Refusal> {
    put(call, Subject::Id).await
}

pub(in crate::api) async fn write_by_name(call: &Call) -> Result<Reply, Refusal> {
    put(call, Subject::Name).await
}

async fn put(call: &Call, subject: Subject) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let (id, name) = subject.id_and_name(call, &fields)?;
    let wanted = EntityWrite {
        id,
        name,
        metadata: metadata(&fields, "metadata")?,
        policies: fields.texts("policies")?,
        disabled: fields.flag("disabled")?,
    };
    let ignored = fields.ignored();

    let written = call.broker.write_entity(&call.request, wanted).await?;

    if written.is_new {
        let data = json!({ "id": written.id, "name": written.name, "aliases": Value::Null });
        return Ok(Envelope::to(call.id()).data(data).warnings(ignored).reply());
    }
    Ok(Reply::done_but(call.id(), ignored))
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

    Ok(Reply::done_but(call.id(), ignored))
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
