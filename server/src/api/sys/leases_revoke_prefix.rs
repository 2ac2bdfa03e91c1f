//! `PUT sys/leases/revoke-prefix/:prefix`: all leases of a mount or a role end.

use super::until;
use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use leasehold_core::broker::Until;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    revoke(call, false).await
}

/// Revokes what is under the prefix in the path.
pub(super) async fn revoke(call: &Call, forced: bool) -> Result<Reply, Refusal> {
    let until = until(&call.fields())?;

    call.broker.revoke_prefix(&call.request, &call.name, until, forced).await?;

    Ok(match until {
        Until::Settled => Reply::done(),
        Until::Marked => Reply::accepted(),
    })
}
