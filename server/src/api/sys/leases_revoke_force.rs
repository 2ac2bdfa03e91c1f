//! `PUT sys/leases/revoke-force/:prefix`: as `revoke-prefix`, and answered without error even if a target
//! fails. Nothing is forgotten: what failed is tried again.

use super::leases_revoke_prefix::revoke;
use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    revoke(call, true).await
}
