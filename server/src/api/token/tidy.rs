//! `POST auth/token/tidy`: looks at once at what is looked at by itself now and then.

use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use crate::api::sys::leases_tidy;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    leases_tidy::update(call).await
}
