//! `GET sys/health`: how the server is, mostly for load balancers, which read the status only.

use super::{cluster_id, cluster_name};
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use crate::api::routes::Open;
use crate::wiring::Node;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

pub(in crate::api) fn read(open: &Open) -> Result<Reply, Refusal> {
    let active = code(open, "activecode", StatusCode::OK)?;
    let uninitialized = code(open, "uninitcode", StatusCode::NOT_IMPLEMENTED)?;
    let sealed = code(open, "sealedcode", StatusCode::SERVICE_UNAVAILABLE)?;
    code(open, "standbycode", StatusCode::TOO_MANY_REQUESTS)?;

    let node = open.server.node();
    let (status, initialized, installation) = match &node {
        Node::Uninitialized => (uninitialized, false, None),
        Node::Sealed => (sealed, true, None),
        Node::Unsealed(broker) => (active, true, Some(broker.installation())),
    };
    let is_open = installation.is_some();
    let replication = if is_open { "disabled" } else { "unknown" };
    let mut health = Map::from_iter([
        ("initialized".to_owned(), json!(initialized)),
        ("sealed".to_owned(), json!(!is_open)),
        ("standby".to_owned(), json!(!is_open)),
        ("performance_standby".to_owned(), json!(false)),
        ("replication_performance_mode".to_owned(), json!(replication)),
        ("replication_dr_mode".to_owned(), json!(replication)),
        ("server_time_utc".to_owned(), json!(open.server.clock().now().seconds())),
        ("version".to_owned(), json!(env!("CARGO_PKG_VERSION"))),
    ]);
    if let Some(installation) = installation {
        health.insert("cluster_name".to_owned(), json!(cluster_name(installation)));
        health.insert("cluster_id".to_owned(), json!(cluster_id(installation)));
    }
    Ok(Reply::json(status, &health))
}

fn code(open: &Open, name: &str, default: StatusCode) -> Result<StatusCode, Refusal> {
    let Some(asked) = open.query.get(name).and_then(Value::as_str) else { return Ok(default) };
    let code = asked.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok());
    // Statuses below 200 are not the end of an answer.
    code.filter(|code| code.as_u16() >= 200)
        .ok_or(Refusal::Told { status: StatusCode::BAD_REQUEST, message: None })
}
