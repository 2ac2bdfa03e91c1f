//! Finds out whether the store's file was cut, before the library gets to mend it.
//!
//! After a crash redb fits what its header says to the length that the file has, and goes on. For a file
//! that lost its end this means to start with what is left, to find out about the rest when somebody asks
//! for it, and to write over what could have told more. So the length is compared first.
//!
//! A file that is shorter than its header says is not always a cut one: after a power failure the header may
//! have reached the disk before the new length did, and nothing is missing. Then a copy is opened and every
//! page of it checked, which takes its time and never happens otherwise.

use super::folder::{OpenError, unusable};
use redb::{Builder, Database};
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// How a file of redb begins. What begins otherwise is refused by the library, which changes nothing then.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// After the magic come a byte of flags and two of padding, and then five numbers of four bytes.
const NUMBERS_AT: usize = MAGIC.len() + 3;

/// Refuses a file that lost its end, and leaves it as it is.
pub(super) fn refuse_cut(path: &Path, settings: &Builder) -> Result<(), OpenError> {
    let failed = |error: std::io::Error| unusable(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut head = [0; NUMBERS_AT + 20];
    match file.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    let Some(whole) = whole_length(&head).filter(|whole| length < *whole) else { return Ok(()) };
    let reason = format!("it has {length} bytes of {whole}");
    tracing::warn!(%reason, "the store's file is shorter than it says; every page of it is checked");
    if is_consistent(path, settings).map_err(failed)? {
        return Ok(());
    }
    Err(OpenError::Damaged { path: path.to_owned(), reason })
}

/// Returns how long the file is by its own account: one page, so many full regions, and one that is not full.
fn whole_length(head: &[u8]) -> Option<u64> {
    let numbers = head.strip_prefix(MAGIC)?.get(NUMBERS_AT.checked_sub(MAGIC.len())?..)?;
    let number = |at: usize| {
        let bytes = numbers.chunks_exact(4).nth(at)?;
        Some(u64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    let (page, header, data) = (number(0)?, number(1)?, number(2)?);
    let (full, rest) = (number(3)?, number(4)?);
    let full_pages = header.checked_add(data)?.checked_mul(full)?;
    let rest_pages = if rest > 0 { header.checked_add(rest)? } else { 0 };
    full_pages.checked_add(rest_pages)?.checked_add(1)?.checked_mul(page)
}

/// Opens a copy and checks every page of it.
fn is_consistent(path: &Path, settings: &Builder) -> std::io::Result<bool> {
    let copy = path.with_extension("redb.check");
    let checked = fs::copy(path, &copy).map(|_| {
        let check = || settings.open(&copy).and_then(|mut copy: Database| copy.check_integrity());
        // A copy that had to be mended is one that has lost something.
        matches!(super::file::caught(check), Ok(Ok(true)))
    });
    let removed = fs::remove_file(&copy);
    let is_consistent = checked?;
    removed?;
    Ok(is_consistent)
}
