//! What every adapter of the store must do. One suite, run on each of them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "what fails here fails a test, as it should"
)]

use futures_util::{FutureExt, StreamExt};
use leasehold_core::store::{Batch, Entry, Key, Revision, Snapshot, Store, StoreError, Value};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a feed may take to tell of a change before a test gives it up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether a folder is held: a process that is being started is a program within milliseconds.
const LOOKS: usize = 2000;

/// Runs every check, each on a new and empty store.
///
/// # Panics
///
/// Where the store does not do as its port says.
pub async fn check_all(make: impl AsyncFn() -> Arc<dyn Store>) {
    what_is_put_is_found(&*make().await).await;
    a_batch_is_whole(&*make().await).await;
    expectations_are_kept(&*make().await).await;
    a_conflict_leaves_nothing(&*make().await).await;
    a_key_is_not_put_and_deleted(&*make().await).await;
    a_delete_of_nothing_is_no_error(&*make().await).await;
    revisions_rise(&*make().await).await;
    ranges_are_in_order_and_end_where_they_should(&*make().await).await;
    a_range_may_be_long(&*make().await).await;
    a_batch_may_be_big(&*make().await).await;
    the_feed_tells_what_changed(&*make().await).await;
    a_reader_that_falls_behind_is_told_so(&*make().await).await;
    writers_on_one_counter_lose_nothing(make().await).await;
    a_random_history_ends_as_in_a_map(&*make().await).await;
    check_snapshots(make).await;
}

/// Runs the checks of snapshots alone, each on a new and empty store: for stores without a feed.
///
/// # Panics
///
/// Where the store does not do as its port says.
pub async fn check_snapshots(make: impl AsyncFn() -> Arc<dyn Store>) {
    a_snapshot_shows_one_moment(&*make().await).await;
    snapshots_under_load_are_consistent(make().await).await;
}

fn key(text: &str) -> Key {
    Key(text.as_bytes().to_vec())
}

fn value(text: &str) -> Value {
    Value(text.as_bytes().to_vec())
}

fn put(name: &str, text: &str) -> Batch {
    Batch::default().put(key(name), value(text))
}

async fn found(store: &dyn Store, name: &str) -> Option<(Value, Revision)> {
    store.get(&key(name)).await.unwrap()
}

async fn all(store: &dyn Store) -> Vec<Entry> {
    store.range(&Key::default(), &Key(vec![0xff; 65]), usize::MAX).await.unwrap()
}

async fn what_is_put_is_found(store: &dyn Store) {
    assert_eq!(found(store, "a").await, None);
    let first = store.commit(put("a", "one")).await.unwrap();
    assert_eq!(found(store, "a").await, Some((value("one"), first)));
    let second = store.commit(put("a", "two")).await.unwrap();
    assert_eq!(found(store, "a").await, Some((value("two"), second)));
    store.commit(Batch::default().delete(key("a"))).await.unwrap();
    assert_eq!(found(store, "a").await, None);

    let empty = store.commit(put("empty", "")).await.unwrap();
    assert_eq!(found(store, "empty").await, Some((value(""), empty)));
    for bytes in [vec![0], vec![0, 0], vec![0xff], vec![0xff; 64], (0..=255).collect()] {
        let revision = store
            .commit(Batch::default().put(Key(bytes.clone()), Value(bytes.clone())))
            .await
            .unwrap();
        assert_eq!(store.get(&Key(bytes.clone())).await, Ok(Some((Value(bytes), revision))));
    }
}

async fn a_batch_is_whole(store: &dyn Store) {
    store.commit(put("old", "x")).await.unwrap();
    let batch = put("a", "1").put(key("b"), value("2")).delete(key("old"));
    let revision = store.commit(batch).await.unwrap();
    assert_eq!(
        all(store).await,
        [(key("a"), value("1"), revision), (key("b"), value("2"), revision)]
    );
}

