//! `sys/audit`: which audit devices there are, and how a text is shown in the record of one.
//!
//! Devices are declared in the configuration and nowhere else: who could declare one here could write to any file
//! that the server may write to (docs/decisions/0008-audit.md).

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::audit::DeviceView;
use leasehold_core::secret::SecretText;
use serde_json::{Map, Value, json};

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let devices = call.broker.audit_devices(&call.request).await?;

    let shown = devices
        .iter()
        .filter_map(|device| Some((format!("{}/", device.name), shown(call, device)?)));
    let data = Value::Object(shown.collect::<Map<_, _>>());
    Ok(Envelope::to(call.id()).data(data).warnings(call.broker.audit_cautions()).on_top())
}

pub(in crate::api) async fn hash(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let input =
        fields.text("input")?.ok_or_else(|| Refusal::bad("the \"input\" parameter is empty"))?;
    let input = SecretText::new(input);

    let device = call.name.trim_end_matches('/');
    let hash = call.broker.audit_hash(&call.request, device, &input).await?;

    Ok(Envelope::to(call.id()).data(json!({ "hash": hash })).warnings(fields.ignored()).reply())
}

pub(in crate::api) async fn renew_keys(call: &Call) -> Result<Reply, Refusal> {
    let device = call.name.trim_end_matches('/');
    let drawn = call.broker.renew_audit_keys(&call.request, device).await?;

    let data = json!({ "version": drawn.version, "public_key": drawn.public_key });
    Ok(Envelope::to(call.id()).data(data).reply())
}

pub(in crate::api) async fn enable(call: &Call) -> Result<Reply, Refusal> {
    call.broker.enable_audit(&call.request).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn disable(call: &Call) -> Result<Reply, Refusal> {
    call.broker.disable_audit(&call.request, call.name.trim_end_matches('/')).await?;

    Ok(Reply::done())
}

/// What Vault shows of a device, and how its record is checked.
fn shown(call: &Call, device: &DeviceView) -> Option<Value> {
    let declared = call.server.audits.iter().find(|declared| declared.name == device.name)?;
    let chain = device.kept.map(|head| json!({ "number": head.number, "hash": head.hash.text() }));
    Some(json!({
        "type": declared.way.kind(),
        "description": declared.description,
        "options": declared.way.options(),
        "local": false,
        "path": format!("{}/", device.name),
        "public_key": device.public_key,
        "public_keys": device.public_keys,
        "chain": chain,
        "acknowledges": declared.acknowledges(),
    }))
}
