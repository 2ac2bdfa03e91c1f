//! Mass revocations: what they mean, what a pause and a death of the process do to them, and when they are done.

use super::{DAY, HOUR, SECOND};
use leasehold_core::broker::{
    LookupError, MassRevocationError, MassRevocationView, RevokeError, Until,
};
use leasehold_core::ids::RevocationId;
use leasehold_core::limits::MASS_REVOCATIONS_MAX;
use leasehold_core::store::mass_revocations::{Asked, Stage};
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

async fn world(leases: usize) -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", "10h", "24h").await;
    for _ in 0..leases {
        world.issue("app").await.unwrap();
    }
    (world, target)
}

fn prefix(text: &str) -> Asked {
    Asked::Prefix(text.to_owned())
}

async fn begin(world: &World, asked: Asked) -> Result<RevocationId, MassRevocationError> {
    let begun = world.broker().begin_mass_revocation(&request(ROOT), asked).await;
    begun.map(|view| view.job.id)
}

async fn read(world: &World, id: RevocationId) -> MassRevocationView {
    world.broker().read_mass_revocation(&request(ROOT), id).await.unwrap()
}

async fn is_done(world: &World, id: RevocationId) -> bool {
    matches!(read(world, id).await.job.stage, Stage::Done { .. })
}

#[tokio::test(start_paused = true)]
async fn a_mass_revocation_takes_what_there_is_and_nothing_that_is_issued_later() {
    let (world, target) = world(50).await;
    let id = begin(&world, prefix("database/creds/app")).await.unwrap();
    world.pass(Duration::from_millis(1)).await;
    let later = world.issue("app").await.unwrap();
    world.pass(SECOND * 10).await;
    let seen = read(&world, id).await;
    assert!(matches!(seen.job.stage, Stage::Done { .. }), "{seen:?}");
    assert_eq!((seen.job.leases, seen.job.marked, seen.gone()), (Some(50), 50, Some(50)));
    assert_eq!((seen.left.waiting, seen.left.tried), (0, 0));
    assert_eq!(target.credentials().keys().collect::<Vec<_>>(), [&later.lease]);
    world.pass(HOUR).await;
    assert_eq!(world.leases(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mass_revocation_goes_on_whichever_write_fails_and_whenever_the_process_dies() {
    for dies in [false, true] {
        // Its own record, its count, ten marks, the cursor twice, the end of the pass, ten removals …
        for failing in 0..40 {
            let (world, target) = world(10).await;
            world.store.refuse_one(failing);
            let begun = begin(&world, prefix("database")).await;
            let told = format!("write {failing} failed, the process died: {dies}");
            if failing == 0 {
                assert!(matches!(begun, Err(MassRevocationError::Store(_))), "{told}: {begun:?}");
                assert_eq!(world.leases(), 10, "{told}");
                continue;
            }
            let id = begun.unwrap();
            if dies {
                // Sooner or later: it counts, marks, and looks again, a millisecond after the other.
                world.pass(Duration::from_millis(failing % 5)).await;
                world.store.refuse_one(u64::MAX);
                world.restart().await;
            }
            world.pass(Duration::from_millis(1)).await;
            // Its own write may be the one that fails.
            let later = match world.issue("app").await {
                Ok(issued) => issued,
                Err(_) => world.issue("app").await.unwrap(),
            };
            if dies {
                world.restart().await;
                world.pass(SECOND).await;
            }
            world.pass(SECOND * 90).await;
            assert!(is_done(&world, id).await, "{told}: {:?}", read(&world, id).await);
            assert_eq!(target.credentials().keys().collect::<Vec<_>>(), [&later.lease], "{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_what_is_not_marked_through_restarts_until_it_is_resumed() {
    let (world, target) = world(1100).await;
    let id = begin(&world, prefix("database/creds/app")).await.unwrap();
    while read(&world, id).await.job.marked == 0 {
        world.pass(Duration::from_millis(1)).await;
    }
    let (broker, root) = (world.broker(), request(ROOT));
    let paused = broker.pause_mass_revocation(&root, id).await.unwrap();
    assert_eq!((paused.job.stage, paused.job.marked), (Stage::Paused, 1024));
    world.pass(HOUR).await;
    assert_eq!(target.credentials().len(), 76, "those that were not marked are left");
    world.restart().await;
    world.pass(HOUR).await;
    let later = world.issue("app").await.unwrap();
    world.restart().await;
    let (broker, root) = (world.broker(), request(ROOT));
    broker.housekeep().await.unwrap();
    world.pass(HOUR).await;
    let seen = read(&world, id).await;
    assert_eq!((seen.job.stage, seen.left.waiting, world.leases()), (Stage::Paused, 76, 77));
    broker.resume_mass_revocation(&root, id).await.unwrap();
    world.pass(SECOND * 10).await;
    assert!(is_done(&world, id).await);
    assert_eq!(target.credentials().keys().collect::<Vec<_>>(), [&later.lease]);
    let over = broker.pause_mass_revocation(&root, id).await.unwrap_err();
    assert_eq!(over, MassRevocationError::Done);
}

#[tokio::test(start_paused = true)]
async fn a_mass_revocation_is_not_done_before_its_last_credential_is_gone_and_says_what_is_in_the_way()
 {
    let (world, target) = world(5).await;
    target.mood(Mood::Down);
    let id = begin(&world, prefix("database")).await.unwrap();
    world.pass(HOUR).await;
    let seen = read(&world, id).await;
    assert_eq!((seen.job.stage, seen.gone()), (Stage::Running, Some(0)));
    assert_eq!((seen.left.tried, seen.left.waiting), (5, 0));
    let [trouble] = seen.left.troubles.as_slice() else { panic!("{seen:?}") };
    assert_eq!(trouble.target, "database/app");
    assert!(trouble.error.contains("down"), "{trouble:?}");
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    assert!(is_done(&world, id).await);
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_mass_revocation_of_a_target_leaves_the_others_alone() {
    let (world, target) = world(5).await;
    let other = world.target("other", "10h", "24h").await;
    let first = world.issue("other").await.unwrap();
    let id = begin(&world, Asked::Target("database/app".into())).await.unwrap();
    world.pass(SECOND * 10).await;
    assert!(is_done(&world, id).await);
    assert_eq!(read(&world, id).await.job.leases, Some(5));
    assert_eq!((target.credentials().len(), other.credentials().len()), (0, 1));
    let lookup = world.broker().lookup_lease(&request(ROOT), &first.lease_id).await;
    assert!(!matches!(lookup, Err(LookupError::NoLease)));
}

#[tokio::test(start_paused = true)]
async fn what_was_issued_by_a_clock_that_was_ahead_is_meant_as_well() {
    let (world, target) = world(5).await;
    world.clock.step_wall_back(10 * SECOND);
    world.restart().await;
    let id = begin(&world, prefix("database/creds/app")).await.unwrap();
    world.pass(SECOND * 5).await;
    assert!(is_done(&world, id).await);
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_mass_revocation_is_refused_and_changes_nothing() {
    let (world, target) = world(1).await;
    let issued = world.issue("app").await.unwrap();
    for (asked, expected) in [
        (prefix("nothing"), MassRevocationError::NoSuchPrefix("nothing".into())),
        (prefix(""), MassRevocationError::NoSuchPrefix(String::new())),
        (prefix(&issued.lease_id), MassRevocationError::OneLease(issued.lease_id.clone())),
        (
            Asked::Target("database/none".into()),
            MassRevocationError::NoTarget("database/none".into()),
        ),
        (Asked::Target("none".into()), MassRevocationError::NoTarget("none".into())),
    ] {
        assert_eq!(begin(&world, asked).await, Err(expected));
    }
    let unknown = RevocationId::from_bytes([7; 16]);
    let (broker, root) = (world.broker(), request(ROOT));
    let missing = [
        broker.read_mass_revocation(&root, unknown).await.unwrap_err(),
        broker.pause_mass_revocation(&root, unknown).await.unwrap_err(),
        broker.resume_mass_revocation(&root, unknown).await.unwrap_err(),
    ];
    assert!(missing.iter().all(|error| *error == MassRevocationError::NoJob), "{missing:?}");
    assert_eq!(world.store.count("mass-revocation/"), 0);
    world.pass(HOUR).await;
    assert_eq!(target.credentials().len(), 2);
    let refused: Result<_, RevokeError> =
        broker.revoke_prefix(&root, "nothing", Until::Marked, false).await;
    assert!(matches!(refused, Err(RevokeError::NoSuchPrefix(_))));
}

#[tokio::test(start_paused = true)]
async fn there_may_be_a_hundred_and_those_that_are_done_go_first_or_after_a_day() {
    let (world, target) = world(1).await;
    target.mood(Mood::Down);
    for _ in 0..MASS_REVOCATIONS_MAX {
        begin(&world, prefix("database")).await.unwrap();
    }
    assert_eq!(begin(&world, prefix("database")).await, Err(MassRevocationError::TooMany));
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    let last = begin(&world, prefix("database")).await.unwrap();
    world.pass(HOUR).await;
    let listed = world.broker().list_mass_revocations(&request(ROOT)).await.unwrap().0;
    assert_eq!((listed.len(), listed.last().map(|job| job.id)), (MASS_REVOCATIONS_MAX, Some(last)));
    world.pass(DAY).await;
    world.broker().housekeep().await.unwrap();
    assert_eq!(world.store.count("mass-revocation/"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_copy_carries_no_mass_revocation_on() {
    let (world, target) = world(3).await;
    target.mood(Mood::Down);
    begin(&world, prefix("database")).await.unwrap();
    let (copy, root) = world.copied(&world.back_up().await).await;
    let listed = copy.broker().list_mass_revocations(&request(&root)).await.unwrap();
    assert!(listed.0.is_empty());
}
