//! Adapters of the port [`leasehold_core::audit::Audit`]: one queue, one writer and one chain for each device, and
//! the places that lines go to.

pub mod device;
pub mod file;
mod http;
mod queue;
mod socket;
mod syslog;

use crate::config::{AuditDevice, Way};
use device::Device;
use std::path::PathBuf;
use tokio::runtime::Handle;

/// Opens a device as its operator has declared it.
pub(crate) fn open(device: &AuditDevice, runtime: &Handle) -> Result<Device, OpenError> {
    let name = device.name.as_str();
    match &device.way {
        Way::File { path: Some(path), mode, fsync } => file::open(name, path, *mode, *fsync),
        Way::File { path: None, .. } => file::stdout(name),
        Way::Syslog { path, facility, tag } => syslog::open(name, path, facility.1, tag),
        Way::Socket { address, kind, write_timeout } => {
            socket::open(name, address, *kind, *write_timeout)
        }
        Way::Http { uri, headers, timeout } => {
            http::open(name, uri, headers, *timeout, runtime.clone())
        }
    }
}

/// Where a writer puts its lines.
pub(crate) trait Sink: Send + 'static {
    /// Takes whole lines, each with its newline. Returns once they are where they should be.
    fn take(&mut self, lines: &[u8]) -> Result<(), Broken>;

    /// Leaves what was moved away, and goes on in a new place of the same name.
    fn reopen(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Returns the last bytes of what is there, up to this many, and whether more is before them; `None` where that
    /// cannot be read.
    fn end(&mut self, _bytes_max: usize) -> std::io::Result<Option<(Vec<u8>, bool)>> {
        Ok(None)
    }

    /// Returns the files to wait for, where lines that were taken are not safe yet.
    fn to_sync(&mut self) -> Vec<std::fs::File> {
        Vec::new()
    }
}

/// Lines did not arrive.
#[derive(Debug)]
pub(crate) struct Broken {
    /// How many bytes of them have, for sure.
    pub(crate) arrived: usize,
    /// Why not the rest.
    pub(crate) reason: String,
}

/// An audit device could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path names a folder, a terminal or the like.
    #[error("`{path}` is not a file; to write to the standard output, use `stdout`")]
    NotFile {
        /// What was to be the record.
        path: PathBuf,
    },
    /// The record would be a program: lines of callers' choice must not be run by anybody.
    #[error("`{path}` is executable; name another file, or take its `x` permissions away")]
    Executable {
        /// What was to be the record.
        path: PathBuf,
    },
    /// The system does not let us use what is needed.
    #[error("cannot use `{path}`: {reason}")]
    Unusable {
        /// What the system refused.
        path: PathBuf,
        /// Why, in the system's words.
        reason: String,
    },
}
