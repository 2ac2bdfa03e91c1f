//! A store of an earlier hour, or a copy of it, rotates nothing that went on without it.

use crate::roots::rotate_root;
use crate::{HOUR, MINUTE, SECOND, every, rotate, somebody_knows_it, told, world_with};
use leasehold_core::broker::{
    IssueError, RotateError, StaticRoleError, TargetError, TargetWrite, Until,
};
use leasehold_integration_tests::world::target::{
    ADMINISTRATOR, FIRST_PASSWORD, Mood, SimulatedTarget,
};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;

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

/// A world with a lease, its backup, and what its administrator was rotated to after that.
async fn rotated_since_a_backup() -> (World, Arc<SimulatedTarget>, Vec<u8>, String) {
    let (world, target) = world_with(every(HOUR)).await;
    world.issue("app").await.unwrap();
    let backup = world.back_up().await;
    rotate_root(&world).await.unwrap();
    let has = target.password_of(ADMINISTRATOR).unwrap();
    (world, target, backup, has)
}

#[tokio::test(start_paused = true)]
async fn an_administrator_who_was_rotated_after_the_backup_stops_issues_until_the_secret_is_given()
{
    let (world, target, backup, has) = rotated_since_a_backup().await;

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

/// Points the target at another server, which is not the same.
pub(crate) async fn point_elsewhere(world: &World) -> Arc<SimulatedTarget> {
    let (other, fields) = SimulatedTarget::named("app");
    let write = TargetWrite {
        mount: "database/".into(),
        name: "app".into(),
        moved: Some(false),
        fields,
        ..TargetWrite::default()
    };
    world.broker().write_target(&request(ROOT), write).await.unwrap();
    other
}

/// Returns what names the one identity that is configured no longer and has leases.
async fn earlier(world: &World) -> String {
    let all = world.broker().gone(&request(ROOT), "database/", "app").await.unwrap();
    let [one] = all.0.as_slice() else { panic!("{all:?}") };
    one.generation.clone()
}

async fn write_earlier(
    world: &World,
    generation: &str,
    more: TargetWrite,
) -> Result<(), TargetError> {
    let write = TargetWrite {
        mount: "database/".into(),
        name: "app".into(),
        generation: Some(generation.into()),
        ..more
    };
    world.broker().write_target(&request(ROOT), write).await
}

fn password(text: &str) -> TargetWrite {
    let fields = [("password".to_owned(), text.into())].into_iter().collect();
    TargetWrite { fields, ..TargetWrite::default() }
}

#[tokio::test(start_paused = true)]
async fn what_was_lent_before_a_target_was_pointed_elsewhere_is_revoked_once_the_secret_is_given() {
    let (world, target, backup, has) = rotated_since_a_backup().await;
    let restored = world.restored(&backup).await;
    restored.pass(SECOND).await;
    let other = point_elsewhere(&restored).await;
    restored.pass(5 * MINUTE).await;
    restored.issue("app").await.unwrap();
    restored.pass(3 * HOUR).await;
    assert_eq!((target.credentials().len(), other.credentials().len()), (1, 0));

    let generation = earlier(&restored).await;
    let held = restored.broker().restore_status(&request(ROOT)).await.unwrap();
    let [held] = held.as_slice() else { panic!("{held:?}") };
    let why = held.error.clone().unwrap();
    assert!(why.contains(&format!("written with `generation={generation}`")), "{why}");
    let wrong = write_earlier(&restored, &generation, password("guessed")).await;
    assert!(matches!(wrong, Err(TargetError::Verify(_))), "{wrong:?}");
    assert_eq!(restored.broker().readings().older, 1);

    write_earlier(&restored, &generation, password(&has)).await.unwrap();
    assert_eq!(restored.broker().readings().older, 0);
    restored.pass(5 * MINUTE).await;
    assert_eq!((restored.leases(), target.credentials().len()), (0, 0));
    restored.broker().housekeep().await.unwrap();
    assert_eq!((restored.store.count("hold/"), restored.store.count("retired/")), (0, 0));
    restored.issue("app").await.unwrap();
    assert_eq!(other.credentials().len(), 1, "what is configured is as it was");
}

#[tokio::test(start_paused = true)]
async fn the_secret_of_an_earlier_identity_may_be_changed_by_hand_as_any_other() {
    let (world, target) = world_with(every(HOUR)).await;
    world.issue("app").await.unwrap();
    point_elsewhere(&world).await;
    target.set_password(ADMINISTRATOR, "by-hand");
    world.pass(2 * HOUR).await;
    assert_eq!((world.leases(), target.credentials().len()), (1, 1));
    let generation = earlier(&world).await;
    write_earlier(&world, &generation, password("by-hand")).await.unwrap();
    world.pass(5 * MINUTE).await;
    assert_eq!((world.leases(), target.credentials().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_identity_of_a_target_becomes_no_other_and_takes_nothing_but_its_way() {
    let (world, target) = world_with(every(HOUR)).await;
    world.issue("app").await.unwrap();
    point_elsewhere(&world).await;
    let generation = earlier(&world).await;
    let (third, fields) = SimulatedTarget::named("app");
    let moved = Some(true);
    let elsewhere = TargetWrite { fields: fields.clone(), ..TargetWrite::default() };
    let moved = TargetWrite { fields, moved, ..TargetWrite::default() };
    let bounded = TargetWrite { max_credentials: Some(7), ..password(FIRST_PASSWORD) };
    let unseen = TargetWrite { verify_connection: Some(false), ..password("guessed") };
    let renamed = [("username".to_owned(), "another".into())].into_iter().collect();
    let renamed = TargetWrite { fields: renamed, ..TargetWrite::default() };
    for (more, why) in [
        (elsewhere, "write `moved=true`"),
        (moved, "another server"),
        (renamed, "another administrator"),
        (bounded, "only what reaches its server"),
        (unseen, "always verified"),
    ] {
        let refused = write_earlier(&world, &generation, more).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    for unknown in ["nobody", &generation.replace("-1", "-2")] {
        let refused = write_earlier(&world, unknown, password(FIRST_PASSWORD)).await.unwrap_err();
        assert!(matches!(refused, TargetError::NoEarlier { .. }), "{refused}");
    }
    world.pass(2 * HOUR).await;
    assert_eq!((world.leases(), target.credentials().len(), third.credentials().len()), (0, 0, 0));
}

/// A world that was restored to a backup with an intent that was not asked for yet, and was afterwards.
async fn restored_with_an_intent() -> (World, Arc<SimulatedTarget>) {
    let (world, target) = world_with(every(HOUR)).await;
    target.mood(Mood::Down);
    rotate(&world).await.unwrap_err();
    let backup = world.back_up().await;
    target.mood(Mood::Well);
    let served = target.password_of("billing");
    rotate(&world).await.unwrap();
    assert_ne!(target.password_of("billing"), served);
    (world.restored(&backup).await, target)
}

#[tokio::test(start_paused = true)]
async fn what_was_set_after_the_backup_and_intended_in_it_is_served_before_anything_is_told() {
    let (world, target) = restored_with_an_intent().await;
    let has = target.password_of("billing");
    target.mood(Mood::Slow(5 * SECOND));
    while world.store.count("hold/") > 0 {
        world.pass(SECOND).await;
    }
    let mut withheld = 0;
    for _ in 0..60 {
        match told(&world).await {
            Err(StaticRoleError::BeingRotated(_)) => withheld += 1,
            told => assert_eq!(told.ok(), has),
        }
        world.pass(SECOND).await;
    }
    assert!((1..30).contains(&withheld), "{withheld}");
    assert_eq!((told(&world).await.ok(), target.password_of("billing")), (has.clone(), has));
}

/// The target falls silent at every moment of the comparison in turn.
#[tokio::test(start_paused = true)]
async fn an_account_of_which_a_target_says_nothing_after_a_restore_keeps_what_may_be_its_secret() {
    let mut untried = 0;
    for moment in 0..40 {
        let (world, target) = restored_with_an_intent().await;
        let has = target.password_of("billing");
        target.mood(Mood::Slow(2 * SECOND));
        world.pass(55 * SECOND + moment * SECOND / 2).await;
        target.mood(Mood::LosingAnswers);
        for _ in 0..20 {
            world.pass(10 * SECOND).await;
            somebody_knows_it(&world, &target, "billing").await;
        }
        target.mood(Mood::Well);
        world.pass(2 * HOUR).await;
        if let Err(StaticRoleError::Older(why)) = told(&world).await {
            assert!(why.contains("did not say"), "{why}");
            assert_eq!(target.password_of("billing"), has, "nothing is rotated by itself");
            untried += 1;
            rotate(&world).await.unwrap();
        }
        assert_eq!(told(&world).await.ok(), target.password_of("billing"), "moment {moment}");
    }
    assert!(untried > 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_is_not_left_alone_after_a_restore_while_what_was_intended_may_be_its_secret() {
    let (world, target) = restored_with_an_intent().await;
    let delete = || async {
        world.broker().delete_static_role(&request(ROOT), "database/", "billing").await
    };
    let refused = delete().await.unwrap_err();
    assert!(matches!(refused, StaticRoleError::BeingRotated(_)), "{refused}");
    target.mood(Mood::Well);
    world.pass(HOUR).await;
    assert_eq!(told(&world).await.ok(), target.password_of("billing"));
    delete().await.unwrap();
}
