//! `GET <mount>/static-creds/:role`: tells the secret of an account that is rotated.

use super::static_roles::planned;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::secret::Field;
use serde_json::json;

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let told = call.broker.static_credential(&call.request, &call.mount, &call.name).await?;

    let mut data = planned(&told.plan);
    data.insert("last_vault_rotation".to_owned(), json!(told.rotated_at.rfc3339()));
    data.extend(told.ttl.map(|ttl| ("ttl".to_owned(), json!(ttl.as_secs()))));
    data.extend(told.secret.fields().map(|(name, field)| {
        let value = match field {
            Field::Open(text) => text.as_str(),
            Field::Hidden(text) => text.reveal(),
        };
        (name.to_owned(), json!(value))
    }));
    Ok(Envelope::to(call.id()).data(data).reply())
}
