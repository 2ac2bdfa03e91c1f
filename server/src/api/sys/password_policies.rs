//! `sys/policies/password`: what passwords look like.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use base64::Engine;
use serde_json::json;

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_password_policies(&call.request).await?;

    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let text = call.broker.read_password_policy(&call.request, &call.name).await?.0;

    Ok(Envelope::to(call.id()).data(json!({ "policy": text })).reply())
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let text = decoded(call.fields().text("policy")?.unwrap_or_default());

    call.broker.write_password_policy(&call.request, &call.name, &text).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_password_policy(&call.request, &call.name).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn generate(call: &Call) -> Result<Reply, Refusal> {
    let drawn = call.broker.generate_password(&call.request, &call.name).await?;

    Ok(Envelope::to(call.id()).data(json!({ "password": drawn.reveal() })).reply())
}

/// Some clients send the text in base64, as that of other policies; no policy can be read as that.
fn decoded(text: String) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(&text).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(text)
}
