//! The laws, each in a small world that would break it.

#![expect(
    clippy::unwrap_used,
    clippy::unchecked_time_subtraction,
    reason = "whatever is not as expected fails the test at once"
)]

#[path = "laws/abandoned.rs"]
mod abandoned;
#[path = "laws/attempts.rs"]
mod attempts;
#[path = "laws/batch_tokens.rs"]
mod batch_tokens;
#[path = "laws/batches.rs"]
mod batches;
#[path = "laws/counts.rs"]
mod counts;
#[path = "laws/deletions.rs"]
mod deletions;
#[path = "laws/denials.rs"]
mod denials;
#[path = "laws/mass_revocations.rs"]
mod mass_revocations;
#[path = "laws/own_names.rs"]
mod own_names;
#[path = "laws/passing.rs"]
mod passing;
#[path = "laws/plans.rs"]
mod plans;
#[path = "laws/proofs.rs"]
mod proofs;
#[path = "laws/reconcile.rs"]
mod reconcile;
#[path = "laws/rehearsals.rs"]
mod rehearsals;
#[path = "laws/renewals.rs"]
mod renewals;
#[path = "laws/trees.rs"]
mod trees;
#[path = "laws/wrapping.rs"]
mod wrapping;

use leasehold_core::access::policy::Right;
use leasehold_core::broker::{
    DifferenceKind, IssueError, RenewError, Repair, Request, RevokeError, Side, StillTried,
    TokenRequest, Until, WhichToken,
};
use leasehold_core::ids::LeaseId;
use leasehold_core::limits::{ISSUE_WITHIN, SETTLE};
use leasehold_core::store::StoreError;
use leasehold_core::time::Clock;
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn id_of(lease_id: &str) -> LeaseId {
    lease_id.rsplit('/').next().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_issued_and_its_credential_is_gone_when_it_lapses() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let issued = world.issue("app").await.unwrap();
    assert_eq!(issued.ttl, HOUR);
    assert_eq!(target.credentials().len(), 1);
    world.pass(HOUR - SECOND).await;
    assert_eq!(target.credentials().len(), 1, "it died early");
    world.pass(SECOND * 2).await;
    assert_eq!(target.credentials().len(), 0);
    assert_eq!((world.leases(), world.store.count("due/"), world.store.count("of-")), (0, 0, 0));
    assert_eq!(world.store.count("history/"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_issue_and_a_renewal_take_one_durable_write_each_and_a_revocation_two() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let before = world.store.commits();
    let issued = world.issue("app").await.unwrap();
    assert_eq!(world.store.commits() - before, 1);
    world.broker().renew(&request(ROOT), &issued.lease_id, None).await.unwrap();
    assert_eq!(world.store.commits() - before, 2);
    world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await.unwrap();
    assert_eq!(world.store.commits() - before, 4);
}

#[tokio::test(start_paused = true)]
async fn the_target_is_not_asked_while_the_lease_is_not_durable() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    for failing in [StoreError::Refused("full".into()), StoreError::Uncertain("gone".into())] {
        world.store.fail(Some(failing.clone()));
        assert!(
            matches!(world.issue("app").await, Err(IssueError::Store(error)) if error == failing)
        );
    }
    world.store.fail(None);
    assert_eq!(target.batches().len(), 0);
    // The uncertain one may be stored: it lapses like any other.
    world.pass(HOUR * 2).await;
    assert_eq!(world.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leaves_a_lease_and_the_credential_is_revoked_once_it_can_no_longer_land() {
    for by in [Duration::ZERO, SECOND, ISSUE_WITHIN + SETTLE - SECOND] {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        target.mood(Mood::Late(by));
        assert!(matches!(world.issue("app").await, Err(IssueError::Target(_))));
        target.mood(Mood::Well);
        assert_eq!(world.leases(), 1);
        world.pass(ISSUE_WITHIN + SETTLE + SECOND).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0), "landed after {by:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_the_target_is_asked_leaves_a_lease_that_the_next_one_revokes() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    target.mood(Mood::Slow(SECOND));
    let asking = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.issue("app").await.map(|_| ()) }
    });
    world.pass(Duration::from_millis(500)).await;
    asking.abort();
    world.restart().await;
    target.mood(Mood::Well);
    world.pass(SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (1, 1));
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_for_a_month_is_clean_soon_after_it_comes_back() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    for _ in 0..50 {
        world.issue("app").await.unwrap();
    }
    target.mood(Mood::Down);
    world.pass(DAY * 15).await;
    world.restart().await;
    world.pass(DAY * 15).await;
    assert_eq!((target.credentials().len(), world.leases()), (50, 50));
    target.mood(Mood::Well);
    world.pass(HOUR / 2).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_keeps_nobody_else_waiting() {
    let world = World::new().await;
    let slow = world.target("slow", "1h", "24h").await;
    let quick = world.target("quick", "1h", "24h").await;
    for _ in 0..100 {
        world.issue("slow").await.unwrap();
        world.issue("quick").await.unwrap();
    }
    slow.mood(Mood::Hanging);
    world.pass(HOUR + SECOND).await;
    assert_eq!((slow.credentials().len(), quick.credentials().len()), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_never_passes_the_ceiling_and_says_so() {
    let world = World::new().await;
    let target = world.target("app", "1h", "2h").await;
    let issued = world.issue("app").await.unwrap();
    world.pass(HOUR / 2).await;
    let renewed =
        world.broker().renew(&request(ROOT), &issued.lease_id, Some(HOUR * 9)).await.unwrap();
    assert_eq!(renewed.ttl, HOUR + HOUR / 2);
    assert_eq!(renewed.capped, Some((HOUR * 9, HOUR * 2)));
    let end = target.credentials().values().next().copied().flatten().unwrap();
    assert_eq!(end.since(world.clock.now()), renewed.ttl, "the target was told another end");
    world.pass(HOUR + HOUR / 2 - SECOND / 2).await;
    assert!(matches!(
        world.broker().renew(&request(ROOT), &issued.lease_id, None).await,
        Err(RenewError::Lease(_))
    ));
    world.pass(SECOND).await;
    assert_eq!(target.credentials().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lease_outlives_its_first_term() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let issued = world.issue("app").await.unwrap();
    for _ in 0..10 {
        world.pass(HOUR / 2).await;
        world.broker().renew(&request(ROOT), &issued.lease_id, None).await.unwrap();
    }
    assert_eq!(target.credentials().len(), 1);
    world.pass(HOUR + SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn renewing_what_the_target_has_lost_ends_the_lease() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let issued = world.issue("app").await.unwrap();
    target.forget(id_of(&issued.lease_id));
    assert!(matches!(
        world.broker().renew(&request(ROOT), &issued.lease_id, None).await,
        Err(RenewError::Gone)
    ));
    world.pass(SECOND).await;
    assert_eq!(world.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_during_the_issue_waits_for_the_answer_and_the_caller_gets_no_secret() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    target.mood(Mood::Slow(SECOND));
    let asking = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.issue("app").await.map(|_| ()) }
    });
    world.pass(Duration::from_millis(500)).await;
    world
        .broker()
        .revoke_prefix(&request(ROOT), "database/creds/app", Until::Settled, false)
        .await
        .unwrap();
    assert!(matches!(asking.await.unwrap(), Err(IssueError::Revoked)));
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_revocation_is_told_stored_and_tried_again() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let issued = world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    let outcome = world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await;
    assert!(matches!(outcome, Err(RevokeError::Target { .. })));
    let view = world.broker().lookup_lease(&request(ROOT), &issued.lease_id).await.unwrap();
    assert_eq!(view.revoke_error.as_deref(), Some("the target is down"));
    assert!(matches!(
        world.broker().renew(&request(ROOT), &issued.lease_id, None).await,
        Err(RenewError::Lease(_))
    ));
    target.mood(Mood::Well);
    world.pass(SECOND * 10).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn revoke_force_answers_without_error_and_forgets_nothing() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    let StillTried(left) = world
        .broker()
        .revoke_prefix(&request(ROOT), "database/creds/app", Until::Settled, true)
        .await
        .unwrap();
    assert_eq!((left, world.leases()), (1, 1));
    target.mood(Mood::Well);
    world.pass(SECOND * 10).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_prefix_ends_at_a_segment() {
    let world = World::new().await;
    let app = world.target("app", "1h", "24h").await;
    let app2 = world.target("app2", "1h", "24h").await;
    for _ in 0..5 {
        world.issue("app").await.unwrap();
        world.issue("app2").await.unwrap();
    }
    world
        .broker()
        .revoke_prefix(&request(ROOT), "database/creds/app", Until::Settled, false)
        .await
        .unwrap();
    assert_eq!((app.credentials().len(), app2.credentials().len()), (0, 5));
    let wrong = world.broker().revoke_prefix(&request(ROOT), "data", Until::Settled, false).await;
    assert!(matches!(wrong, Err(RevokeError::NoSuchPrefix(_))));
    world.broker().revoke_prefix(&request(ROOT), "database", Until::Settled, false).await.unwrap();
    assert_eq!(app2.credentials().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn concurrent_issues_of_a_role_share_batches_and_a_poisoned_batch_is_tried_one_by_one() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    target.mood(Mood::RefusingBatches);
    let issues = (0..64).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.issue("app").await.map(|_| ()) })
    });
    for issue in futures_util::future::join_all(issues).await {
        issue.unwrap().unwrap();
    }
    assert_eq!(target.credentials().len(), 64);
    assert!(target.batches().iter().any(|members| *members > 1), "nothing was batched");
    assert!(target.at_work_most() <= 4, "more batches at once than connections");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_that_cannot_be_recorded() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.audit.refuse(true);
    assert!(matches!(world.issue("app").await, Err(IssueError::Admit(_))));
    assert_eq!((target.batches().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_recorded_is_not_given_and_its_lease_is_revoked() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.audit.refuse_answers(true);
    assert!(matches!(world.issue("app").await, Err(IssueError::Admit(_))));
    world.pass(SECOND).await;
    assert_eq!(target.credentials().len(), 0);
    assert_eq!(world.leases(), 1, "a revocation that is not recorded does not count");
    world.audit.refuse_answers(false);
    world.pass(SECOND * 30).await;
    assert_eq!(world.leases(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_by_the_sweep_is_recorded() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let issued = world.issue("app").await.unwrap();
    world.pass(HOUR + SECOND).await;
    let id = id_of(&issued.lease_id).to_string();
    let recorded =
        world.audit.lines().into_iter().filter(|line| line.contains(r#""operation":"revoke""#));
    assert_eq!(recorded.filter(|line| line.contains(&id)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_stored_or_recorded() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    world.pass(HOUR * 2).await;
    let stored = world.store.bytes();
    assert!(!stored.windows(6).any(|window| window == b"canary"));
    assert!(!world.audit.lines().iter().any(|line| line.contains("canary")));
}

#[tokio::test(start_paused = true)]
async fn a_lease_falls_with_its_token() {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    let token = world.token(TokenRequest { ttl: Some(HOUR), ..TokenRequest::default() }).await;
    world.issue_as(&token, "app").await.unwrap();
    let kept = world.issue("app").await.unwrap();
    world.pass(HOUR + SECOND).await;
    assert_eq!(target.credentials().into_keys().collect::<Vec<_>>(), vec![id_of(&kept.lease_id)]);
    world.pass(SECOND * 10).await;
    assert_eq!(
        world.store.count("token/"),
        1,
        "the token's record goes once nothing lives under it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_token_ends_with_its_parent_and_an_orphan_does_not() {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    let parent = world.token(TokenRequest { ttl: Some(HOUR), ..TokenRequest::default() }).await;
    let policies = vec!["root".to_owned()];
    let child = |no_parent| TokenRequest {
        ttl: Some(HOUR * 5),
        no_parent,
        policies: policies.clone(),
        ..TokenRequest::default()
    };
    let broker = world.broker();
    let made = broker.create_token(&request(&parent), child(false)).await.unwrap();
    let orphan = broker.create_token(&request(&parent), child(true)).await.unwrap();
    world.issue_as(made.text.reveal(), "app").await.unwrap();
    world.issue_as(orphan.text.reveal(), "app").await.unwrap();
    world.restart().await;
    world.pass(HOUR + SECOND * 5).await;
    assert_eq!(target.credentials().len(), 1);
    assert!(world.issue_as(made.text.reveal(), "app").await.is_err());
    assert!(world.issue_as(orphan.text.reveal(), "app").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn sixty_four_callers_with_a_token_of_one_use_get_one_answer() {
    let world = Arc::new(World::new().await);
    let wanted = TokenRequest { ttl: Some(HOUR), num_uses: 1, ..TokenRequest::default() };
    let token = world.token(wanted).await;
    let lookups = (0..64).map(|_| {
        let (world, token) = (Arc::clone(&world), token.clone());
        tokio::spawn(async move {
            world.broker().lookup_token(&request(&token), &WhichToken::Own).await.is_ok()
        })
    });
    let answers = futures_util::future::join_all(lookups).await;
    assert_eq!(answers.into_iter().filter(|answer| *answer.as_ref().unwrap()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_root_may_look_itself_up_and_nothing_else() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let wanted = TokenRequest { policies: vec!["app".into()], ..TokenRequest::default() };
    let token = world.broker().create_token(&request(ROOT), wanted).await.unwrap();
    let token = token.text.reveal();
    let own = Request { right: Right::Own, ..request(token) };
    assert!(world.broker().lookup_token(&own, &WhichToken::Own).await.is_ok());
    assert!(world.broker().lookup_token(&request(token), &WhichToken::Own).await.is_err());
    assert!(matches!(world.issue_as(token, "app").await, Err(IssueError::Admit(_))));
    assert!(matches!(world.issue_as("no-such-token", "app").await, Err(IssueError::Admit(_))));
    assert_eq!(target.batches().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn cve_2020_7220_a_disabled_mount_closes_at_once_and_revokes_even_if_its_target_is_down() {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    world.broker().disable_mount(&request(ROOT), (Side::Engines, "database")).await.unwrap();
    assert!(matches!(world.issue("app").await, Err(IssueError::UnknownRole(_))));
    world.pass(HOUR).await;
    world.restart().await;
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
    world.broker().housekeep().await.unwrap();
    assert_eq!(
        world.store.count("mount/") + world.store.count("target/") + world.store.count("role/"),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_target_keeps_its_administrator_until_its_last_lease_is_gone() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    world.broker().delete_target(&request(ROOT), "database/", "app", false).await.unwrap();
    assert!(matches!(world.issue("app").await, Err(IssueError::UnknownTarget { .. })));
    world.broker().housekeep().await.unwrap();
    assert_eq!((target.credentials().len(), world.store.count("retired/")), (1, 1));
    world.restart().await;
    world.pass(HOUR + SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
    world.broker().housekeep().await.unwrap();
    assert_eq!(world.store.count("retired/"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_lease_is_put_aside_and_the_rest_is_served() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let damaged = world.issue("app").await.unwrap();
    world.store.damage("lease/");
    world.issue("app").await.unwrap();
    assert!(world.broker().lookup_lease(&request(ROOT), &damaged.lease_id).await.is_err());
    assert_eq!((world.leases(), world.store.count("quarantine/")), (1, 1));
    world.pass(HOUR + SECOND).await;
    assert_eq!(world.leases(), 0);
    // What the damaged record named is found at the target by its mark.
    let (broker, admin) = (world.broker(), request(ROOT));
    let plan = broker.reconcile(&admin, "database/", "app").await.unwrap().plan;
    let repair = Repair { plan, kinds: DifferenceKind::USUAL.into(), force: false };
    assert_eq!(broker.repair(&admin, ("database/", "app"), repair).await.unwrap().removed, 1);
    world.pass(SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_far_beyond_the_horizon_of_the_queue_is_swept_in_time() {
    let world = World::new().await;
    let target = world.target("app", "700h", "760h").await;
    world.issue("app").await.unwrap();
    world.restart().await;
    world.pass(HOUR * 700 - SECOND).await;
    assert_eq!(target.credentials().len(), 1);
    world.pass(SECOND * 2).await;
    assert_eq!(target.credentials().len(), 0);
}
