//! `auth/token/`: tokens, the callers' own and others'.

pub(super) mod accessors;
pub(super) mod create;
pub(super) mod lookup;
pub(super) mod renew;
pub(super) mod revoke;
pub(super) mod roles;
pub(super) mod shown;
pub(super) mod tidy;

use super::error::Refusal;
use super::fields::Fields;
use actix_web::http::StatusCode;
use leasehold_core::broker::WhichToken;
use leasehold_core::secret::SecretText;

/// Reads which token a request is about by its text.
pub(super) fn by_text(fields: &Fields<'_>) -> Result<Option<WhichToken>, Refusal> {
    let text = fields.text("token")?.filter(|text| !text.is_empty());
    Ok(text.map(|text| WhichToken::Text(SecretText::new(text))))
}

/// Reads which token a request is about by its text, which must be there.
fn by_this_text(fields: &Fields<'_>) -> Result<WhichToken, Refusal> {
    by_text(fields)?.ok_or_else(|| Refusal::bad("missing token ID"))
}

/// Reads which token a request is about by its accessor.
pub(super) fn by_accessor(fields: &Fields<'_>) -> Result<WhichToken, Refusal> {
    let accessor = fields.text("accessor")?.filter(|accessor| !accessor.is_empty());
    accessor.map(WhichToken::Accessor).ok_or(Refusal::Unasked {
        status: StatusCode::BAD_REQUEST,
        message: "1 error occurred:\n\t* missing accessor\n\n".to_owned(),
    })
}
