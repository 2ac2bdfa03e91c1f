//! `POST auth/token/renew-self`: the term of the caller's own token begins again.

use super::shown;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::access::token::Token;
use leasehold_core::duration::capped_warning;
use leasehold_core::secret::SecretText;
use std::time::Duration;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let increment = fields.ttl("increment")?;

    let token = call.broker.renew_self(&call.request, increment).await?;

    let since = token.renewed_at.unwrap_or(token.issued_at);
    let none = SecretText::new(String::new());
    let text = call.request.token.as_ref().unwrap_or(&none);
    Ok(Envelope::<()>::to(call.id())
        .auth(shown::auth(&token, text, since))
        .warnings(capped(&token, increment))
        .warnings(fields.ignored())
        .reply())
}

/// Returns the warning that less was given than was asked for. A periodic token is given its period whatever is
/// asked.
fn capped(token: &Token, asked: Option<Duration>) -> Option<String> {
    let asked = asked.filter(|asked| !asked.is_zero() && token.period.is_zero())?;
    let given = token.term?.lapses_at().since(token.renewed_at?);
    let given = Duration::from_secs(given.as_secs());
    (given < asked).then(|| capped_warning(asked, given))
}
