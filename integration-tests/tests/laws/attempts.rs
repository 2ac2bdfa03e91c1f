//! An attempt to revoke that fails, and one that dies with its process.

use super::{HOUR, SECOND};
use leasehold_core::broker::Until;
use leasehold_core::limits::{RETRY_FIRST, REVOKE_WITHIN, SETTLED_WITHIN};
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn however_often_a_process_dies_in_mid_attempt_the_target_is_clean_soon_after() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    for _ in 0..20 {
        world.issue("app").await.unwrap();
    }
    target.mood(Mood::Hanging);
    world.pass(HOUR).await;
    for _ in 0..30 {
        let asked = target.asked_times();
        world.pass(SECOND * 9).await;
        world.restart().await;
        world.pass(REVOKE_WITHIN - SECOND * 9).await;
        assert!(target.asked_times() > asked, "nobody has tried again");
    }
    world.restart().await;
    target.mood(Mood::Well);
    world.pass(REVOKE_WITHIN + SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn however_many_processes_could_not_know_that_nothing_lands_the_next_is_clean_once_it_does() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    target.mood(Mood::Hanging);
    let issuing = Arc::clone(&world);
    let issue = tokio::spawn(async move { issuing.issue("app").await });
    world.pass(SECOND).await;
    // It dies with its process; else it would still hear of that, and give up.
    issue.abort();
    world.restart().await;
    target.mood(Mood::Well);
    world.pass(HOUR - SECOND * 10).await;
    // No process lives for long enough to be sure of an issue that another one has left.
    for _ in 0..40 {
        world.restart().await;
        world.pass(SETTLED_WITHIN / 3).await;
        assert_eq!(world.leases(), 1);
    }
    world.restart().await;
    world.pass(SETTLED_WITHIN + SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn only_one_attempt_at_a_lease_goes_on_however_slow_it_is() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    target.mood(Mood::Slow(REVOKE_WITHIN - SECOND));
    let asked = target.asked_times();
    world.pass(HOUR + REVOKE_WITHIN / 2).await;
    // As another process on the same store would be: it knows nothing of what this one is doing.
    let other = world.beside(Arc::clone(&world.store)).await;
    world.pass(REVOKE_WITHIN / 2).await;
    assert_eq!(target.asked_times() - asked, 1);
    drop(other);
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_audit_that_is_silent_when_a_credential_is_gone_counts_as_a_failure() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let issued = world.issue("app").await.unwrap();
    world.audit.refuse_answers(true);
    let asked = world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await;
    assert!(asked.is_err());
    world.pass(RETRY_FIRST * 3 + SECOND).await;
    world.audit.refuse_answers(false);
    let failed = world.broker().failed_leases(&request(ROOT), 10).await.unwrap();
    let told = failed.leases.first().map(|lease| (lease.attempts, lease.error.contains("audit")));
    assert_eq!(told, Some((3, true)), "{failed:?}");
    world.pass(RETRY_FIRST * 4 + Duration::from_millis(1)).await;
    assert_eq!(world.leases(), 0);
}

/// A lease at a target that is slow now, and how many callers ask to renew it.
async fn renewed_slowly(by: Duration, renewals: usize) -> (Arc<World>, String) {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "10h", "24h").await;
    let lease_id = world.issue("app").await.unwrap().lease_id;
    target.mood(Mood::Slow(by));
    for _ in 0..renewals {
        let (world, lease_id) = (Arc::clone(&world), lease_id.clone());
        tokio::spawn(async move { world.broker().renew(&request(ROOT), &lease_id, None).await });
    }
    world.pass(SECOND).await;
    (world, lease_id)
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_waits_for_its_turn_survives_the_process() {
    for by_prefix in [false, true] {
        let (world, lease_id) = renewed_slowly(SECOND * 15, 3).await;
        let (broker, root) = (world.broker(), request(ROOT));
        let revoking = async {
            if by_prefix {
                let prefix = "database/creds/app";
                broker.revoke_prefix(&root, prefix, Until::Settled, false).await.map(|_| ())
            } else {
                broker.revoke(&root, &lease_id, Until::Settled).await.map(|_| ())
            }
        };
        tokio::time::timeout(SECOND, revoking).await.expect_err("nothing was in its way");
        world.restart().await;
        let renewed = world.broker().renew(&root, &lease_id, None).await;
        assert!(renewed.is_err(), "what was asked died with the process: {renewed:?}");
        world.pass(REVOKE_WITHIN * 2).await;
        assert_eq!(world.leases(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_that_wait_do_not_hold_up_a_revocation() {
    let (world, lease_id) = renewed_slowly(SECOND * 15, 10).await;
    let before = world.store.commits();
    let (broker, root) = (world.broker(), request(ROOT));
    let revoking = broker.revoke(&root, &lease_id, Until::Settled);
    tokio::time::timeout(SECOND * 40, revoking).await.expect("only one is before it").unwrap();
    assert_eq!(world.leases(), 0);
    // The mark, the claim and the removal; no renewal is stored after the first of them.
    assert_eq!(world.store.commits() - before, 3);
    let begun = world.broker().readings().begun;
    let begun: Vec<_> = begun.iter().filter(|(_, count)| *count > 0).copied().collect();
    assert_eq!(begun, [("asked", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_of_what_is_being_issued_is_stored_at_once() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "10h", "24h").await;
    target.mood(Mood::Slow(SECOND * 5));
    let issuing = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.issue("app").await }
    });
    world.pass(SECOND).await;
    let before = world.store.commits();
    let (broker, root) = (world.broker(), request(ROOT));
    let revoking = broker.revoke_prefix(&root, "database/creds/app", Until::Settled, false);
    tokio::time::timeout(SECOND, revoking).await.expect_err("the issue is in its way");
    assert_eq!(world.store.commits() - before, 1);
    issuing.await.unwrap().unwrap_err();
    world.pass(REVOKE_WITHIN).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}
