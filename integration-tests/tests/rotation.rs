//! Accounts whose secret is rotated, in simulated worlds: whatever dies, answers late or is lost, there is always a
//! stored secret that works, or an intent that is rolled forward, and nothing is told that does not work.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "whatever is not as expected fails the test at once"
)]

#[path = "rotation/leaving.rs"]
mod leaving;
#[path = "rotation/plans.rs"]
mod plans;
#[path = "rotation/records.rs"]
mod records;
#[path = "rotation/restores.rs"]
mod restores;
#[path = "rotation/roots.rs"]
mod roots;
#[path = "rotation/untried.rs"]
mod untried;

use leasehold_core::broker::{RotateError, StaticRoleError, StaticRoleWrite, TargetWrite};
use leasehold_core::schedule::PlanWrite;
use leasehold_core::secret::Field;
use leasehold_core::store::StoreError;
use leasehold_integration_tests::world::target::{ADMINISTRATOR, Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const OLD: &str = "what-the-operator-set";

pub(crate) fn every(period: Duration) -> PlanWrite {
    PlanWrite { period: Some(period), ..PlanWrite::default() }
}

pub(crate) fn billing(plan: PlanWrite) -> StaticRoleWrite {
    StaticRoleWrite {
        mount: "database/".into(),
        name: "billing".into(),
        target: Some("app".into()),
        username: Some("billing".into()),
        plan,
        ..StaticRoleWrite::default()
    }
}

pub(crate) async fn write(world: &World, wanted: StaticRoleWrite) -> Result<(), StaticRoleError> {
    world.broker().write_static_role(&request(ROOT), wanted).await
}

/// A world with an account that is managed.
pub(crate) async fn world_with(plan: PlanWrite) -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    target.set_password("billing", OLD);
    write(&world, billing(plan)).await.unwrap();
    (world, target)
}

/// What callers are told.
pub(crate) async fn told(world: &World) -> Result<String, StaticRoleError> {
    let told = world.broker().static_credential(&request(ROOT), "database/", "billing").await?;
    let password = told.secret.fields().find_map(|(name, field)| match field {
        Field::Hidden(text) if name == "password" => Some(text.reveal().to_owned()),
        Field::Hidden(_) | Field::Open(_) => None,
    });
    Ok(password.unwrap())
}

pub(crate) async fn rotate(world: &World) -> Result<(), RotateError> {
    world.broker().rotate_role(&request(ROOT), "database/", "billing").await
}

