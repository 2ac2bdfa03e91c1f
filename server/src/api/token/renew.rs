//! `auth/token/renew`, `renew-self`, `renew-accessor`: the term of a token begins again.

use super::lookup::text_of;
use super::shown::{auth, no_text};
use super::{by_accessor, by_this_text};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::access::token::Token;
use leasehold_core::broker::WhichToken;
use leasehold_core::duration::capped_warning;
use std::time::Duration;

pub(in crate::api) async fn own(call: &Call) -> Result<Reply, Refusal> {
    renew(call, call.fields(), WhichToken::Own).await
}

pub(in crate::api) async fn by_its_text(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let which = by_this_text(&fields)?;
    renew(call, fields, which).await
}

pub(in crate::api) async fn by_its_accessor(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let which = by_accessor(&fields)?;
    renew(call, fields, which).await
}

async fn renew(call: &Call, fields: Fields<'_>, which: WhichToken) -> Result<Reply, Refusal> {
    let increment = fields.ttl("increment")?;
    let ignored = fields.ignored();

    let seen = call.broker.renew_token(&call.request, &which, increment).await?;

    let token = &seen.token;
    let since = token.renewed_at.unwrap_or(token.issued_at);
    let none = no_text();
    let text = text_of(call, &which).unwrap_or(&none);
    Ok(Envelope::<()>::to(call.id())
        .auth(auth((token, seen.identity.as_deref()), text, since, seen.uses_left))
        .warnings(capped(token, increment, call.broker.limits().max_lease_ttl))
        .warnings(ignored)
        .reply())
}

/// Returns the warning that less was given than was asked for. A periodic token is given its period whatever is
/// asked.
fn capped(token: &Token, asked: Option<Duration>, max: Duration) -> Option<String> {
    let asked = asked.filter(|asked| !asked.is_zero() && token.period.is_zero())?;
    let given = token.term?.lapses_at().since(token.renewed_at?);
    let given = Duration::from_secs(given.as_secs());
    let explicit = Some(token.explicit_max_ttl).filter(|explicit| !explicit.is_zero());
    let max = explicit.map_or(max, |explicit| explicit.min(max));
    // What no renewal could give is measured by the maximum; else it is what is left until the maximum is reached.
    let bound = if asked > max { max } else { given };
    (given < asked).then(|| capped_warning(asked, bound))
}
