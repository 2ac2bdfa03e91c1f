//! Checks whether a server could be started, without starting it: nothing is changed, and a server that
//! runs from the same configuration is not disturbed.

use crate::audit::file;
use crate::config::{self, AuditDevice, Config, Listener, Seal, Storage, Way};
use crate::seal_file::{KeyFile, SealFileError};
use crate::{listener, logging};
use leasehold_core::seal::keeper::Keeper;
use nix::unistd::{AccessFlags, access};
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// What was looked at, and what was found.
#[derive(Debug)]
pub struct Checked {
    /// What was looked at, as the configuration calls it.
    pub what: String,
    /// What was found.
    pub found: Finding,
}

/// What is to be said of one thing.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// It can be used.
    Good(String),
    /// It can be used, and is worth a look.
    Odd(String),
    /// It cannot be used.
    Bad(String),
}

impl Checked {
    fn of(what: impl Into<String>, found: Result<String, String>) -> Self {
        let found = found.map_or_else(Finding::Bad, Finding::Good);
        Self { what: what.into(), found }
    }
}

/// Checks all that can be checked of a configuration.
#[must_use]
pub fn check(paths: &[PathBuf], log_level: Option<&str>) -> Vec<Checked> {
    crate::choose_cryptography();
    let loaded = match config::load(paths) {
        Ok(loaded) => loaded,
        Err(error) => {
            let of = |problem| Checked::of("configuration", Err(problem));
            return error.problems().map(of).collect();
        }
    };
    let odd = |warning| Checked { what: "configuration".to_owned(), found: Finding::Odd(warning) };
    let mut all: Vec<_> = loaded.warnings.into_iter().map(odd).collect();
    let config = loaded.config;
    match config.checked_for_use() {
        Ok(()) => {
            all.push(Checked::of(
                "configuration",
                Ok("every key is known and complete".to_owned()),
            ));
        }
        Err(error) => {
            all.extend(error.problems().map(|problem| Checked::of("configuration", Err(problem))));
        }
    }
    if let Some(level) = log_level {
        let known = logging::checked(level).map(str::to_owned).map_err(|error| error.to_string());
        all.push(Checked::of("log level", known));
    }
    all.extend(parts(&config));
    all
}

fn parts(config: &Config) -> Vec<Checked> {
    // A server for use keeps nothing in memory; that it would is told above.
    let storage = match &config.storage {
        Storage::Memory => None,
        Storage::Embedded(folder) => Some(Checked::of("storage embedded", storage(folder))),
    };
    let seal = match &config.seal {
        Seal::Shares => None,
        Seal::Kept { key, .. } => {
            Some(Checked { what: format!("seal {}", key.kind()), found: seal(key) })
        }
    };
    let listeners = config.listeners.iter().map(|listener| {
        Checked::of(format!("listener tcp {}", listener.address), listens(listener))
    });
    let audits = config.audits.iter().map(|device| {
        Checked::of(format!("audit {} {}", device.way.kind(), device.name), records(device))
    });
    storage.into_iter().chain(seal).chain(listeners).chain(audits).collect()
}

fn storage(folder: &Path) -> Result<String, String> {
    let told = |error: io::Error| format!("cannot use `{}`: {error}", folder.display());
    if !folder.try_exists().map_err(told)? {
        could_be_made(folder).map_err(told)?;
        return Ok(format!("`{}` is not there yet, and can be made", folder.display()));
    }
    if !folder.is_dir() {
        return Err(format!(
            "`{}` is not a folder; the store needs one of its own",
            folder.display()
        ));
    }
    let everything = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    access(folder, everything).map_err(|error| told(error.into()))?;
    let file = folder.join("leasehold.redb");
    if file.exists() {
        access(&file, AccessFlags::R_OK | AccessFlags::W_OK).map_err(|error| told(error.into()))?;
    }
    Ok(format!("`{}` can be written to", folder.display()))
}

fn seal(key: &KeyFile) -> Finding {
    let path = &key.path;
    match key.read() {
        Ok(_key) => Finding::Good(format!("`{}` holds a root key", path.display())),
        Err(SealFileError::Missing(_)) => match could_be_made(path) {
            Ok(()) => Finding::Odd(format!(
                "`{}` is not there; `leasehold operator init` makes it for a new store, and an old store cannot be \
                 opened without it",
                path.display()
            )),
            Err(error) => Finding::Bad(format!("`{}` cannot be made: {error}", path.display())),
        },
        Err(error) => Finding::Bad(error.to_string()),
    }
}

fn listens(listener: &Listener) -> Result<String, String> {
    let candidates = listener.address.to_socket_addrs();
    let candidates = candidates.map_err(|error| format!("cannot find the address: {error}"))?;
    for mut candidate in candidates {
        // Any port of the address: the one that is meant may be in use by the server that runs.
        candidate.set_port(0);
        let bound = TcpListener::bind(candidate);
        bound.map_err(|error| format!("cannot listen on {}: {error}", candidate.ip()))?;
    }
    let Some(tls) = &listener.tls else { return Ok("can listen, without TLS".to_owned()) };
    listener::server_config(tls)?;
    Ok(format!("can listen, with the certificate in `{}`", tls.cert_file.display()))
}

fn records(device: &AuditDevice) -> Result<String, String> {
    match &device.way {
        Way::File { path: None, .. } => Ok("records go to the standard output".to_owned()),
        Way::File { path: Some(path), mode, .. } => {
            file::could_open(path, *mode).map_err(|error| error.to_string())?;
            Ok(format!("`{}` can be written to", path.display()))
        }
        // Who listens there need not do so yet.
        Way::Syslog { path, .. } => Ok(format!("records go to `{}`", path.display())),
        Way::Socket { address, .. } => Ok(format!("records go to `{address}`")),
        Way::Http { uri, .. } => Ok(format!("records go to `{uri}`")),
    }
}

/// Tells whether something that is not there could be made, with the folders on the way to it.
pub(crate) fn could_be_made(path: &Path) -> io::Result<()> {
    let folders = path.ancestors().skip(1);
    // A path without a folder is in this one.
    let there =
        folders.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let nearest = there.into_iter().find(|folder| folder.exists());
    let nearest = nearest.ok_or(io::ErrorKind::NotFound)?;
    if !nearest.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(nearest, AccessFlags::W_OK | AccessFlags::X_OK)?)
}
