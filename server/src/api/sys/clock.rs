//! `GET sys/clock` and `POST sys/clock/accept`: how the time is that leases are kept by, and what an operator says of it.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::TargetSkew;
use leasehold_core::time::Timestamp;
use serde_json::{Value, json};

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let view = call.broker.read_clock(&call.request).await?;

    let state = view.state;
    let targets: Vec<_> = view.targets.iter().map(shown).collect();
    let data = json!({
        "time": state.time.rfc3339(),
        "system_time": state.wall.rfc3339(),
        "system_ahead_ms": state.wall.millis_after(state.time),
        "accepted_ahead": state.ahead.as_secs(),
        "highest_time": view.highest.map(Timestamp::rfc3339),
        "off_since": state.off_since.map(Timestamp::rfc3339),
        "refusing": state.doubt.is_some(),
        "reason": state.doubt.map(|doubt| doubt.to_string()),
        "targets": targets,
    });
    Ok(Envelope::to(call.id()).data(data).reply())
}

pub(in crate::api) async fn accept(call: &Call) -> Result<Reply, Refusal> {
    let accepted = call.broker.accept_clock(&call.request).await?;

    let data = json!({
        "time": accepted.time.rfc3339(),
        "moved": accepted.moved.as_secs(),
        "accepted_ahead": accepted.ahead.as_secs(),
    });
    Ok(Envelope::to(call.id()).data(data).reply())
}

fn shown(skew: &TargetSkew) -> Value {
    json!({
        "mount": skew.mount,
        "name": skew.name,
        "ahead_ms": skew.ahead_ms,
        "too_far": skew.too_far,
        "measured_at": skew.measured_at.rfc3339(),
    })
}
