//! `GET sys/internal/ui/mounts` and `…/mounts/:path`: the mounts that the caller may use. `vault kv` and some
//! libraries ask for one before anything else.

use super::mounts::{always, shown};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply, request_id};
use crate::api::error::Refusal;
use crate::api::routes::Open;
use crate::api::standing::Standing;
use actix_web::http::StatusCode;
use leasehold_core::broker::Side;
use serde_json::{Map, Value, json};

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let visible = call.broker.visible_mounts(&call.request).await?;

    let (mut auth, mut secret) = (Map::new(), Map::new());
    if visible.reaches(Standing::Tokens.point()) {
        auth.insert("token/".to_owned(), Value::Object(always(call, Standing::Tokens)));
    }
    for standing in Standing::ENGINES.into_iter().filter(|one| visible.reaches(one.point())) {
        secret.insert(standing.point().to_owned(), Value::Object(always(call, standing)));
    }
    for mount in visible.entries.iter().map(|entry| &entry.mount.record) {
        let shown = Value::Object(shown(mount));
        match Side::of(mount) {
            Side::Engines => secret.insert(mount.path.clone(), shown),
            Side::Methods => auth.insert(mount.path.trim_start_matches("auth/").to_owned(), shown),
        };
    }
    Ok(Envelope::to(call.id()).data(json!({ "auth": auth, "secret": secret })).reply())
}

/// Whoever comes without a token is shown the mounts that are for everybody: none.
pub(in crate::api) fn list_without_token(open: &Open) -> Reply {
    let id = request_id(open.server.chance());
    Envelope::to(&id).data(json!({ "auth": {}, "secret": {} })).reply()
}

/// The path may be that of a mount or lie below it.
pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let visible = call.broker.visible_mounts(&call.request).await?;

    let path = format!("{}/", call.name);
    let found = if let Some(standing) = Standing::of(&path) {
        let point = standing.point();
        visible.reaches(point).then(|| (point.to_owned(), always(call, standing)))
    } else {
        let mut mounts = visible.entries.iter().map(|entry| &entry.mount.record);
        let mount = mounts.find(|mount| path.starts_with(&mount.path));
        mount.map(|mount| (mount.path.clone(), shown(mount)))
    };
    // What is not there and what is not for the caller look the same.
    let (at, mut data) = found.ok_or_else(|| {
        let message = format!(
            "preflight capability check returned 403, please ensure client's policies grant access to path {path:?}"
        );
        Refusal::told(StatusCode::FORBIDDEN, message)
    })?;
    data.insert("path".to_owned(), json!(at));
    Ok(Envelope::to(call.id()).data(data).reply())
}
