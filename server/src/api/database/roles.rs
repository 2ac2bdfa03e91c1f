//! `<mount>/roles/:name`: the recipes for credentials.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::broker::{RoleView, RoleWrite};
use serde_json::{Map, json};
use std::time::Duration;

/// Lists that Vault's clients expect in every role.
const STATEMENTS: [&str; 4] =
    ["creation_statements", "renew_statements", "revocation_statements", "rollback_statements"];

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_roles(&call.request, &call.mount).await?;
    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let RoleView { role, recipe } =
        call.broker.read_role(&call.request, &call.mount, &call.name).await?;

    let mut data: Map<_, _> =
        STATEMENTS.iter().map(|name| ((*name).to_owned(), json!([]))).collect();
    data.insert("credential_type".to_owned(), json!("password"));
    data.extend(recipe);
    data.insert("db_name".to_owned(), json!(role.target));
    data.insert("default_ttl".to_owned(), json!(role.default_ttl.as_secs()));
    data.insert("max_ttl".to_owned(), json!(role.max_ttl.as_secs()));
    // Vault has no such fields.
    if role.orphan_leases {
        data.insert("orphan_leases".to_owned(), json!(true));
    }
    if role.proof_of_death {
        data.insert("proof_of_death".to_owned(), json!(true));
    }
    Ok(Envelope::to(call.id()).data(data).reply())
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let wanted = RoleWrite {
        mount: call.mount.clone(),
        name: call.name.clone(),
        target: fields.text("db_name")?,
        default_ttl: ttl(&fields, "default_ttl")?,
        max_ttl: ttl(&fields, "max_ttl")?,
        orphan_leases: fields.flag("orphan_leases")?,
        proof_of_death: fields.flag("proof_of_death")?,
        fields: fields.rest(),
    };

    let cautions = call.broker.write_role(&call.request, wanted).await?;

    Ok(Reply::done_but(call.id(), cautions.0))
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    let revoke = call.fields().flag("revoke")?.unwrap_or(false);

    call.broker.delete_role(&call.request, &call.mount, &call.name, revoke).await?;

    Ok(Reply::done())
}

/// Reads a TTL; here Vault's message has no prefix.
fn ttl(fields: &Fields<'_>, name: &'static str) -> Result<Option<Duration>, Refusal> {
    fields.span(name).map_err(|error| Refusal::bad(error.in_field(name)))
}
