//! `GET sys/auth`: which auth methods there are. Tokens are always there, and so far nothing else.

use super::mounts::tokens;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use serde_json::{Map, Value};

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    call.broker.let_pass(&call.request).await?;

    let methods = Map::from_iter([("token/".to_owned(), Value::Object(tokens(call)))]);
    Ok(Envelope::with_data_on_top(call.id(), methods))
}
