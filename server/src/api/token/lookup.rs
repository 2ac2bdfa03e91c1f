//! `auth/token/lookup`, `lookup-self`, `lookup-accessor`: what is known of a token.

use super::shown::{looked_up, no_text};
use super::{by_accessor, by_text};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::WhichToken;
use leasehold_core::secret::SecretText;

pub(in crate::api) async fn own(call: &Call) -> Result<Reply, Refusal> {
    lookup(call, WhichToken::Own, Vec::new()).await
}

/// Without a text it is the caller's own token, as in Vault.
pub(in crate::api) async fn by_its_text(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let which = by_text(&fields)?.unwrap_or(WhichToken::Own);
    lookup(call, which, fields.ignored().into_iter().collect()).await
}

pub(in crate::api) async fn by_its_accessor(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let which = by_accessor(&fields)?;
    lookup(call, which, fields.ignored().into_iter().collect()).await
}

async fn lookup(call: &Call, which: WhichToken, warnings: Vec<String>) -> Result<Reply, Refusal> {
    let seen = call.broker.lookup_token(&call.request, &which).await?;

    let none = no_text();
    let text = text_of(call, &which).unwrap_or(&none);
    let data = looked_up(&seen, text, call.broker.now());
    Ok(Envelope::to(call.id()).data(data).warnings(warnings).reply())
}

/// Returns the text of a token, if the caller knows it.
pub(super) fn text_of<'a>(call: &'a Call, which: &'a WhichToken) -> Option<&'a SecretText> {
    match which {
        WhichToken::Own => call.request.token.as_ref(),
        WhichToken::Text(text) => Some(text),
        WhichToken::Accessor(_) => None,
    }
}
