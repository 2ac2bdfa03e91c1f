//! `auth/token/roles/:name`: recipes for tokens.

use super::create::span;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::access::login::plain_name;
use leasehold_core::access::policy::PolicyName;
use leasehold_core::access::token::RoleTokenType;
use leasehold_core::broker::TokenRoleWrite;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_token_roles(&call.request).await?;

    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let role = call.broker.read_token_role(&call.request, &call.name).await?;

    let (max, period) = (role.explicit_max_ttl.as_secs(), role.period.as_secs());
    let mut data = json!({
        "allowed_entity_aliases": role.allowed_entity_aliases,
        "allowed_policies": role.allowed_policies,
        "allowed_policies_glob": role.allowed_policies_glob,
        "disallowed_policies": role.disallowed_policies,
        "disallowed_policies_glob": role.disallowed_policies_glob,
        "explicit_max_ttl": max,
        "name": role.name,
        "orphan": role.orphan,
        "path_suffix": role.path_suffix,
        "period": period,
        "renewable": role.renewable,
        "token_explicit_max_ttl": max,
        "token_no_default_policy": role.no_default_policy,
        "token_num_uses": role.num_uses,
        "token_period": period,
        "token_type": role.token_type,
    });
    // As in Vault, they are shown where there are any.
    if let (Some(data), false) = (data.as_object_mut(), role.bound_cidrs.is_empty()) {
        data.insert("token_bound_cidrs".into(), json!(role.bound_cidrs));
    }
    Ok(Envelope::to(call.id()).data(data).reply())
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let wanted = wanted(&fields)?;
    let ignored = fields.ignored();

    call.broker.write_token_role(&call.request, &call.name, wanted).await?;

    Ok(Reply::done_but(call.id(), ignored))
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_token_role(&call.request, &call.name).await?;

    Ok(Reply::done())
}

fn wanted(fields: &Fields<'_>) -> Result<TokenRoleWrite, Refusal> {
    let num_uses = fields.number("token_num_uses")?;
    if num_uses.is_some_and(|uses| uses < 0) {
        return Err(Refusal::bad("'token_num_uses' cannot be negative"));
    }
    let token_type = match fields.text("token_type")?.as_deref() {
        None => None,
        Some("" | "default-service" | "default") => Some(RoleTokenType::DefaultService),
        Some("default-batch") => Some(RoleTokenType::DefaultBatch),
        Some("service") => Some(RoleTokenType::Service),
        Some("batch") => Some(RoleTokenType::Batch),
        Some(_) => return Err(Refusal::bad("invalid 'token_type' value")),
    };
    let path_suffix = fields.text("path_suffix")?;
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.' | '/');
    if path_suffix.as_ref().is_some_and(|suffix| suffix.contains("..") || !suffix.chars().all(fits))
    {
        return Err(Refusal::bad("given role path suffix contains invalid characters"));
    }
    Ok(TokenRoleWrite {
        allowed_policies: policies(fields, "allowed_policies")?,
        allowed_policies_glob: plain(fields, "allowed_policies_glob")?,
        disallowed_policies: policies(fields, "disallowed_policies")?,
        disallowed_policies_glob: plain(fields, "disallowed_policies_glob")?,
        allowed_entity_aliases: plain(fields, "allowed_entity_aliases")?,
        orphan: fields.flag("orphan")?,
        renewable: fields.flag("renewable")?,
        path_suffix: path_suffix.map(|suffix| suffix.trim_matches('/').to_owned()),
        explicit_max_ttl: either(fields, "token_explicit_max_ttl", "explicit_max_ttl")?,
        period: either(fields, "token_period", "period")?,
        num_uses: num_uses.map(|uses| u32::try_from(uses).unwrap_or(u32::MAX)),
        no_default_policy: fields.flag("token_no_default_policy")?,
        bound_cidrs: match fields.texts("token_bound_cidrs")? {
            None => fields.texts("bound_cidrs")?,
            told => told,
        },
        token_type,
    })
}

/// Reads a span under its name, or under the one that it once had.
fn either(
    fields: &Fields<'_>,
    name: &'static str,
    old: &'static str,
) -> Result<Option<Duration>, Refusal> {
    let (named, old) = (span(fields, name)?, span(fields, old)?);
    Ok(named.or(old))
}

/// Reads a list of policies.
fn policies(fields: &Fields<'_>, name: &'static str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(written) = fields.texts(name)? else { return Ok(None) };
    let names = PolicyName::parse_all(&written);
    names.map(Some).map_err(|error| Refusal::bad(error.to_string()))
}

/// Reads a list of names, or of patterns of names, that are the same in any case.
fn plain(fields: &Fields<'_>, name: &'static str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(written) = fields.texts(name)? else { return Ok(None) };
    let names: BTreeSet<_> = written.iter().map(|name| plain_name(name)).collect();
    Ok(Some(names.into_iter().filter(|name| !name.is_empty()).collect()))
}
