//! `sys/auth`: which methods are where. Tokens are always there.

use super::mounts::{always, find, show_tune, shown, tuning, wanted};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::standing::Standing;
use leasehold_core::broker::Side;
use serde_json::{Map, Value};

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let entries = call.broker.list_mounts(&call.request, Side::Methods).await?;

    let mut methods =
        Map::from_iter([("token/".to_owned(), Value::Object(always(call, Standing::Tokens)))]);
    methods.extend(entries.iter().map(|entry| {
        let mount = &entry.mount.record;
        (mount.path.trim_start_matches("auth/").to_owned(), Value::Object(shown(mount)))
    }));
    Ok(Envelope::with_data_on_top(call.id(), methods))
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let found = find(call, Side::Methods).await?;

    Ok(Envelope::with_data_on_top(call.id(), found))
}

pub(in crate::api) async fn read_tune(call: &Call) -> Result<Reply, Refusal> {
    let found = find(call, Side::Methods).await?;

    Ok(Envelope::with_data_on_top(call.id(), show_tune(call, &found)))
}

/// What is not named stays as it is.
pub(in crate::api) async fn tune(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let tune = tuning(&fields, Side::Methods)?;
    let ignored = fields.ignored();

    call.broker.tune_mount(&call.request, (Side::Methods, &call.name), tune).await?;

    // A setting that has no effect must not look as if it had.
    Ok(Reply::done_but(call.id(), ignored))
}

pub(in crate::api) async fn enable(call: &Call) -> Result<Reply, Refusal> {
    let wanted = wanted(&call.name, &call.fields(), Side::Methods)?;

    call.broker.enable_mount(&call.request, wanted).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn disable(call: &Call) -> Result<Reply, Refusal> {
    call.broker.disable_mount(&call.request, (Side::Methods, &call.name)).await?;

    Ok(Reply::done())
}
