//! `PUT sys/leases/renew`: the term of a lease begins again.

use super::lease_id;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::duration::capped_warning;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let lease_id = lease_id(call, &fields)?;
    let increment = fields.ttl("increment")?;

    let renewed = call.broker.renew(&call.request, &lease_id, increment).await?;

    Ok(Envelope::<()>::to(call.id())
        .lease(&renewed.lease_id, renewed.ttl)
        .warnings(renewed.capped.map(|(asked, max)| capped_warning(asked, max)))
        .warnings(fields.ignored())
        .reply())
}
