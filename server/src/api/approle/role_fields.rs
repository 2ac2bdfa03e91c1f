//! `auth/<mount>/role/:name/<field>`: one field of a role at a time.

use super::roles::{shown, wanted};
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use serde_json::{Map, Value, json};

/// A field by its path, the names that it is written and shown by, the one that it has now in front, and what it is
/// where nothing is said.
struct Field {
    path: &'static str,
    names: &'static [&'static str],
    unsaid: fn() -> Value,
}

const fn field(path: &'static str, names: &'static [&'static str], unsaid: fn() -> Value) -> Field {
    Field { path, names, unsaid }
}

const FIELDS: [Field; 12] = [
    field("policies", &["token_policies", "policies"], || json!([])),
    field("bound-cidr-list", &["secret_id_bound_cidrs", "bound_cidr_list"], || json!([])),
    field("secret-id-bound-cidrs", &["secret_id_bound_cidrs"], || json!([])),
    field("token-bound-cidrs", &["token_bound_cidrs"], || json!([])),
    field("bind-secret-id", &["bind_secret_id"], || json!(true)),
    field("secret-id-num-uses", &["secret_id_num_uses"], || json!(0)),
    field("secret-id-ttl", &["secret_id_ttl"], || json!(0)),
    field("period", &["token_period", "period"], || json!(0)),
    field("token-num-uses", &["token_num_uses"], || json!(0)),
    field("token-ttl", &["token_ttl"], || json!(0)),
    field("token-max-ttl", &["token_max_ttl"], || json!(0)),
    field("local-secret-ids", &["local_secret_ids"], || json!(false)),
];

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let field = field_of(call)?;

    let role = call.broker.read_approle(&call.request, &call.mount, &call.name).await?;

    let shown = shown(&role);
    let known = field.names.iter().filter_map(|name| shown.get_key_value(*name));
    let data: Map<_, _> = known.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Envelope::to(call.id()).data(data).reply())
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let field = field_of(call)?;
    let data = call.request.asked.data.as_ref().and_then(Value::as_object);
    let sent = data.into_iter().flatten().filter(|(name, _)| field.names.contains(&name.as_str()));
    let only: Map<_, _> = sent.map(|(name, value)| (name.clone(), value.clone())).collect();
    if only.is_empty() {
        let name = field.names.first().copied().unwrap_or_default();
        return Err(Refusal::bad(format!("missing {name}")));
    }

    put(call, &only).await
}

/// The field is again as if nothing had been said of it.
pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    let field = field_of(call)?;
    let name = field.names.first().copied().unwrap_or_default();

    put(call, &Map::from_iter([(name.to_owned(), (field.unsaid)())])).await
}

async fn put(call: &Call, only: &Map<String, Value>) -> Result<Reply, Refusal> {
    let wanted = wanted(call, &Fields::new(only), true)?;

    call.broker.write_approle(&call.request, wanted).await?;

    Ok(Reply::done())
}

fn field_of(call: &Call) -> Result<&'static Field, Refusal> {
    let last = call.request.asked.path.rsplit('/').next().unwrap_or_default();
    let found = const { &FIELDS }.iter().find(|field| field.path == last);
    found.ok_or_else(|| Refusal::bad(format!("a role has no field `{last}`")))
}
