//! What a target has forgotten is put back for as long as its lease lives, in small worlds.

use leasehold_core::broker::{Abandon, Until};
use leasehold_core::limits::{PUT_BACK_BATCH, PUT_BACK_RETRY_MAX, RUN_EVERY, SETTLED_WITHIN};
use leasehold_core::time::Clock;
use leasehold_integration_tests::world::target::{Mood, SimulatedTarget};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A world with the role `app`, whose target forgets its credentials when it is restarted.
async fn world(ttl: &str) -> (World, Arc<SimulatedTarget>) {
    let world = World::new().await;
    let target = world.target("app", ttl, "48h").await;
    target.be_forgetful();
    // Whether a target forgets is decided once for each write of it, which came before.
    world.restart().await;
    world.pass(SECOND).await;
    (world, target)
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_restarted_gets_back_what_is_lent_and_only_that() {
    let (world, target) = world("1h").await;
    for _ in 0..PUT_BACK_BATCH * 2 + 3 {
        world.issue("app").await.unwrap();
    }
    let revoked = world.issue("app").await.unwrap();
    let lent = target.credentials();
    world.broker().revoke(&request(ROOT), &revoked.lease_id, Until::Settled).await.unwrap();
    target.restart(BTreeMap::new());
    world.pass(RUN_EVERY + SECOND).await;
    let back: Vec<_> = target.credentials().into_keys().collect();
    let wanted: Vec<_> = lent.into_keys().filter(|lease| *lease != revoked.lease).collect();
    assert_eq!(back, wanted);
    assert!(target.batches().iter().all(|members| *members <= PUT_BACK_BATCH));
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0), "they lapse as ever");
}

