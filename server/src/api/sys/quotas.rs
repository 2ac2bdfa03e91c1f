//! `sys/quotas/`: how often one sender may ask, how many leases there may be, and what holds for all quotas.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::routes;
use leasehold_core::broker::{QuotaConfigWrite, QuotaWrite};
use leasehold_core::store::quotas::{Limit, QuotaKind};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What a rate is counted in if nobody says. Vault's default.
const INTERVAL: Duration = Duration::from_secs(1);

pub(in crate::api) async fn list(call: &Call, kind: QuotaKind) -> Result<Reply, Refusal> {
    let keys = call.broker.list_quotas(&call.request, kind).await?;

    Ok(Envelope::to(call.id()).data(json!({ "keys": keys })).reply())
}

pub(in crate::api) async fn read(call: &Call, kind: QuotaKind) -> Result<Reply, Refusal> {
    let found = call.broker.read_quota(&call.request, kind, &call.name).await?;

    let quota = &found.record;
    let mut data = Map::from_iter([
        ("type".to_owned(), json!(kind.word())),
        ("name".to_owned(), json!(quota.name)),
        ("path".to_owned(), json!(quota.scope.path())),
        ("role".to_owned(), json!(quota.scope.role)),
        ("inheritable".to_owned(), json!(quota.inheritable)),
    ]);
    match quota.limit {
        Limit::Rate { rate, interval, block_interval } => {
            data.insert("rate".to_owned(), written(rate));
            data.insert("interval".to_owned(), json!(interval.as_secs()));
            data.insert("block_interval".to_owned(), json!(block_interval.as_secs()));
        }
        Limit::Leases { max_leases } => {
            data.insert("max_leases".to_owned(), json!(max_leases));
        }
    }
    Ok(Envelope::to(call.id()).data(data).reply())
}

/// Writes a whole number as one, as Vault does.
fn written(rate: f64) -> Value {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if rate.fract() == 0.0 && rate < EXACT_MAX {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole, above zero, and within what is exact"
        )]
        return json!(rate as u64);
    }
    json!(rate)
}

pub(in crate::api) async fn write_rate_limit(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let interval = fields.ttl("interval")?.filter(|interval| !interval.is_zero());
    let limit = Limit::Rate {
        rate: fields.decimal("rate")?.unwrap_or_default(),
        interval: interval.unwrap_or(INTERVAL),
        block_interval: fields.ttl("block_interval")?.unwrap_or_default(),
    };
    let wanted = wanted(call, &fields, limit)?;

    call.broker.write_quota(&call.request, wanted).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn write_lease_count(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let max_leases = fields.number("max_leases")?.unwrap_or_default();
    let max_leases = u64::try_from(max_leases).unwrap_or_default();
    let wanted = wanted(call, &fields, Limit::Leases { max_leases })?;

    call.broker.write_quota(&call.request, wanted).await?;

    Ok(Reply::done())
}

/// Reads what quotas of all kinds have.
fn wanted(call: &Call, fields: &Fields<'_>, limit: Limit) -> Result<QuotaWrite, Refusal> {
    let path = fields.text("path")?.unwrap_or_default();
    let wanted = QuotaWrite {
        name: call.name.clone(),
        path: routes::meant(&call.broker, path.trim_matches('/')),
        role: fields.text("role")?.unwrap_or_default(),
        inheritable: fields.flag("inheritable")?,
        limit,
    };
    // Clients write back what they have read.
    let (_, _) = (fields.text("name")?, fields.text("type")?);
    refuse_unknown(fields)?;
    Ok(wanted)
}

pub(in crate::api) async fn delete(call: &Call, kind: QuotaKind) -> Result<Reply, Refusal> {
    call.broker.delete_quota(&call.request, kind, &call.name).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn read_config(call: &Call) -> Result<Reply, Refusal> {
    let config = call.broker.read_quota_config(&call.request).await?;

    let data = json!({
        "enable_rate_limit_audit_logging": config.audits_refusals,
        "enable_rate_limit_response_headers": config.tells_what_is_left,
        "rate_limit_exempt_paths": config.exempt_paths,
    });
    Ok(Envelope::to(call.id()).data(data).reply())
}

pub(in crate::api) async fn write_config(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let wanted = QuotaConfigWrite {
        audits_refusals: fields.flag("enable_rate_limit_audit_logging")?,
        tells_what_is_left: fields.flag("enable_rate_limit_response_headers")?,
        exempt_paths: fields.texts("rate_limit_exempt_paths")?,
    };
    refuse_unknown(&fields)?;

    call.broker.write_quota_config(&call.request, wanted).await?;

    Ok(Reply::done())
}

/// A bound that is not there must not look as if it were.
fn refuse_unknown(fields: &Fields<'_>) -> Result<(), Refusal> {
    match fields.rest().keys().next() {
        None => Ok(()),
        Some(name) => Err(Refusal::bad(format!("unknown field {name:?}"))),
    }
}
