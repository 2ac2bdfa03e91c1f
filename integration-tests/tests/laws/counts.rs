//! What is counted agrees with what is stored, whatever has happened.

use super::{DAY, HOUR, SECOND};
use leasehold_core::broker::{Readings, Until};
use leasehold_core::limits::RETRY_OPERATOR;
use leasehold_core::metrics::{Tally, TargetMeter, Verb};
use leasehold_core::store::{Batch, Key, Store, StoreError, Value};
use leasehold_core::time::Clock;
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

/// Counts anew, and returns what the counts are.
async fn read(world: &World) -> Readings {
    world.broker().housekeep().await.unwrap();
    world.broker().readings()
}

fn tally(readings: &Readings, target: &str) -> Tally {
    let key = ("database/".to_owned(), target.to_owned());
    readings.counted.leases.get(&key).cloned().unwrap_or_default()
}

fn meter(readings: &Readings, target: &str) -> Arc<TargetMeter> {
    let mut meters = readings.targets.iter();
    Arc::clone(meters.find(|meter| meter.target == target).unwrap())
}

fn answers(readings: &Readings, target: &str, verb: Verb, kind: &str) -> u64 {
    let answers = meter(readings, target).of(verb).answers();
    answers.into_iter().find(|(name, _)| *name == kind).unwrap().1
}

