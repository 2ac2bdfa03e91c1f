//! `sys/revocations/plan`: what a revocation would take, and what that is in use for right now.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use leasehold_core::broker::{PlanAsked, PlanOf, Planned, RevocationPlan};
use leasehold_core::engine::in_use::{InUse, Owned};
use leasehold_core::limits::PLAN_ROWS_MAX;
use leasehold_core::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Leases of a page unless the caller says otherwise: most targets tell of so many in a moment.
const ROWS: usize = 500;
/// Warnings of one answer: after so many the rest is known.
const WARNINGS_MAX: usize = 20;

pub(in crate::api) async fn plan(call: &Call) -> Result<Reply, Refusal> {
    let asked = asked(call)?;

    let plan = call.broker.plan_revocation(&call.request, asked).await?;

    Ok(answer(call, &plan))
}

fn asked(call: &Call) -> Result<PlanAsked, Refusal> {
    let fields = call.fields();
    let written = |name| Ok::<_, Refusal>(fields.text(name)?.filter(|text| !text.is_empty()));
    let of = match written("lease_id")? {
        None => PlanOf::Many(super::asked(call)?),
        Some(_) if fields.is_set("prefix") || fields.is_set("target") => {
            return Err(Refusal::bad("say one of `prefix`, `target` and `lease_id`"));
        }
        Some(id) => PlanOf::Lease(id),
    };
    let after = written("after")?.map(|after| after.parse()).transpose().map_err(|_| {
        Refusal::bad("`after` is not what the page before has told; leave it out to begin anew")
    })?;
    Ok(PlanAsked { of, after, limit: limit(&fields)? })
}

fn limit(fields: &Fields<'_>) -> Result<usize, Refusal> {
    let Some(limit) = fields.number("limit")? else { return Ok(ROWS) };
    let limit = usize::try_from(limit).ok().filter(|limit| (1..=PLAN_ROWS_MAX).contains(limit));
    limit.ok_or_else(|| Refusal::bad(format!("`limit` is a number from 1 to {PLAN_ROWS_MAX}")))
}

fn answer(call: &Call, plan: &RevocationPlan) -> Reply {
    let leases: Vec<_> = plan.leases.iter().map(shown).collect();
    let after = plan.after.as_ref().map(ToString::to_string);
    let data = json!({ "leases": leases, "totals": totals(&plan.leases), "after": after });
    Envelope::to(call.id()).data(data).warnings(warnings(plan)).reply()
}

fn shown(one: &Planned) -> Value {
    let (seen, error) = match &one.seen {
        Ok(seen) => (seen.clone(), None),
        Err(error) => (InUse::default(), Some(error.to_string())),
    };
    let owns = seen.owned.as_ref().map(|owned| owned.iter().map(of_kind).collect::<Vec<_>>());
    json!({
        "lease_id": one.lease_id,
        "username": one.name,
        "target": one.target,
        "state": if one.is_revoking { "revoking" } else { "held" },
        "expire_time": one.lapses_at.rfc3339(),
        "ttl": one.seconds_left,
        "exists": seen.is_there,
        "sessions": seen.sessions,
        "owns": owns,
        "last_used": seen.last_used_at.map(Timestamp::rfc3339),
        "error": error,
    })
}

fn of_kind(owned: &Owned) -> Value {
    json!({ "kind": owned.kind, "in": owned.within, "count": owned.count, "names": owned.names })
}

fn totals(leases: &[Planned]) -> Value {
    let seen = || leases.iter().filter_map(|one| one.seen.as_ref().ok());
    let sessions = || seen().filter_map(|seen| seen.sessions);
    let owned = || seen().map(InUse::owned_count);
    let is_untold = |seen: &&InUse| seen.sessions.is_none() && seen.is_there != Some(false);
    json!({
        "leases": leases.len(),
        "in_use": sessions().filter(|count| *count > 0).count(),
        "sessions": sessions().fold(0, u64::saturating_add),
        "sessions_unknown": seen().filter(is_untold).count(),
        "owning": owned().filter(|count| *count > 0).count(),
        "owned": owned().fold(0, u64::saturating_add),
        "missing": seen().filter(|seen| seen.is_there == Some(false)).count(),
        "unknown": leases.iter().filter(|one| one.seen.is_err()).count(),
    })
}

fn warnings(plan: &RevocationPlan) -> impl Iterator<Item = String> {
    let forgotten = plan.may_have_forgotten.then(|| {
        "the store was restored and some targets have not been compared with it yet: they may have more than is shown; \
         see `leasehold operator restore-status`"
            .to_owned()
    });
    let seen = plan.leases.iter().filter_map(|one| Some((one, one.seen.as_ref().ok()?)));
    let unseen =
        seen.flat_map(|(one, seen)| seen.unseen.iter().map(|why| format!("{}: {why}", one.target)));
    let unseen: BTreeSet<_> = unseen.collect();
    forgotten.into_iter().chain(unseen).take(WARNINGS_MAX)
}
