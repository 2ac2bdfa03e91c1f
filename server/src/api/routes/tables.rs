//! The route tables: which paths there are, and what they answer to.

use super::{OpenRoute, Operation, Route, Tail, at, open_at};
use crate::api::sys;
use leasehold_core::seal::splits::Purpose::{Recovery, Unseal};
use leasehold_core::store::quotas::QuotaKind;
use std::future::ready;

/// For what needs `sudo`, whatever is asked of it.
pub(super) const ALL: &[Operation] =
    &[Operation::Read, Operation::List, Operation::Update, Operation::Delete];

/// **Invariant:** what is in this list, and nothing else, is answered without a token; [`METRICS`] only where a
/// listener is told so.
pub(super) const OPEN: [OpenRoute; 14] = [
    open_at("sys/health").read(|open| Box::pin(ready(sys::health::read(open)))),
    open_at("sys/seal-status").read(|open| Box::pin(sys::seal_status::read(open))),
    open_at("sys/unseal").update(|open| Box::pin(sys::unseal::update(open))),
    open_at("sys/leader").read(|open| Box::pin(ready(Ok(sys::leader::read(open))))),
    open_at("sys/init")
        .read(|open| Box::pin(ready(Ok(sys::init::read(open)))))
        .update(|open| Box::pin(sys::init::update(open))),
    // What these do needs a token that may, or key shares: `core/src/broker/holders.rs`.
    open_at("sys/generate-root/attempt")
        .read(|open| Box::pin(sys::generate_root::read(open)))
        .update(|open| Box::pin(sys::generate_root::begin(open)))
        .delete(|open| Box::pin(sys::generate_root::cancel(open))),
    open_at("sys/generate-root/update").update(|open| Box::pin(sys::generate_root::update(open))),
    open_at("sys/rekey/init")
        .read(|open| Box::pin(sys::rekey::read(open, Unseal)))
        .update(|open| Box::pin(sys::rekey::begin(open, Unseal)))
        .delete(|open| Box::pin(sys::rekey::cancel(open, Unseal))),
    open_at("sys/rekey/update").update(|open| Box::pin(sys::rekey::update(open, Unseal))),
    open_at("sys/rekey/verify")
        .read(|open| Box::pin(sys::rekey::read(open, Unseal)))
        .update(|open| Box::pin(sys::rekey::verify(open, Unseal)))
        .delete(|open| Box::pin(sys::rekey::cancel(open, Unseal))),
    open_at("sys/rekey-recovery-key/init")
        .read(|open| Box::pin(sys::rekey::read(open, Recovery)))
        .update(|open| Box::pin(sys::rekey::begin(open, Recovery)))
        .delete(|open| Box::pin(sys::rekey::cancel(open, Recovery))),
    open_at("sys/rekey-recovery-key/update")
        .update(|open| Box::pin(sys::rekey::update(open, Recovery))),
    open_at("sys/rekey-recovery-key/verify")
        .read(|open| Box::pin(sys::rekey::read(open, Recovery)))
        .update(|open| Box::pin(sys::rekey::verify(open, Recovery)))
        .delete(|open| Box::pin(sys::rekey::cancel(open, Recovery))),
    OpenRoute {
        only_without_token: true,
        ..open_at("sys/internal/ui/mounts")
            .read(|open| Box::pin(ready(Ok(sys::internal_ui::list_without_token(open)))))
    },
];

/// Answered without a token only by a listener with `unauthenticated_metrics_access`.
pub(super) const METRICS: OpenRoute =
    open_at("sys/metrics").read(|open| Box::pin(ready(Ok(sys::metrics::read_without_token(open)))));

