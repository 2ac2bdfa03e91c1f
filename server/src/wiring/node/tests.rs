//! Tests of how an installation is made.

use super::*;
use crate::chance::SystemChance;
use crate::seal_file::KeyFile;
use crate::store::embedded::Embedded;
use crate::tasks::TokioTasks;
use crate::time::SystemClock;
use futures_core::stream::BoxStream;
use leasehold_core::store::{Batch, Entry, Key, Revision, Snapshot, Store, Value};
use leasehold_core::tasks::Pending;

/// A store that keeps what it is given, and cannot be opened afterwards.
#[derive(Debug)]
struct Unreadable(Embedded);

impl Store for Unreadable {
    fn get(&self, key: &Key) -> Pending<'_, Result<Option<(Value, Revision)>, StoreError>> {
        self.0.get(key)
    }

    fn range(
        &self,
        _from: &Key,
        _to: &Key,
        _limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, StoreError>> {
        Box::pin(std::future::ready(Err(StoreError::Refused("the disk is gone".into()))))
    }

    fn commit(&self, batch: Batch) -> Pending<'_, Result<Revision, StoreError>> {
        self.0.commit(batch)
    }

    fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    fn changes(&self) -> BoxStream<'static, Option<Key>> {
        self.0.changes()
    }
}

#[tokio::test]
async fn the_first_token_is_told_even_if_the_store_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start().unwrap());
    let tasks = TokioTasks::new(tokio::runtime::Handle::current(), Arc::clone(&clock));
    let ports = Ports {
        store: Arc::new(Unreadable(Embedded::in_memory().unwrap())),
        clock,
        chance: Arc::new(SystemChance),
        tasks: Arc::new(tasks),
        audit: Vec::new(),
    };
    let key = KeyFile { path: folder.path().join("root.key"), is_credential: false };
    let config = Config { seal: Seal::Kept { key, is_left: false }, ..Config::default() };
    let server = Server::new(ports, &config, "embedded", Meters::default(), Count::new());

    let founded = server.found(None).await.unwrap();

    assert!(founded.token.reveal().starts_with("hvs."));
    assert!(matches!(server.node(), Node::Sealed));
    assert!(matches!(
        server.found(None).await,
        Err(FoundError::Seal(SealError::AlreadyInitialized))
    ));
}
