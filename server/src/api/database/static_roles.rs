//! `<mount>/static-roles/:name` and `rotate-role/:name`: accounts that were there before, and are rotated.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::broker::{StaticRoleError, StaticRoleView, StaticRoleWrite};
use leasehold_core::engine::rotation::Verify;
use leasehold_core::schedule::{Plan, PlanWrite};
use serde_json::{Map, Value, json};

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_static_roles(&call.request, &call.mount).await?;
    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let role = view(call).await?;

    Ok(Envelope::to(call.id()).data(shown(&role)).reply())
}

/// Asks for the static role in the path.
pub(in crate::api) async fn view(call: &Call) -> Result<StaticRoleView, Refusal> {
    match call.broker.read_static_role(&call.request, &call.mount, &call.name).await {
        Err(StaticRoleError::NoRole(_)) => Err(Refusal::nothing_here()),
        role => Ok(role?),
    }
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let credential_type = fields.text("credential_type")?.unwrap_or_default();
    if !matches!(credential_type.as_str(), "" | "password") {
        let message = format!("`credential_type` cannot be `{credential_type}`; it is `password`");
        return Err(Refusal::bad(message));
    }
    let wanted = StaticRoleWrite {
        mount: call.mount.clone(),
        name: call.name.clone(),
        target: fields.text("db_name")?,
        username: fields.text("username")?,
        statements: fields.texts("rotation_statements")?,
        verify: verify(&fields)?,
        plan: plan(&fields)?,
    };
    let ignored = fields.ignored();

    call.broker.write_static_role(&call.request, wanted).await?;

    Ok(Reply::done_but(call.id(), ignored))
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_static_role(&call.request, &call.mount, &call.name).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn rotate(call: &Call) -> Result<Reply, Refusal> {
    call.broker.rotate_role(&call.request, &call.mount, &call.name).await?;

    Ok(Reply::done())
}

/// Reads when an account is rotated.
pub(in crate::api) fn plan(fields: &Fields<'_>) -> Result<PlanWrite, Refusal> {
    Ok(PlanWrite {
        period: fields.ttl("rotation_period")?,
        schedule: fields.text("rotation_schedule")?,
        window: fields.ttl("rotation_window")?,
    })
}

/// Tells when an account is rotated: the period, or the schedule and its window.
pub(super) fn planned(plan: &Plan) -> Map<String, Value> {
    let mut told = Map::new();
    match &plan.schedule {
        Some(schedule) => {
            told.insert("rotation_schedule".to_owned(), json!(schedule.text()));
            told.insert("rotation_window".to_owned(), json!(plan.window.as_secs()));
        }
        None => {
            told.insert("rotation_period".to_owned(), json!(plan.period.as_secs()));
        }
    }
    told
}

pub(in crate::api) fn verify(fields: &Fields<'_>) -> Result<Option<Verify>, Refusal> {
    match fields.text("verify")?.as_deref() {
        None => Ok(None),
        Some("" | "login") => Ok(Some(Verify::Login)),
        Some("catalog") => Ok(Some(Verify::Catalog)),
        Some(other) => {
            let message = format!("`verify` cannot be `{other}`; it is `login` or `catalog`");
            Err(Refusal::bad(message))
        }
    }
}

/// Tells what is set for a static role, and how it stands.
pub(in crate::api) fn shown(role: &StaticRoleView) -> Map<String, Value> {
    let mut told = planned(&role.plan);
    let mut tell = |name: &str, value: Value| told.insert(name.to_owned(), value);
    tell("credential_type", json!("password"));
    tell("db_name", json!(role.target));
    tell("rotation_statements", json!(role.statements));
    tell("username", json!(role.username));
    tell("verify", json!(role.verify));
    if let Some(at) = role.rotated_at {
        tell("last_vault_rotation", json!(at.rfc3339()));
    }
    if let Some(at) = role.due_at {
        tell("next_vault_rotation", json!(at.rfc3339()));
    }
    if let Some(error) = &role.error {
        tell("rotation_error", json!(error));
    }
    told
}
