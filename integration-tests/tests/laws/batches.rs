//! What waits for a target is asked in batches, and as many of them at once as suit it.

use leasehold_core::broker::Until;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::time::Duration;

/// Revokes many leases of a target, and returns how many batches of them were at the target at once.
async fn revoking_at_once(allowed: Option<usize>) -> usize {
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
    target.at_work_most()
}

#[tokio::test(start_paused = true)]
async fn a_target_gets_no_more_revocations_at_once_than_suit_it() {
    assert_eq!(revoking_at_once(None).await, 4, "one for each connection");
    assert_eq!(revoking_at_once(Some(2)).await, 2);
    assert_eq!(revoking_at_once(Some(1)).await, 1);
    assert_eq!(revoking_at_once(Some(0)).await, 1, "what is to be revoked is revoked");
    assert_eq!(revoking_at_once(Some(9)).await, 4, "there are no more connections");
}
