//! Clocks that step, stand still and disagree, in small worlds.

#![expect(
    clippy::unwrap_used,
    clippy::unchecked_time_subtraction,
    reason = "whatever is not as expected fails the test at once"
)]

use leasehold_core::broker::{ClockError, IssueError, RenewError, Until};
use leasehold_core::limits::{
    CLOCK_OFF_FOR, ISSUE_WITHIN, RETRY_LAST, SETTLE, SKEW_EVERY, SKEW_MAX,
};
use leasehold_core::store::StoreError;
use leasehold_core::time::Clock;
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, World, request};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Lets minutes pass as the server does: it keeps house in each.
async fn minutes(world: &World, count: u32) {
    for _ in 0..count {
        world.pass(MINUTE).await;
        world.broker().housekeep().await.unwrap();
    }
}

async fn is_refused(world: &World) -> bool {
    let refused = matches!(world.issue("app").await, Err(IssueError::Clock(_)));
    assert_eq!(world.broker().clock_state().doubt.is_some(), refused);
    refused
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_wall_of_an_hour_neither_ends_a_lease_early_nor_keeps_it_longer() {
    for forward in [true, false] {
        let world = World::new().await;
        let target = world.target("app", "2h", "24h").await;
        world.issue("app").await.unwrap();
        if forward {
            world.clock.step_wall_forward(HOUR);
        } else {
            world.clock.step_wall_back(HOUR);
        }
        world.pass(HOUR * 2 - SECOND).await;
        assert_eq!(target.credentials().len(), 1, "it died early, forward {forward}");
        world.pass(SECOND * 2).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0), "forward {forward}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_machine_revokes_what_lapsed_meanwhile_as_soon_as_it_wakes() {
    let world = World::new().await;
    let target = world.target("app", "2h", "24h").await;
    world.issue("app").await.unwrap();
    world.clock.suspend(HOUR * 3);
    world.pass(SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
    assert!(!is_refused(&world).await, "both clocks have counted the suspension");
}

#[tokio::test(start_paused = true)]
async fn a_wall_that_stays_off_for_five_minutes_stops_issues_and_renewals_and_nothing_else() {
    for forward in [true, false] {
        let world = World::new().await;
        let target = world.target("app", "1h", "24h").await;
        let held = world.issue("app").await.unwrap();
        let lapsing = world.issue("app").await.unwrap();
        let step = SECOND * 31;
        if forward {
            world.clock.step_wall_forward(step);
        } else {
            world.clock.step_wall_back(step);
        }
        assert!(!is_refused(&world).await);
        world.pass(CLOCK_OFF_FOR - SECOND).await;
        assert!(!is_refused(&world).await);
        world.pass(SECOND).await;
        assert!(is_refused(&world).await);
        let asked = world.broker().renew(&request(ROOT), &lapsing.lease_id, None).await;
        assert!(matches!(asked, Err(RenewError::Clock(_))), "{asked:?}");
        world.broker().revoke(&request(ROOT), &held.lease_id, Until::Settled).await.unwrap();
        assert_eq!(target.credentials().len(), 3);
        world.pass(HOUR).await;
        assert_eq!((target.credentials().len(), world.leases()), (0, 0));
        // The wall agrees again, and nobody had to do anything.
        if forward {
            world.clock.step_wall_back(step);
        } else {
            world.clock.step_wall_forward(step);
        }
        assert!(!is_refused(&world).await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_watched_even_if_nobody_asks_for_anything() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    world.clock.step_wall_forward(HOUR);
    minutes(&world, 6).await;
    assert!(world.broker().clock_state().doubt.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_accepted_step_forward_lets_leases_lapse_and_issues_go_on() {
    let world = World::new().await;
    let target = world.target("app", "2h", "24h").await;
    world.issue("app").await.unwrap();
    world.clock.step_wall_forward(HOUR * 3);
    let early = world.broker().accept_clock(&request(ROOT)).await;
    assert!(matches!(early, Err(ClockError::TooSoon(_))), "{early:?}");
    minutes(&world, 7).await;
    assert!(is_refused(&world).await);
    let accepted = world.broker().accept_clock(&request(ROOT)).await.unwrap();
    assert_eq!((accepted.moved, accepted.ahead), (HOUR * 3, Duration::ZERO));
    assert_eq!(world.clock.now(), world.clock.wall());
    world.pass(SECOND).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
    assert_eq!(world.issue("app").await.unwrap().ttl, HOUR * 2);
    let recorded = world.audit.lines().into_iter().any(|line| line.contains(r#""moved":10800"#));
    assert!(recorded, "the acceptance is not on record");
}

#[tokio::test(start_paused = true)]
async fn an_accepted_step_back_keeps_no_lease_past_its_ceiling_even_over_restarts() {
    let world = World::new().await;
    let target = world.target("app", "2h", "2h").await;
    world.issue("app").await.unwrap();
    world.clock.step_wall_back(HOUR);
    minutes(&world, 7).await;
    let accepted = world.broker().accept_clock(&request(ROOT)).await.unwrap();
    assert_eq!((accepted.moved, accepted.ahead), (Duration::ZERO, HOUR));
    assert!(!is_refused(&world).await);
    world.broker().housekeep().await.unwrap();
    // The next process reads a wall that is an hour behind, and goes on with the time there was.
    world.restart().await;
    assert!(!is_refused(&world).await);
    world.pass(HOUR * 2 - MINUTE * 7 - SECOND).await;
    assert_eq!(target.credentials().len(), 3, "one died early");
    world.pass(SECOND * 2).await;
    assert_eq!(target.credentials().len(), 2, "it lived past its ceiling");
}

#[tokio::test(start_paused = true)]
async fn a_start_behind_the_highest_time_refuses_issues_and_revokes_in_time() {
    let world = World::new().await;
    let target = world.target("app", "2h", "24h").await;
    world.issue("app").await.unwrap();
    minutes(&world, 30).await;
    world.clock.step_wall_back(HOUR * 24);
    world.restart().await;
    assert!(is_refused(&world).await);
    world.pass(HOUR + MINUTE * 29).await;
    assert_eq!(target.credentials().len(), 1, "it died early");
    world.pass(MINUTE * 2).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0), "the time went back");
    assert!(is_refused(&world).await);
    let accepted = world.broker().accept_clock(&request(ROOT)).await.unwrap();
    assert_eq!(accepted.moved, Duration::ZERO);
    assert!(!is_refused(&world).await);
    world.restart().await;
    assert!(!is_refused(&world).await, "it was accepted before the restart");
}

#[tokio::test(start_paused = true)]
async fn a_start_a_little_behind_the_highest_time_is_none_to_speak_of() {
    let world = World::new().await;
    world.target("app", "2h", "24h").await;
    minutes(&world, 2).await;
    world.clock.step_wall_back(SECOND * 50);
    world.restart().await;
    minutes(&world, 20).await;
    assert!(!is_refused(&world).await);
}

#[tokio::test(start_paused = true)]
async fn a_wall_that_is_set_right_after_the_start_is_followed() {
    let world = World::new().await;
    let target = world.target("app", "2h", "24h").await;
    world.issue("app").await.unwrap();
    minutes(&world, 2).await;
    // The machine was off for an hour, and its clock began at the epoch, or nearly.
    world.clock.step_wall_back(HOUR * 24 * 365);
    world.restart().await;
    assert!(is_refused(&world).await);
    world.clock.step_wall_forward(HOUR * 24 * 365 + HOUR);
    assert!(!is_refused(&world).await);
    assert_eq!(world.clock.now(), world.clock.wall());
    world.pass(HOUR - MINUTE * 2 + SECOND).await;
    assert_eq!(target.credentials().len(), 1, "the first is over, for it was an hour older");
}

#[tokio::test(start_paused = true)]
async fn an_acceptance_that_cannot_be_kept_changes_nothing() {
    let world = World::new().await;
    world.target("app", "2h", "24h").await;
    world.clock.step_wall_back(HOUR);
    minutes(&world, 7).await;
    world.store.fail(Some(StoreError::Refused("full".into())));
    let accepted = world.broker().accept_clock(&request(ROOT)).await;
    assert!(matches!(accepted, Err(ClockError::Store(_))), "{accepted:?}");
    world.store.fail(None);
    assert!(is_refused(&world).await);
    assert!(world.broker().accept_clock(&request("stranger")).await.is_err());
    assert!(is_refused(&world).await);
}

#[tokio::test(start_paused = true)]
async fn an_issue_of_which_nobody_knows_is_settled_before_the_time_can_move() {
    let world = World::new().await;
    let target = world.target("app", "2h", "24h").await;
    world.clock.step_wall_forward(HOUR);
    minutes(&world, 5).await;
    world.pass(SECOND * 59).await;
    // The last issue before the refusal lands as late as one can.
    target.mood(Mood::Late(ISSUE_WITHIN + SETTLE - SECOND));
    assert!(matches!(world.issue("app").await, Err(IssueError::Target(_))));
    target.mood(Mood::Well);
    world.pass(SECOND).await;
    assert!(is_refused(&world).await);
    while world.broker().accept_clock(&request(ROOT)).await.is_err() {
        world.pass(SECOND).await;
    }
    world.pass(RETRY_LAST).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn keeping_the_time_takes_one_write_a_minute_and_none_for_a_verb() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    minutes(&world, 1).await;
    let before = world.store.commits();
    minutes(&world, 10).await;
    assert_eq!(world.store.commits() - before, 10);
    // A nearly full disk is no reason to forget it.
    world.store.keep_reserve(true);
    minutes(&world, 1).await;
    let highest = world.broker().read_clock(&request(ROOT)).await.unwrap().highest;
    assert_eq!(highest, Some(world.clock.now()));
}

#[tokio::test(start_paused = true)]
async fn the_skew_of_a_target_is_measured_and_shown() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    let shown = async || {
        world.pass(SKEW_EVERY).await;
        world.broker().housekeep().await.unwrap();
        world.pass(SECOND).await;
        let view = world.broker().read_clock(&request(ROOT)).await.unwrap();
        let [skew] = view.targets.try_into().unwrap();
        let counted: Vec<_> = world.broker().readings().skews.into_iter().collect();
        assert_eq!(counted, [((skew.mount.clone(), skew.name.clone()), skew.ahead_ms)]);
        (skew.mount, skew.name, skew.ahead_ms, skew.too_far)
    };
    let told = |ahead_ms, too_far| ("database/".to_owned(), "app".to_owned(), ahead_ms, too_far);
    assert_eq!(shown().await, told(0, false));
    target.set_clock_ahead(SKEW_MAX);
    assert_eq!(shown().await, told(30_000, false));
    target.set_clock_ahead(SKEW_MAX + SECOND);
    assert_eq!(shown().await, told(31_000, true));
}
