//! What is in the file of the embedded store, and how its library's failures are told.

use super::folder::OpenError;
use redb::{
    Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition, TableError,
    WriteTransaction,
};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The records: a value is preceded by the 8 bytes of its revision, in little-endian order.
pub(super) const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");
/// Numbers about the file itself.
const FACTS: TableDefinition<&str, u64> = TableDefinition::new("facts");

/// How the file is laid out. Raised when a release writes what the ones before cannot read.
const FORMAT: u64 = 1;

/// The library failed, and says how. It is never matched upon: after any failure the file is opened
/// again and asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct FileError(pub(super) String);

macro_rules! file_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for FileError {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        }
    )*};
}
file_errors!(
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError
);

/// Carries out `work`, and tells a panic of the library as an error: it panics where it meets bytes
/// that it cannot have written, and a damaged file must not take the server along.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, FileError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        FileError(format!("the file is damaged: {}", text.unwrap_or("no more is known")))
    })
}

/// Opens a database, with every failure told as one of ours.
pub(super) fn shielded(
    path: &Path,
    open: impl FnOnce() -> Result<Database, DatabaseError>,
) -> Result<Database, OpenError> {
    match caught(open) {
        Ok(opened) => opened.map_err(|error| open_error(path, &error)),
        Err(FileError(reason)) => Err(OpenError::Damaged { path: path.to_owned(), reason }),
    }
}

pub(super) fn open_error(path: &Path, error: &DatabaseError) -> OpenError {
    let path = path.to_owned();
    if let DatabaseError::Storage(StorageError::Io(error)) = error {
        // The library reads what its header says is there: a file that ends earlier was cut.
        if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) {
            return OpenError::Unusable { path, reason: error.to_string() };
        }
    }
    if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
        return OpenError::Held { path, holder: super::folder::Holder::Unknown };
    }
    OpenError::Damaged { path, reason: error.to_string() }
}

/// Begins a write that is durable once committed, and after whose crash the next open is quick.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, FileError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Makes a new file a store.
pub(super) fn write_format(path: &Path, database: &Database) -> Result<(), OpenError> {
    let write = || -> Result<(), FileError> {
        let transaction = begin(database)?;
        transaction.open_table(FACTS)?.insert("format", FORMAT)?;
        transaction.open_table(RECORDS)?;
        write_revision(&transaction, 0)?;
        Ok(transaction.commit()?)
    };
    write().map_err(|FileError(reason)| OpenError::Unusable { path: path.to_owned(), reason })
}

/// Refuses what a later release wrote, and what is no store.
pub(super) fn check_format(path: &Path, database: &Database) -> Result<(), OpenError> {
    let damaged = |reason| OpenError::Damaged { path: path.to_owned(), reason };
    let found = caught(|| read_fact(database, "format"))
        .flatten()
        .map_err(|FileError(reason)| damaged(reason))?
        .ok_or_else(|| damaged("it is not a store of Leasehold".to_owned()))?;
    if found > FORMAT {
        return Err(OpenError::LaterFormat { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(())
}

/// Returns the revision of the last batch that is in the file.
pub(super) fn read_revision(database: &Database) -> Result<u64, FileError> {
    caught(|| read_fact(database, "revision"))?
        .and_then(|found| found.ok_or_else(|| FileError("it has no revision".to_owned())))
}

/// Says which batch is the last one in the file, in the transaction that writes it.
pub(super) fn write_revision(
    transaction: &WriteTransaction,
    revision: u64,
) -> Result<(), FileError> {
    transaction.open_table(FACTS)?.insert("revision", revision)?;
    Ok(())
}

fn read_fact(database: &Database, name: &str) -> Result<Option<u64>, FileError> {
    let table = match database.begin_read()?.open_table(FACTS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(table.get(name)?.map(|found| found.value()))
}
