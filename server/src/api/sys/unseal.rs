//! `POST sys/unseal`: somebody shows a share of the key that opens the store.

use super::seal_status;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::routes::Open;
use leasehold_core::seal::shares::Share;

pub(in crate::api) async fn update(open: &Open) -> Result<Reply, Refusal> {
    let fields = Fields::new(&open.body);
    let share = share(&fields)?;
    if fields.flag("reset")?.unwrap_or(false) {
        open.server.reset_unseal(share).await?;
        return seal_status::read(open).await;
    }
    let migrate = fields.flag("migrate")?.unwrap_or(false);
    let share = share.ok_or(Refusal::bad(
        "'key' must be specified in request body as JSON, or 'reset' set to true",
    ))?;

    open.server.unseal(share, migrate).await?;

    seal_status::read(open).await
}

/// Reads the share that a request shows, if it shows one.
pub(in crate::api) fn share(fields: &Fields<'_>) -> Result<Option<Share>, Refusal> {
    let text = fields.text("key")?.filter(|text| !text.is_empty());
    let share = text.map(|text| Share::parse(text.trim())).transpose();
    share.map_err(|error| Refusal::bad(error.to_string()))
}
