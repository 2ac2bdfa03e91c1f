//! Makes a store of a backup, on the machine of the store and without a server, which may not even start.
//!
//! The new store is made beside the one that is there and takes its place once it is whole, so that a crash at any
//! moment leaves the one or the other.

use crate::chance::SystemChance;
use crate::config::{self, Config, ConfigError, Seal, Storage};
use crate::seal_file::SealFileError;
use crate::store::embedded::{Embedded, OpenError, Restoring};
use crate::time::SystemClock;
use leasehold_core::backup::{BackupFileError, BackupKey, Decoder, Header};
use leasehold_core::ids::InstallationId;
use leasehold_core::restore::{FromBackup, Prepared, goes_into_a_copy};
use leasehold_core::seal::shares::Share;
use leasehold_core::seal::splits::{Gathered, Purpose, Splits, WrongShare};
use leasehold_core::seal::{self, RootKey, SealError};
use leasehold_core::secret::SecretText;
use leasehold_core::store::{Batch, Key, Store, StoreError};
use leasehold_core::time::{Clock, Timestamp};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of the backup that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// What is to be restored.
#[derive(Debug)]
pub struct Options {
    /// Files and folders with the configuration of the server whose store it is.
    pub config: Vec<PathBuf>,
    /// The backup.
    pub backup: PathBuf,
    /// Take the place of a store that is there.
    pub force: bool,
    /// Make another installation of it.
    pub as_copy: bool,
}

/// A store that was restored.
#[derive(Debug)]
pub struct Restored {
    /// Which installation it is now.
    pub installation: InstallationId,
    /// Which moment its backup shows.
    pub taken_at: Timestamp,
    /// How many records the backup has.
    pub records: u64,
    /// What was prepared.
    pub prepared: Prepared,
    /// The first token of a copy: shown once.
    pub root: Option<SecretText>,
    /// Where the store that was there before is kept.
    pub before: Option<PathBuf>,
}

/// Nothing was restored, and the store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no store to restore to.
    #[error("the configuration names no storage on disk; a restore needs `storage \"embedded\"`")]
    NoStorage,
    /// Nobody holds shares of its key.
    #[error(
        "the key of this backup is not split among people; name in the configuration where it is, as in `seal \"file\"`"
    )]
    NoShares,
    /// A holder could not be asked.
    #[error("{0}")]
    NotAsked(String),
    /// A share is none of its key.
    #[error("the key share is none of this backup's: {0}")]
    Wrong(#[from] WrongShare),
    /// The root key cannot be read.
    #[error(transparent)]
    SealFile(#[from] SealFileError),
    /// A store is there already.
    #[error(
        "there is a store already, `{0}`; `-force` puts the backup in its place and keeps it under another name"
    )]
    Present(PathBuf),
    /// The store that is there is not of the backup's installation.
    #[error(
        "the store that is there belongs to installation {present}, and the backup to {of_backup}: two servers of one \
         installation would revoke each other's credentials. make a copy with `-as-copy`, or move the store away"
    )]
    OtherInstallation {
        /// Whose store is there.
        present: InstallationId,
        /// Whose backup it is.
        of_backup: InstallationId,
    },
    /// Nobody knows what the store that is there has lent.
    #[error(
        "the store that is there cannot be opened with this root key, so it may be another installation's, with \
         credentials that only it knows: move it away first"
    )]
    Unopened,
    /// A copy would take the place of what it is a copy of.
    #[error(
        "the store that is there is that of the original itself: a copy needs a folder of its own, and a configuration that \
         names it"
    )]
    Original,
    /// The copy that is there has lent something.
    #[error(
        "credentials of the copy that is there are still lent, and nobody else knows them: revoke them first with \
         `leasehold lease revoke -prefix MOUNT`, or move the store away"
    )]
    StillLent,
    /// The backup cannot be read.
    #[error("the backup `{path}` cannot be read: {reason}")]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// It is no whole backup of ours.
    #[error("the backup `{path}` cannot be used: {reason}")]
    Backup {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: BackupFileError,
    },
    /// The store's folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new store cannot be written.
    #[error("the new store cannot be written: {0}")]
    Store(#[from] StoreError),
    /// The key ring in the backup cannot be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The system lacks something.
    #[error("{0}")]
    System(String),
}

fn system(error: impl std::fmt::Display) -> RestoreError {
    RestoreError::System(error.to_string())
}

/// Asks the holders of the key for one share after the other.
pub type Ask<'a> = dyn FnMut() -> Result<Share, String> + 'a;

/// Restores a backup. `ask` is called where people hold its key; `progress` is told how many records and bytes have been
/// read.
pub fn restore(
    options: &Options,
    ask: &mut Ask<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    let config = config::load(&options.config)?.config;
    let Storage::Embedded(folder) = &config.storage else { return Err(RestoreError::NoStorage) };
    let root = match &config.seal {
        Seal::Kept { key, .. } => key.read()?,
        Seal::Shares => root_by_shares(&options.backup, ask)?,
    };
    let clock = SystemClock::start().map_err(system)?;
    let restoring = Restoring::take(folder)?;
    if let Some(present) = restoring.present()?.filter(|_| !options.force) {
        return Err(RestoreError::Present(present));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system)?;
    let work = Work { options, config: &config, root, wall: clock.wall(), restoring: &restoring };
    match runtime.block_on(work.make(progress)) {
        Ok(made) => Ok(Restored { before: restoring.finish(clock.now())?, ..made }),
        Err(error) => {
            // What cannot be removed is removed by the next restore.
            let _ = restoring.discard();
            Err(error)
        }
    }
}

