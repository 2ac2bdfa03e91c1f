//! A store of an earlier hour, or a copy of it, rotates nothing that went on without it.

use crate::{HOUR, MINUTE, every, rotate, told, world_with};
use leasehold_core::broker::StaticRoleError;
use leasehold_integration_tests::world::{ROOT, request};

#[tokio::test(start_paused = true)]
async fn a_secret_that_still_works_after_a_restore_is_told_and_rotated() {
    let (world, target) = world_with(every(HOUR)).await;
    let backup = world.back_up().await;
    let restored = world.restored(&backup).await;
    restored.pass(5 * MINUTE).await;
    assert_eq!(told(&restored).await.ok(), target.password_of("billing"));
    let before = target.password_of("billing");
    restored.pass(HOUR).await;
    assert_ne!(target.password_of("billing"), before);
    assert_eq!(told(&restored).await.ok(), target.password_of("billing"));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_rotated_after_the_backup_is_neither_told_nor_rotated_by_itself() {
    let (world, target) = world_with(every(HOUR)).await;
    let backup = world.back_up().await;
    rotate(&world).await.unwrap();
    let went_on = target.password_of("billing");
    let restored = world.restored(&backup).await;
    restored.pass(5 * MINUTE).await;
    let refused = told(&restored).await.unwrap_err();
    assert!(matches!(refused, StaticRoleError::Older(_)), "{refused}");
    assert!(refused.to_string().contains("older than the target"), "{refused}");
    restored.pass(5 * HOUR).await;
    assert_eq!(target.password_of("billing"), went_on, "whoever else rotates it goes on");
    rotate(&restored).await.unwrap();
    assert_eq!(told(&restored).await.ok(), target.password_of("billing"));
    let before = target.password_of("billing");
    restored.pass(HOUR + 5 * MINUTE).await;
    assert_ne!(target.password_of("billing"), before, "it is ours again");
}

#[tokio::test(start_paused = true)]
async fn a_copy_rotates_and_tells_nothing_until_it_takes_the_target_over() {
    let (world, target) = world_with(every(HOUR)).await;
    let backup = world.back_up().await;
    let (copy, root) = world.copied(&backup).await;
    let asked = target.asked_times();
    world.stop_sweeping();
    copy.pass(3 * HOUR).await;
    assert_eq!(target.asked_times(), asked);
    let refused =
        copy.broker().static_credential(&request(&root), "database/", "billing").await.unwrap_err();
    assert!(refused.to_string().contains("take-over"), "{refused}");
    rotate(&world).await.unwrap();
    copy.broker().take_over(&request(&root), "database/app").await.unwrap();
    let before = target.password_of("billing");
    copy.pass(3 * HOUR).await;
    assert_eq!(target.password_of("billing"), before, "the other one rotates it");
    assert!(request(ROOT).token.is_some());
}
