//! What the embedded store answers when its disk fails, one operation after the other.

#![expect(clippy::arithmetic_side_effects, reason = "an overflow fails a test, as it should")]

use super::*;
use redb::StorageBackend;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::AtomicI64;

/// How much the system writes back at a time.
const PAGE: usize = 4096;

/// A disk behind a page cache, both of which can fail as Linux has them fail: after an `fsync` that
/// failed, the cache shows what was written, calls it clean, and never writes it.
#[derive(Debug, Default)]
struct Platter {
    pages: parking_lot::Mutex<Pages>,
    /// Operations until one fails; negative while none will.
    countdown: AtomicI64,
    /// Whether all operations fail from there on, instead of one.
    for_good: AtomicBool,
    /// Whether reads count, instead of writes.
    reads: AtomicBool,
}

#[derive(Debug, Default)]
struct Pages {
    cached: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Platter {
    fn new() -> Arc<Self> {
        Arc::new(Self { countdown: AtomicI64::new(-1), ..Self::default() })
    }

    /// Has the operation after `count` others fail.
    fn fail_after(&self, count: i64, for_good: bool) {
        self.for_good.store(for_good, Ordering::SeqCst);
        self.countdown.store(count, Ordering::SeqCst);
    }

    /// Stops failing, and tells whether a failure was still to come.
    fn heal(&self) -> bool {
        self.for_good.store(false, Ordering::SeqCst);
        self.countdown.swap(-1, Ordering::SeqCst) >= 0
    }

    fn step(&self) -> io::Result<()> {
        match self.countdown.load(Ordering::SeqCst) {
            0 if self.for_good.load(Ordering::SeqCst) => Err(io::ErrorKind::StorageFull.into()),
            ..0 => Ok(()),
            count => {
                self.countdown.store(count - 1, Ordering::SeqCst);
                if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
            }
        }
    }

    fn write_step(&self) -> io::Result<()> {
        if self.reads.load(Ordering::SeqCst) { Ok(()) } else { self.step() }
    }

    /// Returns what a power cut would leave now.
    fn durable(&self) -> Vec<u8> {
        self.pages.lock().durable.clone()
    }

    /// Has the disk be as a power cut left it.
    fn restore(&self, durable: Vec<u8>) {
        *self.pages.lock() = Pages { cached: durable.clone(), durable, dirty: BTreeSet::default() };
    }

    /// Opens a store on the disk; `new` makes it one.
    fn store(self: &Arc<Self>, new: bool) -> Embedded {
        self.store_with(new, CACHE_BYTES)
    }

    fn store_with(self: &Arc<Self>, mut new: bool, cache_bytes: usize) -> Embedded {
        let platter = Arc::clone(self);
        let open = move || {
            let path = Path::new("platter");
            let backend = Plugged(Arc::clone(&platter));
            let mut settings = Builder::new();
            settings.set_cache_size(cache_bytes);
            let database = file::shielded(path, || settings.create_with_backend(backend))?;
            if std::mem::take(&mut new) {
                file::write_format(path, &database)?;
            }
            file::check_format(path, &database)?;
            Ok(database)
        };
        let name = "platter".to_owned();
        Embedded::start(Disk { name, open: Box::new(open), folder: None, reserve_bytes: 0 })
            .unwrap()
    }
}

#[derive(Debug)]
struct Plugged(Arc<Platter>);

impl StorageBackend for Plugged {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.pages.lock().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.reads.load(Ordering::SeqCst) {
            self.0.step()?;
        }
        let start = usize::try_from(offset).unwrap();
        let pages = self.0.pages.lock();
        let found = pages.cached.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.write_step()?;
        let mut pages = self.0.pages.lock();
        let len = usize::try_from(len).unwrap();
        pages.cached.resize(len, 0);
        pages.durable.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let done = self.0.write_step();
        let mut pages = self.0.pages.lock();
        let pages = &mut *pages;
        for page in std::mem::take(&mut pages.dirty) {
            if done.is_ok() {
                let end = pages.cached.len().min((page + 1) * PAGE);
                pages.durable[page * PAGE..end].copy_from_slice(&pages.cached[page * PAGE..end]);
            }
        }
        done
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_step()?;
        let start = usize::try_from(offset).unwrap();
        let end = start + bytes.len();
        let mut pages = self.0.pages.lock();
        pages.cached[start..end].copy_from_slice(bytes);
        pages.dirty.extend(start / PAGE..=(end - 1) / PAGE);
        Ok(())
    }
}

fn key(name: &str) -> Key {
    Key(name.as_bytes().to_vec())
}

fn pair(value: i64) -> Batch {
    let value = Value(value.to_be_bytes().to_vec());
    Batch::default().put(key("one"), value.clone()).put(key("two"), value)
}

/// Returns the value of the pair, which must be whole.
async fn read_pair(store: &Embedded) -> Value {
    let (one, first) = store.get(&key("one")).await.unwrap().unwrap();
    let (two, second) = store.get(&key("two")).await.unwrap().unwrap();
    assert_eq!((&one, first), (&two, second), "a batch was torn");
    one
}

