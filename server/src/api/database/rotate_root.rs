//! `POST <mount>/rotate-root/:name`: gives the administrator of a target a password that nobody is told.

use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;

/// What whoever asked should know.
pub(in crate::api) const BACKUPS: &str = "the administrator's secret was rotated: backups of the store from before no longer open this \
                       target, so take a new one";

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    call.broker.rotate_root(&call.request, &call.mount, &call.name).await?;

    Ok(Reply::done_but(call.id(), [BACKUPS.to_owned()]))
}
