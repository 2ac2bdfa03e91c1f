//! `<mount>/config/lease`: how long the leases of users live.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::duration::go_string;
use leasehold_core::store::mounts::LeaseConfig;
use serde_json::json;

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let config = call.broker.read_lease_config(&call.request, &call.mount).await?;

    let LeaseConfig { ttl, max_ttl } = config.ok_or_else(Refusal::nothing_here)?;
    let data = json!({ "lease": go_string(ttl), "lease_max": go_string(max_ttl) });
    Ok(Envelope::to(call.id()).data(data).reply())
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let wanted = wanted(&call.fields())?;

    call.broker.write_lease_config(&call.request, &call.mount, wanted).await?;

    Ok(Reply::done())
}

fn wanted(fields: &Fields<'_>) -> Result<LeaseConfig, Refusal> {
    let needed = |name: &'static str| {
        let span = fields.ttl(name)?;
        span.ok_or_else(|| Refusal::bad(format!("'{name}' is a required parameter")))
    };
    Ok(LeaseConfig { ttl: needed("lease")?, max_ttl: needed("lease_max")? })
}
