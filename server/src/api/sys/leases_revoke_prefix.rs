//! `PUT sys/leases/revoke-prefix/:prefix`: all leases of a mount or a role end.

use super::until;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::{StillTried, Until};

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    revoke(call, false).await
}

/// Revokes what is under the prefix in the path.
pub(super) async fn revoke(call: &Call, forced: bool) -> Result<Reply, Refusal> {
    let until = until(&call.fields())?;

    let StillTried(left) =
        call.broker.revoke_prefix(&call.request, &call.name, until, forced).await?;

    if left > 0 {
        let leases = if left == 1 { "1 lease".to_owned() } else { format!("{left} leases") };
        let warning = format!(
            "{leases} could not be revoked yet, and will be tried again until they are gone; \
             `sys/leases?type=irrevocable` says why"
        );
        return Ok(Envelope::<()>::to(call.id()).warnings([warning]).reply());
    }
    Ok(match until {
        Until::Settled => Reply::done(),
        Until::Marked => Reply::accepted(),
    })
}
