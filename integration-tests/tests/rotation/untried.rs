//! What a store that was restored tells of an account before its target was compared: only what is let in.

use crate::roots::rotate_root;
use crate::{HOUR, MINUTE, SECOND, every, rotate, told, world_with};
use leasehold_core::broker::StaticRoleError;
use leasehold_integration_tests::world::World;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use std::sync::Arc;
use std::time::Duration;

/// A world that was restored to a backup, and the store of which is not compared yet.
async fn restored(after_the_backup: impl AsyncFn(&World)) -> (World, Arc<SimulatedTarget>) {
    let (world, target) = world_with(every(Duration::from_hours(24))).await;
    let backup = world.back_up().await;
    after_the_backup(&world).await;
    (world.restored(&backup).await, target)
}

async fn withheld(world: &World) -> String {
    let refused = told(world).await.unwrap_err();
    let is_told = matches!(refused, StaticRoleError::Untried(_) | StaticRoleError::Older(_));
    assert!(is_told, "{refused:?}");
    refused.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_rotated_after_the_backup_is_never_told() {
    let (world, target) = restored(async |world| rotate(world).await.unwrap()).await;
    for _ in 0..100 {
        let why = withheld(&world).await;
        assert!(why.contains("restore") || why.contains("older than the target"), "{why}");
        world.pass(SECOND).await;
    }
    assert_eq!(world.store.count("hold/"), 0, "it was compared by then");
    rotate(&world).await.unwrap();
    assert_eq!(told(&world).await.ok(), target.password_of("billing"));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_tried_once_and_not_as_often_as_it_is_asked_for() {
    let (world, target) = restored(async |world| rotate(world).await.unwrap()).await;
    withheld(&world).await;
    let asked = target.asked_times();
    for _ in 0..20 {
        withheld(&world).await;
    }
    assert_eq!(target.asked_times(), asked, "an account may be locked for too many wrong logins");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_still_works_is_told_at_once() {
    let (world, target) = restored(async |_| {}).await;
    world.pass(SECOND).await;
    let asked = target.asked_times();
    for _ in 0..20 {
        assert_eq!(told(&world).await.ok(), target.password_of("billing"));
    }
    assert_eq!(target.asked_times(), asked + 1, "it is tried once");
    assert!(world.store.count("hold/") > 0, "nothing was compared yet");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_down_tells_as_soon_as_it_is_up() {
    for (mood, span) in [(Mood::Down, HOUR), (Mood::Hanging, MINUTE / 2)] {
        let (world, target) = restored(async |_| {}).await;
        target.mood(mood);
        world.pass(span).await;
        let why = withheld(&world).await;
        assert!(why.contains("down") || why.contains("lost"), "{mood:?}: {why}");
        target.mood(Mood::Well);
        assert_eq!(told(&world).await.ok(), target.password_of("billing"), "{mood:?}");
        assert!(world.store.count("hold/") > 0, "it was not compared yet");
    }
}

#[tokio::test(start_paused = true)]
async fn an_administrator_who_is_not_let_in_withholds_no_account_that_is() {
    let (world, target) = restored(async |world| rotate_root(world).await.unwrap()).await;
    for _ in 0..5 {
        assert_eq!(told(&world).await.ok(), target.password_of("billing"));
        world.pass(HOUR).await;
        world.restart().await;
    }
    assert!(world.store.count("hold/") > 0);
}

/// What the process of before the restore had asked lands after it.
#[tokio::test(start_paused = true)]
async fn what_lands_after_the_restore_is_found_out_without_a_comparison() {
    let (world, target) = restored(async |world| rotate_root(world).await.unwrap()).await;
    let before = told(&world).await.unwrap();
    assert_eq!(target.password_of("billing").as_ref(), Some(&before));
    world.pass(50 * SECOND).await;
    target.set_password("billing", "landed-late");
    world.pass(20 * SECOND).await;
    withheld(&world).await;
    world.pass(10 * MINUTE).await;
    withheld(&world).await;
}

#[tokio::test(start_paused = true)]
async fn an_account_is_tried_by_one_at_a_time() {
    let (world, target) = restored(async |_| {}).await;
    world.pass(SECOND).await;
    target.mood(Mood::Slow(5 * SECOND));
    let asked = target.asked_times();
    let all = futures_util::future::join_all((0..20).map(|_| told(&world))).await;
    assert_eq!(all.iter().filter(|told| told.is_ok()).count(), 1);
    assert!(
        all.iter()
            .filter_map(|told| told.as_ref().err())
            .all(|it| { it.to_string().contains("being tried") })
    );
    assert_eq!(target.asked_times(), asked + 1);
}
