//! A store that is being made of a backup beside the one that is there, and takes its place only once it is whole.
//!
//! ```text
//! leasehold.redb.restoring            the new one, while it is being made
//! leasehold.redb.before-restore-TIME  the old one, kept
//! ```
//!
//! **Invariant:** at every moment `leasehold.redb` is either the old store or the whole new one.

use super::folder::{Folder, OpenError, unusable};
use super::{Disk, Embedded, RESERVE_BYTES, settings};
use leasehold_core::time::Timestamp;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder that is taken for a restore: no server can use it meanwhile.
#[derive(Debug)]
pub struct Restoring {
    folder: Arc<Folder>,
}

impl Restoring {
    /// Takes the folder, which is made if there is none. A folder that a server uses is refused.
    pub fn take(folder: &Path) -> Result<Self, OpenError> {
        Ok(Self { folder: Arc::new(Folder::take(folder)?) })
    }

    /// Returns the file of the store that is there already.
    pub fn present(&self) -> Result<Option<PathBuf>, OpenError> {
        let path = self.folder.file();
        let is_there = path.try_exists().map_err(|error| unusable(&path, &error))?;
        Ok(is_there.then_some(path))
    }

    /// Makes the new store, empty. What an earlier restore left half made goes.
    pub fn begin(&self) -> Result<Embedded, OpenError> {
        self.discard()?;
        self.open_file(self.new_file())
    }

    /// Opens the store that is there.
    pub fn open_present(&self) -> Result<Embedded, OpenError> {
        self.open_file(self.folder.file())
    }

    fn open_file(&self, path: PathBuf) -> Result<Embedded, OpenError> {
        let folder = Arc::clone(&self.folder);
        Embedded::start(Disk {
            name: path.display().to_string(),
            folder: Some(folder.path().to_owned()),
            open: Box::new(move || folder.open_at(&path, &settings())),
            reserve_bytes: RESERVE_BYTES,
        })
    }

    /// Removes what was made of the new store.
    pub fn discard(&self) -> Result<(), OpenError> {
        let path = self.new_file();
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(unusable(&path, &error)),
        }
    }

    /// Puts the new store, which must have been closed, in the place of the old one, and returns where that is kept.
    pub fn finish(self, now: Timestamp) -> Result<Option<PathBuf>, OpenError> {
        let (path, new) = (self.folder.file(), self.new_file());
        let kept = self.folder.path().join(format!("leasehold.redb.before-restore-{}", now.0));
        // A second name for the old file first, so that there is a store at every moment.
        let kept = match fs::hard_link(&path, &kept) {
            Ok(()) => Some(kept),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(&kept, &error)),
        };
        let replaced = || -> io::Result<()> {
            fs::File::open(&new)?.sync_all()?;
            self.folder.sync()?;
            fs::rename(&new, &path)?;
            self.folder.sync()
        };
        replaced().map_err(|error| unusable(&path, &error))?;
        Ok(kept)
    }

    fn new_file(&self) -> PathBuf {
        self.folder.path().join("leasehold.redb.restoring")
    }
}
