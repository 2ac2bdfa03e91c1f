//! `sys/`: the server itself, its mounts, and its leases.

pub(super) mod abandon;
pub(super) mod audit;
pub(super) mod audited_headers;
pub(super) mod auth;
pub(super) mod capabilities;
pub(super) mod clock;
pub(super) mod generate_root;
pub(super) mod health;
pub(super) mod init;
pub(super) mod internal_ui;
pub(super) mod key_ring;
pub(super) mod leader;
pub(super) mod leases_failed;
pub(super) mod leases_list;
pub(super) mod leases_lookup;
pub(super) mod leases_renew;
pub(super) mod leases_revoke;
pub(super) mod leases_revoke_force;
pub(super) mod leases_revoke_prefix;
pub(super) mod leases_tidy;
pub(super) mod locked_users;
pub(super) mod metrics;
pub(super) mod mounts;
pub(super) mod password_policies;
pub(super) mod policies;
pub(super) mod quotas;
pub(super) mod reconcile;
pub(super) mod rehearse;
pub(super) mod rekey;
pub(super) mod remount;
pub(super) mod resultant_acl;
pub(super) mod revocations;
pub(super) mod seal;
pub(super) mod seal_status;
pub(super) mod storage_backup;
pub(super) mod storage_restored;
pub(super) mod unseal;
pub(super) mod whois;
pub(super) mod wrapping;

use super::caller::Call;
use super::error::Refusal;
use super::fields::Fields;
use leasehold_core::broker::Until;
use leasehold_core::ids::InstallationId;

/// Returns the id that Vault's clients know a cluster by.
fn cluster_id(installation: InstallationId) -> String {
    uuid::Uuid::from_bytes(*installation.bytes()).to_string()
}

/// Returns the name that Vault's clients know a cluster by.
fn cluster_name(installation: InstallationId) -> String {
    let text = installation.to_string();
    format!("leasehold-cluster-{}", text.get(18..).unwrap_or_default())
}

/// Reads which lease a request is about, from the path or the body.
fn lease_id(call: &Call, fields: &Fields<'_>) -> Result<String, Refusal> {
    let written = fields.text("lease_id")?.filter(|id| !id.is_empty());
    let named = (!call.name.is_empty()).then(|| call.name.clone());
    match (named, written) {
        // One request about two leases would be allowed by the one and done to the other.
        (Some(named), Some(written)) if named != written => {
            Err(Refusal::bad("the path and `lease_id` name different leases"))
        }
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => Err(Refusal::bad("lease_id must be specified")),
    }
}

/// Reads which target or role the path names: everything before its last part is the mount.
fn beneath<'a>(call: &'a Call, what: &str) -> Result<(&'a str, &'a str), Refusal> {
    let name = call.name.trim_end_matches('/');
    let at = name.rfind('/').map(|slash| slash.saturating_add(1));
    let named = at.and_then(|at| name.split_at_checked(at));
    named.ok_or_else(|| Refusal::bad(format!("name mount and {what}, as in `database/shop`")))
}

/// Reads whether the caller waits for the target.
fn until(fields: &Fields<'_>) -> Result<Until, Refusal> {
    Ok(if fields.flag("sync")?.unwrap_or(true) { Until::Settled } else { Until::Marked })
}
