//! `POST sys/leases/tidy`: looks at once at what is looked at by itself now and then.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use actix_web::http::StatusCode;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    call.broker.tidy(&call.request).await?;

    let told = "Tidy operation successfully started. It also runs by itself; how it ends is in the server's log.";
    let envelope = Envelope::<()>::to(call.id()).warnings([told.to_owned()]);
    Ok(Reply::json(StatusCode::ACCEPTED, &envelope))
}
