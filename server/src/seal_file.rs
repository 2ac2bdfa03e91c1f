//! The root key in a file of its own: `seal "file"`.
//!
//! Whoever has this file and the store has every target's administrator, so it is read only if nobody
//! but its owner may, and it belongs on another disk, and in other backups, than the store.

use leasehold_core::chance::Chance;
use leasehold_core::seal::RootKey;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The bytes of a root key, and so of the file.
const KEY_BYTES: usize = 32;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealFileError {
    /// There is none.
    #[error(
        "the key file `{0}` is missing: without it the store cannot be opened. put it back from its backup"
    )]
    Missing(PathBuf),
    /// Others may read it.
    #[error(
        "the key file `{path}` may be read by others (mode {mode:04o}): run `chmod 0600 {path}`, and consider who has \
         read it"
    )]
    TooOpen {
        /// Where it is.
        path: PathBuf,
        /// What `chmod` calls its permissions.
        mode: u32,
    },
    /// It is no root key.
    #[error(
        "the key file `{path}` has {bytes} bytes; a root key has {KEY_BYTES}. put the right one back"
    )]
    WrongSize {
        /// Where it is.
        path: PathBuf,
        /// How long it is.
        bytes: usize,
    },
    /// It cannot be read or written.
    #[error("the key file `{path}` cannot be used: {reason}")]
    Unusable {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Reads the root key.
pub(crate) fn read(path: &Path) -> Result<RootKey, SealFileError> {
    let file = File::open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            SealFileError::Missing(path.to_owned())
        } else {
            unusable(path, &error)
        }
    })?;
    let facts = file.metadata().map_err(|error| unusable(path, &error))?;
    let mode = facts.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SealFileError::TooOpen { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES.saturating_add(1)));
    let limit = u64::try_from(KEY_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unusable(path, &error))?;
    let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice());
    let length = usize::try_from(facts.len()).unwrap_or(usize::MAX);
    key.map(RootKey::new)
        .map_err(|_| SealFileError::WrongSize { path: path.to_owned(), bytes: length })
}

/// Draws a root key and writes it where there is none yet; returns once it is on the disk.
pub(crate) fn make(path: &Path, chance: &dyn Chance) -> Result<RootKey, SealFileError> {
    let key = RootKey::draw(chance);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(key.expose())?;
        file.sync_all()?;
        // The name is durable only once its folder is.
        File::open(folder(path))?.sync_all()
    })();
    written.map_err(|error: io::Error| unusable(path, &error))?;
    Ok(key)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unusable(path: &Path, error: &io::Error) -> SealFileError {
    SealFileError::Unusable { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::SystemChance;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_reads_back_and_only_its_owner_may() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let made = make(&path, &SystemChance).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().expose(), made.expose());
    }

    #[test]
    fn a_key_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let made = make(&path, &SystemChance).unwrap();
        assert!(make(&path, &SystemChance).is_err());
        assert_eq!(read(&path).unwrap().expose(), made.expose());
    }

    #[test]
    fn a_file_that_is_missing_too_open_or_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        assert!(matches!(read(&path), Err(SealFileError::Missing(_))));
        make(&path, &SystemChance).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path), Err(SealFileError::TooOpen { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bytes in [0, 31, 33, 4096] {
            fs::write(&path, vec![7; bytes]).unwrap();
            let refused = read(&path).unwrap_err().to_string();
            assert!(refused.contains(&format!("has {bytes} bytes")), "{refused}");
        }
    }
}
