//! `sys/wrapping/wrap`, `unwrap`, `rewrap`, `lookup`: answers that are wrapped, and what is known of them.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::wrapping::instead;
use actix_web::http::StatusCode;
use leasehold_core::secret::SecretText;
use serde_json::{Value, json};

/// Answers what it is sent, so that anything can be wrapped.
pub(in crate::api) async fn wrap(call: &Call) -> Result<Reply, Refusal> {
    if call.request.wrap_ttl.is_none() {
        return Err(Refusal::bad("endpoint requires response wrapping to be used"));
    }

    call.broker.let_pass(&call.request).await?;

    Ok(Envelope::to(call.id()).data(call.fields().rest()).reply())
}

/// The answer is the one that was wrapped, letter for letter.
pub(in crate::api) async fn unwrap(call: &Call) -> Result<Reply, Refusal> {
    let named = named(call);

    let unwrapped = call.broker.unwrap(&call.request, named.as_ref()).await?;

    Ok(Reply::json(StatusCode::OK, &unwrapped.answer).made(unwrapped.made))
}

pub(in crate::api) async fn rewrap(call: &Call) -> Result<Reply, Refusal> {
    let named = named(call);

    let wrapping = call.broker.rewrap(&call.request, named.as_ref()).await?;

    Ok(instead(&wrapping))
}

pub(in crate::api) async fn lookup(call: &Call) -> Result<Reply, Refusal> {
    let named = named(call);

    let token = call.broker.look_up_wrapping(&call.request, named.as_ref()).await?;

    let data = json!({
        "creation_path": token.path,
        "creation_time": token.issued_at.rfc3339(),
        "creation_ttl": token.creation_ttl.as_secs(),
    });
    Ok(Envelope::to(call.id()).data(data).reply())
}

/// Returns the wrapping token that the body names. Whatever else stands there is no wrapping token, and is told so in
/// the same words.
fn named(call: &Call) -> Option<SecretText> {
    let token = call.request.asked.data.as_ref().and_then(|data| data.get("token"));
    let text = token.and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(|text| SecretText::new(text.to_owned()))
}
