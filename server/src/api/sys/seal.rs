//! `POST sys/seal`: closes the store.

use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    call.broker.let_pass(&call.request).await?;

    call.server.seal().await;

    Ok(Reply::done())
}
