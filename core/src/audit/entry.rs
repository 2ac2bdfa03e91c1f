//! What the audit sees of a request, of who sent it, and of its answer.

mod line;

pub(super) use line::{answered, asked};

use crate::access::identity::Identity;
use crate::access::token::{Ended, Token};
use crate::address::ClientAddress;
use crate::audit::AskedHeader;
use crate::lease::death::Death;
use crate::secret::{Field, Locked, Secret, SecretText};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use line::hidden;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What was asked, as the audit sees it.
#[derive(Clone, Default)]
pub struct Asked {
    /// Names the request.
    pub id: String,
    /// What kind of request it is.
    pub operation: Operation,
    /// The path, without `/v1/`.
    pub path: String,
    /// The mount that the path goes to, where that is known.
    pub mount: Option<AskedMount>,
    /// The body, parsed.
    pub data: Option<Value>,
    /// Those of its headers that are recorded.
    pub headers: Vec<AskedHeader>,
    /// From where it came; from nowhere if it is the server's own.
    pub from: Option<ClientAddress>,
}

/// The mount that a request goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedMount {
    /// Where it is; ends in `/`.
    pub point: String,
    /// Vault's word for its family.
    pub kind: String,
    /// Names it through remounts.
    pub accessor: String,
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

/// How one device hides what it must not show.
#[derive(Clone, Copy)]
pub(super) struct Veil<'a> {
    pub(super) key: &'a hmac::Key,
    /// Which device it is.
    pub(super) at: usize,
}

/// One text, hidden for each device by its own key, so that the text itself need not be kept.
#[derive(Clone, Debug)]
struct Hidden(Box<[String]>);

/// Who asked, as the audit sees them: what would let somebody act in their name is a keyed hash.
#[derive(Clone, Debug)]
pub struct Who {
    /// The text of the token; of one that nobody knows as well, so that those who guess can be told apart.
    client_token: Option<Hidden>,
    holder: Option<Holder>,
    allowed: bool,
    /// The policies by whose rules it is allowed.
    granting: Arc<[String]>,
}

/// What is known of who holds a token.
#[derive(Clone, Debug)]
struct Holder {
    accessor: Hidden,
    display_name: String,
    /// What they may do by, all told; then by the token, and by who is behind it.
    policies: Vec<String>,
    token_policies: Vec<String>,
    identity_policies: Vec<String>,
    /// Who is behind the token; empty if nobody is.
    entity_id: String,
    metadata: BTreeMap<String, String>,
    kind: &'static str,
    ttl: u64,
    issued_at: String,
}

/// What was answered, as the audit sees it.
#[derive(Default)]
pub struct Answer {
    /// What the caller is told, string leaves not yet hidden.
    pub data: Option<Value>,
    /// Whether callers wrote it themselves: a number in it may then be a password, as in what they send.
    is_theirs: bool,
    /// The lease of it.
    pub lease_id: Option<String>,
    /// How its credential was proven to be dead, where that was asked for.
    pub death: Option<Death>,
    /// When and why the token ended that is told of.
    ended: Option<Ended>,
    /// Why nothing was done.
    pub error: Option<String>,
    /// The token that the caller is told of, its texts not yet hidden.
    auth: Option<Map<String, Value>>,
    /// The fields of a secret.
    secret: Option<Vec<(&'static str, Hidden)>>,
}

/// Returns the keyed hash by which a device shows a text.
pub(super) fn hash(key: &hmac::Key, text: &SecretText) -> String {
    hidden(key, text.reveal())
}

impl Hidden {
    fn by(keys: &[Locked<hmac::Key>], text: &str) -> Self {
        Self(keys.iter().map(|key| hidden(key, text)).collect())
    }

    /// Returns what a device shows.
    fn of(&self, veil: Veil<'_>) -> &str {
        self.0.get(veil.at).map_or("", String::as_str)
    }
}

impl Operation {
    /// Returns Vault's word for it.
    pub(crate) fn word(self) -> &'static str {
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
    /// Something was answered. A token is told as `auth`, beside the data, and recorded there as well.
    #[must_use]
    pub fn data(data: Option<Value>) -> Self {
        match data {
            Some(Value::Object(mut fields)) => match fields.remove("auth") {
                Some(Value::Object(auth)) if auth.contains_key("client_token") => {
                    let data = (!fields.is_empty()).then_some(Value::Object(fields));
                    Self { data, auth: Some(auth), ..Self::default() }
                }
                other => {
                    fields.extend(other.map(|other| ("auth".to_owned(), other)));
                    Self { data: Some(Value::Object(fields)), ..Self::default() }
                }
            },
            data => Self { data, ..Self::default() },
        }
    }