/// Whatever is told works.
async fn nothing_wrong_is_told(world: &World, target: &SimulatedTarget) {
    match told(world).await {
        Ok(password) => assert_eq!(Some(password), target.password_of("billing")),
        Err(StaticRoleError::BeingRotated(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The account's secret is in the store, whether it is served or only intended.
async fn somebody_knows_it(world: &World, target: &SimulatedTarget, name: &str) {
    let password = target.password_of(name).unwrap();
    let opened = world.opened().await;
    assert!(opened.iter().any(|(_, plain)| plain.contains(&password)), "nobody knows it");
}

#[tokio::test(start_paused = true)]
async fn a_new_static_role_is_rotated_before_it_is_told() {
    let (world, target) = world_with(every(HOUR)).await;
    let first = told(&world).await.unwrap();
    assert_ne!(first, OLD);
    assert_eq!(target.password_of("billing"), Some(first.clone()));
    rotate(&world).await.unwrap();
    let second = told(&world).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(target.password_of("billing"), Some(second.clone()));
    let stored = String::from_utf8_lossy(&world.store.bytes()).into_owned();
    let lines = world.audit.lines().concat();
    for secret in [first, second] {
        assert!(!stored.contains(&secret) && !lines.contains(&secret), "it is sealed, and hashed");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_is_rotated_when_its_period_is_over() {
    let (world, target) = world_with(every(HOUR)).await;
    let mut seen = vec![told(&world).await.unwrap()];
    for _ in 0..3 {
        world.pass(HOUR + 2 * MINUTE).await;
        seen.push(told(&world).await.unwrap());
    }
    seen.dedup();
    assert_eq!(seen.len(), 4);
    assert_eq!(target.password_of("billing").as_ref(), seen.last());
}

/// The process dies at every moment of a rotation, with a target that takes its time for every answer.
#[tokio::test(start_paused = true)]
async fn a_death_at_any_moment_leaves_a_secret_that_is_known_and_rolled_forward() {
    for moment in 0..24 {
        let (world, target) = world_with(every(HOUR)).await;
        target.mood(Mood::Slow(5 * SECOND));
        let broker = world.broker();
        let rotating = tokio::spawn(async move {
            let _ = broker.rotate_role(&request(ROOT), "database/", "billing").await;
        });
        world.pass(moment * SECOND / 2).await;
        nothing_wrong_is_told(&world, &target).await;
        rotating.abort();
        world.restart().await;
        for _ in 0..60 {
            nothing_wrong_is_told(&world, &target).await;
            somebody_knows_it(&world, &target, "billing").await;
            world.pass(SECOND).await;
        }
        target.mood(Mood::Well);
        world.pass(20 * MINUTE).await;
        assert_eq!(told(&world).await.ok(), target.password_of("billing"), "moment {moment}");
    }
}

/// Every commit of a rotation is refused in turn, then is uncertain in turn.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_at_any_commit_loses_no_secret() {
    for commit in 0..6 {
        let (world, target) = world_with(every(HOUR)).await;
        world.store.refuse_one(commit);
        let _ = rotate(&world).await;
        somebody_knows_it(&world, &target, "billing").await;
        nothing_wrong_is_told(&world, &target).await;
        world.pass(20 * MINUTE).await;
        assert_eq!(told(&world).await.ok(), target.password_of("billing"), "commit {commit}");
    }
    let (world, target) = world_with(every(HOUR)).await;
    world.store.fail(Some(StoreError::Uncertain("the disk is slow".into())));
    assert!(rotate(&world).await.is_err());
    assert_eq!(
        target.password_of("billing"),
        told(&world).await.ok().or(target.password_of("billing"))
    );
    world.store.fail(None);
    world.restart().await;
    world.pass(20 * MINUTE).await;
    assert_eq!(told(&world).await.ok(), target.password_of("billing"));
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_or_come_late_end_in_the_secret_that_was_intended() {
    for mood in [
        Mood::LosingAnswers,
        Mood::Late(30 * SECOND),
        Mood::Late(10 * MINUTE),
        Mood::Hanging,
        Mood::Down,
    ] {
        let (world, target) = world_with(every(HOUR)).await;
        let before = told(&world).await.unwrap();
        target.mood(mood);
        assert!(rotate(&world).await.is_err(), "{mood:?}");
        let asked = mood != Mood::Down;
        assert_eq!(told(&world).await.is_err(), asked, "{mood:?}");
        somebody_knows_it(&world, &target, "billing").await;
        target.mood(Mood::Well);
        for _ in 0..30 {
            world.pass(MINUTE).await;
            nothing_wrong_is_told(&world, &target).await;
        }
        let after = told(&world).await.unwrap();
        assert_eq!(target.password_of("billing"), Some(after.clone()), "{mood:?}");
        assert_ne!(before, after, "{mood:?}");
    }
}

/// The second secret is not drawn while the first may still land.
#[tokio::test(start_paused = true)]
async fn a_late_effect_of_one_rotation_does_not_undo_the_next() {
    let (world, target) = world_with(every(HOUR)).await;
    target.mood(Mood::Late(30 * SECOND));
    assert!(rotate(&world).await.is_err());
    target.mood(Mood::Well);
    let mut rotated = 0;
    for _ in 0..150 {
        world.pass(SECOND).await;
        rotated += u32::from(rotate(&world).await.is_ok());
        nothing_wrong_is_told(&world, &target).await;
    }
    assert!(rotated > 10, "it goes on afterwards: {rotated}");
}

/// A secret that a target will not take is not asked for again and again.
#[tokio::test(start_paused = true)]
async fn a_secret_that_is_turned_down_makes_room_for_another() {
    let (world, target) = world_with(every(HOUR)).await;
    let before = told(&world).await.unwrap();
    target.turn_down(Some(""));
    let refused = rotate(&world).await.unwrap_err();
    assert!(matches!(refused, RotateError::Target(_)), "{refused}");
    assert_eq!(told(&world).await.unwrap(), before, "nothing was altered");
    let shown = world.broker().read_static_role(&request(ROOT), "database/", "billing").await;
    assert!(shown.unwrap().error.unwrap().contains("too weak"));
    target.turn_down(None);
    world.pass(HOUR).await;
    assert_ne!(told(&world).await.unwrap(), before);
    let shown = world.broker().read_static_role(&request(ROOT), "database/", "billing").await;
    assert_eq!(shown.unwrap().error, None);
}

#[tokio::test(start_paused = true)]
async fn a_role_whose_account_is_not_there_is_not_made() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let refused = write(&world, billing(every(HOUR))).await.unwrap_err();
    assert!(refused.to_string().contains("no such account"), "{refused}");
    assert!(matches!(told(&world).await, Err(StaticRoleError::NoRole(_))));
    assert_eq!(world.store.count("static-"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_role_whose_first_rotation_is_uncertain_is_carried_on() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    target.set_password("billing", OLD);
    target.mood(Mood::LosingAnswers);
    write(&world, billing(every(HOUR))).await.unwrap_err();
    assert!(matches!(told(&world).await, Err(StaticRoleError::BeingRotated(_))));
    somebody_knows_it(&world, &target, "billing").await;
    target.mood(Mood::Well);
    world.pass(20 * MINUTE).await;
    assert_eq!(told(&world).await.ok(), target.password_of("billing"));
}

#[tokio::test(start_paused = true)]
async fn an_account_has_one_manager_and_is_never_the_administrator() {
    let (world, target) = world_with(every(HOUR)).await;
    let second = StaticRoleWrite { name: "other".into(), ..billing(every(HOUR)) };
    let refused = write(&world, second).await.unwrap_err();
    assert!(refused.to_string().contains("static role `billing`"), "{refused}");
    let username = Some(ADMINISTRATOR.to_owned());
    let own = StaticRoleWrite { name: "own".into(), username, ..billing(every(HOUR)) };
    let refused = write(&world, own).await.unwrap_err();
    assert!(refused.to_string().contains("rotate-root"), "{refused}");
    let renamed = StaticRoleWrite { username: Some("x".into()), ..billing(PlanWrite::default()) };
    assert!(write(&world, renamed).await.is_err());
    let same_name =
        StaticRoleWrite { name: "app".into(), username: Some("x".into()), ..billing(every(HOUR)) };
    let refused = write(&world, same_name).await.unwrap_err();
    assert_eq!(refused.to_string(), "Role and Static Role names must be unique");
    assert_eq!(target.accounts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_static_role_leaves_its_account_as_it_is() {
    let (world, target) = world_with(every(HOUR)).await;
    let last = told(&world).await.unwrap();
    world.broker().delete_static_role(&request(ROOT), "database/", "billing").await.unwrap();
    world.pass(3 * HOUR).await;
    assert_eq!(target.password_of("billing"), Some(last));
    assert_eq!(world.store.count("static-"), 0);
    let another = StaticRoleWrite { name: "next".into(), ..billing(every(HOUR)) };
    write(&world, another).await.unwrap();
}

/// Two processes on one store: whoever commits second leaves it to the first.
#[tokio::test(start_paused = true)]
async fn two_nodes_never_serve_two_secrets() {
    for apart in 0..12 {
        let (world, target) = world_with(every(HOUR)).await;
        let other = world.beside(Arc::clone(&world.store)).await;
        target.mood(Mood::Slow(SECOND));
        let (one, two) = (world.broker(), other.broker());
        let rotating =
            tokio::spawn(
                async move { one.rotate_role(&request(ROOT), "database/", "billing").await },
            );
        world.pass(apart * SECOND / 4).await;
        let second = two.rotate_role(&request(ROOT), "database/", "billing").await;
        let first = rotating.await.unwrap();
        assert!(first.is_ok() || second.is_ok(), "{first:?} {second:?}");
        target.mood(Mood::Well);
        world.pass(20 * MINUTE).await;
        for node in [&world, &other] {
            assert_eq!(told(node).await.ok(), target.password_of("billing"), "{apart}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_slow_target_keeps_no_other_waiting() {
    let (world, slow) = world_with(every(MINUTE)).await;
    let quick = world.target("quick", "1h", "24h").await;
    quick.set_password("billing", OLD);
    let target = Some("quick".to_owned());
    write(&world, StaticRoleWrite { name: "quick-one".into(), target, ..billing(every(MINUTE)) })
        .await
        .unwrap();
    slow.mood(Mood::Hanging);
    let before = quick.password_of("billing");
    world.pass(2 * MINUTE).await;
    assert_ne!(quick.password_of("billing"), before);
}

/// Passwords are drawn as the target's policy says, those of leases as well.
#[tokio::test(start_paused = true)]
async fn a_targets_password_policy_counts_for_all_of_its_passwords() {
    let (world, _target) = world_with(every(HOUR)).await;
    let broker = world.broker();
    let policy = "length = 12\nrule \"charset\" { charset = \"xyz\" }";
    let named = TargetWrite {
        mount: "database/".into(),
        name: "app".into(),
        password_policy: Some("letters".into()),
        ..TargetWrite::default()
    };
    broker.write_target(&request(ROOT), named).await.unwrap();
    assert!(rotate(&world).await.is_err(), "there is no such policy");
    assert!(world.issue("app").await.is_err());
    broker.write_password_policy(&request(ROOT), "letters", policy).await.unwrap();
    rotate(&world).await.unwrap();
    let password = told(&world).await.unwrap();
    assert!(password.len() == 12 && password.chars().all(|c| "xyz".contains(c)), "{password}");
    world.issue("app").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_process_had_asked_may_land_whatever_clock_the_next_one_goes_by() {
    let (world, target) = world_with(every(HOUR)).await;
    target.mood(Mood::Late(50 * SECOND));
    rotate(&world).await.unwrap_err();
    target.mood(Mood::Well);
    world.clock.step_wall_forward(10 * MINUTE);
    world.restart().await;
    world.pass(10 * SECOND).await;
    assert_eq!(told(&world).await.ok(), target.password_of("billing"), "it was asked again");
    let refused = rotate(&world).await.unwrap_err();
    assert_eq!(refused, RotateError::Unsettled);
    let kept = world.broker().delete_static_role(&request(ROOT), "database/", "billing").await;
    assert!(matches!(kept, Err(StaticRoleError::BeingRotated(_))), "{kept:?}");
    world.pass(2 * MINUTE).await;
    assert_eq!(told(&world).await.ok(), target.password_of("billing"), "it has landed");
    rotate(&world).await.unwrap();
    assert_eq!(told(&world).await.ok(), target.password_of("billing"));
}
