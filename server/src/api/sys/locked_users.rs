//! `sys/locked-users`: names that failed logins have locked, and how to let them in again.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::routes::UNLOCK;
use serde_json::json;
use std::collections::BTreeMap;

/// Shown of one namespace, for there is one.
pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let only = fields.text("mount_accessor")?.filter(|accessor| !accessor.is_empty());
    let ignored = fields.ignored();

    let locked = call.broker.locked_names(&call.request).await?;

    let mut by_mount = BTreeMap::<String, Vec<String>>::new();
    for one in locked {
        by_mount.entry(one.mount.mount.record.accessor()).or_default().push(one.name);
    }
    by_mount.retain(|accessor, _| only.as_ref().is_none_or(|only| only == accessor));
    let total: usize = by_mount.values().map(Vec::len).sum();
    let mounts: Vec<_> = by_mount
        .iter()
        .map(|(accessor, names)| {
            json!({
                "mount_accessor": accessor, "counts": names.len(), "alias_identifiers": names,
            })
        })
        .collect();
    let of_root = json!({
        "namespace_id": "root", "namespace_path": "", "counts": total, "mount_accessors": mounts,
    });
    let data = json!({ "by_namespace": if total == 0 { json!([]) } else { json!([of_root]) }, "total": total });
    Ok(Envelope::to(call.id()).data(data).warnings(ignored).reply())
}

/// `sys/locked-users/:accessor/unlock/:name`.
pub(in crate::api) async fn unlock(call: &Call) -> Result<Reply, Refusal> {
    let parts = call.name.split_once(UNLOCK).filter(|(_, name)| !name.is_empty());
    let (accessor, name) = parts.ok_or_else(|| {
        Refusal::bad("the path is sys/locked-users/MOUNT_ACCESSOR/unlock/ALIAS_IDENTIFIER")
    })?;

    let is_meant =
        |entry: &leasehold_core::mount::MountEntry| entry.mount.record.accessor() == accessor;
    call.broker.unlock_name(&call.request, is_meant, name).await?;

    Ok(Reply::done())
}
