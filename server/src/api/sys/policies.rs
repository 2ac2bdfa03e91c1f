//! `sys/policies/acl` and, as it once was, `sys/policy`: what policies there are, and what they say.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use base64::Engine;
use leasehold_core::broker::PolicyView;
use serde_json::{Map, Value, json};

/// What Vault's relatives keep beside a policy. To take it without doing it would promise what nobody keeps.
const NOT_KEPT: [&str; 4] = ["cas", "cas_required", "expiration", "ttl"];

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_policies(&call.request).await?;

    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}

pub(in crate::api) async fn list_old(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_policies(&call.request).await?;

    let lists = ["keys", "policies"].map(|name| (name.to_owned(), json!(keys)));
    Ok(Envelope::with_data_on_top(call.id(), Map::from_iter(lists)))
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let view = call.broker.read_policy(&call.request, &call.name).await?;

    Ok(Envelope::to(call.id()).data(shown(&view, "policy")).reply())
}

pub(in crate::api) async fn read_old(call: &Call) -> Result<Reply, Refusal> {
    let view = call.broker.read_policy(&call.request, &call.name).await?;

    Ok(Envelope::with_data_on_top(call.id(), shown(&view, "rules")))
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    if let Some(name) = NOT_KEPT.into_iter().find(|name| fields.is_set(name)) {
        return Err(Refusal::bad(format!("`{name}` of a policy is not supported; leave it out")));
    }
    let policy = fields.text("policy")?.filter(|text| !text.is_empty());
    let rules = fields.text("rules")?.filter(|text| !text.is_empty());
    let old = policy.is_none() && rules.is_some();
    let text =
        policy.or(rules).ok_or_else(|| Refusal::bad("'policy' parameter not supplied or empty"))?;
    let ignored = fields.ignored();

    let cautions = call.broker.write_policy(&call.request, &call.name, &decoded(text)).await?;

    let name = call.name.trim().to_ascii_lowercase();
    let renamed = (name != call.name).then(|| format!("policy name was converted to {name}"));
    let old = old.then(|| "'rules' is deprecated, please use 'policy' instead".to_owned());
    Ok(Reply::done_but(call.id(), old.into_iter().chain(renamed).chain(cautions.0).chain(ignored)))
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_policy(&call.request, &call.name).await?;

    Ok(Reply::done())
}

/// Some clients send the text in base64; no policy can be read as that.
fn decoded(text: String) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(&text).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(text)
}

fn shown(view: &PolicyView, text: &str) -> Map<String, Value> {
    let (version, modified_at) = view.written.unzip();
    let mut shown = Map::from_iter([
        ("name".to_owned(), json!(view.name.as_str())),
        (text.to_owned(), json!(view.text)),
        ("version".to_owned(), json!(version.unwrap_or_default())),
        ("cas_required".to_owned(), json!(false)),
        ("allow_slashes_in_identity_templates".to_owned(), json!(false)),
        ("allow_wildcards_in_identity_templates".to_owned(), json!(false)),
    ]);
    shown.extend(modified_at.map(|at| ("modified".to_owned(), json!(at.rfc3339()))));
    shown
}
