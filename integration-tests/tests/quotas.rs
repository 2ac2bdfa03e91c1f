//! How many leases there may be: quotas in a world where many ask at once, targets fail and processes die.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use leasehold_core::broker::{
    Act, DifferenceKind, IssueError, Issued, QuotaWrite, Repair, TargetWrite, Until,
};
use leasehold_core::limits::{LEASES_PER_ROLE_MAX, LEASES_PER_TOKEN_MAX, LEASES_RECOUNTED};
use leasehold_core::store::quotas::{Limit, QuotaKind};
use leasehold_core::store::{Batch, Key, Store, StoreError};
use leasehold_integration_tests::world::target::Mood;
use leasehold_integration_tests::world::{ROOT, World, request};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

async fn allow(world: &World, name: &str, path: &str, max_leases: u64) {
    let wanted = QuotaWrite {
        name: name.into(),
        path: path.into(),
        role: String::new(),
        inheritable: None,
        limit: Limit::Leases { max_leases },
    };
    world.broker().write_quota(&request(ROOT), wanted).await.unwrap();
}

fn is_full(outcome: &Result<Issued, IssueError>) -> bool {
    matches!(outcome, Err(IssueError::TooMany(_)))
}

/// Asks so often at once; returns how many were lent something. The others were told that there is no room.
async fn crowd(world: &Arc<World>, role: &str, size: usize) -> usize {
    let asking = (0..size).map(|_| {
        let (world, role) = (Arc::clone(world), role.to_owned());
        tokio::spawn(async move { world.issue(&role).await })
    });
    let outcomes = futures_util::future::join_all(asking).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    let lent = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(
        outcomes.iter().filter(|outcome| is_full(outcome)).count(),
        size.saturating_sub(lent)
    );
    lent
}

#[tokio::test(start_paused = true)]
async fn of_64_callers_who_ask_at_once_for_the_last_of_1000_leases_one_gets_it() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    // Slow enough that all of them are under way at once.
    target.mood(Mood::Slow(Duration::from_millis(10)));
    allow(&world, "thousand", "database/", 1000).await;
    assert_eq!(crowd(&world, "app", 999).await, 999);
    assert_eq!(crowd(&world, "app", 64).await, 1);
    assert_eq!((world.leases(), target.credentials().len()), (1000, 1000));
    assert_eq!(crowd(&world, "app", 64).await, 0);
    assert_eq!((world.leases(), target.credentials().len()), (1000, 1000));
    // When they lapse there is room again.
    world.pass(HOUR + SECOND * 30).await;
    assert_eq!(world.leases(), 0);
    assert_eq!(crowd(&world, "app", 1001).await, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_being_revoked_counts_until_its_credential_is_gone() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    allow(&world, "one", "database/creds/app", 1).await;
    let issued = world.issue("app").await.unwrap();
    target.mood(Mood::Down);
    let revoke = world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await;
    revoke.unwrap_err();
    target.mood(Mood::Well);
    let full = world.issue("app").await;
    assert!(is_full(&full));
    let told = full.unwrap_err().to_string();
    assert!(
        told.starts_with("request path \"database/creds/app\": lease count quota exceeded"),
        "{told}"
    );
    assert!(told.contains("\"one\" allows 1 leases"), "{told}");
    // The sweep's next attempt succeeds.
    world.pass(Duration::from_mins(10)).await;
    assert_eq!(world.leases(), 0);
    let issued = world.issue("app").await.unwrap();
    assert!(is_full(&world.issue("app").await));
    world.broker().revoke(&request(ROOT), &issued.lease_id, Until::Settled).await.unwrap();
    world.issue("app").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_failed_takes_no_room_and_one_in_doubt_does_until_the_store_has_said() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    allow(&world, "one", "", 1).await;
    world.store.fail(Some(StoreError::Refused("full".into())));
    for _ in 0..3 {
        assert!(matches!(world.issue("app").await, Err(IssueError::Store(_))));
    }
    // This one takes effect, and nobody is told.
    world.store.fail(Some(StoreError::Uncertain("lost".into())));
    assert!(matches!(world.issue("app").await, Err(IssueError::Store(_))));
    world.store.fail(None);
    assert_eq!(world.leases(), 1);
    assert!(is_full(&world.issue("app").await));
    world.pass(Duration::from_mins(3)).await;
    world.broker().housekeep().await.unwrap();
    assert!(is_full(&world.issue("app").await));
    world.pass(HOUR).await;
    assert_eq!(world.leases(), 0);
    world.issue("app").await.unwrap();
    assert!(is_full(&world.issue("app").await));
}

