//! `sys/remount`: moves a mount to another path. It is moved once this is answered; how it went can be asked for all
//! the same, since Vault's clients do.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use serde_json::json;

const DONE: &str = "Mount move has been done. Leases and tokens stay; policies that name the old path grant nothing at the new one";

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let (from, to) = (path(&fields, "from")?, path(&fields, "to")?);
    let ignored = fields.ignored();

    let moved = call.broker.remount(&call.request, &from, &to).await?;

    let warnings = [DONE.to_owned()].into_iter().chain(ignored);
    let data = json!({ "migration_id": moved.id });
    Ok(Envelope::to(call.id()).data(data).warnings(warnings).on_top())
}

fn path(fields: &Fields<'_>, name: &'static str) -> Result<String, Refusal> {
    let path = fields.text(name)?.filter(|path| !path.is_empty());
    path.ok_or_else(|| Refusal::bad(format!("`{name}` is missing: the path of a mount")))
}

pub(in crate::api) async fn status(call: &Call) -> Result<Reply, Refusal> {
    let moved = call.broker.move_made(&call.request, &call.name).await?;

    let info = json!({ "source_mount": moved.from, "target_mount": moved.to, "status": "success" });
    let data = json!({ "migration_id": moved.id, "migration_info": info });
    Ok(Envelope::to(call.id()).data(data).reply())
}
