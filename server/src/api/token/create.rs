//! `POST auth/token/create` and `create-orphan`: a token for somebody else.

use super::shown;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::broker::{TokenKind, TokenRequest};
use leasehold_core::duration::DurationError;
use leasehold_core::secret::SecretText;
use serde_json::Value;
use std::time::Duration;

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    create(call, false, None).await
}

/// By the token role that the path names.
pub(in crate::api) async fn update_by_role(call: &Call) -> Result<Reply, Refusal> {
    create(call, false, Some(call.name.clone())).await
}

pub(in crate::api) async fn update_orphan(call: &Call) -> Result<Reply, Refusal> {
    create(call, true, None).await
}

async fn create(call: &Call, orphan: bool, role: Option<String>) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let mut wanted = wanted(call, &fields, role)?;
    wanted.no_parent |= orphan;

    let made = call.broker.create_token(&call.request, wanted).await?;

    let unseen = made.made();
    Ok(Envelope::<()>::to(call.id())
        .auth(shown::made(&made))
        .warnings(made.warnings)
        .warnings(fields.ignored())
        .reply()
        .made(unseen))
}

fn wanted(call: &Call, fields: &Fields<'_>, role: Option<String>) -> Result<TokenRequest, Refusal> {
    let kind = match fields.text("type")?.as_deref() {
        None | Some("" | "default" | "default-service") => None,
        Some("service") => Some(TokenKind::Service),
        Some("batch") => Some(TokenKind::Batch),
        Some(_) => return Err(Refusal::bad("invalid 'token_type' value")),
    };
    let num_uses = fields.number("num_uses")?.unwrap_or_default();
    if num_uses < 0 {
        return Err(Refusal::bad("number of uses cannot be negative"));
    }
    let Ok(num_uses) = u32::try_from(num_uses) else {
        return Err(Refusal::bad(format!(
            "`num_uses` must be at most {}, or 0 for any number",
            u32::MAX
        )));
    };
    let id = fields.text("id")?.filter(|id| !id.is_empty()).map(SecretText::new);
    if let Some(message) = id.as_ref().and_then(shown::unfit) {
        return Err(Refusal::bad(message));
    }
    let ttl = span(fields, "ttl")?;
    // The name that `ttl` once had.
    let lease = span(fields, "lease")?;
    Ok(TokenRequest {
        id,
        policies: policies(call, fields)?,
        no_default_policy: fields.flag("no_default_policy")?.unwrap_or(false),
        meta: fields.pairs("meta")?,
        no_parent: fields.flag("no_parent")?.unwrap_or(false),
        display_name: fields
            .text("display_name")?
            .filter(|name| !name.is_empty())
            .map(|name| plain(&name)),
        ttl: ttl.or(lease),
        explicit_max_ttl: span(fields, "explicit_max_ttl")?.unwrap_or_default(),
        period: span(fields, "period")?.unwrap_or_default(),
        num_uses,
        kind,
        role,
        entity_alias: fields.text("entity_alias")?.filter(|alias| !alias.is_empty()),
        not_renewable: !fields.flag("renewable")?.unwrap_or(true),
    })
}

/// Reads a TTL; here Vault tells what is wrong with it in other words than elsewhere.
pub(super) fn span(fields: &Fields<'_>, name: &'static str) -> Result<Option<Duration>, Refusal> {
    fields.span(name).map_err(|error| match error {
        DurationError::Negative { .. } => Refusal::bad(format!("{name} must be positive")),
        DurationError::Days(_)
        | DurationError::DaysOutOfRange(_)
        | DurationError::Invalid(_)
        | DurationError::MissingUnit(_)
        | DurationError::UnknownUnit { .. }
        | DurationError::NoDuration => Refusal::bad(error.to_string()),
    })
}

/// Reads the policies. Here a single text is one name, commas and all, as in Vault.
fn policies(call: &Call, fields: &Fields<'_>) -> Result<Vec<String>, Refusal> {
    let listed = fields.texts("policies")?.unwrap_or_default();
    let written = call.request.asked.data.as_ref().and_then(|data| data.get("policies"));
    let single = written.and_then(Value::as_str).map(|name| vec![name.to_owned()]);
    Ok(single.unwrap_or(listed))
}

/// The characters that Vault leaves in a display name; the rest would end up in the names of credentials.
fn plain(name: &str) -> String {
    let kept = |char: char| if char.is_ascii_alphanumeric() { char } else { '-' };
    name.chars().map(kept).collect::<String>().trim_matches('-').to_owned()
}
