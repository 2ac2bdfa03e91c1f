//! `GET auth/token/lookup-self`: what is known of the caller's own token.

use super::shown;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let token = call.broker.lookup_self(&call.request).await?;

    Ok(Envelope::to(call.id()).data(shown::looked_up(call, &token)).reply())
}
