//! `<mount>/roles/:name`: the recipes for credentials.

use super::ROOT;
use crate::api::caller::Call;
use crate::api::database::roles;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::broker::{RoleView, RoleWrite};
use serde_json::{Map, Value, json};

/// Lists, which clients also write as one text with commas.
const LISTS: [&str; 3] = ["iam_groups", "policy_arns", "role_arns"];

/// Texts by name, which clients also write as one text.
const PAIRS: [&str; 2] = ["iam_tags", "session_tags"];

/// How long sessions live.
const SPANS: [&str; 2] = ["default_sts_ttl", "max_sts_ttl"];

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    roles::list(call).await
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let RoleView { role, recipe } =
        call.broker.read_role(&call.request, &call.mount, &call.name).await?;

    let mut data = recipe;
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
        target: Some(ROOT.to_owned()),
        orphan_leases: fields.flag("orphan_leases")?,
        proof_of_death: fields.flag("proof_of_death")?,
        fields: recipe(&fields)?,
        ..RoleWrite::default()
    };

    call.broker.write_role(&call.request, wanted).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    roles::delete(call).await
}

/// Returns what is for the engine, each field in the one way in which it reads it.
fn recipe(fields: &Fields<'_>) -> Result<Map<String, Value>, Refusal> {
    let mut recipe = Map::new();
    for name in LISTS {
        if let Some(texts) = fields.texts(name)? {
            recipe.insert(name.to_owned(), json!(texts));
        }
    }
    for name in PAIRS {
        if fields.is_set(name) {
            recipe.insert(name.to_owned(), json!(fields.pairs(name)?));
        }
    }
    for name in SPANS {
        if let Some(span) = fields.ttl(name)? {
            recipe.insert(name.to_owned(), json!(span.as_secs()));
        }
    }
    recipe.extend(fields.rest());
    Ok(recipe)
}
