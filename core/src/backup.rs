//! A backup as bytes: written and read without knowing where the bytes go.
//!
//! ```text
//! "leasehold-backup\n"   17 bytes
//! format                  4 bytes, big endian; 1
//! header                  4 bytes of length, then JSON: installation, taken_at, key
//! each record             'R', 4 bytes of length of the key, 4 of the value, key, value
//! trailer                 'E', 8 bytes: how many records, 32 bytes: HMAC-SHA-256 of all before
//! ```
//!
//! Records are in the order of their keys, as the store has them: values are sealed. The HMAC is under a key derived
//! from the root key, so that nobody without it can make or alter a backup, and `key` in the header names that key, so
//! that a backup of another root key is told from one that was altered.

use crate::ids::InstallationId;
use crate::seal::RootKey;
use crate::secret::Locked;
use crate::store::{Entry, Key, Value};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

const MAGIC: &[u8; 17] = b"leasehold-backup\n";
/// Raised when a release writes what the ones before cannot read.
const FORMAT: u32 = 1;
const RECORD: u8 = b'R';
const END: u8 = b'E';
const COUNT_BYTES: usize = 8;
const MAC_BYTES: usize = 32;

/// Bytes of a header, a key and a value: what says that it has more was altered, and is not waited for.
const HEADER_BYTES_MAX: usize = 64 << 10;
const KEY_BYTES_MAX: usize = 64 << 10;
const VALUE_BYTES_MAX: usize = 64 << 20;

/// What proves that a backup was made by whoever has the root key.
#[derive(Clone)]
pub struct BackupKey {
    key: Arc<Locked<hmac::Key>>,
    /// Names the root key; nothing about it follows from its name.
    id: String,
}

/// What a backup says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Whose it is.
    pub installation: InstallationId,
    /// Which moment it shows.
    pub taken_at: Timestamp,
    /// Names the root key it was made under.
    pub key: String,
}

/// The bytes are not a whole backup of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupFileError {
    /// They do not begin as backups do.
    #[error("it is not a backup of Leasehold")]
    NotABackup,
    /// A later release made it.
    #[error(
        "it has format {found} and this release reads formats up to {FORMAT}; use the release that made it, or a later one"
    )]
    LaterFormat {
        /// Its format.
        found: u32,
    },
    /// It was made under another root key.
    #[error(
        "it is a backup of installation {installation} under the root key {theirs}, and the key here is {ours}; \
         name the key file that belonged to it in `seal`"
    )]
    OtherKey {
        /// Whose backup it is.
        installation: InstallationId,
        /// The name of its root key.
        theirs: String,
        /// The name of ours.
        ours: String,
    },
    /// The end is missing.
    #[error("it is cut off after {records} records: copy it again, or take another one")]
    Truncated {
        /// How many came whole.
        records: u64,
    },
    /// Something in it is not as it was written.
    #[error(
        "it was altered or damaged, in transfer or on its disk: copy it again, or take another one"
    )]
    Altered,
}

impl BackupKey {
    /// Derives the key from the root key.
    #[must_use]
    pub fn of(root: &RootKey) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, root.expose());
        let derived = |label: &str| hmac::sign(&root, label.as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, derived("leasehold backup 1").as_ref());
        let key = Arc::new(Locked::new(key));
        let name = derived("leasehold name of the root key 1");
        let mut id = String::with_capacity(16);
        for byte in name.as_ref().iter().take(8) {
            // Writing to a string does not fail.
            let _ = write!(id, "{byte:02x}");
        }
        Self { key, id }
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Writes a backup, part by part.
pub struct Encoder {
    mac: hmac::Context,
    records: u64,
}

impl Encoder {
    /// Begins a backup, and returns its first bytes.
    #[must_use]
    pub fn begin(
        key: &BackupKey,
        installation: InstallationId,
        taken_at: Timestamp,
    ) -> (Self, Vec<u8>) {
        let header = Header { installation, taken_at, key: key.id.clone() };
        // Names and numbers: there is nothing in it that could not be written down.
        let header = serde_json::to_vec(&header).unwrap_or_default();
        let bytes = [MAGIC, &FORMAT.to_be_bytes()[..], &length(&header), &header].concat();
        let mut mac = hmac::Context::with_key(&key.key);
        mac.update(&bytes);
        (Self { mac, records: 0 }, bytes)
    }

    /// Writes records.
    pub fn records(&mut self, entries: &[Entry]) -> Vec<u8> {
        let sizes = entries.iter().map(|(key, value, _)| key.0.len().saturating_add(value.0.len()));
        let mut bytes = Vec::with_capacity(sizes.map(|size| size.saturating_add(9)).sum());
        for (key, value, _) in entries {
            bytes.push(RECORD);
            bytes.extend_from_slice(&length(&key.0));
            bytes.extend_from_slice(&length(&value.0));
            bytes.extend_from_slice(&key.0);
            bytes.extend_from_slice(&value.0);
            self.records = self.records.saturating_add(1);
        }
        self.mac.update(&bytes);
        bytes
    }

    /// Ends the backup, and returns its last bytes with the number of its records.
    #[must_use]
    pub fn end(mut self) -> (Vec<u8>, u64) {
        let mut bytes = vec![END];
        bytes.extend_from_slice(&self.records.to_be_bytes());
        self.mac.update(&bytes);
        bytes.extend_from_slice(self.mac.sign().as_ref());
        (bytes, self.records)
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("records", &self.records).finish_non_exhaustive()
    }
}

