//! What a target tells of what is there, from which reconcile finds what should not be, what is missing, and what is
//! not as it was.

use super::{Opening, Site, cause, issued, origin, revocation};
use leasehold_core::engine::{Cause, Engine as _};
use leasehold_core::ids::LeaseId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is told of one credential.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    name: String,
    may_log_in: bool,
    everywhere: bool,
    rights: Vec<String>,
}

async fn seen<S: Site>(site: &S) -> BTreeMap<LeaseId, Seen> {
    let listed = site.engine().list().await.expect("the target lists what is ours");
    let each = listed.into_iter().map(|marked| {
        let (name, may_log_in) = (site.name(&marked.handle), marked.may_log_in);
        let (everywhere, rights) = (marked.everywhere, marked.rights);
        (marked.lease, Seen { name, may_log_in, everywhere, rights })
    });
    each.collect()
}

/// Ours is listed, by its lease and as it is; what others made is not, and what others did to ours shows.
pub async fn what_is_there_is_listed_as_it_is<S: Site>(site: &Arc<S>) {
    let site = &**site;
    site.plant("STRANGER").await;
    let issued = issued(site, 3).await;
    let before = seen(site).await;
    assert_eq!(before.len(), 3, "{before:?}");
    for (issue, _) in &issued {
        let one = &before[&issue.lease];
        assert_eq!(one.name, site.name(&issue.handle));
        assert!(one.may_log_in && one.everywhere, "{one:?}");
        assert_eq!(one.rights, before[&issued[0].0.lease].rights, "made alike, they tell the same");
    }
    let (first, second, third) = (&issued[0].0, &issued[1].0, &issued[2].0);
    site.lock_out(&site.name(&second.handle)).await;
    assert_eq!(site.engine().revoke(&[revocation(third)]).await, [Ok(())]);
    let after = seen(site).await;
    assert_eq!(after.get(&first.lease), before.get(&first.lease));
    // Told as one that may not log in, or told no more, it is a difference to what its lease says.
    assert_ne!(after.get(&second.lease), before.get(&second.lease), "what was altered shows");
    assert_eq!(after.get(&third.lease), None);
    let answers = site.engine().revoke(&[revocation(second), revocation(first)]).await;
    assert_eq!(answers, [Ok(()), Ok(())], "what others have altered is revoked all the same");
    assert_eq!(seen(site).await, BTreeMap::new());
    let left = site.credentials().await;
    assert!(left.contains("STRANGER") && !left.contains(&site.name(&second.handle)), "{left:?}");
}

/// What an engine is opened with is for one target; another's credentials are neither listed nor removed.
pub async fn only_our_own_is_listed<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let other = site.opened_again(&Opening { origin: origin(), ..Opening::of(site) });
    let (issue, _) = issued(site, 1).await.pop().expect("one was issued");
    assert!(other.list().await.expect("the other lists").is_empty());
    let answer = other.revoke(&[revocation(&issue)]).await;
    assert_eq!(
        cause(&answer[0]),
        Some(Cause::NeedsOperator),
        "another installation's mark is respected"
    );
    assert!(site.credentials().await.contains(&site.name(&issue.handle)));
}
