//! `GET sys/internal/ui/resultant-acl`: all that the caller's policies grant together.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::access::policy::Capabilities;
use serde_json::{Map, Value, json};

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let granted = call.broker.all_granted(&call.request).await?;

    if granted.root {
        return Ok(Envelope::to(call.id()).data(json!({ "root": true })).reply());
    }
    let data = json!({
        "root": false,
        "exact_paths": shown(granted.exact),
        "glob_paths": shown(granted.patterns),
    });
    Ok(Envelope::to(call.id()).data(data).reply())
}

fn shown(granted: Vec<(String, Capabilities)>) -> Map<String, Value> {
    let shown = granted.into_iter();
    shown.map(|(path, granted)| (path, json!({ "capabilities": granted.words() }))).collect()
}
