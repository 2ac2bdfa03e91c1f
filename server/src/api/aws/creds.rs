//! `<mount>/creds/:role`: lends a credential; a write does the same as a read, as in Vault.

use crate::api::caller::Call;
use crate::api::database::creds::lent;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use serde_json::{Map, Value};

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    // Only a session has this token, but clients look for it with every key.
    lent(call, Map::from_iter([("security_token".to_owned(), Value::Null)])).await
}
