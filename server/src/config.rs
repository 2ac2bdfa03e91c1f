//! What the server is told to be: Vault's words, in HCL or JSON.
//!
//! A file is first read into blocks and fields (`tree`), whichever way it is written; here they get their
//! meaning. What nobody knows is an error that names it, so that a slip of the pen never goes unnoticed.

mod audit;
mod fields;
mod listener;
mod oneline;
mod read;
mod tree;

use crate::forwarded::Forwarded;
use crate::response_headers::ResponseHeaders;
use crate::seal_file::KeyFile;
pub(crate) use audit::{AuditDevice, SocketKind, Way};
use leasehold_core::limits::Limits;
use read::Reader;
use std::fs;
use std::path::{Path, PathBuf};

/// What the server is told to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) storage: Storage,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) seal: Seal,
    pub(crate) audits: Vec<AuditDevice>,
    pub(crate) limits: Limits,
    pub(crate) log_level: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) api_addr: Option<String>,
}

/// Where everything is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Storage {
    /// In memory: for trying things.
    #[default]
    Memory,
    /// In this folder.
    Embedded(PathBuf),
}

/// Where the root key is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Seal {
    /// With people, each of whom has a share.
    #[default]
    Shares,
    /// Where the server finds it by itself.
    Kept {
        /// Where that is.
        key: KeyFile,
        /// Whether people are to have it from now on.
        is_left: bool,
    },
}

/// Where callers come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: String,
    pub(crate) tls: Option<Tls>,
    /// Whether it shows the metrics to whoever asks.
    pub(crate) open_metrics: bool,
    /// Which proxies are believed, if any are.
    pub(crate) forwarded: Option<Forwarded>,
    /// What its answers carry besides what they say.
    pub(crate) headers: ResponseHeaders,
}

/// With what a listener proves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) cert_file: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) client_ca_file: Option<PathBuf>,
    pub(crate) client_cert_required: bool,
    pub(crate) only_tls13: bool,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Standard,
    /// For programs.
    Json,
}

/// What a set of files says.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// What was accepted and does nothing.
    pub(crate) warnings: Vec<String>,
}

/// A configuration that cannot be used; says where, and what to write instead, for all that is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{}", listed(.0))]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// Returns all that is wrong.
    pub(crate) fn problems(self) -> impl Iterator<Item = String> {
        self.0.into_iter()
    }
}

fn listed(problems: &[String]) -> String {
    match problems {
        [problem] => problem.clone(),
        _ => format!(
            "the configuration has {} problems:\n  {}",
            problems.len(),
            problems.join("\n  ")
        ),
    }
}

impl From<String> for ConfigError {
    fn from(problem: String) -> Self {
        Self(vec![problem])
    }
}

/// Reads the configuration from files, and from the `.hcl` and `.json` files of folders.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Loaded, ConfigError> {
    let mut reader = Reader::default();
    for path in paths {
        match files(path) {
            Ok(files) => files.iter().for_each(|file| read(&mut reader, file)),
            Err(error) => reader.findings.problem(error),
        }
    }
    reader.finish();
    let Reader { config, findings, .. } = reader;
    let problems = findings.problems.into_inner();
    if problems.is_empty() {
        Ok(Loaded { config, warnings: findings.warnings.into_inner() })
    } else {
        Err(ConfigError(problems))
    }
}

fn read(reader: &mut Reader, file: &Path) {
    let name = file.display().to_string();
    match fs::read_to_string(file) {
        Ok(written) => match tree::parse(&written) {
            Ok(entries) => reader.read(entries, &name),
            Err(tree::Malformed { line, message }) => {
                reader.findings.problem(format!("{name}:{line}: {message}"));
            }
        },
        Err(error) => {
            reader.findings.problem(format!("cannot read the configuration `{name}`: {error}"));
        }
    }
}

/// Returns the files of a folder in the order of their names, or a file as it is.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable =
        |error: std::io::Error| format!("cannot read the folder `{}`: {error}", path.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        // An editor's lock beside a file it has open bears its name, with `.#` before it.
        let is_lock =
            file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".#"));
        if matches!(extension, Some("hcl" | "json")) && file.is_file() && !is_lock {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("no `.hcl` or `.json` file in the folder `{}`", path.display()));
    }
    Ok(files)
}

impl Config {
    /// Makes this a server to try things with.
    pub(crate) fn for_dev(&mut self, address: &str) -> Result<(), ConfigError> {
        if self.storage != Storage::Memory || self.seal != Seal::Shares {
            let problem = "a server started with -dev keeps everything in memory: leave `storage` and `seal` out";
            return Err(problem.to_owned().into());
        }
        let address = address.to_owned();
        let headers = ResponseHeaders::usual(false);
        let listener =
            Listener { address, tls: None, open_metrics: false, forwarded: None, headers };
        self.listeners.insert(0, listener);
        Ok(())
    }

    /// Returns the keys that another configuration has otherwise.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            ("storage", self.storage == other.storage),
            ("seal", self.seal == other.seal),
            ("listener", self.listeners == other.listeners),
            ("audit", self.audits == other.audits),
            ("default_lease_ttl", self.limits.default_lease_ttl == other.limits.default_lease_ttl),
            ("max_lease_ttl", self.limits.max_lease_ttl == other.limits.max_lease_ttl),
            ("log_level", self.log_level == other.log_level),
            ("log_format", self.log_format == other.log_format),
            ("api_addr", self.api_addr == other.api_addr),
        ];
        keys.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
    }

    /// Checks that a server that is not for trying things has all it needs.
    pub(crate) fn checked_for_use(&self) -> Result<(), ConfigError> {
        let needed = [
            ("storage", self.storage == Storage::Memory, read::STORAGE),
            ("listener", self.listeners.is_empty(), read::LISTENER),
        ];
        let missing = needed.into_iter().filter(|(_, is_missing, _)| *is_missing);
        let problems: Vec<_> = missing
            .map(|(what, _, write)| format!("the configuration has no `{what}`; write `{write}`"))
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError(problems)) }
    }
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
