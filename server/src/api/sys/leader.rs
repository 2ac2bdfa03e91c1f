//! `GET sys/leader`: asked by `vault status`; there is one node, so there is none.

use crate::api::envelope::Reply;
use crate::api::routes::Open;
use actix_web::http::StatusCode;
use serde_json::json;

pub(in crate::api) fn read(open: &Open) -> Reply {
    let leader = json!({
        "ha_enabled": false,
        "is_self": false,
        "active_time": "0001-01-01T00:00:00Z",
        "leader_address": open.server.api_addr.as_deref().unwrap_or_default(),
        "leader_cluster_address": "",
        "performance_standby": false,
    });
    Reply::json(StatusCode::OK, &leader)
}
