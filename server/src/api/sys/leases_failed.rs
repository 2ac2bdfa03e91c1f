//! `GET sys/leases` and `sys/leases/count` with `type=irrevocable`: leases whose credentials could not be removed yet.
//!
//! Vault gives such leases up, and these pages list them. Here none is ever given up: what is listed is tried again,
//! and is gone from the list once it succeeds.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::broker::FailedLeases;
use serde_json::{Map, Value, json};

/// How many are listed unless the caller says otherwise. Vault's number.
const LISTED: usize = 10_000;

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    failed_only(&fields)?;
    let limit = limit(&fields)?;

    let failed = call.broker.failed_leases(&call.request, limit).await?;

    let shown = failed.leases.iter().map(|lease| {
        json!({
            "lease_id": lease.lease_id,
            "mount_id": accessor_of(call, lease.mount),
            "error": lease.error,
            "attempts": lease.attempts,
            "next_attempt": lease.retry_at.rfc3339(),
        })
    });
    let leases: Vec<_> = shown.collect();
    let left_out = failed.count().saturating_sub(leases.len());
    let warning =
        (left_out > 0).then(|| format!("{left_out} more are not listed; `limit=none` lists all"));
    let data =
        json!({ "lease_count": failed.count(), "counts": counts(call, &failed), "leases": leases });
    Ok(Envelope::to(call.id()).data(data).warnings(warning).reply())
}

pub(in crate::api) async fn count(call: &Call) -> Result<Reply, Refusal> {
    failed_only(&call.fields())?;

    let failed = call.broker.failed_leases(&call.request, 0).await?;

    let data = json!({ "lease_count": failed.count(), "counts": counts(call, &failed) });
    Ok(Envelope::to(call.id()).data(data).reply())
}

fn failed_only(fields: &Fields<'_>) -> Result<(), Refusal> {
    match fields.text("type")?.as_deref() {
        Some(kind) if kind.eq_ignore_ascii_case("irrevocable") => Ok(()),
        Some(_) | None => Err(Refusal::bad(
            "`type` must be `irrevocable`; `LIST sys/leases/lookup/:prefix` lists the others",
        )),
    }
}

fn limit(fields: &Fields<'_>) -> Result<usize, Refusal> {
    let text = fields.text("limit")?.filter(|limit| !limit.is_empty());
    match text.as_deref() {
        None => Ok(LISTED),
        Some("none") => Ok(usize::MAX),
        Some(number) => number
            .parse()
            .map_err(|_| Refusal::bad(format!("`limit` is a number or `none`, not {number:?}"))),
    }
}

/// How many there are of each mount, under the mount's accessor.
fn counts(call: &Call, failed: &FailedLeases) -> Map<String, Value> {
    let counts = failed.by_mount.iter();
    counts.map(|(mount, count)| (accessor_of(call, *mount), json!(count))).collect()
}

/// Mounts that are closed keep their record until their last lease is gone.
fn accessor_of(call: &Call, mount: leasehold_core::ids::MountId) -> String {
    let catalog = call.broker.catalog();
    let entry = catalog.mount(mount);
    entry.map(|entry| entry.mount.record.accessor()).unwrap_or_default()
}
