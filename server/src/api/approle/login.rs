//! `POST auth/<mount>/login`: a token for an application.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::token::shown;
use leasehold_core::access::login::Proof;
use leasehold_core::secret::SecretText;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let role_id = fields.text("role_id")?.filter(|role_id| !role_id.is_empty());
    let role_id = role_id.ok_or_else(|| Refusal::bad("missing role_id"))?;
    let secret_id = fields.text("secret_id")?.map(|text| text.trim().to_owned());
    let secret_id = secret_id.filter(|text| !text.is_empty()).map(SecretText::new);
    let ignored = fields.ignored();

    let proof = Proof::SecretId { role_id: role_id.trim().to_owned(), secret_id };
    let made = call.broker.log_in(&call.request, &call.mount, proof).await?;
    let unseen = made.made();

    Ok(Envelope::<()>::to(call.id())
        .auth(shown::made(&made))
        .warnings(made.warnings)
        .warnings(ignored)
        .reply()
        .made(unseen))
}
