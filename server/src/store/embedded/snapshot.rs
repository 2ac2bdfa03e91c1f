//! All records as they are at one moment, read in chunks from one read transaction.

use super::{ReadError, Shared, file, revised};
use futures_util::{StreamExt, stream};
use leasehold_core::store::{Entry, Key, Snapshot, StoreError};
use std::sync::Arc;

/// Bytes after which a chunk takes no further record: a few milliseconds of reading, and little memory.
const CHUNK_BYTES: usize = 1 << 20;

/// The rest of a snapshot. It keeps its transaction open, and with it the pages of its moment.
type Rest = redb::Range<'static, &'static [u8], &'static [u8]>;

/// Begins a snapshot at once; its chunks are read on a thread that may block, one when the one before has been taken.
pub(super) fn of(shared: &Arc<Shared>) -> Snapshot {
    let begun = shared.read(|records| records.range::<&[u8]>(..));
    let name = shared.name.clone();
    let told = move |error: ReadError| {
        StoreError::Refused(format!("cannot read `{name}`: {}", error.reason))
    };
    let rest = match begun {
        Ok(rest) => rest,
        Err(error) => return stream::iter([Err(told(error))]).boxed(),
    };
    stream::try_unfold(rest, move |rest| {
        let told = told.clone();
        async move {
            let read = tokio::task::spawn_blocking(move || chunk(rest));
            let ended = |_| ReadError { reason: "the process is ending".to_owned(), reopen: false };
            read.await.map_err(ended).flatten().map_err(told)
        }
    })
    .boxed()
}

/// Reads the next records; `None` once there are no more.
fn chunk(mut rest: Rest) -> Result<Option<(Vec<Entry>, Rest)>, ReadError> {
    let read = file::caught(move || -> Result<_, redb::Error> {
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        while bytes < CHUNK_BYTES {
            let Some(record) = rest.next() else { break };
            let (key, value) = record?;
            let key = Key(key.value().to_vec());
            if let Some((value, revision)) = revised(value.value()) {
                bytes = bytes.saturating_add(key.0.len()).saturating_add(value.0.len());
                found.push((key, value, revision));
            }
        }
        Ok((!found.is_empty()).then_some((found, rest)))
    });
    let damaged = |error: file::FileError| ReadError { reason: error.0, reopen: false };
    Ok(read.map_err(damaged)??)
}
