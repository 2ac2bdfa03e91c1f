//! `sys/config/auditing/request-headers`: which headers of requests are recorded, and how.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let headers = call.broker.audited_headers(&call.request).await?;

    let shown: Map<_, _> =
        headers.iter().map(|(name, hmac)| (name.to_owned(), json!({ "hmac": hmac }))).collect();
    Ok(on_top(call, "headers", Value::Object(shown)))
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let headers = call.broker.audited_headers(&call.request).await?;

    let none = || Refusal::told(StatusCode::BAD_REQUEST, "Could not find header in config");
    let hmac = headers.is_hidden(&call.name).ok_or_else(none)?;
    Ok(on_top(call, &call.name, json!({ "hmac": hmac })))
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let hmac = fields.flag("hmac")?.unwrap_or(false);
    let ignored = fields.ignored();

    call.broker.audit_header(&call.request, &call.name, hmac).await?;

    Ok(Reply::done_but(call.id(), ignored))
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    call.broker.forget_header(&call.request, &call.name).await?;

    Ok(Reply::done())
}

fn on_top(call: &Call, name: &str, value: Value) -> Reply {
    Envelope::with_data_on_top(call.id(), Map::from_iter([(name.to_owned(), value)]))
}
