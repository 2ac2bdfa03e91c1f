//! `auth/<mount>/role/:name`: what applications may log in as, and `…/role-id`.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::token_params::{OldName, shown as shown_params, span, uses, written};
use leasehold_core::broker::AppRoleWrite;
use leasehold_core::store::approles::AppRole;
use serde_json::{Map, Value, json};

/// What fields were called once.
pub(super) const OLD_NAMES: [OldName; 2] =
    [("token_policies", "policies"), ("token_period", "period")];

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_approles(&call.request, &call.mount).await?;

    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let role = call.broker.read_approle(&call.request, &call.mount, &call.name).await?;

    Ok(Envelope::to(call.id()).data(shown(&role)).reply())
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let wanted = wanted(call, &call.fields(), false)?;

    call.broker.write_approle(&call.request, wanted).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_approle(&call.request, &call.mount, &call.name).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn read_id(call: &Call) -> Result<Reply, Refusal> {
    let role = call.broker.read_approle(&call.request, &call.mount, &call.name).await?;

    Ok(Envelope::to(call.id()).data(json!({ "role_id": role.role_id })).reply())
}

pub(in crate::api) async fn write_id(call: &Call) -> Result<Reply, Refusal> {
    let role_id = call.fields().text("role_id")?.filter(|role_id| !role_id.is_empty());
    let role_id = role_id.ok_or_else(|| Refusal::bad("missing role_id"))?;
    let wanted = AppRoleWrite {
        mount: call.mount.clone(),
        name: call.name.clone(),
        role_id: Some(role_id.trim().to_owned()),
        must_exist: true,
        ..AppRoleWrite::default()
    };

    call.broker.write_approle(&call.request, wanted).await?;

    Ok(Reply::done())
}

pub(super) fn wanted(
    call: &Call,
    fields: &Fields<'_>,
    must_exist: bool,
) -> Result<AppRoleWrite, Refusal> {
    let cidrs = fields.texts("secret_id_bound_cidrs")?;
    let role_id = fields.text("role_id")?.map(|role_id| role_id.trim().to_owned());
    Ok(AppRoleWrite {
        mount: call.mount.clone(),
        name: call.name.clone(),
        role_id: role_id.filter(|role_id| !role_id.is_empty()),
        bind_secret_id: fields.flag("bind_secret_id")?,
        local_secret_ids: fields.flag("local_secret_ids")?,
        // The name that it once had.
        secret_id_bound_cidrs: match cidrs {
            Some(cidrs) => Some(cidrs),
            None => fields.texts("bound_cidr_list")?,
        },
        secret_id_num_uses: uses(fields, "secret_id_num_uses")?,
        secret_id_ttl: span(fields, "secret_id_ttl")?,
        params: written(fields, &OLD_NAMES)?,
        must_exist,
    })
}

/// A role as operators see it.
pub(super) fn shown(role: &AppRole) -> Map<String, Value> {
    let cidrs = &role.secret_id_bound_cidrs;
    let cidrs = (!cidrs.is_empty()).then_some(cidrs);
    let mut shown = shown_params(&role.params, &OLD_NAMES);
    shown.insert("bind_secret_id".to_owned(), json!(role.bind_secret_id));
    shown.insert("local_secret_ids".to_owned(), json!(role.local_secret_ids));
    shown.insert("secret_id_bound_cidrs".to_owned(), json!(cidrs));
    shown.insert("secret_id_num_uses".to_owned(), json!(role.secret_id_num_uses));
    shown.insert("secret_id_ttl".to_owned(), json!(role.secret_id_ttl.as_secs()));
    shown
}
