//! The folder of the embedded store on disk: who may use it, its modes, and its lock.
//!
//! ```text
//! leasehold.redb       all records
//! leasehold.redb.new   the same, while it is being made for the first time
//! leasehold.redb.check a copy, while a file that may have been cut is checked
//! leasehold.lock       held while a process uses the folder; says which
//! ```

use super::{cut, file};
use redb::{Builder, Database};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Only the owner enters the folder: values are sealed, but keys show what there is.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner reads the files, for the same reason.
const FILE_MODE: u32 = 0o600;

/// The store could not be opened, and nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path names something else than a folder.
    #[error("`{path}` is not a folder; the store needs one of its own")]
    NotFolder {
        /// What was to be the store's folder.
        path: PathBuf,
    },
    /// The system does not let us use a path.
    #[error("cannot use `{path}`: {reason}; the store needs a folder that it may write to")]
    Unusable {
        /// What the system refused.
        path: PathBuf,
        /// Why, in the system's words.
        reason: String,
    },
    /// Another process holds the store.
    #[error("the store in `{path}` is in use by {holder}; stop that server first")]
    Held {
        /// The folder.
        path: PathBuf,
        /// The other process, as far as it is known.
        holder: Holder,
    },
    /// A later release wrote the store.
    #[error(
        "`{path}` has format {found} and this release reads formats up to {known}; \
         run the release that wrote it, or a later one"
    )]
    LaterFormat {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u64,
        /// The last format that this release reads.
        known: u64,
    },
    /// The file is not what the store wrote.
    #[error("`{path}` is damaged: {reason}; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Who holds a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The process with this id.
    Process(u32),
    /// A process that did not say.
    Unknown,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(id) => write!(f, "process {id}"),
            Self::Unknown => f.write_str("another process"),
        }
    }
}

/// A folder that only this process uses, until this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if there is none, and takes it for this process.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        make(path)?;
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the file with the records.
    pub(super) fn file(&self) -> PathBuf {
        self.path.join("leasehold.redb")
    }

    /// Opens the file with the records; makes it first if the folder has none.
    pub(super) fn open(&self, settings: &Builder) -> Result<Database, OpenError> {
        self.open_at(&self.file(), settings)
    }

    /// The same for a file of another name in the folder.
    pub(super) fn open_at(&self, path: &Path, settings: &Builder) -> Result<Database, OpenError> {
        if !path.try_exists().map_err(|error| unusable(path, &error))? {
            self.create(path, settings)?;
        }
        let set = fs::set_permissions(path, Permissions::from_mode(FILE_MODE));
        set.map_err(|error| unusable(path, &error))?;
        cut::refuse_cut(path, settings)?;
        let database = file::shielded(path, || settings.open(path))?;
        file::check_format(path, &database)?;
        Ok(database)
    }

    /// Makes changes of names in the folder durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    /// Makes the file under another name and renames it once it is whole, so that a file that is
    /// empty or half made is never taken for a new store: it is a store that lost its records.
    fn create(&self, path: &Path, settings: &Builder) -> Result<(), OpenError> {
        let new = self.path.join("leasehold.redb.new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(FILE_MODE);
        options.open(&new).map_err(|error| unusable(&new, &error))?;
        let database = file::shielded(&new, || settings.create(&new))?;
        file::write_format(&new, &database)?;
        database.close().map_err(|error| file::open_error(&new, &error))?;
        fs::rename(&new, path).map_err(|error| unusable(path, &error))?;
        sync_folder(&self.path).map_err(|error| unusable(&self.path, &error))
    }
}

/// Makes a change of names in the folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn make(path: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(OpenError::NotFolder { path: path.to_owned() });
        }
        Err(error) => return Err(unusable(path, &error)),
    }
    let mode = fs::metadata(path).map_err(|error| unusable(path, &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        // Not tightened: a mounted volume, or `/tmp`, may be shared on purpose, and the files are
        // closed to others in any case.
        tracing::warn!(
            folder = %path.display(),
            "the store's folder is open to other users of this machine; `chmod 700` closes it"
        );
    }
    Ok(())
}

/// Takes the lock, which is on a file of its own so that it outlasts a reopening of the records.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("leasehold.lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    let mut file = options.open(&path).map_err(|error| unusable(&path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OpenError::Held { path: folder.to_owned(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(unusable(&path, &error)),
    }
    sign(&mut file).map_err(|error| unusable(&path, &error))?;
    Ok(file)
}

/// Writes who holds the lock into its file.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Holder {
    // The text is only shown: what cannot be read or understood costs a number in a message.
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match (read, text.trim().parse()) {
        (Ok(_), Ok(id)) => Holder::Process(id),
        _ => Holder::Unknown,
    }
}

pub(super) fn unusable(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), reason: error.to_string() }
}
