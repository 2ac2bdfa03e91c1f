//! `POST <mount>/reset/:name`: the connections to a target are closed, and opened anew when needed.

use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use actix_web::http::StatusCode;
use leasehold_core::broker::TargetError;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    match call.broker.reset_target(&call.request, &call.mount, &call.name).await {
        Ok(()) => Ok(Reply::done()),
        Err(TargetError::NoTarget(name)) => Err(Refusal::told(
            StatusCode::BAD_REQUEST,
            format!(
                "1 error occurred:\n\t* failed to find entry for connection with name: {name:?}\n\n"
            ),
        )),
        Err(error) => Err(error.into()),
    }
}