/// Has the holders show their shares. What says whose shares are good is in the backup, and proven by nothing yet; what
/// they open has to prove the whole backup afterwards.
fn root_by_shares(backup: &Path, ask: &mut Ask<'_>) -> Result<RootKey, RestoreError> {
    let splits = splits_in(backup)?;
    let mut gathered = Gathered::new(&SystemChance);
    loop {
        let share = ask().map_err(RestoreError::NotAsked)?;
        if let Some(joined) = gathered.take(Purpose::Unseal, &splits, share)? {
            return joined.root().ok_or(RestoreError::NoShares);
        }
    }
}

fn splits_in(backup: &Path) -> Result<Splits, RestoreError> {
    let path = || backup.to_owned();
    let unreadable = |reason: io::Error| RestoreError::Unreadable { path: path(), reason };
    let mut file = File::open(backup).map_err(unreadable)?;
    let mut decoder = Decoder::new(None);
    let mut part = vec![0; READ_BYTES];
    loop {
        let count = file.read(&mut part).map_err(unreadable)?;
        if count == 0 {
            return Err(RestoreError::NoShares);
        }
        let records = decoder.feed(part.get(..count).unwrap_or_default());
        let records = records.map_err(|reason| RestoreError::Backup { path: path(), reason })?;
        let mut splits = records.iter().filter_map(|(key, value)| Splits::in_record(key, value));
        if let Some(splits) = splits.next() {
            return Ok(splits);
        }
    }
}

/// One restore.
struct Work<'a> {
    options: &'a Options,
    config: &'a Config,
    root: RootKey,
    wall: Timestamp,
    restoring: &'a Restoring,
}

impl Work<'_> {
    /// Makes the new store, whole and closed.
    async fn make(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Restored, RestoreError> {
        let store = Arc::new(self.restoring.begin()?);
        let (header, records) = self.load(&store, progress).await?;
        let from = FromBackup {
            store: Arc::clone(&store) as Arc<dyn Store>,
            chance: Arc::new(SystemChance),
            taken_at: header.taken_at,
            wall: self.wall,
        };
        self.refuse_to_replace(&header).await?;
        let (prepared, installation, root) = if self.options.as_copy {
            let copy = from.prepare_copy(&self.root).await?;
            (copy.prepared, copy.installation, Some(copy.root))
        } else {
            let prepared = from.prepare(&self.root, &self.config.limits).await?;
            (prepared, header.installation, None)
        };
        let taken_at = header.taken_at;
        Ok(Restored { installation, taken_at, records, prepared, root, before: None })
    }

    /// Puts the backup's records into the new store. Only its end proves them.
    async fn load(
        &self,
        store: &Embedded,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Header, u64), RestoreError> {
        let path = &self.options.backup;
        let unreadable =
            |reason: io::Error| RestoreError::Unreadable { path: path.clone(), reason };
        let unusable = |reason| RestoreError::Backup { path: path.clone(), reason };
        let mut file = File::open(path).map_err(unreadable)?;
        let mut decoder = Decoder::new(Some(BackupKey::of(&self.root)));
        let mut part = vec![0; READ_BYTES];
        let mut bytes = 0_u64;
        loop {
            let count = file.read(&mut part).map_err(unreadable)?;
            if count == 0 {
                return decoder.end().map_err(unusable);
            }
            let read = part.get(..count).unwrap_or_default();
            let records = decoder.feed(read).map_err(unusable)?.into_iter();
            let mut batch = Batch::default();
            batch
                .puts
                .extend(records.filter(|(key, _)| !self.options.as_copy || goes_into_a_copy(key)));
            store.commit(batch).await?;
            bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            progress(decoder.count(), bytes);
        }
    }

    /// What is in the way must not be the only one that knows a credential. Two stores of one installation would also
    /// take each other's credentials for their own, and so must none come to be by restoring over a copy. A store that
    /// is too damaged to be opened says nothing: that is what backups are for.
    async fn refuse_to_replace(&self, header: &Header) -> Result<(), RestoreError> {
        if self.restoring.present()?.is_none() {
            return Ok(());
        }
        let as_copy = self.options.as_copy;
        let Ok(present) = self.restoring.open_present() else {
            return if as_copy { Err(RestoreError::Unopened) } else { Ok(()) };
        };
        let unsealed = match seal::unseal(&present, &self.root).await {
            Ok(unsealed) => unsealed,
            Err(SealError::WrongKey) => return Err(RestoreError::Unopened),
            Err(
                SealError::AlreadyInitialized
                | SealError::NotInitialized
                | SealError::Altered(_)
                | SealError::RingFull
                | SealError::Store(_),
            ) => {
                return Ok(());
            }
        };
        let (present_is, of_backup) = (unsealed.installation, header.installation);
        match (as_copy, present_is == of_backup) {
            (false, true) => Ok(()),
            (false, false) => {
                Err(RestoreError::OtherInstallation { present: present_is, of_backup })
            }
            (true, true) => Err(RestoreError::Original),
            (true, false) => {
                let leases = Key(b"lease/".to_vec());
                let lent = present.range(&leases, &leases.after_prefix(), 1).await?;
                if lent.is_empty() { Ok(()) } else { Err(RestoreError::StillLent) }
            }
        }
    }
}
