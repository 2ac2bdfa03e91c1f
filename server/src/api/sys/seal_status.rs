//! `GET sys/seal-status`: whether the store is open, and how its root key is kept.

use super::{cluster_id, cluster_name};
use crate::api::envelope::Reply;
use crate::api::routes::Open;
use crate::wiring::Node;
use actix_web::http::StatusCode;
use serde_json::{Map, json};

pub(in crate::api) fn read(open: &Open) -> Reply {
    let installation = match open.server.node() {
        Node::Uninitialized => None,
        Node::Unsealed(broker) => Some(broker.installation()),
    };
    // The root key is in one piece, so that there are no shares of it.
    let mut status = Map::from_iter([
        ("type".to_owned(), json!(open.server.seal_kind())),
        ("initialized".to_owned(), json!(installation.is_some())),
        ("sealed".to_owned(), json!(installation.is_none())),
        ("t".to_owned(), json!(0)),
        ("n".to_owned(), json!(0)),
        ("progress".to_owned(), json!(0)),
        ("nonce".to_owned(), json!("")),
        ("recovery_seal".to_owned(), json!(false)),
        ("version".to_owned(), json!(env!("CARGO_PKG_VERSION"))),
        ("build_date".to_owned(), json!("")),
        ("commit_date".to_owned(), json!("")),
        ("migration".to_owned(), json!(false)),
        ("storage_type".to_owned(), json!(open.server.storage)),
    ]);
    if let Some(installation) = installation {
        status.insert("cluster_name".to_owned(), json!(cluster_name(installation)));
        status.insert("cluster_id".to_owned(), json!(cluster_id(installation)));
    }
    Reply::json(StatusCode::OK, &status)
}
