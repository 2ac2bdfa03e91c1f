//! One line of the audit: Vault's JSON, every string of a body or a secret replaced by its keyed hash.
//!
//! Two lines are written for every request, so nothing is copied on the way into them.

mod body;
mod headers;

use super::{Answer, Asked, Holder, Veil, Who};
use crate::access::token::EndCause;
use crate::address::ClientAddress;
use crate::audit::hex;
use crate::lease::death::Death;
use crate::limits::{
    AUDITED_BODY_BYTES, AUDITED_STRANGER_BYTES, AUDITED_VALUE_BYTES, DISPLAY_NAME_MAX,
};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use body::{Body, Leaves, Long};
use headers::Headers;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What is shown as it is of a token that a caller is told of, as in Vault.
const CLEAR_IN_AUTH: [&str; 7] = [
    "display_name",
    "entity_id",
    "identity_policies",
    "lease_duration",
    "policies",
    "token_policies",
    "token_type",
];

/// How tokens begin. One has no place in a path, and clients of old put it there all the same.
const TOKENS_BEGIN: [&str; 2] = ["hvs.", "hvb."];

/// The shortest text that is hidden in an error: a shorter one is no secret, and in every other word.
const PIECE_BYTES: usize = 4;

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
    error: Option<String>,
}

#[derive(serde::Serialize)]
struct AuthLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<&'a str>,
    #[serde(flatten)]
    holder: Option<HolderLine<'a>>,
    policy_results: PolicyResults<'a>,
}

#[derive(serde::Serialize)]
struct HolderLine<'a> {
    accessor: &'a str,
    display_name: Cow<'a, str>,
    policies: &'a [String],
    token_policies: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    identity_policies: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    entity_id: &'a str,
    #[serde(skip_serializing_if = "Noted::is_empty")]
    metadata: Noted<'a>,
    token_type: &'static str,
    token_ttl: u64,
    token_issue_time: &'a str,
}

/// What its maker noted on a token; as a whole if it is much, for it is written with each of its requests.
struct Noted<'a>(&'a BTreeMap<String, String>, Veil<'a>);

#[derive(serde::Serialize)]
struct PolicyResults<'a> {
    allowed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    granting_policies: Vec<Granting<'a>>,
}

#[derive(serde::Serialize)]
struct Granting<'a> {
    name: &'a str,
    namespace_id: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
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
    path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Body<'a>>,
    /// Empty for the server's own.
    remote_address: String,
    remote_port: u16,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    headers: Headers<'a>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_of_death: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ended: Option<EndLine>,
}

#[derive(serde::Serialize)]
struct EndLine {
    since: String,
    cause: EndCause,
}

#[derive(serde::Serialize)]
struct LeaseLine<'a> {
    lease_id: &'a str,
}

/// What is told, hidden already or on its way into the line.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Secret(SecretFields<'a>),
    ToHide(Body<'a>),
}

/// The fields of a secret, hidden already.
struct SecretFields<'a> {
    fields: &'a [(&'static str, super::Hidden)],
    veil: Veil<'a>,
}

/// A token that a caller is told of.
struct Token<'a> {
    fields: &'a Map<String, Value>,
    veil: Veil<'a>,
}

impl Serialize for SecretFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields.iter().map(|(name, hidden)| (name, hidden.of(self.veil)));
        serializer.collect_map(fields)
    }
}

impl Noted<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Noted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(pairs, veil) = *self;
        let sizes = pairs.iter().map(|(key, value)| key.len().saturating_add(value.len()));
        if sizes.fold(0, usize::saturating_add) <= AUDITED_VALUE_BYTES {
            return pairs.serialize(serializer);
        }
        let all = serde_json::to_value(pairs).map_err(serde::ser::Error::custom)?;
        Long::of(&all, veil)?.serialize(serializer)
    }
}

impl Serialize for Token<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, value) in self.fields {
            if CLEAR_IN_AUTH.contains(&name.as_str()) {
                fields.serialize_entry(name, value)?;
            } else {
                fields.serialize_entry(name, &Leaves { value, veil: self.veil, sent: false })?;
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
    veil: Veil<'_>,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Line {
        time: now.rfc3339(),
        kind: "request",
        auth: who.map(|who| auth(who, veil)),
        request: request(asked, who, veil),
        response: None,
        error: error.map(|error| error_line(error, asked, veil)),
    })
}

/// Returns the line for what is answered.
pub(in crate::audit) fn answered(
    asked: &Asked,
    who: Option<&Who>,
    answer: &Answer,
    now: Timestamp,
    veil: Veil<'_>,
) -> Result<String, serde_json::Error> {
    let secret = answer.secret.as_deref().map(|fields| Told::Secret(SecretFields { fields, veil }));
    let whole_max = AUDITED_BODY_BYTES;
    let to_hide = answer
        .data
        .as_ref()
        .map(|value| Told::ToHide(Body { value, veil, sent: answer.is_theirs, whole_max }));
    let response = ResponseLine {
        auth: answer.auth.as_ref().map(|fields| Token { fields, veil }),
        secret: answer.lease_id.as_deref().map(|lease_id| LeaseLine { lease_id }),
        data: secret.or(to_hide),
        proof_of_death: answer.death.as_ref().map(Death::shown),
        token_ended: answer
            .ended
            .map(|ended| EndLine { since: ended.since.rfc3339(), cause: ended.cause }),
    };
    serde_json::to_string(&Line {
        time: now.rfc3339(),
        kind: "response",
        auth: who.map(|who| auth(who, veil)),
        request: request(asked, who, veil),
        response: Some(response),
        error: answer.error.as_deref().map(|error| error_line(error, asked, veil)),
    })
}

