//! The key ring over a simulated store: what rotates, what is counted, and what opens afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

use leasehold_core::broker::{KeyRingError, RotationWrite};
use leasehold_core::limits::{SEALS_BLOCK, SEALS_MAX};
use leasehold_core::seal::shares::{Share, Split};
use leasehold_core::seal::splits::{Gathered, Joined, Purpose, Splits, Stored};
use leasehold_core::seal::{self, RootKey, SealError};
use leasehold_core::secret::Locked;
use leasehold_core::store::{Batch, Key, Store, StoreError};
use leasehold_core::time::Timestamp;
use leasehold_integration_tests::engine_suite::Urandom;
use leasehold_integration_tests::world::store::MemoryStore;
use leasehold_integration_tests::world::{ROOT, World, request};
use serde_json::Value;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

async fn status(world: &World) -> leasehold_core::seal::KeyStatus {
    world.broker().key_status(&request(ROOT)).await.unwrap()
}

fn count_at() -> Key {
    Key(b"seal/count".to_vec())
}

/// What the store knows of the key that seals: which one, and how often it may have sealed.
async fn stored(world: &World) -> (u64, u64) {
    let (value, _) = world.store.get(&count_at()).await.unwrap().unwrap();
    let count: Value = serde_json::from_slice(&value.0).unwrap();
    (count["key"].as_u64().unwrap(), count["seals"].as_u64().unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_was_sealed_before_a_rotation_opens_after_it_and_after_a_restart() {
    let world = World::new().await;
    let _target = world.target("well", "1h", "24h").await;
    let before = world.issue("well").await.unwrap();
    let first = status(&world).await;
    assert_eq!(first.key, 1);

    world.broker().rotate_key_ring(&request(ROOT)).await.unwrap();

    let second = status(&world).await;
    assert_eq!((second.key, second.seals), (2, 0));
    assert!(second.installed_at >= first.installed_at);
    let after = world.issue("well").await.unwrap();
    for _ in 0..2 {
        for issued in [&before, &after] {
            world.broker().renew(&request(ROOT), &issued.lease_id, None).await.unwrap();
        }
        world.restart().await;
    }
    assert_eq!(world.store.count("quarantine/"), 0);
    assert_eq!(status(&world).await.key, 2);
}

#[tokio::test(start_paused = true)]
async fn the_stored_count_of_seals_is_never_too_low() {
    let world = World::new().await;
    let _target = world.target("well", "1h", "24h").await;
    for _ in 0..50 {
        world.issue("well").await.unwrap();
    }
    let counted = status(&world).await.seals;
    assert!((50..1000).contains(&counted), "{counted}");
    assert_eq!(stored(&world).await, (1, SEALS_BLOCK));
    // A process that died may have used up all that was set aside for it.
    world.restart().await;
    assert!(status(&world).await.seals >= SEALS_BLOCK);
    let (_, after) = stored(&world).await;
    assert!((SEALS_BLOCK * 2..SEALS_BLOCK * 2 + 1000).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_worn_out_is_replaced_by_itself_and_on_a_full_disk_too() {
    let world = World::new().await;
    let worn = format!("{{\"key\":1,\"seals\":{SEALS_MAX}}}").into_bytes();
    let batch = Batch::default().put(count_at(), leasehold_core::store::Value(worn));
    world.store.commit(batch).await.unwrap();
    world.restart().await;
    world.store.keep_reserve(true);
    world.broker().housekeep().await.unwrap();
    world.store.keep_reserve(false);
    assert_eq!(status(&world).await.key, 2);
    world.broker().housekeep().await.unwrap();
    assert_eq!(status(&world).await.key, 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_whose_seals_nobody_has_counted_gets_a_new_key() {
    let world = World::new().await;
    world.store.commit(Batch::default().delete(count_at())).await.unwrap();
    world.restart().await;
    world.broker().housekeep().await.unwrap();
    assert_eq!(status(&world).await.key, 2);
    assert_eq!(stored(&world).await.0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_restored_store_seals_under_a_new_key() {
    let world = World::new().await;
    let backup = world.back_up().await;
    let restored = world.restored(&backup).await;
    assert_eq!(status(&restored).await.key, 2);
}

#[tokio::test(start_paused = true)]
async fn an_interval_brings_a_new_key_and_one_that_is_too_short_is_refused() {
    let world = World::new().await;
    let broker = world.broker();
    let write = |write: RotationWrite| {
        let broker = world.broker();
        async move { broker.set_rotation(&request(ROOT), &write).await }
    };
    for bad in [
        RotationWrite {
            interval: Some(DAY.saturating_sub(Duration::from_secs(1))),
            ..RotationWrite::default()
        },
        RotationWrite { seals_max: Some(999_999), ..RotationWrite::default() },
        RotationWrite { seals_max: Some(-1), ..RotationWrite::default() },
        RotationWrite { seals_max: Some(i64::MAX), ..RotationWrite::default() },
    ] {
        assert!(matches!(write(bad).await, Err(KeyRingError::Bad(_))), "{bad:?}");
    }
    write(RotationWrite { interval: Some(DAY), ..RotationWrite::default() }).await.unwrap();
    let rotation = broker.rotation(&request(ROOT)).await.unwrap();
    assert_eq!((rotation.interval, rotation.seals_max), (DAY, SEALS_MAX));
    broker.housekeep().await.unwrap();
    assert_eq!(status(&world).await.key, 1);
    world.pass(DAY).await;
    world.broker().housekeep().await.unwrap();
    assert_eq!(status(&world).await.key, 2);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_the_store_refuses_changes_nothing() {
    let world = World::new().await;
    let refused = StoreError::Refused("the disk is gone".into());
    for (failure, key) in [(refused, 1), (StoreError::Uncertain("no answer".into()), 2)] {
        world.store.fail(Some(failure));
        world.broker().rotate_key_ring(&request(ROOT)).await.unwrap_err();
        world.store.fail(None);
        // What is uncertain took effect here, and what is sealed from now on opens after a restart.
        assert_eq!(status(&world).await.key, key);
        world.token(leasehold_core::broker::TokenRequest::default()).await;
        world.restart().await;
        assert_eq!(status(&world).await.key, key);
        assert_eq!(world.store.count("quarantine/"), 0);
    }
}

/// What the system says of the page is the proof; where nothing at all may be locked, that is known.
#[test]
fn the_page_of_a_key_is_locked() {
    let key = Locked::new([7_u8; 32]);
    let at = std::ptr::from_ref(&*key).addr();
    let told = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let (mut is_here, mut locked) = (false, None);
    for line in told.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap();
        if let Some((from, to)) = first.split_once('-') {
            let [from, to] = [from, to].map(|text| usize::from_str_radix(text, 16).unwrap());
            is_here = (from..to).contains(&at);
        } else if is_here && first == "Locked:" {
            locked = words.next().map(|kib| kib != "0");
        }
    }
    assert_eq!(locked, Some(key.is_locked()));
}

/// Joins the shares of a key.
fn joined(splits: &Splits, shares: &[Share]) -> Joined {
    let mut gathered = Gathered::new(&Urandom);
    let each = shares.iter().map(|share| Share::parse(&share.hex()).unwrap());
    let mut taken = each.map(|share| gathered.take(Purpose::Unseal, splits, share).unwrap());
    taken.find_map(|joined| joined).unwrap()
}

/// Whoever left has their shares, and may have a copy of the store from when these were good.
#[tokio::test]
async fn shares_that_are_void_and_an_old_copy_of_the_store_do_not_open_the_store_of_now() {
    let (store, split) = (MemoryStore::default(), Split::new(3, 2).unwrap());
    let first = RootKey::draw(&Urandom);
    let (of_old, old_shares) = Splits::first(Purpose::Unseal, split, &first, &Urandom);
    let kept =
        |batch| Stored::default().replaced(batch, Purpose::Unseal, &of_old, &first, &Urandom);
    let founded = seal::initialize(&store, &first, Timestamp(1), &Urandom, |_, batch| kept(batch));
    let installation = founded.await.unwrap().installation;

    // A copy is taken. Then the key is split among others, and they show their shares.
    let copy = of_old;
    let by_old = joined(&copy, &old_shares);
    let (both, new_shares) = copy.and_then(Purpose::Unseal, split, &first, &Urandom);
    assert!(!both.root_is_due(&by_old), "the new shares open the same root key, and wait");
    assert!(both.without_unshown().root_is_due(&by_old), "who was given them has them still");
    let by_new = joined(&both, &new_shares);
    let stored = Stored::read(&store, Purpose::Unseal, None).await.unwrap();
    let verified = both.once_shown(&by_new);
    let batch = Batch::default();
    let batch = stored.replaced(batch, Purpose::Unseal, &verified, &first, &Urandom).unwrap();
    store.commit(batch).await.unwrap();

    // At their next unsealing the root key becomes another one.
    let stored = Stored::read(&store, Purpose::Unseal, None).await.unwrap();
    let by_new = joined(&stored.splits, &new_shares);
    assert!(stored.splits.root_is_due(&by_new));
    let second = RootKey::draw(&Urandom);
    let renewed = seal::renew_root(&store, (&stored, &by_new), (&first, &second), &Urandom);
    assert_eq!(renewed.await.unwrap().installation, installation);

    let found = joined(&copy, &old_shares).root().unwrap();
    let refused = seal::unseal(&store, &found).await.unwrap_err();
    assert!(matches!(refused, SealError::WrongKey), "{refused}");
    let stored = Stored::read(&store, Purpose::Unseal, None).await.unwrap();
    let by_new = joined(&stored.splits, &new_shares);
    assert!(!stored.splits.root_is_due(&by_new), "once is enough");
    let opened = seal::unseal(&store, &by_new.root().unwrap()).await.unwrap();
    assert_eq!(opened.installation, installation);
}
