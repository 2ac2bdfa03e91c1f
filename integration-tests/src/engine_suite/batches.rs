//! What the members of a batch owe each other, and what others' credentials are owed.

use super::{Login, Site, TERM, asked, cause, issued, lease, now, renewal, revocation};
use leasehold_core::engine::{Cause, Engine as _, EngineError, Renewal, Renewed};
use std::sync::Arc;
use std::time::Duration;

/// One whose time is up is answered so at once; those that share its batch have their own time.
pub async fn an_expired_member_leaves_its_batch_alone<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let past = now().minus(Duration::from_secs(1));
    let mut issues = asked(site, 3);
    issues[1].issue_by = past;
    let answers = site.engine().issue(&issues).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(EngineError::Refused(_))), "{answers:?}");
    assert_eq!(cause(&answers[1]), Some(Cause::TooLate), "{answers:?}");
    let logins = [&answers[0], &answers[2]].map(|answer| site.login(answer.as_ref().expect("Ok")));
    for (login, at) in logins.iter().zip([0, 2]) {
        let name = site.name_of(login).await;
        assert_eq!(name, site.name(&issues[at].handle), "each has its own answer");
    }
    assert!(!site.credentials().await.contains(&site.name(&issues[1].handle)));

    let end = now().plus(2 * TERM);
    let mut renewals: Vec<_> = issues.iter().map(|issue| renewal(issue, end)).collect();
    renewals[0].answer_by = past;
    let answers = site.engine().renew(&renewals).await;
    assert_eq!(cause(&answers[0]), Some(Cause::TooLate), "{answers:?}");
    assert_eq!(answers[1..], [Ok(Renewed::Gone), Ok(Renewed::Extended)]);

    let mut revocations: Vec<_> = issues.iter().map(revocation).collect();
    revocations[0].answer_by = past;
    let answers = site.engine().revoke(&revocations).await;
    assert_eq!(cause(&answers[0]), Some(Cause::TooLate), "{answers:?}");
    assert_eq!(answers[1..], [Ok(()), Ok(())]);
    assert!(site.log_in(&logins[0]).await.is_ok() && site.log_in(&logins[1]).await.is_err());
    assert_eq!(site.engine().revoke(&[revocation(&issues[0])]).await, [Ok(())]);
}

/// One revocation that cannot be done does not hold up the others; and nothing is removed whose name
/// does not bear the bits of the lease that is revoked.
pub async fn a_poisoned_revocation_harms_nobody_else<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let issued = issued(site, 5).await;
    let mut revocations: Vec<_> = issued.iter().map(|(issue, _)| revocation(issue)).collect();
    revocations[2].lease = lease();
    let answers = site.engine().revoke(&revocations).await;
    assert_eq!(cause(&answers[2]), Some(Cause::NeedsOperator), "{answers:?}");
    assert!(
        answers.iter().enumerate().all(|(at, answer)| at == 2 || answer.is_ok()),
        "{answers:?}"
    );
    let left = site.credentials().await;
    for (at, (issue, login)) in issued.iter().enumerate() {
        assert_eq!(left.contains(&site.name(&issue.handle)), at == 2, "{at}");
        assert_eq!(site.log_in(login).await.is_ok(), at == 2, "{at}");
    }
    let answers =
        site.engine().renew(&[Renewal { lease: lease(), ..renewal(&issued[2].0, now()) }]).await;
    assert_eq!(cause(&answers[0]), Some(Cause::NeedsOperator), "a renewal minds the bits as well");
}

/// A name that is taken is an error, never taken over. It refuses its whole batch, of which nothing is issued;
/// sent alone, as such a batch is, the others are.
pub async fn what_exists_is_never_taken_over<S: Site>(site: &Arc<S>) {
    let site = &**site;
    // What an engine sets up with its first credential is no part of this.
    issued(site, 1).await;
    let asked = asked(site, 3);
    let taken = site.name(&asked[1].handle);
    site.plant(&taken).await;
    if S::TOGETHER {
        let before = site.credentials().await;
        for answer in site.engine().issue(&asked).await {
            assert!(matches!(answer, Err(EngineError::Refused(_))), "{answer:?}");
        }
        assert_eq!(site.credentials().await, before);
    }
    let mut answers = Vec::new();
    for one in asked.chunks(if S::TOGETHER { 1 } else { 3 }) {
        answers.append(&mut site.engine().issue(one).await);
    }
    assert!(answers[0].is_ok() && answers[2].is_ok(), "the others are issued: {answers:?}");
    let refused = answers[1].as_ref().expect_err("the taken name is an error");
    assert!(
        matches!(refused, EngineError::Uncertain(_)),
        "it may be our own, so it is uncertain: {refused:?}"
    );
    assert!(site.credentials().await.contains(&taken), "what was there is still there");
    let login = site.login(answers[0].as_ref().expect("it was issued"));
    assert!(
        site.log_in(&Login { username: taken, ..login }).await.is_err(),
        "and its password is its own"
    );
}
