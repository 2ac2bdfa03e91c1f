//! `POST <mount>/config/rotate-root`: gives the administrator of the account another key, of which only the id is told.

use super::ROOT;
use crate::api::caller::Call;
use crate::api::database::rotate_root::BACKUPS;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use serde_json::json;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let rotated = call.broker.rotate_root(&call.request, &call.mount, ROOT).await?;

    let data = json!({ "access_key": rotated.shown.get("access_key") });
    Ok(Envelope::to(call.id()).data(data).warnings([BACKUPS.to_owned()]).reply())
}
