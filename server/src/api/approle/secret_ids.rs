//! `auth/<mount>/role/:name/secret-id…`: what proves that an application is of a role. One of the places where secrets
//! are put into answers.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::sys::leases_tidy;
use crate::api::token_params::{span, uses};
use leasehold_core::broker::{SecretIdView, SecretIdWrite, WhichSecretId};
use leasehold_core::secret::SecretText;
use leasehold_core::time::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_secret_ids(&call.request, (&call.mount, &call.name)).await?;

    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}

pub(in crate::api) async fn make(call: &Call) -> Result<Reply, Refusal> {
    made(call, None).await
}

/// The caller says what it is.
pub(in crate::api) async fn make_chosen(call: &Call) -> Result<Reply, Refusal> {
    let text = call.fields().text("secret_id")?.filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Refusal::bad("missing secret_id"))?;
    made(call, Some(SecretText::new(text.trim().to_owned()))).await
}

async fn made(call: &Call, text: Option<SecretText>) -> Result<Reply, Refusal> {
    let wanted = wanted(&call.fields(), text)?;

    let made = call.broker.make_secret_id(&call.request, (&call.mount, &call.name), wanted).await?;

    let kept = &made.secret_id;
    let ttl = kept.lapses_at.map_or(0, |at| at.since(kept.made_at).as_secs());
    let data = json!({
        "secret_id": made.text.reveal(),
        "secret_id_accessor": kept.accessor.to_string(),
        "secret_id_num_uses": kept.num_uses,
        "secret_id_ttl": ttl,
    });
    Ok(Envelope::to(call.id()).data(data).reply().made(made.made))
}

pub(in crate::api) async fn lookup(call: &Call) -> Result<Reply, Refusal> {
    look(call, by_text(&call.fields())?).await
}

pub(in crate::api) async fn lookup_accessor(call: &Call) -> Result<Reply, Refusal> {
    look(call, by_accessor(&call.fields())?).await
}

pub(in crate::api) async fn destroy(call: &Call) -> Result<Reply, Refusal> {
    end(call, by_text(&call.fields())?).await
}

pub(in crate::api) async fn destroy_accessor(call: &Call) -> Result<Reply, Refusal> {
    end(call, by_accessor(&call.fields())?).await
}

/// What is over is removed by itself, and at once when somebody asks.
pub(in crate::api) async fn tidy(call: &Call) -> Result<Reply, Refusal> {
    leases_tidy::update(call).await
}

async fn look(call: &Call, which: WhichSecretId) -> Result<Reply, Refusal> {
    let role = (call.mount.as_str(), call.name.as_str());
    let found = call.broker.lookup_secret_id(&call.request, role, which).await?;

    Ok(found.map_or_else(Reply::done, |view| Envelope::to(call.id()).data(shown(&view)).reply()))
}

async fn end(call: &Call, which: WhichSecretId) -> Result<Reply, Refusal> {
    let role = (call.mount.as_str(), call.name.as_str());
    call.broker.destroy_secret_id(&call.request, role, which).await?;

    Ok(Reply::done())
}

fn shown(view: &SecretIdView) -> Value {
    let kept = &view.secret_id;
    let ttl = kept.lapses_at.map_or(0, |at| at.since(kept.made_at).as_secs());
    // Go's zero time stands for one that never ends.
    let never = "0001-01-01T00:00:00Z".to_owned();
    let expires = kept.lapses_at.map_or(never, Timestamp::rfc3339);
    json!({
        "cidr_list": kept.cidr_list,
        "creation_time": kept.made_at.rfc3339(),
        "expiration_time": expires,
        "last_updated_time": kept.made_at.rfc3339(),
        "metadata": kept.meta,
        "secret_id_accessor": kept.accessor.to_string(),
        "secret_id_num_uses": view.uses_left,
        "secret_id_ttl": ttl,
        "token_bound_cidrs": kept.token_bound_cidrs,
    })
}

fn wanted(fields: &Fields<'_>, text: Option<SecretText>) -> Result<SecretIdWrite, Refusal> {
    Ok(SecretIdWrite {
        text,
        meta: metadata(fields)?,
        cidr_list: fields.texts("cidr_list")?.unwrap_or_default(),
        token_bound_cidrs: fields.texts("token_bound_cidrs")?.unwrap_or_default(),
        num_uses: uses(fields, "num_uses")?,
        ttl: span(fields, "ttl")?,
    })
}

/// Reads what is noted on a secret id: an object, or one written as a text.
fn metadata(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let written = match fields.as_text("metadata") {
        None => return fields.pairs("metadata"),
        Some("") => return Ok(BTreeMap::new()),
        Some(text) => text,
    };
    match serde_json::from_str::<Map<String, Value>>(written) {
        Ok(object) => {
            let only = Map::from_iter([("metadata".to_owned(), Value::Object(object))]);
            Fields::new(&only).pairs("metadata")
        }
        // Nothing of it is told: people put secrets into the wrong fields.
        Err(_) => Err(Refusal::bad("failed to parse the JSON string in `metadata`")),
    }
}

fn by_text(fields: &Fields<'_>) -> Result<WhichSecretId, Refusal> {
    let text = fields.text("secret_id")?.map(|text| text.trim().to_owned());
    let text = text.filter(|text| !text.is_empty()).map(SecretText::new);
    text.map(WhichSecretId::Text).ok_or_else(|| Refusal::bad("missing secret_id"))
}

fn by_accessor(fields: &Fields<'_>) -> Result<WhichSecretId, Refusal> {
    let accessor = fields.text("secret_id_accessor")?.filter(|text| !text.is_empty());
    accessor.map(WhichSecretId::Accessor).ok_or_else(|| Refusal::bad("missing secret_id_accessor"))
}
