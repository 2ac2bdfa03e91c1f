//! `sys/generate-root/attempt` and `update`: a root token made by the holders of key shares.

use super::unseal::share;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::routes::Open;
use actix_web::http::StatusCode;
use leasehold_core::broker::{OTP_CHARS, RootGeneration};
use leasehold_core::secret::SecretText;
use serde_json::json;

pub(in crate::api) async fn read(open: &Open) -> Result<Reply, Refusal> {
    let generation = open.broker()?.root_generation().await?;

    Ok(shown(&generation, OTP_CHARS))
}

pub(in crate::api) async fn begin(open: &Open) -> Result<Reply, Refusal> {
    let (broker, fields) = (open.broker()?, Fields::new(&open.body));
    if fields.text("pgp_key")?.is_some_and(|key| !key.is_empty()) {
        return Err(Refusal::bad("`pgp_key` is not supported; leave it out"));
    }
    let otp = fields.text("otp")?.filter(|otp| !otp.is_empty()).map(SecretText::new);
    let share = share(&fields)?;

    let begun = broker.begin_root_generation(&open.request, share.as_ref(), otp).await?;

    Ok(shown(&begun, OTP_CHARS))
}

pub(in crate::api) async fn cancel(open: &Open) -> Result<Reply, Refusal> {
    let share = share(&Fields::new(&open.body))?;

    open.broker()?.cancel_root_generation(&open.request, share.as_ref()).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn update(open: &Open) -> Result<Reply, Refusal> {
    let (broker, fields) = (open.broker()?, Fields::new(&open.body));
    let share =
        share(&fields)?.ok_or(Refusal::bad("'key' must be specified in request body as JSON"))?;
    let nonce = fields.text("nonce")?.unwrap_or_default();

    let told = broker.go_on_with_root_generation(&open.request, &nonce, share).await?;

    Ok(shown(&told, 0))
}

fn shown(generation: &RootGeneration, otp_chars: usize) -> Reply {
    let text = |text: &Option<SecretText>| {
        text.as_ref().map(|text| text.reveal().to_owned()).unwrap_or_default()
    };
    let encoded = text(&generation.encoded);
    let shown = json!({
        "nonce": generation.nonce,
        "started": !generation.nonce.is_empty(),
        "progress": generation.progress,
        "required": generation.required,
        "complete": generation.encoded.is_some(),
        "encoded_token": encoded,
        "encoded_root_token": encoded,
        "pgp_fingerprint": "",
        "otp": text(&generation.otp),
        "otp_length": otp_chars,
    });
    Reply::json(StatusCode::OK, &shown)
}
