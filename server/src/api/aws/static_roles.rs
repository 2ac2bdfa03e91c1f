//! `<mount>/static-roles/:name`: users that were there before, whose keys are rotated. Listing, deleting and rotating one
//! is as at a database.

use super::ROOT;
use crate::api::caller::Call;
use crate::api::database::static_roles::{plan, shown, verify, view};
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::StaticRoleWrite;
use serde_json::json;

/// Of a database: its target and statements, and what it calls its secret.
const OF_DATABASES: [&str; 3] = ["credential_type", "db_name", "rotation_statements"];

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let mut data = shown(&view(call).await?);
    data.retain(|name, _| !OF_DATABASES.contains(&name.as_str()));
    data.insert("name".to_owned(), json!(call.name));
    Ok(Envelope::to(call.id()).data(data).reply())
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let wanted = StaticRoleWrite {
        mount: call.mount.clone(),
        name: call.name.clone(),
        target: Some(ROOT.to_owned()),
        username: fields.text("username")?,
        statements: None,
        verify: verify(&fields)?,
        plan: plan(&fields)?,
    };
    let ignored = fields.ignored();

    call.broker.write_static_role(&call.request, wanted).await?;

    Ok(Reply::done_but(call.id(), ignored))
}
