//! Reads what a listener is told about those who come in.

use super::fields::Fields;
use crate::forwarded::Forwarded;
use leasehold_core::address::Network;

const AUTHORIZED: &str = "x_forwarded_for_authorized_addrs";
const HOP_SKIPS: &str = "x_forwarded_for_hop_skips";
const NOT_AUTHORIZED: &str = "x_forwarded_for_reject_not_authorized";
const NOT_PRESENT: &str = "x_forwarded_for_reject_not_present";
/// The most hops that can be skipped: nobody has as many proxies in a row.
const HOP_SKIPS_MAX: usize = 32;

/// Reads which proxies are believed; none if none are named.
pub(super) fn read_forwarded(fields: &mut Fields<'_>) -> Option<Forwarded> {
    let others = [HOP_SKIPS, NOT_AUTHORIZED, NOT_PRESENT];
    let without = others.into_iter().find(|name| fields.has(name) && !fields.has(AUTHORIZED));
    if let Some(without) = without {
        let message = format!("is needed by `{without}`");
        fields.wrong_here(AUTHORIZED, &message, "[\"10.0.0.0/8\"]");
    }
    let authorized = fields.list::<Network>(AUTHORIZED, "[\"10.0.0.0/8\"]");
    let hop_skips = fields.number(HOP_SKIPS, HOP_SKIPS_MAX);
    let reject_not_authorized = fields.flag(NOT_AUTHORIZED).is_some_and(|flag| flag.value);
    let reject_not_present = fields.flag(NOT_PRESENT).is_some_and(|flag| flag.value);
    Some(Forwarded {
        authorized: authorized?.value,
        hop_skips: hop_skips.map_or(0, |skips| skips.value),
        reject_not_authorized,
        reject_not_present,
    })
}
