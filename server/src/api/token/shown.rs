//! Tokens as their holders see them. One of the two places where secrets are put into answers.

use crate::api::envelope::Reply;
use crate::wiring::Founded;
use actix_web::http::StatusCode;
use leasehold_core::access::identity::Identity;
use leasehold_core::access::token::Token;
use leasehold_core::broker::{TokenMade, TokenView, Wrapping, entity_told, held};
use leasehold_core::seal::shares::Share;
use leasehold_core::secret::SecretText;
use leasehold_core::time::Timestamp;
use serde_json::{Map, Value, json};

/// The `auth` part of an answer.
pub(super) fn auth(
    (token, identity): (&Token, Option<&Identity>),
    text: &SecretText,
    since: Timestamp,
    uses_left: i64,
) -> Value {
    let metadata = (!token.meta.is_empty()).then_some(&token.meta);
    let mut shown = json!({
        "client_token": text.reveal(),
        "accessor": token.accessor_text(),
        "policies": held(token, identity),
        "token_policies": token.policies,
        "metadata": metadata,
        "lease_duration": token.seconds_left(since),
        "renewable": token.renewable,
        "entity_id": entity_told(token, identity),
        "token_type": token.kind.word(),
        "orphan": token.parent.is_none(),
        "mfa_requirement": null,
        "num_uses": uses_left,
    });
    let given = identity.map(|identity| &identity.policies).filter(|given| !given.is_empty());
    if let (Some(given), Some(fields)) = (given, shown.as_object_mut()) {
        fields.insert("identity_policies".to_owned(), json!(given));
    }
    shown
}

/// The `auth` part of the answer that tells a new token.
pub(in crate::api) fn made(made: &TokenMade) -> Value {
    let of = (&made.token, made.identity.as_deref());
    auth(of, &made.text, made.token.issued_at, made.token.num_uses.into())
}

/// The `wrap_info` part of an answer.
pub(in crate::api) fn wrap_info(wrapping: &Wrapping) -> Value {
    let mut shown = json!({
        "token": wrapping.text.reveal(),
        "accessor": wrapping.token.accessor.to_string(),
        "ttl": wrapping.token.creation_ttl.as_secs(),
        "creation_time": wrapping.token.issued_at.rfc3339(),
        "creation_path": wrapping.token.path,
    });
    if let (Some(accessor), Some(fields)) = (wrapping.wrapped_accessor, shown.as_object_mut()) {
        fields.insert("wrapped_accessor".to_owned(), json!(accessor.to_string()));
    }
    shown
}

/// Shown in place of a text that the caller does not know.
pub(super) fn no_text() -> SecretText {
    SecretText::new(String::new())
}

/// All that is known of a token.
pub(super) fn looked_up(seen: &TokenView, text: &SecretText, now: Timestamp) -> Map<String, Value> {
    let token = &seen.token;
    let meta = (!token.meta.is_empty()).then_some(&token.meta);
    let mut data = Map::from_iter([
        ("accessor".to_owned(), json!(token.accessor_text())),
        ("creation_time".to_owned(), json!(token.issued_at.seconds())),
        ("creation_ttl".to_owned(), json!(token.creation_ttl.as_secs())),
        ("display_name".to_owned(), json!(token.display_name)),
        ("entity_id".to_owned(), json!(entity_told(token, seen.identity.as_deref()))),
        ("expire_time".to_owned(), json!(token.term.map(|term| term.lapses_at().rfc3339()))),
        ("explicit_max_ttl".to_owned(), json!(token.explicit_max_ttl.as_secs())),
        ("id".to_owned(), json!(text.reveal())),
        ("issue_time".to_owned(), json!(token.issued_at.rfc3339())),
        ("meta".to_owned(), json!(meta)),
        ("num_uses".to_owned(), json!(seen.uses_left)),
        ("orphan".to_owned(), json!(token.parent.is_none())),
        ("path".to_owned(), json!(token.path)),
        ("policies".to_owned(), json!(token.policies)),
        ("renewable".to_owned(), json!(token.renewable)),
        ("ttl".to_owned(), json!(token.seconds_left(now))),
        ("type".to_owned(), json!(token.kind.word())),
    ]);
    if let Some(identity) = &seen.identity {
        data.insert("external_namespace_policies".to_owned(), json!({}));
        if !identity.policies.is_empty() {
            data.insert("identity_policies".to_owned(), json!(identity.policies));
        }
    }
    if let Some(renewed_at) = token.renewed_at {
        data.insert("last_renewal".to_owned(), json!(renewed_at.rfc3339()));
        data.insert("last_renewal_time".to_owned(), json!(renewed_at.seconds()));
    }
    if !token.bound_cidrs.is_empty() {
        data.insert("bound_cidrs".to_owned(), json!(token.bound_cidrs));
    }
    if !token.period.is_zero() {
        data.insert("period".to_owned(), json!(token.period.as_secs()));
    }
    data
}

/// What the maker of an installation is told: its first token, the shares of the key that is split, whose names begin so,
/// and what checks the record of each audit device.
pub(in crate::api) fn first_token(founded: &Founded, of: &str) -> Reply {
    let mut made = Map::from_iter([
        ("keys".to_owned(), json!([])),
        ("keys_base64".to_owned(), json!([])),
        ("root_token".to_owned(), json!(founded.token.reveal())),
    ]);
    if of.is_empty() || !founded.shares.is_empty() {
        made.extend(shares(&founded.shares, of));
    }
    if !founded.public_keys.is_empty() {
        made.insert("audit_public_keys".to_owned(), json!(founded.public_keys));
    }
    Reply::json(StatusCode::OK, &made)
}

/// What the holders of a key are told: its shares, in the two forms that they can be shown in.
pub(in crate::api) fn shares(shares: &[Share], of: &str) -> Map<String, Value> {
    let hex: Vec<_> = shares.iter().map(|share| json!(*share.hex())).collect();
    let base64: Vec<_> = shares.iter().map(|share| json!(*share.base64())).collect();
    Map::from_iter([
        (format!("{of}keys"), Value::Array(hex)),
        (format!("{of}keys_base64"), Value::Array(base64)),
    ])
}

/// Tells whether a text may be a token that its maker chose.
pub(super) fn unfit(text: &SecretText) -> Option<&'static str> {
    let text = text.reveal();
    if text.starts_with("hvs.") {
        Some("custom token ID cannot have the 'hvs.' prefix")
    } else if text.contains('.') {
        Some("custom token ID cannot have a '.' in the value")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        // It would not fit into a header.
        Some("custom token ID can only have printable ASCII characters")
    } else {
        None
    }
}
