//! `POST sys/whois`: whose a user name, an access key, a lease or a token is.

use super::abandon::abandoned;
use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use leasehold_core::broker::{AccountKnown, Holder, Stage, Whose};
use leasehold_core::lease::death::Death;
use leasehold_core::time::Timestamp;
use serde_json::{Value, json};

pub(in crate::api) async fn update(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let name = fields.text("name")?.unwrap_or_default();

    let whois = call.broker.whois(&call.request, &name).await?;

    let leases: Vec<_> = whois.leases.iter().map(shown).collect();
    let token = whois.token.as_ref().map(holder);
    let accounts: Vec<_> = whois.accounts.iter().map(account).collect();
    let data =
        json!({ "leases": leases, "token": token, "accounts": accounts, "more": whois.more });
    Ok(Envelope::to(call.id()).data(data).warnings(fields.ignored()).reply())
}

fn shown(whose: &Whose) -> Value {
    let lease = &whose.lease;
    let (state, settled_at) = match whose.state {
        Stage::Held => ("held", None),
        Stage::Revoking => ("revoking", None),
        Stage::Settled(at) => ("settled", Some(at)),
        Stage::Abandoned(at) => ("abandoned", Some(at)),
    };
    json!({
        "lease_id": lease.lease_id,
        "state": state,
        "mount": whose.mount,
        "role": whose.role,
        "target": whose.target,
        "username": whose.username,
        "known_as": whose.known_as,
        "issue_time": lease.issued_at.rfc3339(),
        "last_renewal": lease.renewed_at.map(Timestamp::rfc3339),
        "expire_time": lease.lapses_at.rfc3339(),
        "settle_time": settled_at.map(Timestamp::rfc3339),
        "proof_of_death": whose.death.as_ref().map(Death::shown),
        "revoke_error": lease.revoke_error,
        "abandoned": whose.abandonment.as_ref().map(abandoned),
        "holder": holder(&whose.holder),
        "granting_policies": whose.granted_by,
        "request_id": whose.request,
    })
}

fn account(account: &AccountKnown) -> Value {
    json!({
        "mount": account.mount,
        "target": account.target,
        "username": account.username,
        "static_role": account.static_role,
        "last_vault_rotation": account.rotated_at.map(Timestamp::rfc3339),
    })
}

fn holder(holder: &Holder) -> Value {
    let entity =
        holder.entity.as_ref().map(|(id, name)| json!({ "id": id.to_string(), "name": name }));
    json!({
        "display_name": holder.display_name,
        "accessor": holder.accessor.to_string(),
        "policies": holder.policies,
        "entity": entity,
    })
}
