//! `POST sys/rotate`, `GET sys/key-status` and `sys/rotate/config`: the keys that seal what is stored.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::RotationWrite;
use leasehold_core::duration::go_string;
use serde_json::{Map, json};

pub(in crate::api) async fn rotate(call: &Call) -> Result<Reply, Refusal> {
    call.broker.rotate_key_ring(&call.request).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn read_status(call: &Call) -> Result<Reply, Refusal> {
    let status = call.broker.key_status(&call.request).await?;

    let data = Map::from_iter([
        ("term".to_owned(), json!(status.key)),
        ("install_time".to_owned(), json!(status.installed_at.rfc3339())),
        ("encryptions".to_owned(), json!(status.seals)),
    ]);
    Ok(Envelope::with_data_on_top(call.id(), data))
}

pub(in crate::api) async fn read_rotation(call: &Call) -> Result<Reply, Refusal> {
    let rotation = call.broker.rotation(&call.request).await?;

    let interval = rotation.interval;
    // As Vault has it: a number if there is none, else a text.
    let interval = if interval.is_zero() { json!(0) } else { json!(go_string(interval)) };
    let data = json!({
        "enabled": rotation.enabled,
        "max_operations": rotation.seals_max,
        "interval": interval,
    });
    Ok(Envelope::to(call.id()).data(data).reply())
}

pub(in crate::api) async fn set_rotation(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let write = RotationWrite {
        enabled: fields.flag("enabled")?,
        seals_max: fields.number("max_operations")?,
        interval: fields.ttl("interval")?,
    };

    call.broker.set_rotation(&call.request, &write).await?;

    Ok(Reply::done_but(call.id(), fields.ignored()))
}
