//! `sys/rehearse/:mount/:role`: whether a role works, shown by a credential that is issued, used and revoked.

use super::beneath;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::Step;
use serde_json::{Value, json};

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let path = beneath(call, "role")?;

    let last = call.broker.last_rehearsal(&call.request, path).await?;

    let data = json!({
        "role": format!("{}{}", path.0, path.1),
        "rehearsed_at": last.at.rfc3339(),
        "ok": last.failed.is_none(),
        "failed": last.failed,
        "rights": last.rights,
    });
    Ok(Envelope::to(call.id()).data(data).reply())
}

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let path = beneath(call, "role")?;

    let rehearsal = call.broker.rehearse(&call.request, path).await?;

    let data = json!({
        "role": format!("{}{}", path.0, path.1),
        "ok": rehearsal.failed().is_none(),
        "failed": rehearsal.failed(),
        "username": rehearsal.username,
        "rights": rehearsal.rights,
        "lacks": rehearsal.lacks,
        "steps": rehearsal.steps.iter().map(step).collect::<Vec<_>>(),
    });
    Ok(Envelope::to(call.id()).data(data).reply())
}

fn step(step: &Step) -> Value {
    json!({
        "step": step.act.name(),
        "ms": u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX),
        "failed": step.failed,
        "note": step.note,
    })
}