/// Has every operation of a commit fail in turn, and checks that the answer is true: at once, and
/// after a power cut.
async fn every_answer_is_true(for_good: bool) -> [u32; 3] {
    let mut told = [0; 3];
    for (count, cut) in (0..).flat_map(|count| [(count, false), (count, true)]) {
        let platter = Platter::new();
        let mut store = platter.store(true);
        store.commit(pair(-1)).await.unwrap();
        platter.fail_after(count, for_good);
        let answer = store.commit(pair(count)).await;
        if platter.heal() && !for_good {
            assert!(answer.is_ok());
            break;
        }
        if cut {
            // The power goes before the store is closed, which would write once more.
            let durable = platter.durable();
            drop(store);
            platter.restore(durable);
            store = platter.store(false);
        }
        // Has the file opened again if it could not be before.
        let after = store.commit(Batch::default().put(key("three"), Value::default())).await;
        let found = read_pair(&store).await;
        let is_in = found == Value(count.to_be_bytes().to_vec());
        assert!(is_in || found == Value((-1_i64).to_be_bytes().to_vec()));
        match answer {
            Ok(revision) => {
                assert!(is_in, "operation {count}: told Ok, and it is not in; power cut: {cut}");
                assert!(after.unwrap() > revision);
                told[0] += 1;
                if for_good {
                    break;
                }
            }
            Err(StoreError::Refused(_)) => {
                assert!(!is_in, "operation {count}: told Refused, and it is in; power cut: {cut}");
                told[1] += 1;
            }
            Err(StoreError::Uncertain(_)) => told[2] += 1,
            Err(StoreError::Conflict) => panic!("operation {count}: told Conflict"),
        }
    }
    told
}

#[tokio::test]
async fn an_operation_that_fails_once_is_found_out_about_and_answered_truly() {
    let [_, refused, uncertain] = every_answer_is_true(false).await;
    assert!(refused >= 5, "{refused}");
    assert_eq!(uncertain, 0);
}

#[tokio::test]
async fn a_disk_that_stays_full_makes_the_answer_uncertain_and_heals() {
    let [_, refused, uncertain] = every_answer_is_true(true).await;
    assert!(uncertain >= 2, "{refused} {uncertain}");
}

#[tokio::test]
async fn readers_of_the_feed_are_told_to_read_anew_after_the_file_was_opened_again() {
    let platter = Platter::new();
    let store = platter.store(true);
    let mut changes = store.changes();
    platter.fail_after(0, false);
    store.commit(pair(1)).await.unwrap_err();
    assert_eq!(changes.next().await, Some(None));
    store.commit(pair(2)).await.unwrap();
    assert_eq!(changes.next().await, Some(Some(key("one"))));
}

#[tokio::test]
async fn a_read_that_fails_has_the_file_opened_again() {
    let platter = Platter::new();
    let store = platter.store(true);
    let many = (0..100).fold(pair(1), |batch, number| {
        batch.put(key(&format!("many {number}")), Value(vec![7; 1000]))
    });
    store.commit(many).await.unwrap();
    drop(store);
    // Without a cache, since a debug build of redb reads the whole file when it opens it.
    let store = platter.store_with(false, 0);
    platter.reads.store(true, Ordering::SeqCst);
    platter.fail_after(0, false);
    let Err(StoreError::Refused(reason)) = store.get(&key("one")).await else {
        panic!("read in spite of the disk");
    };
    assert!(reason.starts_with("cannot read `platter`"), "{reason}");
    assert!(!platter.heal(), "the disk was not asked");
    // Written after what the failed read has asked for.
    store.commit(pair(2)).await.unwrap();
    assert_eq!(read_pair(&store).await, Value(2_i64.to_be_bytes().to_vec()));
    let range = store.range(&key("many"), &key("man~"), 1000).await.unwrap();
    assert_eq!(range.len(), 100);
}

#[tokio::test]
async fn a_full_disk_takes_revocations_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open_with_reserve(folder.path(), u64::MAX).unwrap();
    let Err(StoreError::Refused(reason)) = store.commit(pair(1)).await else {
        panic!("written in spite of the full disk");
    };
    assert!(reason.contains("nearly full") && reason.contains(folder.path().to_str().unwrap()));
    assert_eq!(store.get(&key("one")).await, Ok(None));
    store.commit(Batch { spends_reserve: true, ..pair(2) }).await.unwrap();
    assert_eq!(read_pair(&store).await, Value(2_i64.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn a_conflict_in_a_group_leaves_its_neighbors_alone() {
    let platter = Platter::new();
    let store = platter.store(true);
    let first = || pair(1).expect(key("one"), None);
    // Both wait before the writer has answered either.
    let (one, two, three) = tokio::join!(
        store.commit(first()),
        store.commit(first().put(key("trace"), Value::default())),
        store.commit(Batch::default().put(key("three"), Value::default())),
    );
    assert_eq!(two, Err(StoreError::Conflict));
    assert!(three.unwrap() > one.unwrap());
    assert_eq!(store.get(&key("trace")).await, Ok(None));
}