#[tokio::test(start_paused = true)]
async fn after_a_storm_the_counts_agree_with_the_store() {
    let world = World::new().await;
    let well = world.target("well", "1h", "24h").await;
    let dead = world.target("dead", "1h", "24h").await;
    let mut kept = Vec::new();
    for _ in 0..40 {
        kept.push(world.issue("well").await.unwrap());
        world.issue("dead").await.unwrap();
    }
    dead.mood(Mood::Down);
    for refused in 0..3 {
        world.issue("dead").await.unwrap_err();
        assert_eq!(
            answers(&world.broker().readings(), "dead", Verb::Issue, "unreachable"),
            refused + 1
        );
    }
    for issued in &kept[..15] {
        world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await.unwrap();
    }
    world.pass(HOUR / 2).await;
    for issued in &kept[15..25] {
        world.broker().renew(&request(ROOT), &issued.lease_id, None).await.unwrap();
    }
    // Those that were neither revoked nor renewed lapse at both targets.
    world.pass(HOUR / 2 + SECOND * 2).await;

    let readings = read(&world).await;
    assert_eq!(tally(&readings, "well"), Tally { held: 10, ..Tally::default() });
    assert_eq!(well.credentials().len(), 10);
    let at_dead = tally(&readings, "dead");
    // A target that rests is not asked, and what lapses there meanwhile waits for it.
    assert_eq!((at_dead.held, at_dead.revoking.iter().sum::<u64>()), (40, 3));
    assert!(at_dead.due >= 40 && at_dead.late >= SECOND, "{at_dead:?}");
    let parked = readings.lanes.values().map(|in_hand| in_hand.parked).sum::<usize>();
    assert!(parked >= 40, "{:?}", readings.lanes);
    assert_eq!(world.leases(), 53);
    assert_eq!(readings.counted.tokens, 1);
    assert_eq!((readings.made, readings.settled), (83, 30));
    let begun = readings.begun.iter().map(|(cause, count)| (*cause, *count));
    let begun: Vec<_> = begun.filter(|(_, count)| *count > 0).collect();
    assert_eq!(begun, [("lapsed", 15), ("asked", 15), ("issue_failed", 3)]);
    assert_eq!(answers(&readings, "well", Verb::Issue, "ok"), 40);
    assert_eq!(answers(&readings, "well", Verb::Renew, "ok"), 10);
    assert_eq!(answers(&readings, "well", Verb::Revoke, "ok"), 30);
    let batches = meter(&readings, "well").of(Verb::Revoke).members.shape();
    assert!((1..=30).contains(&batches.count), "{batches:?}");
    assert!((batches.sum - 30.0).abs() < f64::EPSILON, "{batches:?}");
    for verb in Verb::ALL {
        let of_verb = meter(&readings, "well");
        let of_verb = of_verb.of(verb);
        assert_eq!((of_verb.open.value(), of_verb.at_work.value()), (0, 0), "{verb:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_fails_grows_louder_and_falls_silent_once_it_succeeds() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    let mut longest = Duration::ZERO;
    for hours in 2..6 {
        world.pass(HOUR).await;
        let readings = read(&world).await;
        let told = tally(&readings, "app").revoking_for;
        if hours > 2 {
            assert!(told >= longest + HOUR - SECOND, "after {hours} h: {told:?} after {longest:?}");
        }
        longest = told;
    }
    world.pass(DAY).await;
    let readings = read(&world).await;
    assert_eq!(tally(&readings, "app").revoking, [0, 0, 0, 1]);
    let in_hand = readings.lanes.values().next().copied().unwrap_or_default();
    assert!(in_hand.resting, "{in_hand:?}");
    assert!(answers(&readings, "app", Verb::Revoke, "unreachable") > 10);

    target.mood(Mood::Well);
    world.pass(HOUR).await;
    let readings = read(&world).await;
    assert_eq!(tally(&readings, "app"), Tally::default());
    assert!(readings.lanes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_looks_at_is_told_to_be_late() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    world.stop_sweeping();
    world.pass(HOUR * 3).await;
    let told = tally(&read(&world).await, "app");
    assert_eq!((told.held, told.due), (1, 1));
    assert!(told.late >= HOUR * 2 - SECOND && told.late <= HOUR * 2 + SECOND, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn the_counts_are_right_after_a_restart_and_do_not_need_what_the_index_says() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    let revoked = world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    world.broker().revoke(&request(ROOT), &revoked.lease_id, Until::Settled).await.unwrap_err();
    world.restart().await;
    let counted = tally(&read(&world).await, "app");
    assert_eq!((counted.held, counted.revoking.iter().sum::<u64>()), (1, 1));

    // An entry that says nothing is looked up.
    let prefix = Key(b"due/".to_vec());
    let entries = world.store.range(&prefix, &prefix.after_prefix(), 10).await.unwrap();
    assert_eq!(entries.len(), 2);
    for (key, _, _) in entries {
        world.store.commit(Batch::default().put(key, Value::default())).await.unwrap();
    }
    let looked_up = tally(&read(&world).await, "app");
    assert_eq!((looked_up.held, looked_up.revoking), (counted.held, counted.revoking));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_marked_at_the_very_moment_it_lapses_is_counted_as_being_revoked() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    let issued = world.issue("app").await.unwrap();
    world.stop_sweeping();
    let lapses_at = world.clock.now().plus(issued.ttl);
    world.pass(HOUR).await;
    assert_eq!(world.clock.now(), lapses_at);
    world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Marked).await.unwrap();
    let told = tally(&read(&world).await, "app");
    assert_eq!((told.held, told.revoking), (0, [1, 0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_and_made_again_is_counted_under_one_name() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    world.broker().delete_target(&request(ROOT), "database/", "app", false).await.unwrap();
    world.target("app", "1h", "24h").await;
    world.issue("app").await.unwrap();
    let readings = read(&world).await;
    assert_eq!(tally(&readings, "app").held, 2);
    assert_eq!((readings.counted.leases.len(), readings.targets.len()), (1, 1));

    world.broker().delete_target(&request(ROOT), "database/", "app", true).await.unwrap();
    world.pass(HOUR * 2).await;
    // The first count still finds the target that this very housekeeping drops.
    read(&world).await;
    let readings = read(&world).await;
    assert_eq!((readings.counted.leases.len(), readings.targets.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_recorded_or_stored_is_counted_as_what_it_is() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    world.audit.refuse(true);
    world.issue("app").await.unwrap_err();
    world.audit.refuse(false);
    let readings = world.broker().readings();
    assert!(readings.unrecorded >= 1 && readings.audit_failures >= 1, "{readings:?}");
    world.store.fail(Some(StoreError::Refused("full".into())));
    world.issue("app").await.unwrap_err();
    world.store.fail(None);
    assert_eq!(world.broker().readings().made, 0);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_is_not_looked_for_with_each_attempt() {
    let world = World::new().await;
    let before_all = world.beside(Arc::clone(&world.store)).await;
    world.target("app", "1h", "24h").await;
    for role in 0..50 {
        world.role(&format!("role-{role}"), "app", "1h", "24h").await;
    }
    for _ in 0..60 {
        world.issue("app").await.unwrap();
    }
    let prefix = Key(b"target/".to_vec());
    let entries = world.store.range(&prefix, &prefix.after_prefix(), 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    world.store.commit(Batch::default().delete(entries[0].0.clone())).await.unwrap();
    world.stop_sweeping();
    // By a process that began before the leases were made, and then by one that began after.
    let ranged = world.store.ranged();
    world.pass(HOUR + SECOND * 30).await;
    let by_first = world.store.ranged() - ranged;
    drop(before_all);
    world.restart().await;
    let ranged = world.store.ranged();
    world.pass(RETRY_OPERATOR).await;
    let by_second = world.store.ranged() - ranged;
    assert!(by_first < 500 && by_second < 500, "records read: {by_first}, {by_second}");
    let failed = world.broker().failed_leases(&request(ROOT), 1).await.unwrap();
    assert_eq!(failed.count(), 60);
    assert!(failed.leases[0].error.contains("is missing"), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_revokes_at_a_target_that_another_one_wrote_after_it_began() {
    let world = World::new().await;
    let other = world.beside(Arc::clone(&world.store)).await;
    let target = world.target("app", "1h", "24h").await;
    for _ in 0..5 {
        let issued = world.issue("app").await.unwrap();
        other.broker().revoke(&request(ROOT), &issued.lease_id, Until::Marked).await.unwrap();
    }
    world.stop_sweeping();
    world.pass(HOUR).await;
    assert_eq!((target.credentials().len(), world.leases()), (0, 0));
}
