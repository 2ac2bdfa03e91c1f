//! The embedded store: the suite of all stores, and what only a store in a folder can get wrong.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test, as it should")]

use leasehold_core::store::{Batch, Key, Revision, Store, StoreError, Value};
use leasehold_integration_tests::store_suite;
use leasehold_integration_tests::world::store::MemoryStore;
use leasehold_server::store::embedded::{Embedded, Holder, OpenError};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// Names the folder for a test that runs itself again as a child.
const CHILD: &str = "LEASEHOLD_TEST_STORE";

fn key(text: &str) -> Key {
    Key(text.as_bytes().to_vec())
}

fn value(text: &str) -> Value {
    Value(text.as_bytes().to_vec())
}

fn put(name: &str, text: &str) -> Batch {
    Batch::default().put(key(name), value(text))
}

/// Opens a store that this process may have held before.
fn open_again(folder: &Path) -> Result<Embedded, OpenError> {
    store_suite::wait_until_free(folder);
    Embedded::open(folder)
}

/// The file with the records.
fn records(folder: &TempDir) -> PathBuf {
    folder.path().join("leasehold.redb")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_embedded_store_on_disk_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    store_suite::check_all(async || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let store = Embedded::open(&folder.path().join(number.to_string())).unwrap();
        Arc::new(store) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_embedded_store_in_memory_passes_the_suite() {
    store_suite::check_all(async || Arc::new(Embedded::in_memory().unwrap()) as Arc<dyn Store>)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_of_the_simulated_world_keeps_the_same_promises() {
    store_suite::check_snapshots(async || Arc::new(MemoryStore::default()) as Arc<dyn Store>).await;
}

#[tokio::test]
async fn a_store_that_is_opened_again_has_kept_everything() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = Revision(0);
    for run in 0..4 {
        let store = open_again(folder.path()).unwrap();
        for number in 0..run {
            let (found, revision) = store.get(&key(&number.to_string())).await.unwrap().unwrap();
            assert_eq!(found, value("kept"));
            assert!(revision <= last);
        }
        let revision = store.commit(put(&run.to_string(), "kept")).await.unwrap();
        assert!(revision > last, "{revision:?} comes after {last:?}");
        last = revision;
    }
}

#[tokio::test]
async fn batches_that_wait_are_written_before_the_store_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(folder.path()).unwrap());
    let writers: Vec<_> = (0..200)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.commit(put(&number.to_string(), "x")).await })
        })
        .collect();
    drop(store);
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    let store = open_again(folder.path()).unwrap();
    let all = store.range(&key("0"), &key("a"), 1000).await.unwrap();
    assert_eq!(all.len(), 200);
}

#[tokio::test]
async fn the_feed_ends_with_the_store() {
    use futures_util::StreamExt;
    let store = Embedded::in_memory().unwrap();
    let mut changes = store.changes();
    store.commit(put("a", "x")).await.unwrap();
    drop(store);
    assert_eq!(changes.next().await, Some(Some(key("a"))));
    assert_eq!(changes.next().await, None);
}

#[tokio::test]
async fn a_batch_or_a_key_that_is_too_big_is_refused() {
    let store = Embedded::in_memory().unwrap();
    for batch in [
        Batch::default().put(key("a"), Value(vec![0; 17 << 20])),
        Batch::default().put(Key(vec![b'a'; 4096]), value("x")),
    ] {
        let error = store.commit(batch).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
    }
    store.commit(put("a", "x")).await.unwrap();
}

#[test]
fn a_second_server_is_refused_and_told_who_holds_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let first = Embedded::open(folder.path()).unwrap();
    let error = Embedded::open(folder.path()).unwrap_err();
    let OpenError::Held { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Holder::Process(std::process::id()));
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    drop(first);
    open_again(folder.path()).unwrap();
}

