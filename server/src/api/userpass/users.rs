//! `auth/<mount>/users/:name`: who has a password, and what their tokens are like.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::token_params::{OldName, shown, written};
use leasehold_core::access::params::ParamsWrite;
use leasehold_core::access::password_hash::PasswordHash;
use leasehold_core::broker::UserWrite;
use leasehold_core::secret::SecretText;
use serde_json::json;

/// What fields were called once.
const OLD_NAMES: [OldName; 4] = [
    ("token_policies", "policies"),
    ("token_ttl", "ttl"),
    ("token_max_ttl", "max_ttl"),
    ("token_bound_cidrs", "bound_cidrs"),
];

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let keys = call.broker.list_users(&call.request, &call.mount).await?;

    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let user = call.broker.read_user(&call.request, &call.mount, &call.name).await?;

    Ok(Envelope::to(call.id()).data(shown(&user.params, &OLD_NAMES)).reply())
}

pub(in crate::api) async fn write(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let params = written(&fields, &OLD_NAMES)?;
    let wanted = wanted(call, &fields, params, false)?;

    call.broker.write_user(&call.request, wanted).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn delete(call: &Call) -> Result<Reply, Refusal> {
    call.broker.delete_user(&call.request, &call.mount, &call.name).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn write_password(call: &Call) -> Result<Reply, Refusal> {
    let wanted = wanted(call, &call.fields(), ParamsWrite::default(), true)?;
    if wanted.password.is_none() && wanted.password_hash.is_none() {
        return Err(Refusal::bad("must provide either password or password_hash"));
    }

    call.broker.write_user(&call.request, wanted).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn write_policies(call: &Call) -> Result<Reply, Refusal> {
    let read = written(&call.fields(), &OLD_NAMES)?;
    let is_policies = |(name, _): &(String, bool)| name == "policies";
    let params = ParamsWrite {
        policies: read.policies,
        old_names: read.old_names.into_iter().filter(is_policies).collect(),
        ..ParamsWrite::default()
    };
    let wanted = UserWrite {
        mount: call.mount.clone(),
        name: call.name.clone(),
        params,
        must_exist: true,
        ..UserWrite::default()
    };

    call.broker.write_user(&call.request, wanted).await?;

    Ok(Reply::done())
}

fn wanted(
    call: &Call,
    fields: &Fields<'_>,
    params: ParamsWrite,
    must_exist: bool,
) -> Result<UserWrite, Refusal> {
    let password = fields.text("password")?.filter(|password| !password.is_empty());
    let hash = fields.text("password_hash")?.filter(|hash| !hash.is_empty());
    let password_hash = hash.map(|hash| PasswordHash::made_elsewhere(&hash)).transpose();
    let password_hash = password_hash.map_err(|error| Refusal::bad(error.to_string()))?;
    Ok(UserWrite {
        mount: call.mount.clone(),
        name: call.name.clone(),
        password: password.map(SecretText::new),
        password_hash,
        params,
        must_exist,
    })
}
