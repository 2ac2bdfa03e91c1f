//! `auth/token/revoke`, `revoke-self`, `revoke-accessor`, `revoke-orphan`: a token ends, and with it all that lives
//! under it.

use super::{by_accessor, by_this_text};
use crate::api::caller::Call;
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use actix_web::http::StatusCode;
use leasehold_core::broker::{Children, WhichToken};

pub(in crate::api) async fn own(call: &Call) -> Result<Reply, Refusal> {
    call.broker.revoke_token(&call.request, &WhichToken::Own, Children::End).await?;

    Ok(Reply::done())
}

/// A token that is not there has ended already.
pub(in crate::api) async fn by_its_text(call: &Call) -> Result<Reply, Refusal> {
    let which = by_this_text(&call.fields())?;

    call.broker.revoke_token(&call.request, &which, Children::End).await?;

    Ok(Reply::done())
}

/// What is mistyped here would otherwise live on unnoticed, so the caller is warned, as in Vault.
pub(in crate::api) async fn by_its_accessor(call: &Call) -> Result<Reply, Refusal> {
    let which = by_accessor(&call.fields())?;

    let found = call.broker.revoke_token(&call.request, &which, Children::End).await?;

    let missing = (!found).then(|| "No token found with this accessor".to_owned());
    Ok(Reply::done_but(call.id(), missing))
}

/// The tokens that it made live on, as orphans.
pub(in crate::api) async fn but_not_its_children(call: &Call) -> Result<Reply, Refusal> {
    let which = by_this_text(&call.fields())?;

    if call.broker.revoke_token(&call.request, &which, Children::Free).await? {
        Ok(Reply::done())
    } else {
        Err(Refusal::told(StatusCode::BAD_REQUEST, "token to revoke not found"))
    }
}
