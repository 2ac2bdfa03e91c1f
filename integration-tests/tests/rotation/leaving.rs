//! Accounts that are left alone: with their static role, or with their mount. No secret is forgotten that may be theirs.

use crate::roots::{rotate_root, rotate_root_hourly};
use crate::{HOUR, MINUTE, SECOND, every, rotate, somebody_knows_it, told, world_with};
use leasehold_core::broker::{MountError, Side, StaticRoleError};
use leasehold_integration_tests::world::target::{ADMINISTRATOR, FIRST_PASSWORD, Mood};
use leasehold_integration_tests::world::{ROOT, World, request};

async fn disable(world: &World) -> Result<(), MountError> {
    world.broker().disable_mount(&request(ROOT), (Side::Engines, "database")).await
}

async fn delete_role(world: &World) -> Result<(), StaticRoleError> {
    world.broker().delete_static_role(&request(ROOT), "database/", "billing").await
}

async fn delete_target(world: &World) {
    world.broker().delete_target(&request(ROOT), "database/", "app", false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_mount_is_not_disabled_while_it_alone_knows_the_secret_of_an_account() {
    for mood in [Mood::LosingAnswers, Mood::Late(30 * SECOND), Mood::Hanging] {
        let (world, target) = world_with(every(24 * HOUR)).await;
        target.mood(mood);
        rotate(&world).await.unwrap_err();
        for _ in 0..20 {
            let refused = disable(&world).await.map_err(|error| error.to_string());
            world.broker().housekeep().await.unwrap();
            somebody_knows_it(&world, &target, "billing").await;
            let refused = refused.unwrap_err();
            assert!(refused.contains("static role `billing`"), "{mood:?}: {refused}");
            world.pass(15 * SECOND).await;
        }
        target.mood(Mood::Well);
        world.pass(20 * MINUTE).await;
        assert_eq!(told(&world).await.ok(), target.password_of("billing"), "it was carried on");
        disable(&world).await.unwrap();
        world.broker().housekeep().await.unwrap();
        assert_eq!((world.store.count("static-"), world.store.count("mount/")), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_mount_is_not_disabled_while_it_alone_knows_the_secret_of_an_administrator() {
    for mood in [Mood::LosingAnswers, Mood::Late(30 * SECOND)] {
        let (world, target) = world_with(every(24 * HOUR)).await;
        target.mood(mood);
        rotate_root(&world).await.unwrap_err();
        let refused = disable(&world).await.map_err(|error| error.to_string());
        world.broker().housekeep().await.unwrap();
        somebody_knows_it(&world, &target, ADMINISTRATOR).await;
        let refused = refused.unwrap_err();
        assert!(refused.contains("administrator of `app`"), "{mood:?}: {refused}");
        target.mood(Mood::Well);
        world.pass(20 * MINUTE).await;
        disable(&world).await.unwrap();
        world.broker().housekeep().await.unwrap();
        assert_eq!((world.store.count("root-rotation/"), world.store.count("mount/")), (0, 0));
    }
}

/// What is due while a mount is disabled, at every moment of it.
#[tokio::test(start_paused = true)]
async fn a_mount_that_is_disabled_amid_a_rotation_leaves_a_secret_that_was_told_or_is_refused() {
    let (mut disabled, mut refused) = (0, 0);
    for moment in 0..24 {
        let (world, target) = world_with(every(24 * HOUR)).await;
        let last = told(&world).await.ok();
        target.mood(Mood::Slow(5 * SECOND));
        let broker = world.broker();
        let rotating = tokio::spawn(async move {
            broker.rotate_role(&request(ROOT), "database/", "billing").await
        });
        world.pass(moment * SECOND / 2).await;
        let is_disabled = disable(&world).await.is_ok();
        let rotated = rotating.await.unwrap();
        target.mood(Mood::Well);
        world.pass(2 * MINUTE).await;
        world.broker().housekeep().await.unwrap();
        if is_disabled {
            let told_last = if rotated.is_ok() { None } else { last };
            let has = target.password_of("billing");
            assert!(told_last.is_none_or(|it| Some(it) == has), "moment {moment}");
            assert_eq!(world.store.count("static-"), 0);
            disabled += 1;
        } else {
            assert_eq!(told(&world).await.ok(), target.password_of("billing"), "moment {moment}");
            refused += 1;
        }
    }
    assert!(disabled > 0 && refused > 0, "{disabled} disabled, {refused} refused");
}

#[tokio::test(start_paused = true)]
async fn a_mount_whose_target_is_down_is_disabled_at_once_whatever_is_due_there() {
    let (world, target) = world_with(every(HOUR)).await;
    let last = told(&world).await.ok();
    target.mood(Mood::Down);
    world.pass(2 * HOUR).await;
    disable(&world).await.unwrap();
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    world.broker().housekeep().await.unwrap();
    assert_eq!(world.store.count("static-"), 0);
    assert_eq!(target.password_of("billing"), last, "it has what was told last");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_for_ever_keeps_no_account_once_nothing_can_land() {
    for of_a_mount in [false, true] {
        let (world, target) = world_with(every(24 * HOUR)).await;
        target.mood(Mood::Late(50 * SECOND));
        rotate(&world).await.unwrap_err();
        delete_target(&world).await;
        let leave = async || {
            if of_a_mount {
                disable(&world).await.map_err(|error| error.to_string())
            } else {
                delete_role(&world).await.map_err(|error| error.to_string())
            }
        };
        for _ in 0..5 {
            let refused = leave().await;
            world.broker().housekeep().await.unwrap();
            somebody_knows_it(&world, &target, "billing").await;
            refused.unwrap_err();
            world.pass(10 * SECOND).await;
        }
        world.pass(MINUTE).await;
        leave().await.unwrap();
        world.broker().housekeep().await.unwrap();
        assert_eq!(world.store.count("static-"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn no_administrator_is_rotated_in_a_mount_that_was_disabled() {
    let (world, target) = world_with(every(24 * HOUR)).await;
    rotate_root_hourly(&world).await;
    world.issue("app").await.unwrap();
    target.mood(Mood::RefusingRevocations);
    disable(&world).await.unwrap();
    world.pass(3 * HOUR).await;
    assert_eq!(target.password_of(ADMINISTRATOR).as_deref(), Some(FIRST_PASSWORD));
    target.mood(Mood::Well);
    world.pass(20 * MINUTE).await;
    world.broker().housekeep().await.unwrap();
    assert_eq!((world.leases(), world.store.count("mount/")), (0, 0));
}
