//! One line of the audit: Vault's JSON, every secret leaf replaced by its keyed hash.

use crate::access::token::Token;
use crate::secret::{Field, Secret};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use serde_json::{Map, Value, json};

/// What was asked, as the audit sees it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Names the request.
    pub id: String,
    /// What kind of request it is.
    pub operation: Operation,
    /// The path, without `/v1/`.
    pub path: String,
    /// The body, parsed.
    pub data: Option<Value>,
    /// From where it came.
    pub remote_address: String,
    /// And which port.
    pub remote_port: u16,
}

/// What kind of request it is; Vault's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operation {
    /// GET.
    #[default]
    Read,
    /// GET with `list=true`, or LIST.
    List,
    /// POST and PUT.
    Update,
    /// DELETE.
    Delete,
    /// The sweep, on nobody's behalf.
    Revoke,
}

/// Who asked, as the audit sees them.
#[derive(Clone, Debug)]
pub struct Who {
    token: Value,
}

/// What was answered, as the audit sees it.
#[derive(Debug, Default)]
pub struct Answer {
    /// What the caller is told, string leaves not yet hidden.
    pub data: Option<Value>,
    /// The lease of it.
    pub lease_id: Option<String>,
    /// Why nothing was done.
    pub error: Option<String>,
    hidden: Option<Value>,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Revoke => "revoke",
        }
    }
}

impl Answer {
    /// Something was answered.
    #[must_use]
    pub fn data(data: Option<Value>) -> Self {
        Self { data, ..Self::default() }
    }

    /// A lease was changed.
    #[must_use]
    pub fn lease(lease_id: String) -> Self {
        Self { lease_id: Some(lease_id), ..Self::default() }
    }

    /// Nothing was done, or it failed.
    #[must_use]
    pub fn error(error: impl std::fmt::Display) -> Self {
        Self { error: Some(error.to_string()), ..Self::default() }
    }

    /// A secret is about to be told; it is hidden here, at once.
    #[must_use]
    pub fn secret(lease_id: String, secret: &Secret, key: &hmac::Key) -> Self {
        let fields = secret.fields().map(|(name, field)| {
            let hidden = match field {
                Field::Open(text) => hidden(key, text),
                Field::Hidden(text) => hidden(key, text.reveal()),
            };
            (name.to_owned(), Value::String(hidden))
        });
        let hidden = Some(Value::Object(fields.collect()));
        Self { lease_id: Some(lease_id), hidden, ..Self::default() }
    }
}

impl Who {
    /// The holder of a token.
    #[must_use]
    pub fn holder(token: &Token, now: Timestamp, key: &hmac::Key) -> Self {
        let accessor = hidden(key, &token.accessor.to_string());
        Self {
            token: json!({
                "accessor": accessor,
                "display_name": token.display_name,
                "policies": token.policies,
                "token_policies": token.policies,
                "policy_results": { "allowed": true },
                "metadata": token.meta,
                "token_type": "service",
                "token_ttl": token.seconds_left(now),
                "token_issue_time": token.issued_at.rfc3339(),
            }),
        }
    }
}

/// Returns the line for what is asked.
pub(super) fn asked(asked: &Asked, who: Option<&Who>, now: Timestamp, key: &hmac::Key) -> String {
    let line = Map::from_iter([
        ("time".to_owned(), Value::String(now.rfc3339())),
        ("type".to_owned(), Value::from("request")),
        ("auth".to_owned(), who.map_or(Value::Null, |who| who.token.clone())),
        ("request".to_owned(), request(asked, who, key)),
    ]);
    Value::Object(line).to_string()
}

/// Returns the line for what is answered.
pub(super) fn answered(
    asked: &Asked,
    who: Option<&Who>,
    answer: &Answer,
    now: Timestamp,
    key: &hmac::Key,
) -> String {
    let mut response = Map::new();
    if let Some(lease_id) = &answer.lease_id {
        response.insert("secret".to_owned(), json!({ "lease_id": lease_id }));
    }
    let data = answer.hidden.clone().or_else(|| answer.data.as_ref().map(|data| hide(data, key)));
    response.extend(data.map(|data| ("data".to_owned(), data)));
    let mut line = Map::from_iter([
        ("time".to_owned(), Value::String(now.rfc3339())),
        ("type".to_owned(), Value::from("response")),
        ("auth".to_owned(), who.map_or(Value::Null, |who| who.token.clone())),
        ("request".to_owned(), request(asked, who, key)),
        ("response".to_owned(), Value::Object(response)),
    ]);
    line.extend(
        answer.error.as_ref().map(|error| ("error".to_owned(), Value::from(error.as_str()))),
    );
    Value::Object(line).to_string()
}

fn request(asked: &Asked, who: Option<&Who>, key: &hmac::Key) -> Value {
    let mut request = Map::from_iter([
        ("id".to_owned(), Value::from(asked.id.as_str())),
        ("operation".to_owned(), Value::from(asked.operation.word())),
        ("path".to_owned(), Value::from(asked.path.as_str())),
        ("remote_address".to_owned(), Value::from(asked.remote_address.as_str())),
        ("remote_port".to_owned(), Value::from(asked.remote_port)),
    ]);
    let accessor = who.and_then(|who| who.token.get("accessor"));
    request.extend(accessor.map(|accessor| ("client_token_accessor".to_owned(), accessor.clone())));
    request.extend(asked.data.as_ref().map(|data| ("data".to_owned(), hide(data, key))));
    Value::Object(request)
}

/// Replaces every string in a value by its keyed hash; numbers, booleans and the names of fields stay.
fn hide(value: &Value, key: &hmac::Key) -> Value {
    match value {
        Value::String(text) => Value::String(hidden(key, text)),
        Value::Array(items) => items.iter().map(|item| hide(item, key)).collect(),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(name, field)| (name.clone(), hide(field, key))).collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Returns the keyed hash that stands for a text, as Vault writes it.
fn hidden(key: &hmac::Key, text: &str) -> String {
    let mut hidden = String::with_capacity(76);
    hidden.push_str("hmac-sha256:");
    for byte in hmac::sign(key, text.as_bytes()).as_ref() {
        for digit in [byte >> 4, byte & 15] {
            hidden.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretText;

    #[test]
    fn no_string_of_a_body_or_secret_is_in_the_line() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"k");
        let asked_for = Asked {
            path: "database/config/pg".into(),
            data: Some(
                json!({ "password": "canary-1", "list": ["canary-2", { "deep": "canary-3" }], "n": 7 }),
            ),
            ..Asked::default()
        };
        let secret =
            Secret::new(vec![("password", Field::Hidden(SecretText::new("canary-4".into())))]);
        let answer = Answer::secret("database/creds/app/x".into(), &secret, &key);
        let line = answered(&asked_for, None, &answer, Timestamp(0), &key);
        assert!(!line.contains("canary"), "{line}");
        assert!(line.contains("hmac-sha256:"));
        assert!(line.contains(r#""n":7"#));
        assert!(line.contains(r#""path":"database/config/pg""#));
        assert!(!asked(&asked_for, None, Timestamp(0), &key).contains("canary"));
    }
}