async fn expectations_are_kept(store: &dyn Store) {
    let absent = |name: &str| put(name, "x").expect(key("a"), None);
    let first = store.commit(absent("a")).await.unwrap();
    assert_eq!(store.commit(absent("b")).await, Err(StoreError::Conflict));
    let second = store.commit(put("a", "y").expect(key("a"), Some(first))).await.unwrap();
    let stale = put("a", "z").expect(key("a"), Some(first));
    assert_eq!(store.commit(stale).await, Err(StoreError::Conflict));
    // A record that is not written may be expected, and one that is gone is at no revision.
    store.commit(put("b", "x").expect(key("a"), Some(second))).await.unwrap();
    store.commit(Batch::default().delete(key("a"))).await.unwrap();
    let gone = put("a", "z").expect(key("a"), Some(second));
    assert_eq!(store.commit(gone).await, Err(StoreError::Conflict));
    store.commit(absent("a")).await.unwrap();
    // One that was put again is not the one that was expected, though it says the same.
    let again = put("a", "z").expect(key("a"), Some(first));
    assert_eq!(store.commit(again).await, Err(StoreError::Conflict));
}

async fn a_conflict_leaves_nothing(store: &dyn Store) {
    let kept = store.commit(put("kept", "x")).await.unwrap();
    let batch = put("a", "1")
        .put(key("kept"), value("changed"))
        .expect(key("kept"), Some(kept))
        .expect(key("missing"), Some(kept));
    assert_eq!(store.commit(batch).await, Err(StoreError::Conflict));
    let batch = Batch::default().delete(key("kept")).expect(key("kept"), None);
    assert_eq!(store.commit(batch).await, Err(StoreError::Conflict));
    assert_eq!(all(store).await, [(key("kept"), value("x"), kept)]);
}

async fn a_key_is_not_put_and_deleted(store: &dyn Store) {
    let batch = put("a", "1").put(key("b"), value("2")).delete(key("b"));
    let Err(StoreError::Refused(_)) = store.commit(batch).await else {
        panic!("a batch that puts and deletes the same key was not refused");
    };
    assert_eq!(all(store).await, []);
}

async fn a_delete_of_nothing_is_no_error(store: &dyn Store) {
    store.commit(Batch::default().delete(key("a"))).await.unwrap();
    store.commit(put("b", "1").delete(key("a")).delete(key("c"))).await.unwrap();
    assert_eq!(all(store).await.len(), 1);
}

async fn revisions_rise(store: &dyn Store) {
    let mut last = Revision::default();
    for number in 0..50 {
        let batch = match number % 3 {
            0 => put("a", "x"),
            1 => put(&format!("b{number}"), "x"),
            _ => Batch::default().delete(key("a")),
        };
        let revision = store.commit(batch).await.unwrap();
        assert!(revision > last, "{revision:?} comes after {last:?}");
        last = revision;
    }
}

async fn ranges_are_in_order_and_end_where_they_should(store: &dyn Store) {
    let names = ["b/2", "a", "b/10", "b", "b/1", "b0", "c", "b/"];
    let mut batch = Batch::default();
    for name in names {
        batch = batch.put(key(name), value(name));
    }
    let revision = store.commit(batch).await.unwrap();
    let cases: [(&str, &str, usize, &[&str]); 9] = [
        ("b/", "b0", 100, &["b/", "b/1", "b/10", "b/2"]),
        ("b/", "b0", 2, &["b/", "b/1"]),
        ("b/1", "b/10", 100, &["b/1"]),
        ("b/1\0", "b/2", 100, &["b/10"]),
        ("", "b", 100, &["a"]),
        ("b0", "z", 1, &["b0"]),
        ("a", "c", 0, &[]),
        ("c", "a", 100, &[]),
        ("a", "a", 100, &[]),
    ];
    for (from, to, limit, expected) in cases {
        let range = store.range(&key(from), &key(to), limit).await.unwrap();
        let expected: Vec<_> =
            expected.iter().map(|name| (key(name), value(name), revision)).collect();
        assert_eq!(range, expected, "{from:?}..{to:?}, {limit} at most");
    }
    let prefix = key("b/");
    assert_eq!(store.range(&prefix, &prefix.after_prefix(), 100).await.unwrap().len(), 4);
}

async fn a_range_may_be_long(store: &dyn Store) {
    let mut batch = Batch::default();
    for number in 0..3000 {
        batch = batch.put(key(&format!("{number:04}")), value("x"));
    }
    store.commit(batch).await.unwrap();
    for limit in [1, 127, 128, 129, 1024, 2999, 3000, usize::MAX] {
        let range = store.range(&key("0000"), &key("9999"), limit).await.unwrap();
        assert_eq!(range.len(), limit.min(3000));
        assert!(range.is_sorted_by(|(one, ..), (other, ..)| one < other));
    }
}