fn auth<'a>(who: &'a Who, veil: Veil<'a>) -> AuthLine<'a> {
    let client_token = who.client_token.as_ref().filter(|_| who.holder.is_some());
    AuthLine {
        client_token: client_token.map(|hidden| hidden.of(veil)),
        holder: who.holder.as_ref().map(|known| holder(known, veil)),
        policy_results: PolicyResults {
            allowed: who.allowed,
            granting_policies: who.granting.iter().map(granting).collect(),
        },
    }
}

fn granting(name: &String) -> Granting<'_> {
    Granting { name, namespace_id: "root", kind: "acl" }
}

fn holder<'a>(holder: &'a Holder, veil: Veil<'a>) -> HolderLine<'a> {
    HolderLine {
        accessor: holder.accessor.of(veil),
        display_name: name_line(&holder.display_name, veil),
        policies: &holder.policies,
        token_policies: &holder.token_policies,
        identity_policies: &holder.identity_policies,
        entity_id: &holder.entity_id,
        metadata: Noted(&holder.metadata, veil),
        token_type: holder.kind,
        token_ttl: holder.ttl,
        token_issue_time: &holder.issued_at,
    }
}

/// Returns how a token is called. Before there was a bound, one could be called anything.
fn name_line<'a>(name: &'a str, veil: Veil<'_>) -> Cow<'a, str> {
    if name.len() > DISPLAY_NAME_MAX { hidden(veil.key, name).into() } else { name.into() }
}

fn request<'a>(asked: &'a Asked, who: Option<&'a Who>, veil: Veil<'a>) -> RequestLine<'a> {
    let mount = asked.mount.as_ref();
    let holder = who.and_then(|who| who.holder.as_ref());
    // What is sent must not fill a disk, least of all by strangers.
    let whole_max = if holder.is_some() { AUDITED_BODY_BYTES } else { AUDITED_STRANGER_BYTES };
    let client_token = who.and_then(|who| who.client_token.as_ref());
    RequestLine {
        id: &asked.id,
        operation: asked.operation.word(),
        mount_point: mount.map(|mount| mount.point.as_str()),
        mount_type: mount.map(|mount| mount.kind.as_str()),
        mount_accessor: mount.map(|mount| mount.accessor.as_str()),
        client_token: client_token.map(|hidden| hidden.of(veil)),
        client_token_accessor: holder.map(|holder| holder.accessor.of(veil)),
        namespace: Namespace { id: "root" },
        path: path_line(&asked.path, veil),
        data: asked.data.as_ref().map(|value| Body { value, veil, sent: true, whole_max }),
        remote_address: asked.from.map(|from| from.ip().to_string()).unwrap_or_default(),
        remote_port: asked.from.map(ClientAddress::port).unwrap_or_default(),
        headers: Headers {
            all: &asked.headers,
            veil,
            whole_max: whole_max.min(AUDITED_VALUE_BYTES),
        },
    }
}

fn tokens_in(path: &str) -> impl Iterator<Item = &str> {
    let is_token = |part: &&str| TOKENS_BEGIN.iter().any(|begin| part.starts_with(begin));
    path.split('/').filter(is_token)
}

/// Returns a path with the tokens hidden that are in it.
fn path_line<'a>(path: &'a str, veil: Veil<'_>) -> Cow<'a, str> {
    let hide = |shown: Cow<'a, str>, token: &str| -> Cow<'a, str> {
        shown.replace(token, &hidden(veil.key, token)).into()
    };
    tokens_in(path).fold(Cow::Borrowed(path), hide)
}

/// Returns an error with what the caller sent hidden in it: a value that cannot be is told to who sent it, and it may be
/// a password in the wrong field. It may tell the names of fields as well, of any length; so only its beginning is shown.
fn error_line(error: &str, asked: &Asked, veil: Veil<'_>) -> String {
    let mut pieces = Vec::new();
    if let Some(data) = &asked.data {
        add_pieces(data, error.len(), &mut pieces);
    }
    pieces.extend(tokens_in(&asked.path).map(str::to_owned));
    // A piece may be part of another.
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    let found = pieces.into_iter().filter(|piece| error.contains(piece.as_str()));
    let hide = |error: String, piece: String| error.replace(&piece, &hidden(veil.key, &piece));
    let mut error = found.fold(error.to_owned(), hide);
    error.truncate(error.floor_char_boundary(AUDITED_VALUE_BYTES));
    error
}

/// Adds what of a value may be told again in an error of so many bytes: texts as they are, as they are quoted, and the
/// parts of lists and pairs.
fn add_pieces(value: &Value, bytes_max: usize, pieces: &mut Vec<String>) {
    let mut add = |text: &str| {
        if (PIECE_BYTES..=bytes_max).contains(&text.len()) {
            pieces.push(text.to_owned());
        }
    };
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => add(&number.to_string()),
        Value::String(text) => {
            add(text);
            let quoted = text.escape_debug().to_string();
            if quoted != *text {
                add(&quoted);
            }
            let parts = text.split([',', '=', ' ']);
            parts.filter(|part| part.len() < text.len()).for_each(add);
        }
        Value::Array(items) => items.iter().for_each(|item| add_pieces(item, bytes_max, pieces)),
        Value::Object(fields) => {
            fields.values().for_each(|field| add_pieces(field, bytes_max, pieces));
        }
    }
}

/// Returns the keyed hash that stands for a text, as Vault writes it.
pub(super) fn hidden(key: &hmac::Key, text: &str) -> String {
    let mut hidden = String::with_capacity(76);
    hidden.push_str("hmac-sha256:");
    hex::push(&mut hidden, hmac::sign(key, text.as_bytes()).as_ref());
    hidden
}
