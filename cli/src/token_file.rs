//! The file in the home directory in which `login` leaves the token for later commands.
//!
//! Leasehold's own file is read first and is the only one written, so that a login here never takes
//! away the token with which the same person works on a Vault. Vault's file is read where ours is
//! not there, so that whoever has logged in with Vault's client need not do so again.

use crate::environment::{Environment, NotText};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Leasehold's own file, which `login` writes.
const OWN: &str = ".leasehold-token";

/// The file of Vault's client, which is only read.
const VAULTS: &str = ".vault-token";

/// No token is that long, in bytes; a file that is has something else in it.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// Why a token cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenFileError {
    /// The variable that says where the home is is not text.
    #[error(transparent)]
    NotText(#[from] NotText),
    /// Nobody says where the home is.
    #[error("`HOME` is not set, so there is no place for the token: use `-no-store`")]
    NoHome,
    /// The file is there and cannot be read.
    #[error("the token file `{}` cannot be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The file holds more than any token.
    #[error("the token file `{}` holds more than a token; remove it and log in anew", .0.display())]
    TooLong(PathBuf),
    /// The file cannot be written.
    #[error("the token file `{}` cannot be written: {reason}; or use `-no-store`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
}

/// Returns the token that a login has left, if one has.
pub(crate) fn read(environment: &Environment) -> Result<Option<String>, TokenFileError> {
    let Some((_, home)) = environment.first(&["HOME"])? else {
        return Ok(None);
    };
    for name in [OWN, VAULTS] {
        let token = read_file(&Path::new(&home).join(name))?;
        if let Some(token) = token.filter(|token| !token.trim().is_empty()) {
            return Ok(Some(token));
        }
    }
    Ok(None)
}

fn read_file(path: &Path) -> Result<Option<String>, TokenFileError> {
    let fail = |reason| TokenFileError::Read { path: path.to_owned(), reason };
    let length = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(reason) if reason.kind() == ErrorKind::NotFound => return Ok(None),
        Err(reason) => return Err(fail(reason)),
    };
    if length > TOKEN_BYTES_MAX {
        return Err(TokenFileError::TooLong(path.to_owned()));
    }
    std::fs::read_to_string(path).map(Some).map_err(fail)
}

/// Keeps the token for later commands, readable by its owner alone, and returns where.
///
/// The file appears whole or not at all, in place of the one before.
pub(crate) fn store(environment: &Environment, token: &str) -> Result<PathBuf, TokenFileError> {
    let (_, home) = environment.first(&["HOME"])?.ok_or(TokenFileError::NoHome)?;
    let path = Path::new(&home).join(OWN);
    let write = || {
        // A temporary file is made for its owner alone (0600), and keeps that when it is renamed.
        let mut file = tempfile::Builder::new().prefix(OWN).tempfile_in(&home)?;
        file.write_all(token.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)
    };
    match write() {
        Ok(_) => Ok(path),
        Err(reason) => Err(TokenFileError::Write { path, reason }),
    }
}
