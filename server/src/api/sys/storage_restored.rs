//! `GET sys/storage/restore-status` and `POST sys/storage/take-over/:target`: what a restore has left to do.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::HeldTarget;
use leasehold_core::time::Timestamp;
use serde_json::{Value, json};

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let held = call.broker.restore_status(&call.request).await?;

    let targets: Vec<_> = held.iter().map(shown).collect();
    Ok(Envelope::to(call.id()).data(json!({ "targets": targets })).reply())
}

fn shown(held: &HeldTarget) -> Value {
    json!({
        "target": held.name,
        "generation": held.generation.0,
        "state": held.hold.cause.name(),
        "since": held.hold.since.rfc3339(),
        "taken_at": held.hold.taken_at.rfc3339(),
        "attempts": held.attempts,
        "next_attempt": held.retry_at.map(Timestamp::rfc3339),
        "credential_older_than_target": held.hold.older_since.is_some(),
        "error": held.error,
    })
}

pub(in crate::api) async fn take_over(call: &Call) -> Result<Reply, Refusal> {
    call.broker.take_over(&call.request, &call.name).await?;

    Ok(Reply::done())
}
