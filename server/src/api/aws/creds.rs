//! `<mount>/creds/:role` and `<mount>/sts/:role`: lend a credential; a write does the same as a read, as in Vault.

use crate::api::caller::Call;
use crate::api::database::creds::lent;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use serde_json::{Map, json};

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let more = |issued: &leasehold_core::broker::Issued| {
        // Only a session has a token and an end that is told, but clients look for the token with every key.
        let (name, value) = if issued.renewable {
            ("security_token", json!(null))
        } else {
            ("ttl", json!(issued.ttl.as_secs()))
        };
        Map::from_iter([(name.to_owned(), value)])
    };
    lent(call, more).await
}
