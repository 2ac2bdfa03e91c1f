//! A store of an earlier hour, or a copy of it, rotates nothing that went on without it.

use crate::roots::rotate_root;
use crate::{HOUR, MINUTE, SECOND, every, rotate, told, world_with};
use leasehold_core::broker::{
    IssueError, RotateError, StaticRoleError, TargetError, TargetWrite, Until,
};
use leasehold_integration_tests::world::target::{ADMINISTRATOR, FIRST_PASSWORD, Mood};
use leasehold_integration_tests::world::{ROOT, World, request};

/// Writes the administrator's password into the configuration.
async fn give(world: &World, token: &str, password: &str) -> Result<(), TargetError> {
    let write = TargetWrite {
        mount: "database/".into(),
        name: "app".into(),
        fields: [("password".to_owned(), password.into())].into_iter().collect(),
        ..TargetWrite::default()
    };
    world.broker().write_target(&request(token), write).await
}

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

#[tokio::test(start_paused = true)]
async fn an_administrator_who_was_rotated_after_the_backup_stops_issues_until_the_secret_is_given()
{
    let (world, target) = world_with(every(HOUR)).await;
    world.issue("app").await.unwrap();
    let backup = world.back_up().await;
    rotate_root(&world).await.unwrap();
    let has = target.password_of(ADMINISTRATOR).unwrap();

    let restored = world.restored(&backup).await;
    restored.pass(SECOND).await;
    for _ in 0..2 {
        let refused = restored.issue("app").await.map(|_| ()).unwrap_err();
        assert!(matches!(refused, IssueError::Older(_)), "{refused}");
        assert!(refused.to_string().contains("`database/config/app` is written"), "{refused}");
        let refused = rotate_root(&restored).await.unwrap_err();
        assert!(matches!(refused, RotateError::Older(_)), "{refused}");
        assert_eq!((restored.leases(), target.credentials().len()), (1, 1), "nothing was asked");
        assert_eq!(restored.broker().readings().older, 1);
        restored.pass(HOUR).await;
        restored.restart().await;
        restored.pass(SECOND).await;
    }
    let held = restored.broker().restore_status(&request(ROOT)).await.unwrap();
    assert!(held[0].hold.older_since.is_some());
    assert!(held[0].error.as_deref().unwrap().contains("older than the target"));
    let shown = restored.broker().read_target(&request(ROOT), "database/", "app").await.unwrap();
    assert!(shown.older.unwrap().to_string().contains("older than the target"));

    let wrong = give(&restored, ROOT, "guessed").await;
    assert!(matches!(wrong, Err(TargetError::Verify(_))), "{wrong:?}");
    assert!(matches!(restored.issue("app").await, Err(IssueError::Older(_))));
    give(&restored, ROOT, &has).await.unwrap();
    let lent = restored.issue("app").await.unwrap();
    assert_eq!(restored.broker().readings().older, 0);
    restored.pass(2 * MINUTE).await;
    assert_eq!(restored.store.count("hold/"), 0);
    assert_eq!(target.credentials().len(), 1, "what had lapsed meanwhile is gone");
    rotate_root(&restored).await.unwrap();
    let revoked = restored.broker();
    revoked.revoke(&request(ROOT), &lent.lease_id, Until::Settled).await.unwrap();
    assert_eq!((restored.leases(), target.credentials().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_gets_the_password_of_the_backup_again_is_used_again_by_itself() {
    let (world, target) = world_with(every(HOUR)).await;
    let backup = world.back_up().await;
    rotate_root(&world).await.unwrap();
    let restored = world.restored(&backup).await;
    restored.pass(HOUR).await;
    assert!(matches!(restored.issue("app").await, Err(IssueError::Older(_))));
    target.set_password(ADMINISTRATOR, FIRST_PASSWORD);
    restored.pass(16 * MINUTE).await;
    restored.issue("app").await.unwrap();
    assert_eq!((restored.broker().readings().older, restored.store.count("hold/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_after_a_restore_is_not_taken_for_one_with_another_secret() {
    for mood in [Mood::Down, Mood::Hanging, Mood::LosingAnswers] {
        let (world, target) = world_with(every(HOUR)).await;
        let backup = world.back_up().await;
        target.mood(mood);
        let restored = world.restored(&backup).await;
        restored.pass(HOUR).await;
        assert_eq!(restored.broker().readings().older, 0, "{mood:?}");
        target.mood(Mood::Well);
        restored.pass(16 * MINUTE).await;
        restored.issue("app").await.unwrap_or_else(|error| panic!("{mood:?}: {error}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_of_any_moment_of_a_rotation_opens_the_target_or_says_that_it_does_not() {
    let (mut opened, mut refused) = (0, 0);
    for moment in 0..24 {
        let (world, target) = world_with(every(24 * HOUR)).await;
        target.mood(Mood::Slow(5 * SECOND));
        let broker = world.broker();
        let rotating = tokio::spawn(async move {
            broker.rotate_root(&request(ROOT), "database/", "app").await.map(|_| ())
        });
        world.pass(moment * SECOND / 2).await;
        let backup = world.back_up().await;
        rotating.await.unwrap().unwrap();
        target.mood(Mood::Well);
        let has = target.password_of(ADMINISTRATOR).unwrap();
        let restored = world.restored(&backup).await;
        let knows = restored.opened().await.iter().any(|(_, plain)| plain.contains(&has));
        restored.pass(2 * MINUTE).await;
        let lent = restored.issue("app").await.map(|_| ());
        assert_eq!(lent.is_ok(), knows, "moment {moment}: {lent:?}");
        assert!(knows || matches!(lent, Err(IssueError::Older(_))), "moment {moment}: {lent:?}");
        *(if knows { &mut opened } else { &mut refused }) += 1;
        restored.pass(HOUR).await;
        assert_eq!(target.password_of(ADMINISTRATOR), Some(has), "nothing is rotated twice");
    }
    assert!(opened > 0 && refused > 0, "{opened} opened, {refused} refused");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_takes_over_a_target_with_another_secret_lends_nothing_until_it_is_given() {
    let (world, target) = world_with(every(HOUR)).await;
    let backup = world.back_up().await;
    let (copy, root) = world.copied(&backup).await;
    rotate_root(&world).await.unwrap();
    world.stop_sweeping();
    copy.broker().take_over(&request(&root), "database/app").await.unwrap();
    let refused = copy.issue_as(&root, "app").await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, IssueError::Older(_)), "{refused}");
    let has = target.password_of(ADMINISTRATOR).unwrap();
    give(&copy, &root, &has).await.unwrap();
    copy.issue_as(&root, "app").await.unwrap();
    copy.pass(2 * MINUTE).await;
    assert_eq!(copy.store.count("hold/"), 0);
}
