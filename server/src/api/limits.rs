//! Counts requests under the rate limits, before anything is read or done of them, and tells callers what is left.

use super::error::Refusal;
use super::{Met, caller, routes};
use crate::wiring::Node;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponseBuilder};
use leasehold_core::address::ClientAddress;
use leasehold_core::audit::{Asked, Operation};
use leasehold_core::broker::Request;
use leasehold_core::store::quotas::QuotaKind;
use std::time::Duration;

/// Whoever is told to come again without a time for it waits so long: until others are done, or a lease has ended.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);
/// The same for what there is too much of.
const RETRY_TOO_MANY: Duration = Duration::from_secs(5);

/// Refuses a request of a sender who asks too often. Neither its body is read nor a use of its token spent.
pub(super) async fn check(
    request: &HttpRequest,
    node: &Node,
    path: &str,
    (id, from): (&str, ClientAddress),
    operation: Operation,
    met: &mut Met,
) -> Result<(), Refusal> {
    let Node::Unsealed(broker) = node else { return Ok(()) };
    if !broker.catalog().quotas().has(QuotaKind::RateLimit) {
        return Ok(());
    }
    let path = routes::meant(broker, path);
    let refused = match broker.within_rate(&path, from) {
        Ok(allowance) => {
            met.allowance = allowance;
            return Ok(());
        }
        Err(refused) => refused,
    };
    met.refused_for = Some(refused.retry_after);
    met.allowance = refused.allowance;
    let (id, from) = (id.to_owned(), Some(from));
    let asked = Asked { id, operation, path, from, ..Asked::default() };
    let request = Request { asked, token: caller::token(request), ..Request::default() };
    broker.record_too_often(&request, &refused).await?;
    Err((&refused).into())
}

/// Puts into an answer when to come again, and how often that may be.
pub(super) fn tell(met: &Met, status: StatusCode, response: &mut HttpResponseBuilder) {
    let retry_after = match status {
        StatusCode::TOO_MANY_REQUESTS => Some(met.refused_for.unwrap_or(RETRY_TOO_MANY)),
        StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_UNAVAILABLE),
        _ => None,
    };
    if let Some(retry_after) = retry_after {
        response.insert_header((header::RETRY_AFTER, whole_seconds(retry_after)));
    }
    if let Some(allowance) = met.allowance {
        response.insert_header(("X-Ratelimit-Limit", allowance.limit));
        response.insert_header(("X-Ratelimit-Remaining", allowance.remaining));
        response.insert_header(("X-Ratelimit-Reset", whole_seconds(allowance.reset)));
    }
}

/// Rounds up, so that nobody comes too early.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0)).max(1)
}
