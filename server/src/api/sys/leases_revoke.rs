//! `PUT sys/leases/revoke`: a lease ends before its term.

use super::{lease_id, until};
use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use leasehold_core::broker::{Revoked, Until};

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let lease_id = lease_id(call, &fields)?;
    let until = until(&fields)?;

    let revoked = call.broker.revoke(&call.request, &lease_id, until).await?;

    Ok(match (revoked, until) {
        (Revoked::Lives(why) | Revoked::Denied(Some(why)), _) => Reply::done_but(call.id(), [why]),
        (Revoked::Gone | Revoked::NotDue | Revoked::Marked | Revoked::Denied(None), until) => {
            match until {
                Until::Settled => Reply::done(),
                Until::Marked => Reply::accepted(),
            }
        }
    })
}
