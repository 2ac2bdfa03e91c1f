//! `GET sys/seal-status`: whether the store is open, and how its root key is kept.

use super::{cluster_id, cluster_name};
use crate::api::envelope::Reply;
use crate::api::error::Refusal;
use crate::api::routes::Open;
use actix_web::http::StatusCode;
use leasehold_core::seal::shares::Split;
use serde_json::{Map, json};

pub(in crate::api) async fn read(open: &Open) -> Result<Reply, Refusal> {
    let view = open.server.seal_view().await?;

    let split = |of: fn(Split) -> usize| view.split.map_or(0, of);
    let mut status = Map::from_iter([
        ("type".to_owned(), json!(view.kind)),
        ("initialized".to_owned(), json!(view.initialized)),
        ("sealed".to_owned(), json!(view.installation.is_none())),
        ("t".to_owned(), json!(split(Split::threshold))),
        ("n".to_owned(), json!(split(Split::shares))),
        ("progress".to_owned(), json!(view.progress)),
        ("nonce".to_owned(), json!(view.nonce)),
        ("recovery_seal".to_owned(), json!(view.recovery)),
        ("version".to_owned(), json!(env!("CARGO_PKG_VERSION"))),
        ("build_date".to_owned(), json!("")),
        ("commit_date".to_owned(), json!("")),
        ("migration".to_owned(), json!(view.migration)),
        ("storage_type".to_owned(), json!(open.server.storage)),
    ]);
    if let Some(installation) = view.installation {
        status.insert("cluster_name".to_owned(), json!(cluster_name(installation)));
        status.insert("cluster_id".to_owned(), json!(cluster_id(installation)));
    }
    Ok(Reply::json(StatusCode::OK, &status))
}
