//! How long what is issued may live.

use super::{IssueError, Plan, Purpose};
use crate::access::token::Token;
use crate::broker::Broker;
use crate::broker::authenticate::AdmitError;
use crate::engine::PrepareError;
use crate::engine::erased::{Fields, Recipe};
use crate::engine::own_end::OwnEnd;
use crate::lease::term::Term;
use crate::limits::ISSUE_WITHIN;
use crate::store::mounts::Role;
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// What a lease would have lived for, and what it was capped to.
pub(super) type Capped = (Duration, Duration);

impl Broker {
    /// Returns how long a lease lives, and what it was capped to, if it was.
    pub(super) fn term_for(
        &self,
        plan: &Plan,
        token: &Token,
        (purpose, own_end): (Purpose, Option<OwnEnd>),
        now: Timestamp,
    ) -> Result<(Term, Option<Capped>), IssueError> {
        let role = &plan.role.record;
        if let Some(own_end) = own_end {
            let after = purpose.ttl(own_end.after).max(own_end.after_min);
            let ttl_max = plan.entry.ttl_max(&self.limits);
            return own_term(OwnEnd { after, ..own_end }, ttl_max, (token, role), now);
        }
        let (ttl, ttl_max) = plan.entry.ttls(role, &self.limits);
        let ttl = purpose.ttl(ttl);
        let ttl_max = bounded_by_token(ttl_max, (token, role), now)?;
        let capped = (ttl > ttl_max).then_some((ttl, ttl_max));
        Ok((Term::starting(ttl, now.plus(ttl_max), now), capped))
    }
}

/// Returns the recipe for what a caller chose of one, and when what is made by it ends by itself, if it does.
pub(super) fn chosen(
    recipe: Arc<dyn Recipe>,
    said: &Fields,
) -> Result<(Arc<dyn Recipe>, Option<OwnEnd>), PrepareError> {
    Ok(match recipe.choose(said)? {
        None => (recipe, None),
        Some((chosen, own_end)) => (chosen, Some(own_end)),
    })
}

/// Returns how long a lease may live. What the token does not take with it ends before it does (law 4), unless the
/// role says that its leases do not end with tokens.
fn bounded_by_token(
    ttl_max: Duration,
    (token, role): (&Token, &Role),
    now: Timestamp,
) -> Result<Duration, AdmitError> {
    let Some(end) = token.bounds_leases().filter(|_| !role.orphan_leases) else {
        return Ok(ttl_max);
    };
    // Less than a second would be told as a `lease_duration` of 0, which clients read as "never ends".
    let left = Some(end.since(now)).filter(|left| *left >= Duration::from_secs(1));
    Ok(ttl_max.min(left.ok_or(AdmitError::BadToken)?))
}

/// Returns the term of a credential that ends by itself: it has ended when the term does, however late it is made. One
/// that nothing ends before ends before the token does that it is lent to (law 4).
fn own_term(
    own_end: OwnEnd,
    ttl_max: Duration,
    (token, role): (&Token, &Role),
    now: Timestamp,
) -> Result<(Term, Option<Capped>), IssueError> {
    let token_end =
        if own_end.can_be_ended { token.bounds_leases() } else { token.term.map(Term::lapses_at) };
    let left =
        token_end.filter(|_| !role.orphan_leases).map(|end| end.since(now.plus(ISSUE_WITHIN)));
    let ttl_max = left.map_or(ttl_max, |left| ttl_max.min(Duration::from_secs(left.as_secs())));
    let OwnEnd { after, after_min, .. } = own_end;
    if ttl_max < after_min {
        let message = format!(
            "its target makes no credential that lives for less than {} s, and this one could live for {} s at most, by \
             the mount's maximum and by the token it is lent to; raise the maximum, or ask with a token that lives longer",
            after_min.as_secs(),
            ttl_max.as_secs()
        );
        return Err(PrepareError::Role(message).into());
    }
    let term = Term::until(now.plus(after.min(ttl_max)).plus(ISSUE_WITHIN));
    Ok((term, (after > ttl_max).then_some((after, ttl_max))))
}
