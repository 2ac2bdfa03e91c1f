//! What a renewal leaves behind that breaks off between the target and the store.

use super::{HOUR, SECOND, id_of};
use leasehold_core::broker::{RenewError, Until};
use leasehold_core::store::StoreError;
use leasehold_core::time::{Clock, Timestamp};
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);
const MOODS: [Mood; 6] = [
    Mood::Well,
    Mood::Down,
    Mood::Hanging,
    Mood::LosingAnswers,
    Mood::Late(SECOND),
    Mood::Slow(SECOND),
];

async fn stored_end(world: &World, lease_id: &str) -> Timestamp {
    world.broker().lookup_lease(&request(ROOT), lease_id).await.unwrap().lapses_at
}

fn end_at(target: &SimulatedTarget, lease_id: &str) -> Timestamp {
    target.credentials().get(&id_of(lease_id)).copied().flatten().unwrap()
}

#[tokio::test(start_paused = true)]
async fn at_no_moment_does_a_lease_promise_more_than_its_target_gives() {
    for (mood, by, dies) in MOODS.into_iter().flat_map(|mood| {
        [HOUR * 2, MINUTE * 10]
            .into_iter()
            .flat_map(move |by| [(mood, by, false), (mood, by, true)])
    }) {
        let world = Arc::new(World::new().await);
        let target = world.target("app", "1h", "24h").await;
        let lease_id = world.issue("app").await.unwrap().lease_id;
        target.mood(mood);
        let renewing = tokio::spawn({
            let (world, lease_id) = (Arc::clone(&world), lease_id.clone());
            async move { world.broker().renew(&request(ROOT), &lease_id, Some(by)).await }
        });
        for (moment, pass) in [1, 499, 1_000, 30_000].into_iter().enumerate() {
            world.pass(Duration::from_millis(pass)).await;
            if dies && moment == 1 {
                renewing.abort();
                world.restart().await;
            }
            let (stored, given) = (stored_end(&world, &lease_id).await, end_at(&target, &lease_id));
            assert!(stored <= given, "{mood:?}, {by:?}, dies: {dies}, at {moment}");
        }
        target.mood(Mood::Well);
        world.pass(HOUR * 2).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0), "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_target_has_nothing_ends_the_lease_or_leaves_its_term() {
    for refused in 0..2 {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        let lease_id = world.issue("app").await.unwrap().lease_id;
        let before = stored_end(&world, &lease_id).await;
        target.forget(id_of(&lease_id));
        world.stop_sweeping();
        world.pass(MINUTE).await;
        world.store.refuse_one(refused);
        let (broker, asked) = (world.broker(), request(ROOT));
        let told = broker.renew(&asked, &lease_id, Some(HOUR * 9)).await.unwrap_err();
        match refused {
            0 => assert!(matches!(told, RenewError::Store(StoreError::Refused(_))), "{told:?}"),
            _ => assert!(matches!(told, RenewError::Gone), "{told:?}"),
        }
        assert_eq!(stored_end(&world, &lease_id).await, before, "commit {refused} was refused");
        // Whoever looks next finds out.
        world.restart().await;
        let again = world.broker().renew(&asked, &lease_id, None).await.unwrap_err();
        assert!(matches!(again, RenewError::Gone | RenewError::NoLease | RenewError::Lease(_)));
        // The next process does not know that the issue was answered, and waits until it could not land any more.
        world.pass(MINUTE * 2).await;
        assert_eq!(world.leases(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shorter_term_holds_whether_or_not_its_target_hears_of_it() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let lease_id = world.issue("app").await.unwrap().lease_id;
    target.mood(Mood::Down);
    let renewed = world.broker().renew(&request(ROOT), &lease_id, Some(MINUTE * 10)).await.unwrap();
    assert_eq!(renewed.ttl, MINUTE * 10);
    target.mood(Mood::Well);
    world.pass(MINUTE * 10 + SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_holder_is_told_is_what_is_left_when_they_are_told() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    let lease_id = world.issue("app").await.unwrap().lease_id;
    target.mood(Mood::Slow(SECOND * 15));
    let asked = request(ROOT);
    for by in [HOUR * 2, MINUTE] {
        let renewed = world.broker().renew(&asked, &lease_id, Some(by)).await.unwrap();
        assert_eq!((renewed.ttl, renewed.capped), (by - SECOND * 15, None));
        let left = stored_end(&world, &lease_id).await.since(world.clock.now());
        assert_eq!(left, renewed.ttl);
    }
    // A term that was over before its holder could be told is none.
    let told = world.broker().renew(&asked, &lease_id, Some(SECOND * 15)).await;
    assert!(matches!(told, Err(RenewError::Lease(_))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_revoked_while_its_target_is_told_a_longer_term_stays_so() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    let lease_id = world.issue("app").await.unwrap().lease_id;
    target.mood(Mood::Slow(SECOND));
    let renewing = tokio::spawn({
        let (world, lease_id) = (Arc::clone(&world), lease_id.clone());
        async move { world.broker().renew(&request(ROOT), &lease_id, Some(HOUR * 9)).await }
    });
    world.pass(SECOND / 2).await;
    world.broker().revoke(&request(ROOT), &lease_id, Until::Marked).await.unwrap();
    let told = renewing.await.unwrap();
    assert!(matches!(told, Err(RenewError::Lease(_))), "{told:?}");
    world.pass(SECOND * 3).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}
