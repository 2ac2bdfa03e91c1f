//! `sys/abandon/:mount/:target`: what is left of a target that is configured no longer, and that it is gone for ever.

use super::beneath;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::{Abandon, Gone};
use leasehold_core::store::abandonments::Abandonment;
use serde_json::{Value, json};

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let (mount, name) = beneath(call, "target")?;

    let all = call.broker.gone(&call.request, mount, name).await?;

    let generations: Vec<_> = all.0.iter().map(shown).collect();
    let data = json!({ "target": format!("{mount}{name}"), "generations": generations });
    Ok(Envelope::to(call.id()).data(data).warnings(all.0.iter().filter_map(left_behind)).reply())
}

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let (mount, name) = beneath(call, "target")?;
    let fields = call.fields();
    let wanted = Abandon {
        mount: mount.to_owned(),
        name: name.to_owned(),
        generation: fields.text("generation")?.filter(|generation| !generation.is_empty()),
        reason: fields.text("reason")?.unwrap_or_default(),
    };

    let gone = call.broker.abandon(&call.request, wanted).await?;

    let warnings = left_behind(&gone).into_iter().chain(fields.ignored());
    Ok(Envelope::to(call.id()).data(shown(&gone)).warnings(warnings).reply())
}

fn shown(gone: &Gone) -> Value {
    json!({
        "generation": gone.generation,
        "leases": gone.leases,
        "abandoned": gone.abandonment.as_ref().map(abandoned),
        "denials": gone.denials,
    })
}

/// Warns of what stays at a target that nobody looks after any more.
fn left_behind(gone: &Gone) -> Option<String> {
    let places: Vec<_> = gone.denials.iter().map(|place| format!("`{place}`")).collect();
    (!places.is_empty()).then(|| {
        format!(
            "what denies sessions of it at {} is not taken away once its leases have ended: delete the policy of that role \
             by hand whose name begins with `leasehold-deny-`, once the sessions have ended too",
            places.join(", ")
        )
    })
}

/// Who abandoned a target, when and why.
pub(super) fn abandoned(abandonment: &Abandonment) -> Value {
    json!({
        "at": abandonment.at.rfc3339(),
        "by": abandonment.by,
        "accessor": abandonment.accessor.to_string(),
        "entity_id": abandonment.entity.map(|entity| entity.to_string()),
        "reason": abandonment.reason,
    })
}