pub(super) const SYS: [Route; 70] = [
    at(
        "sys/mounts",
        Tail::End,
        "Lists the mounts.",
    )
    .read(|call| Box::pin(sys::mounts::list(call))),
    at(
        "sys/mounts/",
        Tail::Before("/tune"),
        "Reads or changes how a mount is described and how long its leases live.",
    )
    .sudo(&[Operation::Update])
    .read(|call| Box::pin(sys::mounts::read_tune(call)))
    .update(|call| Box::pin(sys::mounts::tune(call))),
    at(
        "sys/mounts/",
        Tail::Rest,
        "Enables, shows or disables a mount.",
    )
    .read(|call| Box::pin(sys::mounts::read(call)))
    .update(|call| Box::pin(sys::mounts::enable(call)))
    .delete(|call| Box::pin(sys::mounts::disable(call))),
    at(
        "sys/audit",
        Tail::End,
        "Lists the audit devices, with the keys that check their records.",
    )
    .sudo(ALL)
    .read(|call| Box::pin(sys::audit::list(call))),
    at(
        "sys/audit/",
        Tail::Rest,
        "Audit devices are declared in the configuration; this path says so.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::audit::enable(call)))
    .delete(|call| Box::pin(sys::audit::disable(call))),
    at(
        "sys/audit-hash/",
        Tail::Rest,
        "Tells the keyed hash by which the record of an audit device shows the text in `input`.",
    )
    .update(|call| Box::pin(sys::audit::hash(call))),
    at(
        "sys/audit-keys/",
        Tail::Rest,
        "Draws other keys for an audit device; they take over when the store is opened next.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::audit::renew_keys(call))),
    at(
        "sys/auth",
        Tail::End,
        "Lists the auth methods.",
    )
    .read(|call| Box::pin(sys::auth::list(call))),
    at(
        "sys/auth/",
        Tail::Before("/tune"),
        "Reads or changes how an auth method is described, how long its tokens live, and when it locks names.",
    )
    .sudo(ALL)
    .read(|call| Box::pin(sys::auth::read_tune(call)))
    .update(|call| Box::pin(sys::auth::tune(call))),
    at(
        "sys/auth/",
        Tail::Rest,
        "Enables, shows or disables an auth method.",
    )
    .sudo(ALL)
    .read(|call| Box::pin(sys::auth::read(call)))
    .update(|call| Box::pin(sys::auth::enable(call)))
    .delete(|call| Box::pin(sys::auth::disable(call))),
    at(
        "sys/locked-users",
        Tail::End,
        "Lists the names that failed logins have locked.",
    )
    .read(|call| Box::pin(sys::locked_users::read(call))),
    at(
        "sys/locked-users/",
        Tail::Rest,
        "Lets a name in again that failed logins have locked: `<accessor>/unlock/<name>`.",
    )
    .names_locked()
    .update(|call| Box::pin(sys::locked_users::unlock(call))),
    at(
        "sys/clock",
        Tail::End,
        "Shows the time that leases are kept by, and how far the clocks of the system and the targets are off.",
    )
    .read(|call| Box::pin(sys::clock::read(call))),
    at(
        "sys/clock/accept",
        Tail::End,
        "Takes the system's clock for right: the time becomes what it says, or stays ahead of it, but never goes back.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::clock::accept(call))),
    at(
        "sys/seal",
        Tail::End,
        "Closes the store: nobody is served until it is unsealed.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::seal::update(call))),
    at(
        "sys/key-status",
        Tail::End,
        "Shows the key that seals what is stored: which one it is, since when, and how much it has sealed at most.",
    )
    .read(|call| Box::pin(sys::key_ring::read_status(call))),
    at(
        "sys/rotate",
        Tail::End,
        "Adds a key to the key ring, which seals from now on.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::key_ring::rotate(call))),
    at(
        "sys/rotate/config",
        Tail::End,
        "Shows or says when a new key is added by itself.",
    )
    .sudo(ALL)
    .read(|call| Box::pin(sys::key_ring::read_rotation(call)))
    .update(|call| Box::pin(sys::key_ring::set_rotation(call))),
    at(
        "sys/leases",
        Tail::End,
        "Lists leases whose credentials could not be removed yet; `type` must be `irrevocable`.",
    )
    .sudo(ALL)
    .read(|call| Box::pin(sys::leases_failed::list(call))),
    at(
        "sys/leases/count",
        Tail::End,
        "Counts leases whose credentials could not be removed yet; `type` must be `irrevocable`.",
    )
    .read(|call| Box::pin(sys::leases_failed::count(call))),
    at(
        "sys/leases/tidy",
        Tail::End,
        "Looks at once at what is looked at by itself now and then.",
    )
    .update(|call| Box::pin(sys::leases_tidy::update(call))),
    at(
        "sys/leases/lookup",
        Tail::End,
        "Shows the lease in `lease_id`, or lists what is under a prefix.",
    )
    .sudo(&[Operation::List])
    .update(|call| Box::pin(sys::leases_lookup::update(call)))
    .list(|call| Box::pin(sys::leases_list::list(call))),
    at(
        "sys/leases/lookup/",
        Tail::Rest,
        "Shows a lease, or lists what is under a prefix.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::leases_lookup::update(call)))
    .list(|call| Box::pin(sys::leases_list::list(call))),
    at(
        "sys/leases/renew",
        Tail::End,
        "Starts the term of the lease in `lease_id` again, by `increment` if that is given.",
    )
    .update(|call| Box::pin(sys::leases_renew::update(call))),
    at(
        "sys/leases/renew/",
        Tail::Rest,
        "Starts the term of a lease again, by `increment` if that is given.",
    )
    .update(|call| Box::pin(sys::leases_renew::update(call))),
    at(
        "sys/leases/revoke",
        Tail::End,
        "Revokes the lease in `lease_id`.",
    )
    .update(|call| Box::pin(sys::leases_revoke::update(call))),
    at(
        "sys/leases/revoke/",
        Tail::Rest,
        "Revokes a lease.",
    )
    .update(|call| Box::pin(sys::leases_revoke::update(call))),
    at(
        "sys/leases/revoke-prefix/",
        Tail::Rest,
        "Revokes all leases under a prefix.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::leases_revoke_prefix::update(call))),
    at(
        "sys/leases/revoke-force/",
        Tail::Rest,
        "Revokes all leases under a prefix, without error if a target fails; what failed is tried again.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::leases_revoke_force::update(call))),
    at(
        "sys/metrics",
        Tail::End,
        "Shows what the server counts; `format=prometheus` for Prometheus.",
    )
    .read(|call| Box::pin(sys::metrics::read(call))),
    at(
        "sys/quotas/config",
        Tail::End,
        "Shows or changes what holds for all quotas.",
    )
    .read(|call| Box::pin(sys::quotas::read_config(call)))
    .update(|call| Box::pin(sys::quotas::write_config(call))),
    at(
        "sys/quotas/lease-count",
        Tail::End,
        "Lists the quotas on how many leases there may be.",
    )
    .list(|call| Box::pin(sys::quotas::list(call, QuotaKind::LeaseCount))),
    at(
        "sys/quotas/lease-count/",
        Tail::Name,
        "Writes, shows or deletes a quota on how many leases there may be.",
    )
    .read(|call| Box::pin(sys::quotas::read(call, QuotaKind::LeaseCount)))
    .update(|call| Box::pin(sys::quotas::write_lease_count(call)))
    .delete(|call| Box::pin(sys::quotas::delete(call, QuotaKind::LeaseCount))),
    at(
        "sys/quotas/rate-limit",
        Tail::End,
        "Lists the rate limits.",
    )
    .list(|call| Box::pin(sys::quotas::list(call, QuotaKind::RateLimit))),
    at(
        "sys/quotas/rate-limit/",
        Tail::Name,
        "Writes, shows or deletes a rate limit: how often one sender may ask.",
    )
    .read(|call| Box::pin(sys::quotas::read(call, QuotaKind::RateLimit)))
    .update(|call| Box::pin(sys::quotas::write_rate_limit(call)))
    .delete(|call| Box::pin(sys::quotas::delete(call, QuotaKind::RateLimit))),
    at(
        "sys/renew",
        Tail::End,
        "Starts the term of the lease in `lease_id` again, by `increment` if that is given. An old path of the same under `sys/leases/`.",
    )
    .update(|call| Box::pin(sys::leases_renew::update(call))),
    at(
        "sys/renew/",
        Tail::Rest,
        "Starts the term of a lease again, by `increment` if that is given. An old path of the same under `sys/leases/`.",
    )
    .update(|call| Box::pin(sys::leases_renew::update(call))),
    at(
        "sys/revoke",
        Tail::End,
        "Revokes the lease in `lease_id`. An old path of the same under `sys/leases/`.",
    )
    .update(|call| Box::pin(sys::leases_revoke::update(call))),
    at(
        "sys/revoke/",
        Tail::Rest,
        "Revokes a lease. An old path of the same under `sys/leases/`.",
    )
    .update(|call| Box::pin(sys::leases_revoke::update(call))),
    at(
        "sys/revoke-prefix/",
        Tail::Rest,
        "Revokes all leases under a prefix. An old path of the same under `sys/leases/`.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::leases_revoke_prefix::update(call))),
    at(
        "sys/revoke-force/",
        Tail::Rest,
        "Revokes all leases under a prefix, without error if a target fails; what failed is tried again. An old path of the same under `sys/leases/`.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::leases_revoke_force::update(call))),
    at(
        "sys/storage/backup",
        Tail::End,
        "Sends a backup of the store as it is now.",
    )
    .sudo(ALL)
    .read(|call| Box::pin(sys::storage_backup::read(call))),
    at(
        "sys/storage/restore-status",
        Tail::End,
        "Lists the targets at which a restore has left something to do.",
    )
    .read(|call| Box::pin(sys::storage_restored::read(call))),
    at(
        "sys/storage/take-over/",
        Tail::Rest,
        "Lets a copy use a target of the installation that it was copied from.",
    )
    .sudo(ALL)
    .update(|call| Box::pin(sys::storage_restored::take_over(call))),
    at(
        "sys/reconcile",
        Tail::End,
        "Lists the targets that were compared with the leases, and how far they agreed.",
    )
    .sudo(ALL)
    .read(|call| Box::pin(sys::reconcile::list(call)))
    .list(|call| Box::pin(sys::reconcile::list(call))),
    at(
        "sys/reconcile/",
        Tail::Rest,
        "Shows the last comparison of a target with the leases; a write compares it, or repairs what the `plan` of a comparison showed.",
    )
    .sudo(ALL)
    .read(|call| Box::pin(sys::reconcile::read(call)))
    .update(|call| Box::pin(sys::reconcile::update(call))),
    at(
        "sys/rehearse/",
        Tail::Rest,
        "Shows how the last rehearsal of a role went; a write issues a credential by it, logs in, revokes it, and sees that it is dead.",
    )
    .sudo(ALL)
    .read(|call| Box::pin(sys::rehearse::read(call)))
    .update(|call| Box::pin(sys::rehearse::update(call))),
    at("sys/policies/acl", Tail::End, "Lists the policies.")
        .list(|call| Box::pin(sys::policies::list(call))),
    at("sys/policies/acl/", Tail::Rest, "Writes, shows or deletes a policy.")
        .names_policy()
        .read(|call| Box::pin(sys::policies::read(call)))
        .update(|call| Box::pin(sys::policies::write(call)))
        .delete(|call| Box::pin(sys::policies::delete(call))),
    at("sys/policy", Tail::End, "Lists the policies. An old path of `sys/policies/acl`.")
        .read(|call| Box::pin(sys::policies::list_old(call)))
        .list(|call| Box::pin(sys::policies::list_old(call))),
    at(
        "sys/policy/",
        Tail::Rest,
        "Writes, shows or deletes a policy. An old path of the same under `sys/policies/acl/`.",
    )
    .names_policy()
    .read(|call| Box::pin(sys::policies::read_old(call)))
    .update(|call| Box::pin(sys::policies::write(call)))
    .delete(|call| Box::pin(sys::policies::delete(call))),
    at(
        "sys/capabilities",
        Tail::End,
        "Tells what the policies of the token in `token` grant at the `paths`.",
    )
    .update(|call| Box::pin(sys::capabilities::by_its_text(call))),
    at(
        "sys/capabilities-accessor",
        Tail::End,
        "Tells what the policies of the token with the accessor in `accessor` grant at the `paths`.",
    )
    .update(|call| Box::pin(sys::capabilities::by_its_accessor(call))),
    at(
        "sys/capabilities-self",
        Tail::End,
        "Tells what the policies of the caller's own token grant at the `paths`.",
    )
    .own()
    .update(|call| Box::pin(sys::capabilities::own(call))),
    at(
        "sys/internal/ui/resultant-acl",
        Tail::End,
        "Tells all that the policies of the caller's own token grant.",
    )
    .own()
    .read(|call| Box::pin(sys::resultant_acl::read(call))),
    at(
        "sys/whois",
        Tail::End,
        "Tells whose the user name, the lease or the accessor of a token in `name` is.",
    )
    .update(|call| Box::pin(sys::whois::update(call))),
    at(
        "sys/internal/ui/mounts",
        Tail::End,
        "Lists the mounts that the caller may use.",
    ).own()
    .read(|call| Box::pin(sys::internal_ui::list(call))),
    at(
        "sys/internal/ui/mounts/",
        Tail::Rest,
        "Shows the mount that a path goes to.",
    ).own()
    .read(|call| Box::pin(sys::internal_ui::read(call))),
    at("sys/wrapping/wrap", Tail::End, "Answers what it is sent, for `X-Vault-Wrap-TTL` to wrap it.")
        .update(|call| Box::pin(sys::wrapping::wrap(call))),
    at("sys/wrapping/unwrap", Tail::End, "Takes out what the token in `token`, or the one it comes with, wraps.")
        .update(|call| Box::pin(sys::wrapping::unwrap(call))),
    at("sys/wrapping/rewrap", Tail::End, "Puts what a wrapping token wraps into a new one.")
        .update(|call| Box::pin(sys::wrapping::rewrap(call))),
    at("sys/wrapping/lookup", Tail::End, "Shows when, by what and for how long a wrapping token was made.")
        .read(|call| Box::pin(sys::wrapping::lookup(call)))
        .update(|call| Box::pin(sys::wrapping::lookup(call))),
    at("sys/remount", Tail::End, "Moves the mount at `from` to the path `to`, with all that is under it.")
        .sudo(ALL)
        .update(|call| Box::pin(sys::remount::update(call))),
    at("sys/remount/status/", Tail::Rest, "Tells of the move of a mount.")
        .sudo(ALL)
        .read(|call| Box::pin(sys::remount::status(call))),
    at("sys/config/auditing/request-headers", Tail::End, "Lists the headers of requests that are recorded.")
        .sudo(ALL)
        .read(|call| Box::pin(sys::audited_headers::list(call))),
    at("sys/config/auditing/request-headers/", Tail::Rest, "Has a header of requests recorded, in the clear or as a keyed hash.")
        .names_header()
        .sudo(ALL)
        .read(|call| Box::pin(sys::audited_headers::read(call)))
        .update(|call| Box::pin(sys::audited_headers::write(call)))
        .delete(|call| Box::pin(sys::audited_headers::delete(call))),
    at("sys/policies/password", Tail::End, "Lists the password policies.")
        .list(|call| Box::pin(sys::password_policies::list(call))),
    at("sys/policies/password/", Tail::NameBefore("/generate"), "Draws a password by a policy, to try it.")
        .read(|call| Box::pin(sys::password_policies::generate(call))),
    at("sys/policies/password/", Tail::Name, "Writes, shows or deletes a password policy.")
        .read(|call| Box::pin(sys::password_policies::read(call)))
        .update(|call| Box::pin(sys::password_policies::write(call)))
        .delete(|call| Box::pin(sys::password_policies::delete(call))),
    at("sys/abandon/", Tail::Rest, "Shows what is left of a target that is configured no longer; a write says that it is gone for ever.")
        .sudo(ALL)
        .read(|call| Box::pin(sys::abandon::read(call)))
        .update(|call| Box::pin(sys::abandon::update(call))),
];
