//! A server that is started again: what it has forgotten, and what has come back from its files.

use crate::place::{Place, eventually, place, works};
use leasehold_core::engine::{Cause, Engine as _, EngineError, Issue, PutBack, Renewed};
use leasehold_engines::redis::Redis;
use leasehold_integration_tests::engine_suite::{PATIENCE, now, renewal, revocation};
use leasehold_integration_tests::redis::Users;
use std::sync::Arc;
use std::time::Duration;

fn put_back(place: &Place, issue: &Issue<Redis>) -> PutBack<Redis> {
    PutBack {
        lease: issue.lease,
        handle: place.engine.put_back_as(&issue.handle),
        issue_by: now().plus(PATIENCE),
    }
}

fn restarted(place: Arc<Place>) -> Arc<Place> {
    place.server.restart();
    place
}

#[tokio::test]
async fn a_user_that_a_restart_has_lost_is_put_back_with_its_password() {
    let place = place(Users::Nowhere);
    let (issue, login) = place.issue().await;
    let place = restarted(place);
    assert!(!place.has(issue.handle.name()).await);
    assert_eq!(place.engine.put_back(&[put_back(&place, &issue)]).await, [Ok(())]);
    let mut session = crate::place::log_in(&place.server, &login).await.expect("it logs in");
    assert!(works(&mut session).await);
    // Twice is the same as once, and what is there is not altered.
    place.server.ask(&["ACL", "SETUSER", issue.handle.name(), "-@all"]).await.expect("altered");
    assert_eq!(place.engine.put_back(&[put_back(&place, &issue)]).await, [Ok(())]);
    assert!(!works(&mut session).await, "what an operator took away stays away");
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(crate::place::log_in(&place.server, &login).await.is_err());
}

#[tokio::test]
async fn what_was_only_listed_and_what_is_late_is_not_put_back() {
    let place = place(Users::Nowhere);
    let (issue, _) = place.issue().await;
    let listed = place.engine.list().await.expect("it lists").remove(0);
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    let mut late = put_back(&place, &issue);
    late.issue_by = now().minus(Duration::from_secs(1));
    let bare = PutBack { handle: listed.handle, ..put_back(&place, &issue) };
    let foreign = PutBack {
        lease: leasehold_integration_tests::engine_suite::lease(),
        ..put_back(&place, &issue)
    };
    let answers = place.engine.put_back(&[late, bare, foreign]).await;
    let causes: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Err(EngineError::Refused(reason)) => reason.cause,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(causes, [Cause::TooLate, Cause::NeedsOperator, Cause::NeedsOperator]);
    assert!(!place.has(issue.handle.name()).await);
}

#[tokio::test]
async fn an_aclfile_has_what_was_issued_and_not_what_was_revoked() {
    let place = place(Users::AclFile);
    let (kept, login) = place.issue().await;
    let (gone, _) = place.issue().await;
    let file = place.server.folder().join("users.acl");
    let has = |name: &str| std::fs::read_to_string(&file).is_ok_and(|text| text.contains(name));
    eventually("the file has both users", async || {
        has(kept.handle.name()) && has(gone.handle.name())
    })
    .await;
    assert_eq!(place.engine.revoke(&[revocation(&gone)]).await, [Ok(())]);
    assert!(!has(gone.handle.name()), "the revocation counts only once the file is written");
    let place = restarted(place);
    assert!(
        crate::place::log_in(&place.server, &login).await.is_ok(),
        "nothing had to be put back"
    );
    assert!(!place.has(gone.handle.name()).await, "and nothing has come back");
}

#[tokio::test]
async fn a_revocation_whose_file_cannot_be_written_does_not_count() {
    let place = place(Users::AclFile);
    let (issue, _) = place.issue().await;
    let file = place.server.folder().join("users.acl");
    let has =
        || std::fs::read_to_string(&file).is_ok_and(|text| text.contains(issue.handle.name()));
    eventually("the file has the user", async || has()).await;
    std::fs::remove_file(&file).expect("the file goes");
    std::fs::create_dir_all(file.join("in the way")).expect("a folder is in its place");
    let answer = place.engine.revoke(&[revocation(&issue)]).await.remove(0);
    assert!(matches!(answer, Err(EngineError::Uncertain(_))), "{answer:?}");
    assert!(!place.has(issue.handle.name()).await, "the user is gone from the server all the same");
    std::fs::remove_dir_all(&file).expect("the folder goes");
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!has());
}

#[tokio::test]
async fn a_user_in_a_configuration_that_somebody_wrote_is_taken_out_of_it() {
    let place = place(Users::Config);
    let file = place.server.folder().join("redis.conf");
    let text = || std::fs::read_to_string(&file).expect("a file");
    let before = text();
    // A lease that was made in the first second of a server's run may be older than that run.
    eventually("the server has run for two seconds", async || {
        let said = place.server.text(&["INFO", "server"]).await;
        let up = said.lines().find_map(|line| line.strip_prefix("uptime_in_seconds:"));
        up.is_some_and(|up| up.trim().parse::<u64>().is_ok_and(|up| up >= 2))
    })
    .await;
    let (issue, _) = place.issue().await;
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert_eq!(text(), before, "nobody has written the file, so Leasehold does not");
    let (issue, _) = place.issue().await;
    place.server.ask(&["CONFIG", "REWRITE"]).await.expect("it is written");
    assert!(text().contains(issue.handle.name()));
    assert_eq!(place.engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!text().contains(issue.handle.name()));
    let place = restarted(place);
    assert!(!place.has(issue.handle.name()).await);
}

#[tokio::test]
async fn a_renewal_after_a_restart_does_not_take_the_lease_for_lost() {
    let place = place(Users::Nowhere);
    let (issue, _) = place.issue().await;
    // The server tells whole seconds: a restart right after an issue cannot be told from none.
    eventually("the lease is older than the server's next run", async || {
        now().since(issue.lease.made_at()) > Duration::from_millis(2100)
    })
    .await;
    let place = restarted(place);
    let end = now().plus(PATIENCE);
    let answer = place.engine.renew(&[renewal(&issue, end)]).await.remove(0);
    let refused = answer.expect_err("it cannot be renewed now");
    assert_eq!(refused.reason().cause, Cause::Contended, "{refused}");
    assert_eq!(place.engine.put_back(&[put_back(&place, &issue)]).await, [Ok(())]);
    assert_eq!(place.engine.renew(&[renewal(&issue, end)]).await, [Ok(Renewed::Extended)]);
}
