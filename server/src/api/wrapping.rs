//! Wraps the answer to a request that asks for it with `X-Vault-Wrap-TTL`.

use super::caller::Call;
use super::envelope::{JSON, Reply};
use super::error::Refusal;
use super::token::shown::wrap_info;
use actix_web::HttpRequest;
use actix_web::http::{Method, StatusCode};
use leasehold_core::broker::Wrapping;
use leasehold_core::duration::{self, DurationError};
use serde_json::json;
use serde_json::value::RawValue;
use std::time::Duration;

/// Returns for how long the answer is to be wrapped, if it is to be.
pub(super) fn asked(request: &HttpRequest) -> Result<Option<Duration>, Refusal> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str());
    let bad = |message: String| Refusal::told(StatusCode::BAD_REQUEST, message);
    if header("X-Vault-Wrap-Format").is_some_and(|format| !matches!(format, Ok(""))) {
        let message = "wrapping tokens have one form here; leave `X-Vault-Wrap-Format` out";
        return Err(bad(message.to_owned()));
    }
    let text = match header("X-Vault-Wrap-TTL") {
        None => return Ok(None),
        Some(Ok(text)) => text,
        Some(Err(_)) => return Err(bad("`X-Vault-Wrap-TTL` must be visible ASCII".to_owned())),
    };
    let ttl = duration::parse(text).map_err(|error| {
        let why = match error {
            DurationError::Negative { .. } => "requested wrap ttl cannot be negative".to_owned(),
            DurationError::Days(_)
            | DurationError::DaysOutOfRange(_)
            | DurationError::Invalid(_)
            | DurationError::MissingUnit(_)
            | DurationError::UnknownUnit { .. }
            | DurationError::NoDuration => error.to_string(),
        };
        bad(format!("error parsing X-Vault-Wrap-TTL header: {why}"))
    })?;
    // What asks for no time at all asks for no wrapping. Nobody reads the answer to a HEAD.
    Ok(Some(ttl).filter(|ttl| !ttl.is_zero() && request.method() != Method::HEAD))
}

/// Returns the answer as it is told: wrapped, if it was asked for so and says anything.
pub(super) async fn told(call: &Call, reply: Reply) -> Result<Reply, Refusal> {
    let Some(ttl) = call.request.wrap_ttl else { return Ok(reply) };
    if reply.stream.is_some() || reply.body.is_empty() || reply.kind != JSON {
        return Ok(reply);
    }
    let answer = String::from_utf8(reply.body).ok().and_then(|body| {
        let line = body.trim_end();
        RawValue::from_string(line.to_owned()).ok()
    });
    let answer = answer.ok_or_else(|| {
        Refusal::told(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be wrapped")
    })?;

    let wrapping = call.broker.wrap(&call.request, answer, reply.made, ttl).await?;

    Ok(instead(&wrapping))
}

/// What is told in place of a wrapped answer.
pub(super) fn instead(wrapping: &Wrapping) -> Reply {
    let told = json!({
        "request_id": "",
        "lease_id": "",
        "renewable": false,
        "lease_duration": 0,
        "data": null,
        "wrap_info": wrap_info(wrapping),
        "warnings": null,
        "auth": null,
    });
    Reply::json(StatusCode::OK, &told)
}
