//! The key ring over a simulated store: what rotates, what is counted, and what opens afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

use leasehold_core::broker::{KeyRingError, RotationWrite};
use leasehold_core::ids::InstallationId;
use leasehold_core::limits::{SEALS_BLOCK, SEALS_MAX};
use leasehold_core::seal::barrier::id_of_key;
use leasehold_core::seal::shares::{Share, Split};
use leasehold_core::seal::splits::{Gathered, Joined, Purpose, Splits, Stored};
use leasehold_core::seal::{self, RootKey, SealError, Unsealed};
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

/// A world whose first key has sealed so much.
async fn worn(seals: u64) -> World {
    let world = World::new().await;
    let count = format!("{{\"key\":1,\"seals\":{seals}}}").into_bytes();
    let batch = Batch::default().put(count_at(), leasehold_core::store::Value(count));
    world.store.commit(batch).await.unwrap();
    world.restart().await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_worn_out_is_replaced_by_itself_and_on_a_full_disk_too() {
    let world = worn(SEALS_MAX).await;
    world.store.keep_reserve(true);
    world.broker().housekeep().await.unwrap();
    world.store.keep_reserve(false);
    assert_eq!(status(&world).await.key, 2);
    world.broker().housekeep().await.unwrap();
    assert_eq!(status(&world).await.key, 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_by_itself_is_on_record_before_it_is_drawn() {
    let world = World::new().await;
    world.pass(DAY).await;
    let daily = RotationWrite { interval: Some(DAY), ..RotationWrite::default() };
    world.broker().set_rotation(&request(ROOT), &daily).await.unwrap();
    world.audit.refuse(true);
    world.broker().housekeep().await.unwrap();
    world.audit.refuse(false);
    assert_eq!(status(&world).await.key, 1);
    world.broker().housekeep().await.unwrap();
    assert_eq!(status(&world).await.key, 2);
    let lines = world.audit.lines();
    let of_ring = lines.iter().filter(|line| line.contains(r#""path":"sys/rotate""#));
    let kinds = of_ring.map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone());
    assert_eq!(kinds.collect::<Vec<_>>(), ["request", "response"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_worn_out_is_replaced_while_nothing_can_be_recorded_and_one_that_is_due_waits()
 {
    let due = RotationWrite { seals_max: Some(5_000_000), ..RotationWrite::default() };
    for (seals, hangs, key) in
        [(SEALS_MAX, false, 2), (SEALS_MAX, true, 2), (6_000_000, false, 1), (6_000_000, true, 1)]
    {
        let world = worn(seals).await;
        world.broker().set_rotation(&request(ROOT), &due).await.unwrap();
        let refuse = |is| if hangs { world.audit.hang(is) } else { world.audit.refuse(is) };
        refuse(true);
        world.broker().housekeep().await.unwrap();
        refuse(false);
        assert_eq!(status(&world).await.key, key, "after {seals}, hanging: {hangs}");
        world.broker().housekeep().await.unwrap();
        assert_eq!(status(&world).await.key, 2);
    }
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

/// Founds a store whose key people have; returns their splits, their shares, and which installation it is.
async fn founded(store: &MemoryStore, root: &RootKey) -> (Splits, Vec<Share>, InstallationId) {
    let split = Split::new(3, 2).unwrap();
    let (splits, shares) = Splits::first(Purpose::Unseal, split, root, &Urandom);
    let kept = |batch| Stored::default().replaced(batch, Purpose::Unseal, &splits, root, &Urandom);
    let founded = seal::initialize(store, root, Timestamp(1), &Urandom, |_, batch| kept(batch));
    let installation = founded.await.unwrap().installation;
    (splits, shares, installation)
}

/// The key ring as it is stored, for whoever copies it.
async fn copied_ring(store: &MemoryStore) -> leasehold_core::store::Value {
    store.get(&Key(b"seal/keyring".to_vec())).await.unwrap().unwrap().0
}

/// What is sealed now does not open by the ring of an old copy, whose root key somebody has; what was sealed before does
/// open now, and the key that seals has sealed nothing yet.
async fn opens_nothing_new(
    store: &MemoryStore,
    (old_root, old_ring): (&RootKey, &leasehold_core::store::Value),
    now: &Unsealed,
) {
    let (at, before) = (count_at(), seal::read(old_root, old_ring).unwrap().barrier);
    let (count, _) = store.get(&at).await.unwrap().unwrap();
    let count: Value = serde_json::from_slice(&count.0).unwrap();
    let old = before.seal(&at, b"old", &Urandom).unwrap();
    let last = u64::from(id_of_key(&old).unwrap());
    assert_eq!((&count["key"], &count["seals"]), (&(last + 1).into(), &0.into()));
    assert_eq!(&**now.barrier.open(&at, &old).unwrap(), b"old");
    let new = now.barrier.seal(&at, b"new", &Urandom).unwrap();
    assert_eq!(&**now.barrier.open(&at, &new).unwrap(), b"new");
    for id in 1..=last {
        // Whatever the value says of its key, no key of the old ring is it.
        let mut said = new.clone();
        said.0[1..5].copy_from_slice(&u32::try_from(id).unwrap().to_be_bytes());
        assert!(before.open(&at, &said).is_err(), "key {id} of the old ring");
    }
}

/// Whoever left has their shares, and may have a copy of the store from when these were good.
#[tokio::test]
async fn shares_that_are_void_and_an_old_copy_of_the_store_do_not_open_the_store_of_now() {
    let (store, split) = (MemoryStore::default(), Split::new(3, 2).unwrap());
    let first = RootKey::draw(&Urandom);
    let (of_old, old_shares, installation) = founded(&store, &first).await;

    // A copy is taken. Then the key is split among others, and they show their shares.
    let (copy, ring) = (of_old, copied_ring(&store).await);
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
    let (shown, roots) = ((&stored, &by_new), (&first, &second));
    let renewed = seal::renew_root(&store, shown, roots, Timestamp(2), &Urandom).await.unwrap();
    assert_eq!(renewed.installation, installation);

    let found = joined(&copy, &old_shares).root().unwrap();
    opens_nothing_new(&store, (&found, &ring), &renewed).await;
    let refused = seal::unseal(&store, &found).await.unwrap_err();
    assert!(matches!(refused, SealError::WrongKey), "{refused}");
    let stored = Stored::read(&store, Purpose::Unseal, None).await.unwrap();
    let by_new = joined(&stored.splits, &new_shares);
    assert!(!stored.splits.root_is_due(&by_new), "once is enough");
    let opened = seal::unseal(&store, &by_new.root().unwrap()).await.unwrap();
    assert_eq!(opened.installation, installation);
}

#[tokio::test]
async fn a_root_key_of_before_a_move_and_an_old_copy_of_the_store_do_not_open_the_store_of_now() {
    let (store, mut root) = (MemoryStore::default(), RootKey::draw(&Urandom));
    let (splits, shares, installation) = founded(&store, &root).await;
    let by_holders = joined(&splits, &shares);
    // From people to a keeper, and back.
    for (at, purpose) in [(2, Purpose::Unseal), (3, Purpose::Recovery)] {
        let ring = copied_ring(&store).await;
        let stored = Stored::read(&store, purpose, Some(&root)).await.unwrap();
        let (from, new) = ((purpose, &stored, &by_holders), RootKey::draw(&Urandom));
        let moved = seal::change_seal(&store, from, (&root, &new), Timestamp(at), &Urandom);
        let moved = moved.await.unwrap();
        assert_eq!(moved.installation, installation);
        opens_nothing_new(&store, (&root, &ring), &moved).await;
        root = new;
    }
}

/// The answer to the one write is lost: the root key is another one, with its data key, or all is as it was.
#[tokio::test]
async fn a_root_key_whose_renewal_had_no_answer_is_looked_for() {
    for (failure, is_kept) in [
        (StoreError::Uncertain("no answer".into()), true),
        (StoreError::Refused("full".into()), false),
    ] {
        let (store, old) = (MemoryStore::default(), RootKey::draw(&Urandom));
        let (splits, shares, _) = founded(&store, &old).await;
        let (ring, by_holders) = (copied_ring(&store).await, joined(&splits, &shares));
        let stored = Stored::read(&store, Purpose::Unseal, None).await.unwrap();
        let (shown, new) = ((&stored, &by_holders), RootKey::draw(&Urandom));
        store.fail(Some(failure));
        let renewed = seal::renew_root(&store, shown, (&old, &new), Timestamp(2), &Urandom).await;
        store.fail(None);
        assert_eq!(renewed.is_ok(), is_kept);
        match renewed {
            Ok(renewed) => opens_nothing_new(&store, (&old, &ring), &renewed).await,
            Err(_) => assert_eq!(copied_ring(&store).await, ring),
        }
    }
}

/// What goes on beyond a seal meets records of the one who opened the store after it, with a root key that it never had.
#[tokio::test(start_paused = true)]
async fn a_broker_of_before_another_root_key_puts_no_record_aside() {
    let world = World::new().await;
    let _target = world.target("well", "1h", "24h").await;
    let issued = world.issue("well").await.unwrap();
    let (old, new) = (RootKey::new([7; 32]), RootKey::draw(&Urandom));
    let (splits, shares) =
        Splits::first(Purpose::Unseal, Split::new(3, 2).unwrap(), &old, &Urandom);
    let (by_holders, stored) = (joined(&splits, &shares), Stored { splits, revision: None });
    let shown = (&stored, &by_holders);
    let renewed = seal::renew_root(&*world.store, shown, (&old, &new), Timestamp(2), &Urandom);
    let barrier = renewed.await.unwrap().barrier;
    let at = Key([b"lease/".as_slice(), issued.lease.bytes()].concat());
    let (sealed, _) = world.store.get(&at).await.unwrap().unwrap();
    let plain = barrier.open(&at, &sealed).unwrap();
    let sealed = barrier.seal(&at, &plain, &Urandom).unwrap();
    world.store.commit(Batch::default().put(at.clone(), sealed.clone())).await.unwrap();

    let refused = world.broker().renew(&request(ROOT), &issued.lease_id, None).await.unwrap_err();

    assert!(refused.to_string().contains("the root key does not open this store"), "{refused}");
    assert_eq!(world.store.count("quarantine/"), 0);
    assert_eq!(world.store.get(&at).await.unwrap().unwrap().0, sealed);
}