#[test]
fn only_the_owner_can_read_the_folder_and_its_files() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("new/store");
    drop(Embedded::open(&folder).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_place_that_is_no_folder_or_not_ours_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Embedded::open(&file).unwrap_err();
    assert!(matches!(error, OpenError::NotFolder { .. }), "{error}");
    for place in [file.join("below"), PathBuf::from("/proc/leasehold")] {
        let error = Embedded::open(&place).unwrap_err();
        assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains(place.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_store_of_a_later_release_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Embedded::open(folder.path()).unwrap());
    store_suite::wait_until_free(folder.path());
    let database = redb::Database::open(records(&folder)).unwrap();
    let transaction = database.begin_write().unwrap();
    let facts = redb::TableDefinition::<&str, u64>::new("facts");
    transaction.open_table(facts).unwrap().insert("format", 7).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open_again(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::LaterFormat { found: 7, known: 1, .. }), "{error}");
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    for bytes in [b"".as_slice(), b"# not a store", &[0; 8192]] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(records(&folder), bytes).unwrap();
        let error = open_again(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(records(&folder)).unwrap(), bytes);
    }
    let folder = tempfile::tempdir().unwrap();
    drop(redb::Database::create(records(&folder)).unwrap());
    let error = open_again(folder.path()).unwrap_err();
    assert!(error.to_string().contains("not a store of Leasehold"), "{error}");
}

/// Makes a store of some size in a folder.
async fn sizeable(folder: &TempDir) {
    let store = Embedded::open(folder.path()).unwrap();
    for part in 0..10 {
        let mut batch = Batch::default();
        for number in 0..200 {
            batch = batch.put(key(&format!("{part}/{number}")), Value(vec![7; 600]));
        }
        store.commit(batch).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_was_cut_is_an_error_and_not_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    sizeable(&folder).await;
    let whole = fs::read(records(&folder)).unwrap();
    for part in 0..16 {
        fs::write(records(&folder), &whole[..whole.len() * part / 16]).unwrap();
        let error = open_again(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{part}/16: {error}");
        assert!(error.to_string().contains("leasehold.redb"), "{error}");
    }
}

#[tokio::test]
async fn a_file_with_wrong_bytes_never_takes_the_server_along() {
    let folder = tempfile::tempdir().unwrap();
    sizeable(&folder).await;
    let whole = fs::read(records(&folder)).unwrap();
    let (mut noticed, mut page) = (0, 0);
    while page < whole.len() {
        let mut damaged = whole.clone();
        let end = damaged.len().min(page + 512);
        damaged[page..end].fill(0xaa);
        fs::write(records(&folder), &damaged).unwrap();
        match open_again(folder.path()) {
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. }), "{page}: {error}");
                noticed += 1;
            }
            Ok(store) => {
                // What these say depends on the page; that they return is what counts.
                let read = store.range(&key("0"), &key("a"), 10_000).await;
                let written = store.commit(put("5/5", "x")).await;
                noticed += u32::from(read.is_err() || written.is_err());
            }
        }
        page += 64 * 1024;
    }
    assert!(noticed > 0);
}

/// Writes pairs of records until it is killed, and says which are acknowledged.
async fn write_until_killed(folder: &Path) -> ! {
    let store = Arc::new(Embedded::open(folder).unwrap());
    for writer in 0..16 {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 0_u32.. {
                let name = format!("{writer}/{number}");
                let batch = put(&format!("one/{name}"), &name)
                    .put(key(&format!("two/{name}")), value(&name));
                store.commit(batch).await.unwrap();
                // Past the test's capture of its output, which only `println!` knows.
                let told = format!("acknowledged {name}\n");
                std::io::stdout().write_all(told.as_bytes()).unwrap();
            }
        });
    }
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_no_acknowledged_batch() {
    if let Some(folder) = std::env::var_os(CHILD) {
        write_until_killed(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for kill in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_process_loses_no_acknowledged_batch", "--nocapture"])
            .env(CHILD, folder.path().join(kill.to_string()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        acknowledged.clear();
        let mut killed = false;
        // What the child wrote before it died is read to its end.
        while let Some(Ok(line)) = lines.next() {
            acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
            if acknowledged.len() >= 300 * kill && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= 300 * kill, "the child died by itself");

        let store = Embedded::open(&folder.path().join(kill.to_string())).unwrap();
        for name in &acknowledged {
            let found = store.get(&key(&format!("one/{name}"))).await.unwrap();
            assert_eq!(found.map(|(found, _)| found), Some(value(name)), "{name} is lost");
        }
        let half = async |half: &str| {
            let prefix = key(half);
            let range = store.range(&prefix, &prefix.after_prefix(), usize::MAX).await.unwrap();
            let values = range.into_iter().map(|(_, value, revision)| (value, revision));
            values.collect::<Vec<_>>()
        };
        assert_eq!(half("one/").await, half("two/").await, "a batch is torn");
        store.commit(put("after", "x")).await.unwrap();
    }
}
