//! One line of the audit: Vault's JSON, every string of a body or a secret replaced by its keyed hash.
//!
//! Two lines are written for every request, so nothing is copied on the way into them.

use super::{Answer, Asked, Holder, Who};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What is shown as it is of a token that a caller is told of, as in Vault.
const CLEAR_IN_AUTH: [&str; 5] =
    ["display_name", "policies", "token_policies", "token_type", "lease_duration"];

#[derive(serde::Serialize)]
struct Line<'a> {
    time: String,
    #[serde(rename = "type")]
    kind: &'static str,
    auth: Option<AuthLine<'a>>,
    request: RequestLine<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct AuthLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<&'a str>,
    #[serde(flatten)]
    holder: Option<HolderLine<'a>>,
    policy_results: PolicyResults,
}

#[derive(serde::Serialize)]
struct HolderLine<'a> {
    accessor: &'a str,
    display_name: &'a str,
    policies: &'a [String],
    token_policies: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    token_type: &'static str,
    token_ttl: u64,
    token_issue_time: &'a str,
}

#[derive(serde::Serialize)]
struct PolicyResults {
    allowed: bool,
}

#[derive(serde::Serialize)]
struct RequestLine<'a> {
    id: &'a str,
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mount_point: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mount_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mount_accessor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token_accessor: Option<&'a str>,
    namespace: Namespace,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Hidden<'a>>,
    remote_address: &'a str,
    remote_port: u16,
}

#[derive(serde::Serialize)]
struct Namespace {
    id: &'static str,
}

#[derive(serde::Serialize)]
struct ResponseLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Token<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<LeaseLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Told<'a>>,
}

#[derive(serde::Serialize)]
struct LeaseLine<'a> {
    lease_id: &'a str,
}

/// What is told, hidden already or on its way into the line.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Hidden(&'a Value),
    ToHide(Hidden<'a>),
}

/// A value whose strings are written as their keyed hashes; numbers, booleans and the names of fields stay.
struct Hidden<'a> {
    value: &'a Value,
    key: &'a hmac::Key,
}

/// A token that a caller is told of.
struct Token<'a> {
    fields: &'a Map<String, Value>,
    key: &'a hmac::Key,
}

impl Serialize for Hidden<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = self.key;
        match self.value {
            Value::String(text) => serializer.serialize_str(&hidden(key, text)),
            Value::Array(items) => {
                serializer.collect_seq(items.iter().map(|value| Hidden { value, key }))
            }
            Value::Object(fields) => serializer
                .collect_map(fields.iter().map(|(name, value)| (name, Hidden { value, key }))),
            Value::Null | Value::Bool(_) | Value::Number(_) => self.value.serialize(serializer),
        }
    }
}

impl Serialize for Token<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, value) in self.fields {
            if CLEAR_IN_AUTH.contains(&name.as_str()) {
                fields.serialize_entry(name, value)?;
            } else {
                fields.serialize_entry(name, &Hidden { value, key: self.key })?;
            }
        }
        fields.end()
    }
}

/// Returns the line for what is asked; with why it is refused, if it is.
pub(in crate::audit) fn asked(
    asked: &Asked,
    who: Option<&Who>,
    error: Option<&str>,
    now: Timestamp,
    key: &hmac::Key,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Line {
        time: now.rfc3339(),
        kind: "request",
        auth: who.map(auth),
        request: request(asked, who, key),
        response: None,
        error,
    })
}

/// Returns the line for what is answered.
pub(in crate::audit) fn answered(
    asked: &Asked,
    who: Option<&Who>,
    answer: &Answer,
    now: Timestamp,
    key: &hmac::Key,
) -> Result<String, serde_json::Error> {
    let to_hide = answer.data.as_ref().map(|value| Told::ToHide(Hidden { value, key }));
    let response = ResponseLine {
        auth: answer.auth.as_ref().map(|fields| Token { fields, key }),
        secret: answer.lease_id.as_deref().map(|lease_id| LeaseLine { lease_id }),
        data: answer.hidden.as_ref().map(Told::Hidden).or(to_hide),
    };
    serde_json::to_string(&Line {
        time: now.rfc3339(),
        kind: "response",
        auth: who.map(auth),
        request: request(asked, who, key),
        response: Some(response),
        error: answer.error.as_deref(),
    })
}

fn auth(who: &Who) -> AuthLine<'_> {
    AuthLine {
        client_token: who.client_token.as_deref().filter(|_| who.holder.is_some()),
        holder: who.holder.as_ref().map(holder),
        policy_results: PolicyResults { allowed: who.allowed },
    }
}

fn holder(holder: &Holder) -> HolderLine<'_> {
    HolderLine {
        accessor: &holder.accessor,
        display_name: &holder.display_name,
        policies: &holder.policies,
        token_policies: &holder.policies,
        metadata: &holder.metadata,
        token_type: "service",
        token_ttl: holder.ttl,
        token_issue_time: &holder.issued_at,
    }
}

fn request<'a>(asked: &'a Asked, who: Option<&'a Who>, key: &'a hmac::Key) -> RequestLine<'a> {
    let mount = asked.mount.as_ref();
    let holder = who.and_then(|who| who.holder.as_ref());
    RequestLine {
        id: &asked.id,
        operation: asked.operation.word(),
        mount_point: mount.map(|mount| mount.point.as_str()),
        mount_type: mount.map(|mount| mount.kind.as_str()),
        mount_accessor: mount.map(|mount| mount.accessor.as_str()),
        client_token: who.and_then(|who| who.client_token.as_deref()),
        client_token_accessor: holder.map(|holder| holder.accessor.as_str()),
        namespace: Namespace { id: "root" },
        path: &asked.path,
        data: asked.data.as_ref().map(|value| Hidden { value, key }),
        remote_address: &asked.remote_address,
        remote_port: asked.remote_port,
    }
}

/// Returns the keyed hash that stands for a text, as Vault writes it.
pub(super) fn hidden(key: &hmac::Key, text: &str) -> String {
    let mut hidden = String::with_capacity(76);
    hidden.push_str("hmac-sha256:");
    for byte in hmac::sign(key, text.as_bytes()).as_ref() {
        for digit in [byte >> 4, byte & 15] {
            hidden.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    hidden
}
