//! `sys/init`: whether there is an installation, and the making of one.

use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::routes::Open;
use crate::api::token::shown::first_token;
use crate::wiring::Node;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

/// What asks for a key or the token in a form that only some other party can read.
const ENCRYPTED: [&str; 3] = ["pgp_keys", "root_token_pgp_key", "recovery_pgp_keys"];

pub(in crate::api) fn read(open: &Open) -> Reply {
    let initialized = match open.server.node() {
        Node::Uninitialized => false,
        Node::Unsealed(_) => true,
    };
    Reply::json(StatusCode::OK, &json!({ "initialized": initialized }))
}

/// Numbers of shares are accepted, since clients send them by default, and mean nothing: the key is kept whole
/// in its file.
pub(in crate::api) async fn update(open: &Open) -> Result<Reply, Refusal> {
    refuse_encryption(&open.body)?;
    let fields = Fields::new(&open.body);
    for name in ["secret_shares", "secret_threshold", "recovery_shares", "recovery_threshold"] {
        fields.number(name)?;
    }

    let root = open.server.found().await?;

    Ok(first_token(&root))
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
