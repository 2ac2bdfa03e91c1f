//! `sys/init`: whether there is an installation, and the making of one.

use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::routes::Open;
use crate::api::token::shown::first_token;
use crate::wiring::Node;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

/// What asks for a key or the token in a form that only some other party can read: a plain one would be shown
/// instead.
const ENCRYPTED: [&str; 3] = ["pgp_keys", "root_token_pgp_key", "recovery_pgp_keys"];
/// Into how many shares a key is to be split, and how many of them are needed.
const SPLITS: [[&str; 2]; 2] =
    [["secret_shares", "secret_threshold"], ["recovery_shares", "recovery_threshold"]];
/// What Vault's clients send although nobody asked for it: Vault's CLI 5 and 3, others 1 and 1.
const SENT_UNASKED: [(i64, i64); 2] = [(5, 3), (1, 1)];

pub(in crate::api) fn read(open: &Open) -> Reply {
    let initialized = match open.server.node() {
        Node::Uninitialized => false,
        Node::Unsealed(_) => true,
    };
    Reply::json(StatusCode::OK, &json!({ "initialized": initialized }))
}

/// The key is kept whole in its file. Who wants it split is told that it cannot be, before anything is made; who
/// sends only what clients send by themselves is told in the answer.
pub(in crate::api) async fn update(open: &Open) -> Result<Reply, Refusal> {
    let kind = open.server.seal_kind();
    refuse_encryption(&open.body)?;
    let warnings = read_splits(&Fields::new(&open.body), kind)?;

    let root = open.server.found().await?;

    Ok(with_warnings(first_token(&root), warnings))
}

fn read_splits(fields: &Fields<'_>, kind: &str) -> Result<Vec<String>, Refusal> {
    let mut warnings = Vec::new();
    for [shares, threshold] in SPLITS {
        let split = (
            fields.number(shares)?.unwrap_or_default(),
            fields.number(threshold)?.unwrap_or_default(),
        );
        let (none, unasked) =
            (split == (0, 0), SENT_UNASKED.iter().any(|sent| is_part(split, *sent)));
        if unasked && !none {
            warnings.push(format!(
                "`{shares}` and `{threshold}` do nothing with a seal of type `{kind}`: there are no key shares, \
                 the root key is kept whole"
            ));
        } else if !none {
            return Err(Refusal::bad(format!(
                "parameters {shares},{threshold} not applicable to seal type {kind}; leave them out"
            )));
        }
    }
    // 1 is what a seal that keeps its key itself has; some clients send it.
    if !matches!(fields.number("stored_shares")?, None | Some(0 | 1)) {
        return Err(Refusal::bad(format!(
            "parameters stored_shares not applicable to seal type {kind}; leave them out"
        )));
    }
    Ok(warnings)
}

/// Whether each number is what a client sends by itself, or left out.
fn is_part(split: (i64, i64), sent: (i64, i64)) -> bool {
    (split.0 == 0 || split.0 == sent.0) && (split.1 == 0 || split.1 == sent.1)
}

/// The answer has no envelope, in which warnings would have their place; it gets them at its top level.
fn with_warnings(reply: Reply, warnings: Vec<String>) -> Reply {
    match serde_json::from_slice::<Map<String, Value>>(&reply.body) {
        Ok(mut body) if !warnings.is_empty() => {
            body.insert("warnings".to_owned(), Value::from(warnings));
            Reply::json(reply.status, &body)
        }
        Ok(_) | Err(_) => reply,
    }
}

fn refuse_encryption(body: &Map<String, Value>) -> Result<(), Refusal> {
    let asked = |name: &&str| match body.get(*name) {
        None | Some(Value::Null) => false,
        Some(Value::String(key)) => !key.is_empty(),
        Some(Value::Array(keys)) => !keys.is_empty(),
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => true,
    };
    match ENCRYPTED.iter().find(|name| asked(name)) {
        None => Ok(()),
        Some(name) => Err(Refusal::bad(format!("`{name}` is not supported; leave it out"))),
    }
}
