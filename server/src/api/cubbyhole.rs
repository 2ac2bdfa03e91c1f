//! `cubbyhole/`: what a token keeps for itself.

use super::caller::Call;
use super::envelope::{Envelope, Reply};
use super::error::Refusal;
use serde_json::Value;

pub(super) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let kept = call.broker.read_cubbyhole(&call.request, &call.name).await?;

    Ok(Envelope::to(call.id()).data(&kept.0).reply())
}

pub(super) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let folder = if call.name.is_empty() { String::new() } else { format!("{}/", call.name) };

    let keys = call.broker.list_cubbyhole(&call.request, &folder).await?;

    Ok(Envelope::to(call.id()).data(serde_json::json!({ "keys": keys })).reply())
}

pub(super) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let Some(Value::Object(content)) = &call.request.asked.data else {
        return Err(Refusal::bad("missing data fields"));
    };

    call.broker.write_cubbyhole(&call.request, &call.name, content).await?;

    Ok(Reply::done())
}

pub(super) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_cubbyhole(&call.request, &call.name).await?;

    Ok(Reply::done())
}
