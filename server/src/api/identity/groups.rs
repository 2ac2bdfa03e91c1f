//! `identity/group`: who may do the same; written, shown and deleted.

use super::{Subject, metadata, shown, some_text};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::{GroupWrite, Which};
use serde_json::json;

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
    let wanted = GroupWrite {
        id,
        name,
        kind: some_text(&fields, "type")?,
        metadata: metadata(&fields, "metadata")?,
        policies: fields.texts("policies")?,
        entities: fields.texts("member_entity_ids")?,
        groups: fields.texts("member_group_ids")?,
    };
    let ignored = fields.ignored();

    let written = call.broker.write_group(&call.request, wanted).await?;

    let data = json!({ "id": written.id, "name": written.name });
    Ok(Envelope::to(call.id()).data(data).warnings(ignored).reply())
}

pub(in crate::api) async fn read_by_id(call: &Call) -> Result<Reply, Refusal> {
    read(call, Which::Id(call.name.clone())).await
}

pub(in crate::api) async fn read_by_name(call: &Call) -> Result<Reply, Refusal> {
    read(call, Which::Name(call.name.clone())).await
}

async fn read(call: &Call, which: Which) -> Result<Reply, Refusal> {
    let view = call.broker.read_group(&call.request, &which).await?;

    Ok(Envelope::to(call.id()).data(shown::group(call, &view)).reply())
}

pub(in crate::api) async fn delete_by_id(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_group(&call.request, &Which::Id(call.name.clone())).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn delete_by_name(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_group(&call.request, &Which::Name(call.name.clone())).await?;

    Ok(Reply::done())
}
