//! The administrator's own secret is rotated, and nobody is ever locked out.

use crate::{HOUR, MINUTE, OLD, SECOND, every, somebody_knows_it, told, world_with};
use leasehold_core::broker::{RotateError, TargetWrite};
use leasehold_core::schedule::PlanWrite;
use leasehold_core::store::StoreError;
use leasehold_integration_tests::world::target::{ADMINISTRATOR, FIRST_PASSWORD, Mood};
use leasehold_integration_tests::world::{ROOT, World, request};

pub(crate) async fn rotate_root(world: &World) -> Result<(), RotateError> {
    world.broker().rotate_root(&request(ROOT), "database/", "app").await.map(|_| ())
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
    let write = |plan: PlanWrite| TargetWrite {
        mount: "database/".into(),
        name: "app".into(),
        rotation: plan,
        ..TargetWrite::default()
    };
    world.broker().write_target(&request(ROOT), write(every(HOUR))).await.unwrap();
    world.pass(HOUR + 2 * MINUTE).await;
    let first = target.password_of(ADMINISTRATOR);
    assert_ne!(first.as_deref(), Some(FIRST_PASSWORD));
    world.restart().await;
    world.pass(HOUR + 5 * MINUTE).await;
    assert_ne!(target.password_of(ADMINISTRATOR), first);
    world.issue("app").await.unwrap();
    assert_ne!(told(&world).await.unwrap(), OLD);
}
