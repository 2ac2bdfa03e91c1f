//! `LIST auth/token/accessors`: the accessors of all tokens.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use serde_json::json;

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_accessors(&call.request).await?;

    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}
