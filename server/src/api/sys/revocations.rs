//! `sys/revocations`: mass revocations, which go on until all that was meant is gone, and can be watched and paused.

pub(in crate::api) mod plan;

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::{MassRevocationView, Trouble};
use leasehold_core::ids::RevocationId;
use leasehold_core::store::mass_revocations::{Asked, MassRevocation, Stage};
use serde_json::{Map, Value, json};

pub(in crate::api) async fn begin(call: &Call) -> Result<Reply, Refusal> {
    let asked = asked(call)?;

    let begun = call.broker.begin_mass_revocation(&call.request, asked).await?;

    Ok(answer(call, &begun))
}

/// Reads which leases are meant.
fn asked(call: &Call) -> Result<Asked, Refusal> {
    let fields = call.fields();
    let written = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (written(fields.text("prefix")?), written(fields.text("target")?)) {
        (Some(prefix), None) => Ok(Asked::Prefix(prefix)),
        (None, Some(target)) => Ok(Asked::Target(target)),
        (None, None) | (Some(_), Some(_)) => Err(Refusal::bad(
            "say either `prefix`, as in `database/creds/app`, or `target`, as in `database/shop`",
        )),
    }
}

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let listed = call.broker.list_mass_revocations(&call.request).await?.0;

    let keys: Vec<_> = listed.iter().map(|job| job.id.to_string()).collect();
    let jobs = listed.iter().map(|job| (job.id.to_string(), Value::Object(kept(job))));
    let info: Map<_, _> = jobs.collect();
    Ok(Envelope::to(call.id()).data(json!({ "keys": keys, "key_info": info })).reply())
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let id = named(call)?;

    let seen = call.broker.read_mass_revocation(&call.request, id).await?;

    Ok(answer(call, &seen))
}

pub(in crate::api) async fn pause(call: &Call) -> Result<Reply, Refusal> {
    let id = named(call)?;

    let paused = call.broker.pause_mass_revocation(&call.request, id).await?;

    Ok(answer(call, &paused))
}

pub(in crate::api) async fn resume(call: &Call) -> Result<Reply, Refusal> {
    let id = named(call)?;

    let resumed = call.broker.resume_mass_revocation(&call.request, id).await?;

    Ok(answer(call, &resumed))
}

fn named(call: &Call) -> Result<RevocationId, Refusal> {
    let name = &call.name;
    name.parse().map_err(|error| Refusal::bad(format!("`{name}` names no revocation: {error}")))
}

fn answer(call: &Call, seen: &MassRevocationView) -> Reply {
    let mut data = kept(&seen.job);
    let troubles: Vec<_> = seen.left.troubles.iter().map(trouble).collect();
    data.insert("gone".to_owned(), json!(seen.gone()));
    data.insert("tried".to_owned(), json!(seen.left.tried));
    data.insert("waiting".to_owned(), json!(seen.left.waiting));
    data.insert("errors".to_owned(), json!(troubles));
    Envelope::to(call.id()).data(data).warnings(warnings(seen)).reply()
}

fn warnings(seen: &MassRevocationView) -> impl Iterator<Item = String> {
    let is_paused = seen.job.stage == Stage::Paused;
    let paused = is_paused.then(|| {
        format!(
            "nothing further is marked until it is resumed; the {} that are marked go on being revoked",
            seen.left.tried
        )
    });
    let forgotten = seen.may_have_forgotten.then(|| {
        "the store was restored and some targets have not been compared with it yet: the revocation goes on until they have \
         been; see `leasehold operator restore-status`"
            .to_owned()
    });
    paused.into_iter().chain(forgotten)
}

/// Tells what is kept of a mass revocation, without a look at its leases.
fn kept(job: &MassRevocation) -> Map<String, Value> {
    let (named, asked) = match &job.asked {
        Asked::Prefix(prefix) => ("prefix", prefix),
        Asked::Target(target) => ("target", target),
    };
    let (state, done_at) = match job.stage {
        Stage::Running => ("running", None),
        Stage::Paused => ("paused", None),
        Stage::Done { at } => ("done", Some(at.rfc3339())),
    };
    Map::from_iter([
        ("id".to_owned(), json!(job.id.to_string())),
        (named.to_owned(), json!(asked)),
        ("state".to_owned(), json!(state)),
        ("asked_by".to_owned(), json!(job.asked_by)),
        ("asked_at".to_owned(), json!(job.asked_at.rfc3339())),
        ("done_at".to_owned(), json!(done_at)),
        ("leases".to_owned(), json!(job.leases)),
        ("marked".to_owned(), json!(job.marked)),
    ])
}

fn trouble(one: &Trouble) -> Value {
    json!({ "target": one.target, "lease_id": one.lease_id, "error": one.error })
}
