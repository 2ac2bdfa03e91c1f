//! `sys/reconcile` and `sys/reconcile/:mount/:target`: where a target and the leases differ, and what is done about it.

use super::beneath;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::{Compared, Difference, DifferenceKind, Repair};
use leasehold_core::ids::PlanId;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Differences that one answer shows: more than anybody reads, and some 200 KB.
const SHOWN_MAX: usize = 1000;
/// Warnings of one answer: after so many the rest is known.
const WARNINGS_MAX: usize = 20;

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let last = call.broker.last_comparisons(&call.request).await?;

    let targets: Vec<_> = last.0.iter().map(summary).collect();
    Ok(Envelope::to(call.id()).data(json!({ "targets": targets })).reply())
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let (mount, name) = beneath(call, "target")?;

    let compared = call.broker.last_comparison(&call.request, mount, name).await?;

    Ok(answer(call, mount, &compared))
}

fn answer(call: &Call, mount: &str, compared: &Compared) -> Reply {
    let warning = |role: &String| {
        format!(
            "the role `{role}` was not rehearsed since it was written; `leasehold rehearse {mount}{role}` shows whether \
             its credentials work, and die"
        )
    };
    let warnings = compared.report.unproven.iter().take(WARNINGS_MAX).map(warning);
    Envelope::to(call.id()).data(shown(compared)).warnings(warnings).reply()
}

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let (mount, name) = beneath(call, "target")?;
    let Some(repair) = repair(call)? else {
        let compared = call.broker.reconcile(&call.request, mount, name).await?;
        return Ok(answer(call, mount, &compared));
    };

    let repaired = call.broker.repair(&call.request, (mount, name), repair).await?;

    let data = json!({
        "removed": repaired.removed,
        "ended": repaired.ended,
        "tried": repaired.tried,
        "changed": repaired.changed,
    });
    Ok(Envelope::to(call.id()).data(data).reply())
}

/// Reads which plan is to be carried out, if one is.
fn repair(call: &Call) -> Result<Option<Repair>, Refusal> {
    let fields = call.fields();
    let (plan, kinds) = (fields.text("plan")?, fields.texts("kinds")?);
    let force = fields.flag("force")?.unwrap_or_default();
    let Some(plan) = plan else {
        if kinds.is_some() || force {
            return Err(Refusal::bad(
                "`plan` is missing: a comparison without it tells the plan that `kinds` and `force` are for",
            ));
        }
        return Ok(None);
    };
    let plan: PlanId =
        plan.parse().map_err(|_| Refusal::bad("`plan` is not the name of a plan"))?;
    let kinds = match kinds {
        None => DifferenceKind::USUAL.into(),
        Some(names) => names.iter().map(|name| kind(name)).collect::<Result<BTreeSet<_>, _>>()?,
    };
    Ok(Some(Repair { plan, kinds, force }))
}

fn kind(name: &str) -> Result<DifferenceKind, Refusal> {
    let known = DifferenceKind::called(name).filter(|kind| *kind != DifferenceKind::LookAlike);
    known.ok_or_else(|| {
        Refusal::bad(format!(
            "`kinds` cannot have {name:?} in it; what can be repaired is `orphan`, `abandoned`, `missing`, `altered` and `stuck`"
        ))
    })
}

fn summary(compared: &Compared) -> Value {
    let report = &compared.report;
    let mut summary = Map::from_iter([
        ("target".to_owned(), json!(compared.target)),
        ("compared_at".to_owned(), json!(report.at.rfc3339())),
        ("credentials".to_owned(), json!(report.listed)),
        ("young".to_owned(), json!(report.young)),
    ]);
    for kind in DifferenceKind::ALL {
        summary.insert(kind.name().to_owned(), json!(report.count(kind)));
    }
    Value::Object(summary)
}

fn shown(compared: &Compared) -> Value {
    let mut shown = summary(compared);
    let differences = &compared.report.differences;
    let first: Vec<_> = differences.iter().take(SHOWN_MAX).map(difference).collect();
    if let Value::Object(shown) = &mut shown {
        shown.insert("more".to_owned(), json!(differences.len() > SHOWN_MAX));
        shown.insert("differences".to_owned(), json!(first));
        shown.insert("unrehearsed".to_owned(), json!(compared.report.unproven));
        shown.insert("plan".to_owned(), json!(compared.plan.to_string()));
        shown.insert("plan_expires_at".to_owned(), json!(compared.expires_at.rfc3339()));
    }
    shown
}

fn difference(one: &Difference) -> Value {
    json!({
        "kind": one.kind.name(),
        "username": one.name,
        "lease": one.lease.to_string(),
        "role": one.role,
        "why": one.why,
    })
}