async fn a_batch_may_be_big(store: &dyn Store) {
    let mut batch = Batch::default();
    for number in 0..5000 {
        let name = key(&format!("{number:04}"));
        batch = batch.expect(name.clone(), None).put(name, Value(vec![7; 600]));
    }
    let revision = store.commit(batch).await.unwrap();
    let records = all(store).await;
    assert_eq!(records.len(), 5000);
    assert!(records.iter().all(|(_, _, found)| *found == revision));
    let mut batch = Batch::default();
    for (name, _, found) in records {
        batch = batch.expect(name.clone(), Some(found)).delete(name);
    }
    store.commit(batch).await.unwrap();
    assert_eq!(all(store).await, []);
}

async fn the_feed_tells_what_changed(store: &dyn Store) {
    store.commit(put("before", "x")).await.unwrap();
    let mut one = store.changes();
    let mut other = store.changes();
    store.commit(put("a", "x").put(key("b"), value("x"))).await.unwrap();
    let conflict = put("c", "x").expect(key("a"), None);
    store.commit(conflict).await.unwrap_err();
    store.commit(Batch::default().delete(key("a"))).await.unwrap();
    for feed in [&mut one, &mut other] {
        let mut told = Vec::new();
        while told.len() < 3 {
            let next = tokio::time::timeout(PATIENCE, feed.next()).await.unwrap();
            told.push(next.unwrap().unwrap());
        }
        assert_eq!(told, [key("a"), key("b"), key("a")]);
        assert!(feed.next().now_or_never().is_none(), "there is nothing more to tell");
    }
}

async fn a_reader_that_falls_behind_is_told_so(store: &dyn Store) {
    let mut feed = store.changes();
    // More than any feed keeps for a reader. What matters is that nothing is missed in silence: a
    // reader is told every key, or that it must read anew.
    for number in 0..600 {
        store.commit(put(&number.to_string(), "x")).await.unwrap();
    }
    store.commit(put("last", "x")).await.unwrap();
    let mut missed = false;
    let mut expected = 0;
    loop {
        match tokio::time::timeout(PATIENCE, feed.next()).await.unwrap().unwrap() {
            None => missed = true,
            Some(told) if told == key("last") => break,
            Some(told) => {
                assert!(missed || told == key(&expected.to_string()), "missed in silence");
                expected += 1;
            }
        }
    }
    assert!(missed || expected == 600);
}

async fn writers_on_one_counter_lose_nothing(store: Arc<dyn Store>) {
    const WRITERS: u64 = 64;
    const TIMES: u64 = 10;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut conflicts = 0_u64;
                for _ in 0..TIMES {
                    while count_up(&*store).await.is_err() {
                        conflicts += 1;
                    }
                }
                conflicts
            })
        })
        .collect();
    let mut conflicts = 0;
    for writer in writers {
        conflicts += writer.await.unwrap();
    }
    let (counted, _) = found(&*store, "counter").await.unwrap();
    assert_eq!(counted, Value((WRITERS * TIMES).to_be_bytes().to_vec()));
    assert!(conflicts > 0, "the writers were never at work at the same time");
}

/// Counts once, or loses against another.
async fn count_up(store: &dyn Store) -> Result<(), ()> {
    let read = found(store, "counter").await;
    let (count, revision) = read.map_or((0, None), |(count, revision)| {
        (u64::from_be_bytes(count.0.try_into().unwrap()), Some(revision))
    });
    let batch = Batch::default()
        .expect(key("counter"), revision)
        .put(key("counter"), Value((count + 1).to_be_bytes().to_vec()));
    match store.commit(batch).await {
        Ok(_) => Ok(()),
        Err(StoreError::Conflict) => Err(()),
        Err(error) => panic!("{error}"),
    }
}

