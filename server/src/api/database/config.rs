//! `<mount>/config/:name`: the targets.

use crate::api::caller::Call;
use crate::api::database::static_roles::{plan, planned};
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::broker::{TargetView, TargetWrite};
use leasehold_core::schedule::Plan;
use leasehold_core::store::mounts::Target;
use serde_json::{Map, Value, json};

/// Told of a target that does not let its administrator in, since a restore.
pub(in crate::api) const OLDER: &str = "credential_older_than_target";

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_targets(&call.request, &call.mount).await?;
    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let TargetView { target, shown, older } =
        call.broker.read_target(&call.request, &call.mount, &call.name).await?;

    let mut data = json!({
        "allowed_roles": target.allowed_roles,
        "connection_details": shown,
        "password_policy": target.password_policy,
        "plugin_name": target.plugin_name,
        "plugin_version": "",
        "root_credentials_rotate_statements": target.root_rotation_statements,
        "verify_connection": target.verify_connection,
    });
    if let Some(data) = data.as_object_mut() {
        data.extend(kept(&target));
    }
    if let (Some(data), Some(_)) = (data.as_object_mut(), &older) {
        data.insert(OLDER.into(), true.into());
    }
    let warning = older.map(|older| older.to_string());
    Ok(Envelope::to(call.id()).data(data).warnings(warning).reply())
}

/// Tells what is kept of any target, if it is set: when it is compared, how many credentials it may have, and when its
/// administrator is rotated.
pub(in crate::api) fn kept(target: &Target) -> Map<String, Value> {
    let mut told = Map::new();
    // Vault has no such fields.
    if !target.reconcile_period.is_zero() {
        told.insert("reconcile_period".to_owned(), json!(target.reconcile_period.as_secs()));
        told.insert("reconcile_repair".to_owned(), json!(target.reconcile_repair));
    }
    if let Some(max) = target.credentials_max() {
        told.insert("max_credentials".to_owned(), json!(max));
    }
    if target.rotation != Plan::default() {
        told.extend(planned(&target.rotation));
    }
    told
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let wanted = wanted(call, &call.fields())?;

    call.broker.write_target(&call.request, wanted).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    let revoke = call.fields().flag("revoke")?.unwrap_or(false);

    call.broker.delete_target(&call.request, &call.mount, &call.name, revoke).await?;

    Ok(Reply::done())
}

fn wanted(call: &Call, fields: &Fields<'_>) -> Result<TargetWrite, Refusal> {
    // Only what is built in exists, in one version.
    if let Some(version) = fields.text("plugin_version")?.filter(|version| !version.is_empty()) {
        return Err(Refusal::bad(format!(
            "there is no version {version:?} of the plugin; leave `plugin_version` out"
        )));
    }
    let statements = fields.texts("root_rotation_statements")?;
    // Vault reads it back under this name.
    let statements = statements.or(fields.texts("root_credentials_rotate_statements")?);
    Ok(TargetWrite {
        mount: call.mount.clone(),
        name: call.name.clone(),
        plugin_name: fields.text("plugin_name")?,
        allowed_roles: fields.texts("allowed_roles")?,
        verify_connection: fields.flag("verify_connection")?,
        password_policy: fields.text("password_policy")?,
        root_rotation_statements: statements,
        reconcile_period: fields.ttl("reconcile_period")?,
        reconcile_repair: fields.flag("reconcile_repair")?,
        max_credentials: max_credentials(fields)?,
        rotation: plan(fields)?,
        moved: fields.flag("moved")?,
        generation: generation(fields)?,
        fields: fields.rest(),
    })
}

/// Reads which identity of a target is meant, if not the one that is configured.
pub(in crate::api) fn generation(fields: &Fields<'_>) -> Result<Option<String>, Refusal> {
    Ok(fields.text("generation")?.filter(|generation| !generation.is_empty()))
}

/// Reads how many credentials a target may have.
pub(in crate::api) fn max_credentials(fields: &Fields<'_>) -> Result<Option<u64>, Refusal> {
    let max = fields.number("max_credentials")?.map(u64::try_from).transpose();
    max.map_err(|_| Refusal::bad("`max_credentials` must be 0, for no bound, or more"))
}