#[tokio::test(start_paused = true)]
async fn after_a_start_leases_are_counted_from_the_store() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    world.role("job", "app", "1h", "24h").await;
    allow(&world, "three", "database/", 3).await;
    world.issue("app").await.unwrap();
    world.issue("job").await.unwrap();
    target.mood(Mood::LosingAnswers);
    // What may be there counts as well.
    assert!(matches!(world.issue("app").await, Err(IssueError::Target(_))));
    target.mood(Mood::Down);
    world.restart().await;
    assert!(is_full(&world.issue("job").await));
    target.mood(Mood::Well);
    world.pass(Duration::from_mins(20)).await;
    world.issue("job").await.unwrap();
    assert!(is_full(&world.issue("app").await));
    assert_eq!(world.leases(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_comes_late_counts_what_comes_and_goes_meanwhile() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    world.role("job", "app", "1h", "24h").await;
    target.mood(Mood::Slow(SECOND));
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(world.issue("app").await.unwrap());
    }
    let coming = (0..30).map(|number| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(number * 20)).await;
            world.issue(if number % 2 == 0 { "app" } else { "job" }).await.unwrap();
        })
    });
    let coming: Vec<_> = coming.collect();
    let going = held.drain(..20).enumerate().map(|(number, issued)| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(u64::try_from(number).unwrap() * 30)).await;
            let broker = world.broker();
            broker.revoke(&request(ROOT), &issued.lease_id, Until::Settled).await.unwrap();
        })
    });
    let going: Vec<_> = going.collect();
    world.pass(Duration::from_millis(300)).await;
    allow(&world, "all", "", 1000).await;
    for under_way in coming.into_iter().chain(going) {
        under_way.await.unwrap();
    }
    let there = u64::try_from(world.leases()).unwrap();
    assert_eq!(there, 50);
    allow(&world, "all", "", there + 5).await;
    assert_eq!(crowd(&world, "job", 20).await, 5);
}