/// Draws batches with right and wrong expectations over few keys, and compares with a map.
async fn a_random_history_ends_as_in_a_map(store: &dyn Store) {
    let mut model: BTreeMap<u64, (u64, Revision)> = BTreeMap::new();
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut draw = move |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let name = |number: u64| key(&number.to_string());
    let (mut written, mut conflicts) = (0, 0);
    for step in 0..1000 {
        let mut batch = Batch::default();
        let (put, deleted, looked_at) = (draw(10), draw(10), draw(10));
        batch = batch.put(name(put), value(&step.to_string()));
        if deleted != put {
            batch = batch.delete(name(deleted));
        }
        let now = model.get(&looked_at).map(|(_, revision)| *revision);
        let expected = if draw(4) == 0 { Some(Revision(step)) } else { now };
        batch = batch.expect(name(looked_at), expected);
        match store.commit(batch).await {
            Ok(revision) => {
                assert_eq!(expected, now, "step {step} should have been a conflict");
                model.remove(&deleted);
                model.insert(put, (step, revision));
                written += 1;
            }
            Err(error) => {
                assert_eq!(error, StoreError::Conflict);
                assert_ne!(expected, now, "step {step} should have been written");
                conflicts += 1;
            }
        }
    }
    assert!(written > 500 && conflicts > 100, "{written} {conflicts}");
    let expected: Vec<_> = model
        .into_iter()
        .map(|(number, (step, revision))| (name(number), value(&step.to_string()), revision))
        .collect();
    assert_eq!(all(store).await, expected);
}

async fn taken(mut snapshot: Snapshot) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(chunk) = snapshot.next().await {
        entries.extend(chunk.unwrap());
    }
    entries
}

async fn a_snapshot_shows_one_moment(store: &dyn Store) {
    assert_eq!(taken(store.snapshot()).await, []);
    let mut batch = Batch::default();
    for number in 0..3000 {
        batch = batch.put(key(&format!("{number:04}")), Value(vec![7; 1000]));
    }
    store.commit(batch).await.unwrap();
    let before = all(store).await;
    let mut late = store.snapshot();
    let first = late.next().await.unwrap().unwrap();
    store
        .commit(put("0000", "changed").delete(key("2999")).put(key("new"), value("x")))
        .await
        .unwrap();
    let mut seen = first;
    seen.extend(taken(late).await);
    assert!(seen == before, "what was written later shows, or something is missing");
    assert!(taken(store.snapshot()).await == all(store).await);
}

/// Writers keep pairs of records that only ever change together; no snapshot may show one without the other. They
/// write until enough snapshots were taken meanwhile, however fast the store is and whoever has a turn.
async fn snapshots_under_load_are_consistent(store: Arc<dyn Store>) {
    const SNAPSHOTS: usize = 10;
    let ended = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, ended) = (Arc::clone(&store), Arc::clone(&ended));
            tokio::spawn(async move {
                for round in (0..200).cycle() {
                    let (one, other) =
                        (format!("a/{writer}/{round}"), format!("z/{writer}/{round}"));
                    let both = put(&one, "x").put(key(&other), value("x"));
                    store.commit(both).await.unwrap();
                    if round % 3 == 0 {
                        let neither = Batch::default().delete(key(&one)).delete(key(&other));
                        store.commit(neither).await.unwrap();
                    }
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut partly = 0;
    while partly < SNAPSHOTS {
        let entries = taken(store.snapshot()).await;
        let under = |prefix: &str| -> Vec<Vec<u8>> {
            let keys = entries.iter().map(|(key, ..)| &key.0);
            keys.filter(|key| key.starts_with(prefix.as_bytes()))
                .map(|key| key[2..].to_vec())
                .collect()
        };
        assert_eq!(under("a/"), under("z/"), "half of a batch shows");
        partly += usize::from(!entries.is_empty());
        assert!(!writers.iter().any(tokio::task::JoinHandle::is_finished), "a writer broke off");
        tokio::task::yield_now().await;
    }
    ended.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Waits until nobody holds the store in a folder, which this process has held itself. Whatever another thread starts
/// meanwhile is a copy of this process at first, and holds what this one held until it is a program of its own.
pub fn wait_until_free(folder: &Path) {
    for _ in 0..LOOKS {
        if !is_held(folder) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("somebody still holds the store in {}", folder.display());
}

/// Tells whether anybody holds the store in a folder. To try its lock would be to hold it.
fn is_held(folder: &Path) -> bool {
    let locks = fs::read_to_string("/proc/locks").expect("the locks of this machine");
    ["leasehold.lock", "leasehold.redb"].iter().any(|file| {
        let inode = fs::metadata(folder.join(file)).map_or(0, |file| file.ino());
        let its = format!(":{inode}");
        locks.split_whitespace().any(|word| word.ends_with(&its))
    })
}
