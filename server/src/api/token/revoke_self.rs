//! `POST auth/token/revoke-self`: the caller's own token ends, and with it all that lives under it.

use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    call.broker.revoke_self(&call.request).await?;
    Ok(Reply::done())
}