#[tokio::test(start_paused = true)]
async fn the_most_specific_quota_counts_and_one_that_is_gone_does_not() {
    let world = World::new().await;
    world.target("app", "1h", "24h").await;
    world.role("job", "app", "1h", "24h").await;
    allow(&world, "all", "", 1).await;
    allow(&world, "jobs", "database/creds/job", 2).await;
    for full in [false, false, true] {
        assert_eq!(is_full(&world.issue("job").await), full);
    }
    // The jobs count under their own quota only.
    assert!(!is_full(&world.issue("app").await) && is_full(&world.issue("app").await));
    world.broker().delete_quota(&request(ROOT), QuotaKind::LeaseCount, "jobs").await.unwrap();
    assert!(is_full(&world.issue("job").await));
    world.broker().delete_quota(&request(ROOT), QuotaKind::LeaseCount, "all").await.unwrap();
    assert!(!is_full(&world.issue("job").await) && !is_full(&world.issue("app").await));
    // One below what there is lets nobody through, and takes nothing away.
    allow(&world, "all", "", 1).await;
    assert!(is_full(&world.issue("job").await));
    assert_eq!(world.leases(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_adopted_counts_whatever_a_quota_says() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    allow(&world, "two", "database/", 2).await;
    world.issue("app").await.unwrap();
    for _ in 1..=3 {
        target.plant(world.broker().new_lease_id(), None);
    }
    world.pass(SECOND * 90).await;
    let (broker, admin) = (world.broker(), request(ROOT));
    let plan = broker.reconcile(&admin, "database/", "app").await.unwrap().plan;
    target.mood(Mood::RefusingRevocations);
    let repair = Repair { plan, kinds: DifferenceKind::USUAL.into(), force: true };
    let repaired = broker.repair(&admin, ("database/", "app"), repair).await.unwrap();
    assert_eq!(repaired.removed, 3);
    assert!(is_full(&world.issue("app").await));
    target.mood(Mood::Well);
    world.pass(HOUR + SECOND * 30).await;
    assert_eq!(world.leases(), 0);
    world.issue("app").await.unwrap();
    world.issue("app").await.unwrap();
    assert!(is_full(&world.issue("app").await));
}

/// Keeps keys that lead to so many leases: of the one whose key is the first that begins with `prefix`.
async fn pretend(world: &World, prefix: &str, leases: u64) -> Vec<Key> {
    let prefix = Key(prefix.as_bytes().to_vec());
    let found = world.store.range(&prefix, &prefix.after_prefix(), 1).await.unwrap();
    let (key, value, _) = found.into_iter().next().unwrap();
    let (of, _) = key.0.split_last_chunk::<16>().unwrap();
    let mut batch = Batch::default();
    for number in 0..leases {
        let key = [of, &[0; 8], &number.to_be_bytes()].concat();
        batch = batch.put(Key(key), value.clone());
    }
    let keys = batch.puts.iter().map(|(key, _)| key.clone()).collect();
    world.store.commit(batch).await.unwrap();
    keys
}

#[tokio::test(start_paused = true)]
async fn a_role_has_a_bounded_number_of_leases_and_root_tokens_hold_any_number() {
    let world = World::new().await;
    world.target("app", "10h", "24h").await;
    world.issue("app").await.unwrap();
    // All that a count looks at are the keys of an index.
    pretend(&world, "of-token/", LEASES_PER_TOKEN_MAX + 1).await;
    let mut there = pretend(&world, "of-role/", LEASES_PER_ROLE_MAX - 2).await;
    world.restart().await;
    world.issue("app").await.unwrap();
    let commits = world.store.commits();
    let full = world.issue("app").await.unwrap_err();
    assert!(
        full.to_string().starts_with("the role has 1000000 leases, which is the most"),
        "{full}"
    );
    assert_eq!(world.store.commits(), commits);
    // What has ended is seen when the leases are counted again.
    let batch = Batch { deletes: there.split_off(10), ..Batch::default() };
    world.store.commit(batch).await.unwrap();
    assert!(is_full(&world.issue("app").await));
    world.pass(LEASES_RECOUNTED).await;
    world.issue("app").await.unwrap();
}

/// Bounds how many credentials a target may have.
async fn bound(world: &World, target: &str, max_credentials: u64) {
    let wanted = TargetWrite {
        mount: "database/".into(),
        name: target.into(),
        max_credentials: Some(max_credentials),
        ..TargetWrite::default()
    };
    world.broker().write_target(&request(ROOT), wanted).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_64_callers_who_ask_at_once_for_the_last_of_1000_credentials_of_a_target_one_gets_it() {
    let world = Arc::new(World::new().await);
    let target = world.target("app", "1h", "24h").await;
    let other = world.target("other", "1h", "24h").await;
    // Two roles of one target, and one of another.
    world.role("job", "app", "1h", "24h").await;
    target.mood(Mood::Slow(Duration::from_millis(10)));
    assert_eq!(crowd(&world, "app", 500).await, 500);
    bound(&world, "app", 1000).await;
    assert_eq!(crowd(&world, "job", 499).await, 499);
    assert_eq!(crowd(&world, "app", 64).await, 1);
    assert_eq!(target.credentials().len(), 1000);
    assert_eq!(crowd(&world, "other", 64).await, 64);
    assert_eq!(other.credentials().len(), 64);
    world.restart().await;
    assert_eq!(crowd(&world, "job", 64).await, 0);
    bound(&world, "app", 0).await;
    assert_eq!(crowd(&world, "job", 64).await, 64);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fills_up_is_told_of_and_a_full_one_takes_no_rehearsal_either() {
    let world = World::new().await;
    let target = world.target("app", "1h", "24h").await;
    bound(&world, "app", 5).await;
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(world.issue("app").await.unwrap());
    }
    let filling: Vec<_> =
        told.iter().map(|issued| issued.filling.map(|filling| filling.used)).collect();
    assert_eq!(filling, [None, None, None, Some(4), Some(5)]);
    let full = world.issue("app").await;
    assert!(is_full(&full));
    let words = full.unwrap_err().to_string();
    assert!(words.contains("`database/app` may have 5 credentials and has as many"), "{words}");
    let rehearsal = world.broker().rehearse(&request(ROOT), ("database/", "app")).await.unwrap();
    let acts: Vec<_> = rehearsal.steps.iter().map(|step| step.act).collect();
    assert_eq!(acts, [Act::Issue], "{rehearsal:?}");
    // What is being revoked is there until it is gone.
    target.mood(Mood::Down);
    let first = &told[0].lease_id;
    world.broker().revoke(&request(ROOT), first, Until::Settled).await.unwrap_err();
    target.mood(Mood::Well);
    assert!(is_full(&world.issue("app").await));
    let capacities = world.broker().readings().capacities;
    assert_eq!(capacities[&("database/".to_owned(), "app".to_owned())], (5, 5));
    world.pass(Duration::from_mins(10)).await;
    world.issue("app").await.unwrap();
}
