//! The root key in a file of its own: `seal "file"`, or in a credential of systemd's: `seal "credential"`.
//!
//! Whoever has this file and the store has every target's administrator, so it is read only if nobody
//! but its owner may, and it belongs on another disk, and in other backups, than the store.

use leasehold_core::seal::RootKey;
use leasehold_core::seal::keeper::{Keeper, KeeperError};
use leasehold_core::tasks::Pending;
use std::fs::{File, OpenOptions};
use std::future::ready;
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
    /// The service was started without it.
    #[error(
        "the credential `{0}` is missing: the unit needs `LoadCredentialEncrypted=` or `LoadCredential=` with a key of {KEY_BYTES} \
         random bytes (`head -c {KEY_BYTES} /dev/urandom | systemd-creds encrypt - FILE`)"
    )]
    NoCredential(PathBuf),
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

/// A root key in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Whether systemd put it there: it says itself who may read it, and nobody can write it.
    pub(crate) is_credential: bool,
}

impl Keeper for KeyFile {
    fn kind(&self) -> &'static str {
        if self.is_credential { "credential" } else { "file" }
    }

    fn recall(&self) -> Pending<'_, Result<RootKey, KeeperError>> {
        Box::pin(ready(self.read().map_err(|error| match error {
            SealFileError::Missing(_) | SealFileError::NoCredential(_) => {
                KeeperError::Missing(error.to_string())
            }
            SealFileError::TooOpen { .. }
            | SealFileError::WrongSize { .. }
            | SealFileError::Unusable { .. } => KeeperError::Unusable(error.to_string()),
        })))
    }

    fn keep(&self, root: RootKey) -> Pending<'_, Result<(), KeeperError>> {
        let kept = if self.is_credential {
            Err(SealFileError::NoCredential(self.path.clone()))
        } else {
            write(&self.path, &root)
        };
        Box::pin(ready(kept.map_err(|error| KeeperError::Unusable(error.to_string()))))
    }
}

impl KeyFile {
    /// Reads the root key.
    pub(crate) fn read(&self) -> Result<RootKey, SealFileError> {
        // A service of its own has its credentials to itself, whatever the bits for a group say.
        let others = if self.is_credential { 0o007 } else { 0o077 };
        match read(&self.path, others) {
            Err(SealFileError::Missing(path)) if self.is_credential => {
                Err(SealFileError::NoCredential(path))
            }
            outcome => outcome,
        }
    }
}

/// Reads the root key.
fn read(path: &Path, others: u32) -> Result<RootKey, SealFileError> {
    let file = File::open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            SealFileError::Missing(path.to_owned())
        } else {
            unusable(path, &error)
        }
    })?;
    let facts = file.metadata().map_err(|error| unusable(path, &error))?;
    let mode = facts.mode() & 0o7777;
    if mode & others != 0 {
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

/// Writes a root key where there is none yet; returns once it is on the disk.
fn write(path: &Path, key: &RootKey) -> Result<(), SealFileError> {
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(key.expose())?;
        file.sync_all()?;
        // The name is durable only once its folder is.
        File::open(folder(path))?.sync_all()
    })();
    written.map_err(|error: io::Error| unusable(path, &error))
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
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn key_file(folder: &Path) -> KeyFile {
        KeyFile { path: folder.join("root.key"), is_credential: false }
    }

    #[test]
    fn a_key_reads_back_and_only_its_owner_may() {
        let folder = tempfile::tempdir().unwrap();
        let file = key_file(folder.path());
        write(&file.path, &RootKey::new([5; 32])).unwrap();
        assert_eq!(fs::metadata(&file.path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(file.read().unwrap().expose(), &[5; 32]);
    }

    #[test]
    fn a_key_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = key_file(folder.path());
        write(&file.path, &RootKey::new([5; 32])).unwrap();
        assert!(write(&file.path, &RootKey::new([6; 32])).is_err());
        assert_eq!(file.read().unwrap().expose(), &[5; 32]);
    }

    #[tokio::test]
    async fn a_credential_is_read_as_systemd_gives_it_and_never_written() {
        let folder = tempfile::tempdir().unwrap();
        let credential = KeyFile { is_credential: true, ..key_file(folder.path()) };
        assert!(matches!(credential.recall().await, Err(KeeperError::Missing(_))));
        let refused = credential.keep(RootKey::new([5; 32])).await.unwrap_err();
        assert!(refused.to_string().contains("LoadCredentialEncrypted"), "{refused}");
        assert!(!credential.path.exists());
        fs::write(&credential.path, [5; 32]).unwrap();
        for (mode, may) in [(0o440, true), (0o400, true), (0o444, false)] {
            fs::set_permissions(&credential.path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(credential.recall().await.is_ok(), may, "{mode:o}");
        }
    }

    #[test]
    fn a_file_that_is_missing_too_open_or_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = key_file(folder.path());
        let path = file.path.clone();
        assert!(matches!(file.read(), Err(SealFileError::Missing(_))));
        write(&path, &RootKey::new([5; 32])).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(file.read(), Err(SealFileError::TooOpen { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bytes in [0, 31, 33, 4096] {
            fs::write(&path, vec![7; bytes]).unwrap();
            let refused = file.read().unwrap_err().to_string();
            assert!(refused.contains(&format!("has {bytes} bytes")), "{refused}");
        }
    }
}
