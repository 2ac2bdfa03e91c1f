//! What a target tells of what credentials are in use for, which an operator is shown before they are revoked.

use super::{PATIENCE, Site, asked, cause, issued, now, revocation};
use leasehold_core::engine::in_use::InUse;
use leasehold_core::engine::{Cause, Engine as _, EngineError, Issue};
use std::sync::Arc;
use std::time::Duration;

/// Asks what credentials are in use for.
pub async fn looked_at<S: Site>(
    site: &S,
    issues: &[&Issue<S::Engine>],
) -> Vec<Result<InUse, EngineError>> {
    let asked: Vec<_> = issues.iter().map(|issue| (issue.lease, issue.handle.clone())).collect();
    site.engine().in_use(&asked, now().plus(PATIENCE)).await
}

/// Returns whether each is there, and how many sessions it has.
async fn told<S: Site>(site: &S, issues: &[&Issue<S::Engine>]) -> Vec<(Option<bool>, Option<u64>)> {
    let seen = looked_at(site, issues).await.into_iter();
    seen.map(|one| one.expect("it is told")).map(|one| (one.is_there, one.sessions)).collect()
}

/// Open sessions are counted until they are closed, what never was is not there, and what is not the lease's is not told.
pub async fn what_is_in_use_is_told<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let count = |count: u64| S::HAS_SESSIONS.then_some(count);
    let mut two = issued(site, 2).await;
    let ((used, login), (idle, _)) = two.pop().zip(two.pop()).expect("two were issued");
    let never = asked(site, 1).pop().expect("one was prepared");
    let session = site.log_in(&login).await.expect("it logs in");
    let all = [&used, &never, &idle];
    let there = |sessions| (Some(true), count(sessions));
    let seen = told(site, &all).await;
    assert_eq!((seen[0], seen[2]), (there(1), there(0)));
    assert_eq!(seen[1].0, Some(false), "what never was is not there");
    drop(session);
    let closed_by = now().plus(PATIENCE);
    while told(site, &[&used]).await != [there(0)] {
        assert!(now() < closed_by, "a session that was closed is counted for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let crossed = [(idle.lease, used.handle.clone()), (idle.lease, idle.handle.clone())];
    let answers = site.engine().in_use(&crossed, now().plus(PATIENCE)).await;
    assert_eq!(cause(&answers[0]), Some(Cause::NeedsOperator), "{answers:?}");
    assert!(answers[1].is_ok(), "{answers:?}");

    assert_eq!(
        site.engine().revoke(&[revocation(&used), revocation(&idle)]).await,
        [Ok(()), Ok(())]
    );
    let seen = told(site, &all).await;
    assert!(seen.iter().all(|one| one.0 == Some(false)), "what is revoked is not there: {seen:?}");
}
