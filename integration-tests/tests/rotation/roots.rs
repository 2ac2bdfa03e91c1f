//! The administrator's own secret is rotated, and nobody is ever locked out.

use crate::restores::point_elsewhere;
use crate::{HOUR, MINUTE, OLD, SECOND, every, somebody_knows_it, told, world_with};
use leasehold_core::broker::{RotateError, TargetWrite};
use leasehold_core::store::StoreError;
use leasehold_integration_tests::world::target::{ADMINISTRATOR, FIRST_PASSWORD, Mood};
use leasehold_integration_tests::world::{ROOT, World, request};

pub(crate) async fn rotate_root(world: &World) -> Result<(), RotateError> {
    world.broker().rotate_root(&request(ROOT), "database/", "app").await.map(|_| ())
}

pub(crate) async fn rotate_root_hourly(world: &World) {
    let write = TargetWrite {
        mount: "database/".into(),
        name: "app".into(),
        rotation: every(HOUR),
        ..TargetWrite::default()
    };
    world.broker().write_target(&request(ROOT), write).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_administrator_gets_another_secret_and_all_goes_on() {
    let (world, target) = world_with(every(HOUR)).await;
    let before = world.issue("app").await.unwrap();
    rotate_root(&world).await.unwrap();
    let now = target.password_of(ADMINISTRATOR).unwrap();
    assert_ne!(now, FIRST_PASSWORD);
    world.issue("app").await.unwrap();
    let revoked = world.broker();
    let until = leasehold_core::broker::Until::Settled;
    revoked.revoke(&request(ROOT), &before.lease_id, until).await.unwrap();
    world.restart().await;
    world.issue("app").await.unwrap();
    assert!(!world.audit.lines().concat().contains(&now));
    assert!(
        !world.opened().await.iter().any(|(_, plain)| plain.contains(FIRST_PASSWORD)),
        "it is erased"
    );
}

#[tokio::test(start_paused = true)]
async fn a_death_at_any_moment_locks_nobody_out() {
    for moment in 0..24 {
        let (world, target) = world_with(every(24 * HOUR)).await;
        target.mood(Mood::Slow(5 * SECOND));
        let broker = world.broker();
        let rotating = tokio::spawn(async move {
            let _ = broker.rotate_root(&request(ROOT), "database/", "app").await;
        });
        world.pass(moment * SECOND / 2).await;
        rotating.abort();
        world.restart().await;
        somebody_knows_it(&world, &target, ADMINISTRATOR).await;
        world.pass(MINUTE).await;
        somebody_knows_it(&world, &target, ADMINISTRATOR).await;
        target.mood(Mood::Well);
        world.pass(30 * MINUTE).await;
        world.issue("app").await.unwrap_or_else(|error| panic!("moment {moment}: {error}"));
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_late_effects_lock_nobody_out() {
    for mood in
        [Mood::LosingAnswers, Mood::Late(30 * SECOND), Mood::Late(10 * MINUTE), Mood::Hanging]
    {
        let (world, target) = world_with(every(24 * HOUR)).await;
        target.mood(mood);
        assert!(rotate_root(&world).await.is_err());
        somebody_knows_it(&world, &target, ADMINISTRATOR).await;
        target.mood(Mood::Well);
        world.pass(HOUR).await;
        assert_ne!(target.password_of(ADMINISTRATOR).as_deref(), Some(FIRST_PASSWORD));
        world.issue("app").await.unwrap_or_else(|error| panic!("{mood:?}: {error}"));
    }
    for commit in 0..3 {
        let (world, target) = world_with(every(24 * HOUR)).await;
        world.store.refuse_one(commit);
        let _ = rotate_root(&world).await;
        somebody_knows_it(&world, &target, ADMINISTRATOR).await;
        world.pass(30 * MINUTE).await;
        world.issue("app").await.unwrap_or_else(|error| panic!("commit {commit}: {error}"));
    }
    let (world, target) = world_with(every(24 * HOUR)).await;
    world.store.fail(Some(StoreError::Uncertain("the disk is slow".into())));
    assert!(rotate_root(&world).await.is_err());
    assert_eq!(
        target.password_of(ADMINISTRATOR).as_deref(),
        Some(FIRST_PASSWORD),
        "nothing was asked"
    );
    world.store.fail(None);
    world.issue("app").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_administrator_is_rotated_by_its_configurations_period() {
    let (world, target) = world_with(every(24 * HOUR)).await;
    rotate_root_hourly(&world).await;
    world.pass(HOUR + 2 * MINUTE).await;
    let first = target.password_of(ADMINISTRATOR);
    assert_ne!(first.as_deref(), Some(FIRST_PASSWORD));
    world.restart().await;
    world.pass(HOUR + 5 * MINUTE).await;
    assert_ne!(target.password_of(ADMINISTRATOR), first);
    world.issue("app").await.unwrap();
    assert_ne!(told(&world).await.unwrap(), OLD);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_had_begun_before_a_target_was_pointed_elsewhere_is_in_nobodys_way() {
    for (mood, leases) in [
        (Mood::Down, 0),
        (Mood::Down, 1),
        (Mood::Hanging, 0),
        (Mood::Hanging, 1),
        (Mood::LosingAnswers, 1),
        (Mood::Late(30 * SECOND), 1),
    ] {
        let (world, old) = world_with(every(24 * HOUR)).await;
        for _ in 0..leases {
            world.issue("app").await.unwrap();
        }
        old.mood(mood);
        rotate_root(&world).await.unwrap_err();
        let new = point_elsewhere(&world).await;
        for _ in 0..3 {
            let before = new.password_of(ADMINISTRATOR);
            let rotated = rotate_root(&world).await;
            assert_eq!(rotated, Ok(()), "{mood:?}, {leases} leases");
            assert_ne!(new.password_of(ADMINISTRATOR), before, "{mood:?}, {leases} leases");
            world.issue("app").await.unwrap();
            if leases > 0 {
                somebody_knows_it(&world, &old, ADMINISTRATOR).await;
            }
            world.pass(50 * SECOND).await;
            world.broker().housekeep().await.unwrap();
        }
        // What was lent before is revoked by what the administrator has there by now.
        old.mood(Mood::Well);
        world.pass(3 * HOUR).await;
        world.broker().housekeep().await.unwrap();
        assert_eq!((old.credentials().len(), new.credentials().len()), (0, 0), "{mood:?}");
        assert_eq!((world.leases(), world.store.count("retired/")), (0, 0), "{mood:?}");
        assert_eq!(world.store.count("root-rotation/"), 1, "{mood:?}: it went with its target");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_land_at_a_target_that_is_configured_no_longer_is_known_until_it_has() {
    for deleted in [false, true] {
        let (world, old) = world_with(every(24 * HOUR)).await;
        old.mood(Mood::Late(50 * SECOND));
        rotate_root(&world).await.unwrap_err();
        if deleted {
            let (broker, root) = (world.broker(), request(ROOT));
            broker.delete_target(&root, "database/", "app", false).await.unwrap();
        } else {
            point_elsewhere(&world).await;
        }
        old.mood(Mood::Hanging);
        for _ in 0..5 {
            world.broker().housekeep().await.unwrap();
            somebody_knows_it(&world, &old, ADMINISTRATOR).await;
            world.pass(10 * SECOND).await;
        }
        old.mood(Mood::Down);
        world.pass(5 * MINUTE).await;
        world.broker().housekeep().await.unwrap();
        assert_eq!((world.store.count("retired/"), world.store.count("root-rotation/")), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_administrators_period_goes_on_at_another_server_also_after_a_restart() {
    let (world, _old) = world_with(every(24 * HOUR)).await;
    rotate_root_hourly(&world).await;
    let new = point_elsewhere(&world).await;
    world.pass(2 * MINUTE).await;
    world.broker().housekeep().await.unwrap();
    assert_eq!(world.store.count("retired/"), 0);
    world.restart().await;
    for _ in 0..3 {
        let before = new.password_of(ADMINISTRATOR);
        world.pass(HOUR + 5 * MINUTE).await;
        assert_ne!(new.password_of(ADMINISTRATOR), before);
    }
    let readings = world.broker().readings();
    assert_eq!(readings.overdue.0, 0, "nothing is due at the one of before");
}