/// A length as it is written. None comes near the bound: the store takes no such record.
fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Reads a backup, in whatever parts it comes.
///
/// What it returns before [`Decoder::end`] has succeeded proves nothing yet. Without a key, as whoever only fetches a
/// backup has none, it tells whether the backup is whole, and not whether it is genuine.
#[derive(Debug)]
pub struct Decoder {
    key: Option<BackupKey>,
    mac: Option<hmac::Context>,
    header: Option<Header>,
    /// What has come and is not read yet.
    waiting: Vec<u8>,
    records: u64,
    ended: bool,
}

/// Reads from the front of what has come; `None` where there is not enough yet.
struct Front<'a>(&'a [u8]);

impl<'a> Front<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*taken))
    }

    /// Reads a length; one over the bound was never written.
    fn length(&mut self, max: usize) -> Result<Option<usize>, BackupFileError> {
        let Some(number) = self.number() else { return Ok(None) };
        let length = usize::try_from(number).ok().filter(|length| *length <= max);
        length.map(Some).ok_or(BackupFileError::Altered)
    }
}

impl Decoder {
    /// Reads a backup from its beginning.
    #[must_use]
    pub fn new(key: Option<BackupKey>) -> Self {
        let mac = key.as_ref().map(|key| hmac::Context::with_key(&key.key));
        Self { key, mac, header: None, waiting: Vec::new(), records: 0, ended: false }
    }

    /// Returns what the backup says about itself, once that has come.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Returns how many records have come.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.records
    }

    /// Takes the next bytes, and returns the records that are whole with them.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<(Key, Value)>, BackupFileError> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.extend_from_slice(bytes);
        let mut found = Vec::new();
        let mut read = 0_usize;
        while let Some(left) = waiting.get(read..).filter(|left| !left.is_empty()) {
            let Some(size) = self.step(left, &mut found)? else { break };
            if let Some(mac) = &mut self.mac {
                mac.update(left.get(..size).unwrap_or_default());
            }
            read = read.saturating_add(size);
        }
        waiting.drain(..read);
        self.waiting = waiting;
        Ok(found)
    }

    /// Reads one part from the front, and returns its size; `None` if it has not come whole.
    fn step(
        &mut self,
        left: &[u8],
        found: &mut Vec<(Key, Value)>,
    ) -> Result<Option<usize>, BackupFileError> {
        let mut front = Front(left);
        let read = if self.header.is_none() {
            self.read_header(&mut front)?
        } else if self.ended {
            // Nothing follows the trailer.
            return Err(BackupFileError::Altered);
        } else {
            self.read_part(&mut front, found)?
        };
        Ok(read.map(|()| left.len().saturating_sub(front.0.len())))
    }

    fn read_header(&mut self, front: &mut Front<'_>) -> Result<Option<()>, BackupFileError> {
        let begins = front.0.iter().zip(MAGIC).all(|(found, expected)| found == expected);
        if !begins {
            return Err(BackupFileError::NotABackup);
        }
        let Some(_) = front.take(MAGIC.len()) else { return Ok(None) };
        let Some(format) = front.number() else { return Ok(None) };
        match format {
            FORMAT => {}
            0 => return Err(BackupFileError::Altered),
            found => return Err(BackupFileError::LaterFormat { found }),
        }
        let Some(size) = front.length(HEADER_BYTES_MAX)? else { return Ok(None) };
        let Some(header) = front.take(size) else { return Ok(None) };
        let header: Header =
            serde_json::from_slice(header).map_err(|_| BackupFileError::Altered)?;
        if let Some(ours) = self.key.as_ref().filter(|ours| ours.id != header.key) {
            let (installation, theirs) = (header.installation, header.key);
            return Err(BackupFileError::OtherKey { installation, theirs, ours: ours.id.clone() });
        }
        self.header = Some(header);
        Ok(Some(()))
    }

    fn read_part(
        &mut self,
        front: &mut Front<'_>,
        found: &mut Vec<(Key, Value)>,
    ) -> Result<Option<()>, BackupFileError> {
        match front.take(1) {
            Some([RECORD]) => {
                let Some(key) = front.length(KEY_BYTES_MAX)? else { return Ok(None) };
                let Some(value) = front.length(VALUE_BYTES_MAX)? else { return Ok(None) };
                let Some(key) = front.take(key) else { return Ok(None) };
                let Some(value) = front.take(value) else { return Ok(None) };
                found.push((Key(key.to_vec()), Value(value.to_vec())));
                self.records = self.records.saturating_add(1);
                Ok(Some(()))
            }
            Some([END]) => self.read_trailer(front),
            Some(_) => Err(BackupFileError::Altered),
            None => Ok(None),
        }
    }

    fn read_trailer(&mut self, front: &mut Front<'_>) -> Result<Option<()>, BackupFileError> {
        let Some(count) = front.take(COUNT_BYTES) else { return Ok(None) };
        let Some(mac) = front.take(MAC_BYTES) else { return Ok(None) };
        if count != self.records.to_be_bytes() {
            return Err(BackupFileError::Altered);
        }
        if let Some(mut context) = self.mac.take() {
            context.update(&[END]);
            context.update(count);
            let expected = context.sign();
            let is_ours = aws_lc_rs::constant_time::verify_slices_are_equal(mac, expected.as_ref());
            is_ours.map_err(|_| BackupFileError::Altered)?;
        }
        self.ended = true;
        Ok(Some(()))
    }

    /// No more bytes come: tells whether the backup is whole and, with a key, genuine.
    pub fn end(self) -> Result<(Header, u64), BackupFileError> {
        match self.header {
            Some(header) if self.ended && self.waiting.is_empty() => Ok((header, self.records)),
            None if self.waiting.is_empty() => Err(BackupFileError::NotABackup),
            Some(_) | None => Err(BackupFileError::Truncated { records: self.records }),
        }
    }
}

#[cfg(test)]
#[path = "backup/tests.rs"]
mod tests;
