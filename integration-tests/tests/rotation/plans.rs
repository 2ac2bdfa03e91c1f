//! When accounts are rotated: by the calendar, within a window, and slower and slower after a failure.

use crate::{HOUR, MINUTE, billing, every, told, world_with, write};
use leasehold_core::schedule::PlanWrite;
use leasehold_core::time::Clock;
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, request};
use std::time::Duration;

fn nightly(window: Duration) -> PlanWrite {
    let schedule = Some("0 3 * * *".into());
    PlanWrite { schedule, window: Some(window), ..PlanWrite::default() }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_rotates_at_its_hour() {
    let (world, _) = world_with(nightly(2 * HOUR)).await;
    let mut seen = vec![told(&world).await.unwrap()];
    for _ in 0..48 {
        let now = world.clock.now();
        world.pass(HOUR).await;
        let is_three = |at: leasehold_core::time::Timestamp| at.rfc3339().get(11..13) == Some("03");
        let next = told(&world).await.unwrap();
        if seen.last() != Some(&next) {
            assert!(is_three(now.plus(HOUR)) || is_three(now), "{}", now.rfc3339());
            seen.push(next);
        }
    }
    assert_eq!(seen.len(), 3, "once a day");
}

#[tokio::test(start_paused = true)]
async fn what_has_missed_its_window_waits_for_the_next() {
    let (world, target) = world_with(nightly(HOUR)).await;
    let before = told(&world).await.unwrap();
    world.stop_sweeping();
    let shown = world.broker().read_static_role(&request(ROOT), "database/", "billing").await;
    let due_at = shown.unwrap().due_at.unwrap();
    world.pass(due_at.since(world.clock.now()) + 3 * HOUR).await;
    world.restart().await;
    world.pass(10 * HOUR).await;
    assert_eq!(told(&world).await.unwrap(), before, "it is not three o'clock");
    world.pass(14 * HOUR).await;
    assert_ne!(told(&world).await.unwrap(), before);
    assert_eq!(target.password_of("billing"), told(&world).await.ok());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_is_asked_slower_and_slower_and_the_role_says_why() {
    let (world, target) = world_with(every(HOUR)).await;
    target.mood(Mood::Down);
    let asked = target.asked_times();
    world.pass(HOUR + 10 * MINUTE).await;
    let first = target.asked_times() - asked;
    assert!((4..20).contains(&first), "{first} times in ten minutes");
    world.pass(3 * HOUR).await;
    let later = target.asked_times() - asked - first;
    assert!((9..20).contains(&later), "{later} times in three hours");
    let shown = world.broker().read_static_role(&request(ROOT), "database/", "billing").await;
    assert!(shown.unwrap().error.unwrap().contains("the target is down"));
    target.mood(Mood::Well);
    world.pass(16 * MINUTE).await;
    assert_eq!(told(&world).await.ok(), target.password_of("billing"));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_plan_is_refused() {
    let (world, _) = world_with(every(HOUR)).await;
    let schedule = |text: &str| PlanWrite { schedule: Some(text.into()), ..PlanWrite::default() };
    for plan in [
        every(Duration::from_secs(4)),
        schedule("0 3 * *"),
        PlanWrite { period: Some(HOUR), ..schedule("0 3 * * *") },
        PlanWrite { window: Some(MINUTE), ..schedule("0 3 * * *") },
        PlanWrite { window: Some(HOUR), ..every(HOUR) },
    ] {
        assert!(write(&world, billing(plan.clone())).await.is_err(), "{plan:?}");
    }
    write(&world, billing(nightly(2 * HOUR))).await.unwrap();
    let shown = world.broker().read_static_role(&request(ROOT), "database/", "billing").await;
    let plan = shown.unwrap().plan;
    assert!(plan.schedule.is_some() && plan.period.is_zero());
}
