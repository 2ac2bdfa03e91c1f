//! The life of a credential: issued, used, renewed, revoked, gone; alone and among many.

use super::{
    PATIENCE, Site, TERM, asked, cause, issued, now, prepared_as, renewal, revocation, until,
};
use leasehold_core::engine::{Cause, Engine as _, EngineError, Renewed, Revocation};
use std::sync::Arc;
use std::time::Duration;

/// A credential is issued, works, is renewed, is listed, and is gone with its sessions once revoked.
pub async fn a_credential_lives_and_dies<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let mut issued = issued(site, 1).await;
    let (issue, login) = issued.pop().expect("one was issued");
    let mut session = site.log_in(&login).await.expect("the credential logs in");
    assert!(site.works(&mut session).await, "the credential may do what its role grants");

    let end = now().plus(2 * TERM);
    assert_eq!(site.engine().renew(&[renewal(&issue, end)]).await, [Ok(Renewed::Extended)]);
    let listed = site.engine().list().await.expect("the target lists what is ours");
    assert_eq!(listed.len(), 1, "only what is ours is listed: {listed:?}");
    assert_eq!(listed[0].lease, issue.lease);
    assert_eq!(site.name(&listed[0].handle), site.name(&issue.handle));
    if let Some(told) = listed[0].lapses_at {
        let difference = told.since(end).max(end.since(told));
        assert!(
            difference < Duration::from_secs(1),
            "the target knows the new end, to {difference:?}"
        );
    }

    assert_eq!(site.engine().revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!site.works(&mut session).await, "its open session has ended");
    assert!(site.log_in(&login).await.is_err(), "it logs in no more");
    assert!(
        site.engine().list().await.expect("the target lists").is_empty(),
        "nothing of ours is left"
    );
    assert_eq!(site.engine().renew(&[renewal(&issue, end)]).await, [Ok(Renewed::Gone)]);
}

/// Revoking what never was, or twice, is revoking.
pub async fn what_is_not_there_is_revoked<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let never = asked(site, 1);
    assert_eq!(site.engine().revoke(&[revocation(&never[0])]).await, [Ok(())]);
    let (issue, _) = issued(site, 1).await.pop().expect("one was issued");
    for _ in 0..2 {
        assert_eq!(site.engine().revoke(&[revocation(&issue)]).await, [Ok(())]);
    }
}

/// A client that logs in again all the time is out once its credential is revoked.
pub async fn a_client_that_reconnects_is_cut_off<S: Site>(site: &Arc<S>) {
    let (issue, login) = issued(&**site, 1).await.pop().expect("one was issued");
    let (seen, mut first) = tokio::sync::mpsc::channel(1);
    let client = {
        let (site, login) = (Arc::clone(site), login.clone());
        tokio::spawn(async move {
            let mut sessions = Vec::new();
            // Ends once it is let in no more.
            while let Ok(session) = site.log_in(&login).await {
                sessions.push(session);
                let _ = seen.try_send(());
                if sessions.len() > 20 {
                    sessions.remove(0);
                }
            }
            sessions
        })
    };
    first.recv().await.expect("the client got in at first");
    assert_eq!(site.engine().revoke(&[revocation(&issue)]).await, [Ok(())]);
    let mut sessions =
        tokio::time::timeout(PATIENCE, client).await.expect("the client is out").expect("it ran");
    for session in &mut sessions {
        assert!(!site.works(session).await, "none of its sessions lives");
    }
}

/// Many at once, in batches and alone, do not get in each other's way.
pub async fn sixty_four_at_once<S: Site>(site: &Arc<S>) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in [1, 1, 1, 1, 4, 8, 16, 32] {
        let site = Arc::clone(site);
        tasks.spawn(async move {
            let issued = issued(&*site, number).await;
            let (_, login) = issued.first().expect("some were issued");
            let mut session = site.log_in(login).await.expect("it logs in");
            assert!(site.works(&mut session).await, "it works");
            issued.into_iter().map(|(issue, _)| issue).collect::<Vec<_>>()
        });
    }
    let issues: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(issues.len(), 64);
    assert_eq!(site.engine().list().await.expect("the target lists").len(), 64);
    let revocations: Vec<_> = issues.iter().map(revocation).collect();
    let answers = site.engine().revoke(&revocations).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(site.engine().list().await.expect("the target lists").is_empty());
}

/// Names made of hostile words are names.
pub async fn hostile_names_are_names<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let role = site.role();
    for (display_name, role_name) in
        [("a\"; --", "b'; --"), ("\\'\"", "$$"), ("é€😀", "{{name}}"), ("/* x", ";%s?"), ("", "")]
    {
        let names = (display_name, role_name);
        let asked = [prepared_as(site.lease(), &**site.engine(), &role, names, PATIENCE)];
        let answers = site.engine().issue(&asked).await;
        let login = site
            .login(answers[0].as_ref().unwrap_or_else(|error| panic!("{display_name}: {error}")));
        let name = site.name_of(&login).await;
        assert!(site.credentials().await.contains(&name), "{login:?}");
        let mut session = site.log_in(&login).await.expect("it logs in");
        assert!(site.works(&mut session).await);
        assert_eq!(site.engine().revoke(&[revocation(&asked[0])]).await, [Ok(())], "{login:?}");
        assert!(!site.credentials().await.contains(&name));
    }
}

/// An absence proves nothing while an unanswered issue may still land.
pub async fn an_unanswered_issue_is_not_counted_before_its_time<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let never = asked(site, 2);
    let mut revocations: Vec<_> = never.iter().map(revocation).collect();
    revocations[0].unanswered = until(now().plus(TERM));
    revocations[1].unanswered = until(now().minus(TERM));
    let answers = site.engine().revoke(&revocations).await;
    assert_eq!(cause(&answers[0]), Some(Cause::Contended), "{answers:?}");
    assert_eq!(answers[1], Ok(()));
    // One that landed is removed before its time as well: it can land only once.
    let (issue, login) = issued(site, 1).await.pop().expect("one was issued");
    let landed = Revocation { unanswered: until(now().plus(TERM)), ..revocation(&issue) };
    assert_eq!(site.engine().revoke(&[landed]).await, [Ok(())]);
    assert!(site.log_in(&login).await.is_err());
}

/// After `issue_by` nothing is created, and that is certain.
pub async fn a_late_issue_creates_nothing<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let before = site.credentials().await;
    let mut late = asked(site, 2);
    for issue in &mut late {
        issue.issue_by = now().minus(Duration::from_secs(1));
    }
    let answers = site.engine().issue(&late).await;
    for answer in &answers {
        assert!(matches!(answer, Err(EngineError::Refused(_))), "{answer:?}");
        assert_eq!(cause(answer), Some(Cause::TooLate), "{answer:?}");
    }
    assert_eq!(site.credentials().await, before);
}
