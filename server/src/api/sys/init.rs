//! `sys/init`: whether there is an installation, and the making of one.

use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::routes::Open;
use crate::api::token::shown::first_token;
use crate::wiring::Node;
use actix_web::http::StatusCode;
use leasehold_core::seal::shares::Split;
use serde_json::{Map, Value, json};

/// What asks for a key or the token in a form that only some other party can read: a plain one would be shown
/// instead.
const ENCRYPTED: [&str; 3] = ["pgp_keys", "root_token_pgp_key", "recovery_pgp_keys"];
/// The key that opens the store.
const SECRET: SplitFields =
    SplitFields { name: "", shares: "secret_shares", threshold: "secret_threshold" };
/// The key that does not.
const RECOVERY: SplitFields =
    SplitFields { name: "recovery ", shares: "recovery_shares", threshold: "recovery_threshold" };
/// What Vault's clients send although nobody asked for it: Vault's CLI 5 and 3, others 1 and 1.
const SENT_UNASKED: [(i64, i64); 2] = [(5, 3), (1, 1)];

/// Where a request says into how many shares a key is to be split, and how many of them are needed.
#[derive(Clone, Copy)]
struct SplitFields {
    name: &'static str,
    shares: &'static str,
    threshold: &'static str,
}

pub(in crate::api) fn read(open: &Open) -> Reply {
    let initialized = match open.server.node() {
        Node::Uninitialized => false,
        Node::Sealed | Node::Unsealed(_) => true,
    };
    Reply::json(StatusCode::OK, &json!({ "initialized": initialized }))
}

/// Where the store opens by itself, its key is in one piece, and only a recovery key can be split; else the key is split
/// that opens the store. What is asked of the other one is refused before anything is made; who sends only what clients
/// send by themselves is told in the answer.
pub(in crate::api) async fn update(open: &Open) -> Result<Reply, Refusal> {
    refuse_encryption(&open.body)?;
    let fields = Fields::new(&open.body);
    let (kind, keeps) = (open.server.seal_view().await?.kind, open.server.founds_with_keeper());
    let (ours, others) = if keeps { (RECOVERY, SECRET) } else { (SECRET, RECOVERY) };
    let warnings = refuse_others(&fields, others, kind)?;
    let numbers = numbers(&fields, ours)?;
    let split = if keeps && numbers == (0, 0) {
        None
    } else {
        let split = Split::new(numbers.0, numbers.1);
        Some(split.map_err(|error| {
            Refusal::bad(format!("invalid {}seal configuration: {error}", ours.name))
        })?)
    };

    let founded = open.server.found(split).await?;

    let made = if keeps { first_token(&founded, "recovery_") } else { first_token(&founded, "") };
    Ok(with_warnings(made, warnings))
}

fn numbers(fields: &Fields<'_>, of: SplitFields) -> Result<(i64, i64), Refusal> {
    Ok((
        fields.number(of.shares)?.unwrap_or_default(),
        fields.number(of.threshold)?.unwrap_or_default(),
    ))
}

fn refuse_others(
    fields: &Fields<'_>,
    others: SplitFields,
    kind: &str,
) -> Result<Vec<String>, Refusal> {
    let SplitFields { shares, threshold, .. } = others;
    let asked = numbers(fields, others)?;
    let (none, unasked) = (asked == (0, 0), SENT_UNASKED.iter().any(|sent| is_part(asked, *sent)));
    if !none && !unasked {
        return Err(Refusal::bad(format!(
            "parameters {shares},{threshold} not applicable to seal type {kind}; leave them out"
        )));
    }
    // 1 is what a seal that keeps its key itself has; some clients send it.
    if !matches!(fields.number("stored_shares")?, None | Some(0 | 1)) {
        return Err(Refusal::bad(format!(
            "parameters stored_shares not applicable to seal type {kind}; leave them out"
        )));
    }
    let warning = format!(
        "`{shares}` and `{threshold}` do nothing with a seal of type `{kind}`: there is no such key"
    );
    Ok(if none { Vec::new() } else { vec![warning] })
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
