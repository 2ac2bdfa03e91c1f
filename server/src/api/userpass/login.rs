//! `POST auth/<mount>/login/:name`: a token for whoever knows the password.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::token::shown;
use leasehold_core::access::login::Proof;
use leasehold_core::secret::SecretText;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let password = fields.text("password")?.filter(|password| !password.is_empty());
    let password = password.ok_or_else(|| Refusal::bad("missing password"))?;
    let ignored = fields.ignored();
    let proof = Proof::Password { name: call.name.clone(), password: SecretText::new(password) };

    let made = call.broker.log_in(&call.request, &call.mount, proof).await?;
    let unseen = made.made();

    Ok(Envelope::<()>::to(call.id())
        .auth(shown::made(&made))
        .warnings(made.warnings)
        .warnings(ignored)
        .reply()
        .made(unseen))
}
