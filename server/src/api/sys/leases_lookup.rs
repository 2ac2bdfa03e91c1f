//! `PUT sys/leases/lookup`: what is known of a lease.

use super::lease_id;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::time::Timestamp;
use serde_json::{Map, json};

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let lease_id = lease_id(call, &fields)?;

    let lease = call.broker.lookup_lease(&call.request, &lease_id).await?;

    let mut data = Map::from_iter([
        ("id".to_owned(), json!(lease.lease_id)),
        ("path".to_owned(), json!(lease.path)),
        ("issue_time".to_owned(), json!(lease.issued_at.rfc3339())),
        ("expire_time".to_owned(), json!(lease.lapses_at.rfc3339())),
        ("last_renewal".to_owned(), json!(lease.renewed_at.map(Timestamp::rfc3339))),
        ("renewable".to_owned(), json!(lease.renewable)),
        ("ttl".to_owned(), json!(lease.seconds_left)),
    ]);
    data.extend(lease.revoke_error.map(|error| ("revoke_error".to_owned(), json!(error))));
    Ok(Envelope::to(call.id()).data(data).warnings(fields.ignored()).reply())
}
