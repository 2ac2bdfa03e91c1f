//! What waits for a target is asked in batches, and as many of them at once as suit it.

use leasehold_core::broker::Until;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::time::Duration;

/// Revokes many leases of a target, and returns how many batches of them were at the target at once, and how many were
/// in the largest.
async fn revoking_at_once(allowed: Option<usize>) -> (usize, usize) {
    let world = World::new().await;
    let (target, mut fields) = SimulatedTarget::named("app");
    fields.extend(allowed.map(|number| ("revoking_at_once".to_owned(), number.into())));
    world.configure("app", fields).await;
    world.role("app", "app", "1h", "24h").await;
    for _ in 0..300 {
        world.issue("app").await.unwrap();
    }
    assert_eq!(target.at_work_most(), 1, "they were issued one by one");
    target.mood(Mood::Slow(Duration::from_millis(100)));
    let (broker, caller) = (world.broker(), request(ROOT));
    broker.revoke_prefix(&caller, "database/creds/app", Until::Settled, false).await.unwrap();
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
    (target.at_work_most(), target.batches().into_iter().max().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_target_gets_no_more_revocations_at_once_than_suit_it() {
    let at_once = async |allowed| revoking_at_once(allowed).await.0;
    assert_eq!(at_once(None).await, 4, "one for each connection");
    assert_eq!(at_once(Some(2)).await, 2);
    assert_eq!(at_once(Some(1)).await, 1);
    assert_eq!(at_once(Some(0)).await, 1, "what is to be revoked is revoked");
    assert_eq!(at_once(Some(9)).await, 4, "there are no more connections");
}

#[tokio::test(start_paused = true)]
async fn revocations_that_leave_connections_to_issues_come_in_larger_batches() {
    let largest = async |allowed| revoking_at_once(allowed).await.1;
    // A batch takes 100 ms at this target, however many are in it; the first has one, and so many are thought to cost as
    // much each.
    let (among, aside) = (largest(Some(4)).await, largest(Some(2)).await);
    assert_eq!(
        among, 3,
        "more would keep a connection for longer than 100 ms from an issue that waits"
    );
    assert!(aside > 30, "{aside} in one batch, which may take a second");
}