#[tokio::test(start_paused = true)]
async fn one_that_its_target_does_not_take_back_keeps_no_other_from_it() {
    let (world, target) = world("1h").await;
    let first = world.issue("app").await.unwrap();
    for _ in 0..PUT_BACK_BATCH * 2 {
        world.issue("app").await.unwrap();
    }
    target.never_take_back(first.lease);
    target.restart(BTreeMap::new());
    world.pass(RUN_EVERY + SECOND).await;
    assert_eq!(target.credentials().len(), PUT_BACK_BATCH * 2);
    assert!(!target.credentials().contains_key(&first.lease));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_not_restarted_is_asked_which_run_it_is_and_nothing_more() {
    let (world, target) = world("1h").await;
    world.issue("app").await.unwrap();
    world.pass(MINUTE).await;
    let before = target.asked_times();
    world.pass(RUN_EVERY * 10).await;
    let asked = target.asked_times() - before;
    assert!((9..=11).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn what_was_revoked_and_comes_back_from_a_file_is_revoked_again() {
    let (world, target) = world("1h").await;
    let issued = world.issue("app").await.unwrap();
    let kept = target.credentials();
    world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await.unwrap();
    assert!(target.credentials().is_empty());
    // The look that is under way may have been listed before.
    world.pass(SECOND).await;
    target.restart(kept);
    world.pass(RUN_EVERY * 2).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_look_alike_without_a_history_is_left_alone() {
    let (world, target) = world("1h").await;
    let issued = world.issue("app").await.unwrap();
    let stranger = leasehold_core::ids::LeaseId::new(
        world.clock.now(),
        &leasehold_integration_tests::engine_suite::Urandom,
    );
    target.restart(BTreeMap::from([(stranger, None)]));
    world.pass(RUN_EVERY * 2).await;
    let there: Vec<_> = target.credentials().into_keys().collect();
    assert!(there.contains(&stranger) && there.contains(&issued.lease), "{there:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_away_gets_everything_back_soon_after_it_is_there_again() {
    let (world, target) = world("2h").await;
    world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    target.restart(BTreeMap::new());
    world.pass(MINUTE * 20).await;
    target.mood(Mood::Well);
    world.pass(RUN_EVERY + SECOND).await;
    assert_eq!(target.credentials().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_back_that_could_land_after_a_revocation() {
    let (world, target) = world("2h").await;
    let issued = world.issue("app").await.unwrap();
    target.restart(BTreeMap::new());
    // It is set again, but only much later, and nobody hears of it.
    target.mood(Mood::Late(SECOND * 40));
    world.pass(RUN_EVERY + SECOND).await;
    target.mood(Mood::Well);
    let revoking = world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await;
    assert!(revoking.is_err(), "what is on its way may still land");
    world.pass(SETTLED_WITHIN + MINUTE).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_it_puts_back_is_followed_by_one_that_does() {
    let (world, target) = world("2h").await;
    world.issue("app").await.unwrap();
    target.restart(BTreeMap::new());
    target.mood(Mood::Hanging);
    world.pass(RUN_EVERY + SECOND).await;
    world.restart().await;
    target.mood(Mood::Well);
    // What the dead process had asked may land until then, so nothing is set before.
    world.pass(SETTLED_WITHIN + PUT_BACK_RETRY_MAX + MINUTE).await;
    assert_eq!(target.credentials().len(), 1);
    world.pass(HOUR * 2).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_over_or_being_revoked_is_never_put_back() {
    let (world, target) = world("10m").await;
    let issued = world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    let _ = world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Marked).await;
    world.issue("app").await.unwrap_err();
    target.restart(BTreeMap::new());
    world.pass(MINUTE * 11).await;
    target.mood(Mood::Well);
    let before = target.batches().len();
    world.pass(RUN_EVERY * 2).await;
    assert!(target.credentials().is_empty());
    assert!(target.batches().len() >= before);
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_is_on_record_or_is_not_put_back() {
    let (world, target) = world("10h").await;
    let issued = world.issue("app").await.unwrap();
    let lines = || {
        let path = format!(r#""path":"{}""#, issued.lease_id);
        world.audit.lines().into_iter().filter(|line| line.contains(&path)).collect::<Vec<_>>()
    };
    world.audit.refuse(true);
    target.restart(BTreeMap::new());
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), lines().len()), (0, 0));
    world.audit.refuse(false);
    world.pass(PUT_BACK_RETRY_MAX + MINUTE).await;
    assert_eq!(target.credentials().len(), 1);
    let recorded = lines();
    assert_eq!(recorded.len(), 2, "{recorded:?}");
    assert!(recorded.iter().all(|line| line.contains(r#""operation":"update""#)), "{recorded:?}");
    assert_eq!(world.broker().readings().put_back, 1);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_abandoned_keeps_nobody_awake() {
    let (world, _target) = world("2h").await;
    world.issue("app").await.unwrap();
    world.pass(RUN_EVERY + SECOND).await;
    let broker = world.broker();
    world.stop_sweeping();
    broker.delete_target(&request(ROOT), "database/", "app", false).await.unwrap();
    let (mount, name) = ("database/".to_owned(), "app".to_owned());
    let wanted = Abandon { mount, name, reason: "burned".to_owned(), generation: None };
    broker.abandon(&request(ROOT), wanted).await.unwrap();
    world.pass(RUN_EVERY * 2).await;
    // Its record is there until the house is kept.
    let swept = broker.sweep().await.unwrap();
    assert!(swept.next > world.clock.now(), "{swept:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_revoked_after_the_backup_is_not_put_back_when_that_is_restored() {
    let (world, target) = world("10h").await;
    let (revoked, kept) = (world.issue("app").await.unwrap(), world.issue("app").await.unwrap());
    world.pass(SECOND).await;
    let backup = world.back_up().await;
    world.broker().revoke(&request(ROOT), &revoked.lease_id, Until::Settled).await.unwrap();
    let restored = world.restored(&backup).await;
    world.stop_sweeping();
    restored.pass(SETTLED_WITHIN + MINUTE).await;
    let there: Vec<_> = target.credentials().into_keys().collect();
    assert_eq!((there, restored.leases()), (vec![kept.lease], 1), "the target is believed");
    target.restart(BTreeMap::new());
    restored.pass(RUN_EVERY * 2).await;
    let there: Vec<_> = target.credentials().into_keys().collect();
    assert_eq!(there, vec![kept.lease], "what is lent is put back as ever");
}
