//! Reads what a listener is told about those who come in.

use super::fields::Fields;
use super::tree::{Entry, Held};
use crate::forwarded::Forwarded;
use crate::response_headers::{self, Answers, ResponseHeaders};
use actix_web::http::header::{HeaderName, HeaderValue};
use leasehold_core::address::Network;
use serde_json::Value;

const AUTHORIZED: &str = "x_forwarded_for_authorized_addrs";
const HOP_SKIPS: &str = "x_forwarded_for_hop_skips";
const NOT_AUTHORIZED: &str = "x_forwarded_for_reject_not_authorized";
const NOT_PRESENT: &str = "x_forwarded_for_reject_not_present";
const HEADERS: &str = "custom_response_headers";
const HEADERS_EXAMPLE: &str = "{ \"default\" = { \"X-Name\" = [\"value\"] } }";
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

/// Reads what answers carry besides what they say.
pub(super) fn read_headers(fields: &mut Fields<'_>, tls: bool) -> ResponseHeaders {
    let mut headers = ResponseHeaders::usual(tls);
    let Some(mut sets) = fields.nested(HEADERS, HEADERS_EXAMPLE) else { return headers };
    for set in sets.take_all() {
        let Some(answers) = Answers::parse(&set.name) else {
            let message = "must be `default`, a class like `4xx`, or a status like `404`";
            sets.wrong(set.line, &set.name, message, HEADERS_EXAMPLE);
            continue;
        };
        let Held::Fields(entries) = set.held else {
            let example = "{ \"X-Name\" = [\"value\"] }";
            sets.wrong(set.line, &set.name, "must hold headers with their values", example);
            continue;
        };
        for entry in entries {
            match read_header(&entry) {
                Ok((name, values)) => headers.set(answers, name, values),
                Err(message) => sets.wrong(entry.line, &entry.name, &message, "[\"value\"]"),
            }
        }
    }
    headers
}

fn read_header(entry: &Entry) -> Result<(HeaderName, Vec<HeaderValue>), String> {
    let name = response_headers::name(&entry.name)?;
    let must_be = || "must be a text or a list of texts".to_owned();
    let Held::Plain(values) = &entry.held else { return Err(must_be()) };
    let values = values.as_array().map_or_else(|| std::slice::from_ref(values), Vec::as_slice);
    let read = |value: &Value| response_headers::value(value.as_str().ok_or_else(must_be)?);
    Ok((name, values.iter().map(read).collect::<Result<_, _>>()?))
}