    /// Something was answered that callers had written themselves.
    #[must_use]
    pub fn theirs(data: Option<Value>) -> Self {
        Self { is_theirs: true, ..Self::data(data) }
    }

    /// A credential was seen to be gone, and whether that was proven.
    #[must_use]
    pub fn gone(lease_id: String, death: Option<&Death>) -> Self {
        Self { death: death.cloned(), ..Self::lease(lease_id) }
    }

    /// A lease was changed.
    #[must_use]
    pub fn lease(lease_id: String) -> Self {
        Self { lease_id: Some(lease_id), ..Self::default() }
    }

    /// A lease has ended without its target, which is abandoned.
    #[must_use]
    pub fn lease_at_abandoned(lease_id: String) -> Self {
        let data = Some(serde_json::json!({ "abandoned": true }));
        Self { data, ..Self::lease(lease_id) }
    }

    /// A token has ended, and why.
    #[must_use]
    pub fn token_ended(token: &Token) -> Self {
        let auth = [
            ("accessor", token.accessor_text().into()),
            ("display_name", token.display_name.clone().into()),
            ("entity_id", token.entity.map(|id| id.to_string()).unwrap_or_default().into()),
            ("token_policies", token.policies.clone().into()),
            ("token_type", token.kind.word().into()),
        ];
        let auth = auth.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { auth: Some(auth), ended: token.ended, ..Self::default() }
    }

    /// Nothing was done, or it failed.
    #[must_use]
    pub fn error(error: impl std::fmt::Display) -> Self {
        Self { error: Some(error.to_string()), ..Self::default() }
    }

    /// A secret is about to be told; it is hidden here, at once, by the key of each device.
    #[must_use]
    pub fn secret(lease_id: String, secret: &Secret, keys: &[Locked<hmac::Key>]) -> Self {
        let fields = secret.fields().map(|(name, field)| {
            let hidden = match field {
                Field::Open(text) => Hidden::by(keys, text),
                Field::Hidden(text) => Hidden::by(keys, text.reveal()),
            };
            (name, hidden)
        });
        let secret = Some(fields.collect());
        Self { lease_id: Some(lease_id), secret, ..Self::default() }
    }
}

impl Who {
    /// The holder of a token, who is served.
    #[must_use]
    pub fn holder(
        token: &Token,
        text: &SecretText,
        now: Timestamp,
        keys: &[Locked<hmac::Key>],
    ) -> Self {
        let holder = Holder {
            accessor: Hidden::by(keys, &token.accessor_text()),
            display_name: token.display_name.clone(),
            policies: token.policies.clone(),
            token_policies: token.policies.clone(),
            identity_policies: Vec::new(),
            entity_id: token.entity.map(|id| id.to_string()).unwrap_or_default(),
            metadata: token.meta.clone(),
            kind: token.kind.word(),
            ttl: token.seconds_left(now),
            issued_at: token.issued_at.rfc3339(),
        };
        let client_token = Some(Hidden::by(keys, text.reveal()));
        Self { client_token, holder: Some(holder), allowed: true, granting: Arc::default() }
    }

    /// The same, of whom more is known by now: an entity, and its policies.
    #[must_use]
    pub fn known_as(mut self, identity: Option<&Identity>) -> Self {
        if let (Some(holder), Some(identity)) = (&mut self.holder, identity) {
            holder.entity_id = identity.entity.id.to_string();
            holder.identity_policies.clone_from(&identity.policies);
            holder.policies.extend_from_slice(&identity.policies);
            holder.policies.sort();
            holder.policies.dedup();
        }
        self
    }

    /// Somebody without a token that is good.
    #[must_use]
    pub fn stranger(text: Option<&SecretText>, keys: &[Locked<hmac::Key>]) -> Self {
        let client_token = text.map(|text| Hidden::by(keys, text.reveal()));
        Self { client_token, holder: None, allowed: false, granting: Arc::default() }
    }

    /// The same, whom these policies allow what they ask.
    #[must_use]
    pub fn granted(self, granting: Arc<[String]>) -> Self {
        Self { granting, ..self }
    }

    /// Somebody who brings no token because they want one.
    #[must_use]
    pub fn nobody() -> Self {
        Self { client_token: None, holder: None, allowed: false, granting: Arc::default() }
    }

    /// The same, who may not do what they ask.
    #[must_use]
    pub fn denied(&self) -> Self {
        Self { allowed: false, ..self.clone() }
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("id", &self.id)
            .field("operation", &self.operation)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("lease_id", &self.lease_id)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "entry/tests.rs"]
mod tests;
