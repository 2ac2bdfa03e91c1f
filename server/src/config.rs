//! What the server is told to be: Vault's words, in HCL or JSON.
//!
//! A file is first read into blocks and fields (`tree`), whichever way it is written; here they get their
//! meaning. What nobody knows is an error that names it, so that a slip of the pen never goes unnoticed.

mod fields;
mod oneline;
mod tree;

use fields::Fields;
use leasehold_core::limits::Limits;
use std::fs;
use std::path::{Path, PathBuf};
use tree::Block;

/// Where a listener listens if nobody says.
const ADDRESS: &str = "127.0.0.1:8200";
/// The permissions of an audit file if nobody says.
const AUDIT_MODE: u32 = 0o600;

/// Words of Vault's configuration that mean nothing here; they are accepted so that its files can be used.
const VAULTS_OWN: [&str; 24] = [
    "ui",
    "cluster_addr",
    "cluster_name",
    "cache_size",
    "disable_cache",
    "disable_mlock",
    "disable_clustering",
    "disable_sealwrap",
    "disable_performance_standby",
    "disable_printable_check",
    "disable_indexing",
    "enable_response_header_hostname",
    "enable_response_header_raft_node_id",
    "raw_storage_endpoint",
    "introspection_endpoint",
    "log_requests_level",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "pid_file",
    "plugin_directory",
    "default_max_request_duration",
    "redirect_addr",
    "detect_deadlocks",
];
/// Blocks of Vault's that mean nothing here.
const VAULTS_OWN_BLOCKS: [&str; 4] =
    ["telemetry", "service_registration", "user_lockout", "entropy"];

/// What the server is told to be.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) storage: Storage,
    pub(crate) listeners: Vec<Listener>,
    /// Where the root key is; none for a server to try things with.
    pub(crate) seal: Option<PathBuf>,
    pub(crate) audits: Vec<AuditDevice>,
    pub(crate) limits: Limits,
    pub(crate) log_level: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) api_addr: Option<String>,
}

/// Where everything is kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Storage {
    /// In memory: for trying things.
    #[default]
    Memory,
    /// In this folder.
    Embedded(PathBuf),
}

/// Where callers come in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: String,
    pub(crate) tls: Option<Tls>,
    /// Whether it shows the metrics to whoever asks.
    pub(crate) open_metrics: bool,
}

/// With what a listener proves itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) cert_file: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) client_ca_file: Option<PathBuf>,
    pub(crate) client_cert_required: bool,
    pub(crate) only_tls13: bool,
}

/// Where requests are recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuditDevice {
    pub(crate) name: String,
    /// `None` for the standard output.
    pub(crate) path: Option<PathBuf>,
    pub(crate) mode: u32,
    pub(crate) fsync: bool,
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

/// A configuration that cannot be used; says where, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);

/// Reads the configuration from files, and from the `.hcl` and `.json` files of folders.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded::default();
    if paths.is_empty() {
        return Ok(loaded);
    }
    for path in paths {
        for file in files(path)? {
            let unreadable = |reason: String| {
                ConfigError(format!("cannot read the configuration `{}`: {reason}", file.display()))
            };
            let written =
                fs::read_to_string(&file).map_err(|error| unreadable(error.to_string()))?;
            let name = file.display().to_string();
            let root = tree::parse(&written, &name)?;
            loaded.read(root, &name)?;
        }
    }
    loaded.config.check()?;
    Ok(loaded)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: std::io::Error| {
        ConfigError(format!("cannot read the folder `{}`: {error}", path.display()))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("hcl" | "json")) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        let message = format!("no `.hcl` or `.json` file in the folder `{}`", path.display());
        return Err(ConfigError(message));
    }
    Ok(files)
}

impl Loaded {
    fn read(&mut self, root: Block, file: &str) -> Result<(), ConfigError> {
        let Block { fields, blocks, .. } = root;
        let mut fields = Fields::new(fields, file, "");
        let config = &mut self.config;
        if let Some(ttl) = fields.ttl("default_lease_ttl")? {
            config.limits.default_lease_ttl = ttl;
        }
        if let Some(ttl) = fields.ttl("max_lease_ttl")? {
            config.limits.max_lease_ttl = ttl;
        }
        config.log_level = fields.text("log_level")?.or(config.log_level.take());
        config.api_addr = fields.text("api_addr")?.or(config.api_addr.take());
        if let Some(format) = fields.text("log_format")? {
            config.log_format = match format.to_ascii_lowercase().as_str() {
                "" | "standard" => LogFormat::Standard,
                "json" => LogFormat::Json,
                _ => {
                    let message = format!("must be `standard` or `json`, not `{format}`");
                    return Err(fields.wrong("log_format", &message));
                }
            };
        }
        self.ignore(&mut fields, &VAULTS_OWN);
        self.ignore(&mut fields, &VAULTS_OWN_BLOCKS);
        fields.finish()?;
        blocks.into_iter().try_for_each(|block| self.read_block(block, file))
    }

    fn ignore(&mut self, fields: &mut Fields, names: &[&str]) {
        let place = fields.place();
        for name in names.iter().filter(|name| fields.drop(name)) {
            self.warnings.push(format!("{place}: `{name}` is accepted and does nothing"));
        }
    }

    fn read_block(&mut self, block: Block, file: &str) -> Result<(), ConfigError> {
        match block.name.as_str() {
            "storage" | "backend" => self.read_storage(block, file),
            "listener" => self.read_listener(block, file),
            "seal" => self.read_seal(block, file),
            "audit" => self.read_audit(block, file),
            name if VAULTS_OWN_BLOCKS.contains(&name) => {
                self.warnings.push(format!("{file}: `{name}` is accepted and does nothing"));
                Ok(())
            }
            name => Err(ConfigError(format!("{file}: unknown block `{name}`"))),
        }
    }

    fn read_storage(&mut self, block: Block, file: &str) -> Result<(), ConfigError> {
        let kind = block.label(file)?;
        if kind != "embedded" {
            return Err(ConfigError(format!(
                "{file}: there is no storage `{kind}`; write `storage \"embedded\" {{ path = \"…\" }}`"
            )));
        }
        if self.config.storage != Storage::Memory {
            return Err(ConfigError(format!("{file}: `storage` is given twice")));
        }
        let mut fields = block.fields(file)?;
        let path = fields.needed("path")?;
        fields.finish()?;
        self.config.storage = Storage::Embedded(path.into());
        Ok(())
    }

    fn read_seal(&mut self, block: Block, file: &str) -> Result<(), ConfigError> {
        let kind = block.label(file)?;
        if kind != "file" {
            return Err(ConfigError(format!(
                "{file}: there is no seal `{kind}`; write `seal \"file\" {{ path = \"…\" }}`"
            )));
        }
        if self.config.seal.is_some() {
            return Err(ConfigError(format!("{file}: `seal` is given twice")));
        }
        let mut fields = block.fields(file)?;
        let path = fields.needed("path")?;
        fields.finish()?;
        self.config.seal = Some(path.into());
        Ok(())
    }

    fn read_listener(&mut self, block: Block, file: &str) -> Result<(), ConfigError> {
        let kind = block.label(file)?;
        if kind != "tcp" {
            return Err(ConfigError(format!(
                "{file}: there is no listener `{kind}`; write `listener \"tcp\" {{ … }}`"
            )));
        }
        let mut fields = block.fields(file)?;
        let address = fields.text("address")?.unwrap_or_else(|| ADDRESS.to_owned());
        let disabled = fields.flag("tls_disable")?.unwrap_or(false);
        let tls = if disabled { None } else { Some(read_tls(&mut fields)?) };
        let unused = ["tls_cert_file", "tls_key_file", "tls_client_ca_file", "tls_min_version"];
        self.ignore(&mut fields, &unused);
        self.ignore(
            &mut fields,
            &[
                "cluster_address",
                "http_idle_timeout",
                "http_read_header_timeout",
                "http_read_timeout",
                "http_write_timeout",
                "max_request_duration",
                "max_request_size",
                "proxy_protocol_behavior",
                "tls_cipher_suites",
                "tls_disable_client_certs",
                "tls_prefer_server_cipher_suites",
                "tls_require_and_verify_client_cert",
            ],
        );
        let mut telemetry = fields.nested("telemetry")?;
        let open_metrics = telemetry.flag("unauthenticated_metrics_access")?.unwrap_or(false);
        self.ignore(
            &mut telemetry,
            &["unauthenticated_pprof_access", "unauthenticated_in_flight_request_access"],
        );
        telemetry.finish()?;
        fields.finish()?;
        self.config.listeners.push(Listener { address, tls, open_metrics });
        Ok(())
    }

    fn read_audit(&mut self, block: Block, file: &str) -> Result<(), ConfigError> {
        let mut labels = block.labels.iter();
        let kind = labels.next().map(String::as_str).unwrap_or_default();
        if kind != "file" {
            return Err(ConfigError(format!(
                "{file}: there is no audit device `{kind}`; write `audit \"file\" \"name\" {{ options {{ file_path = \"…\" \
                 }} }}`"
            )));
        }
        let name = labels.next().cloned().unwrap_or_else(|| kind.to_owned());
        let mut fields = block.fields(file)?;
        self.ignore(&mut fields, &["description", "local"]);
        let mut options = fields.nested("options")?;
        fields.finish()?;
        let path = options.needed("file_path")?;
        let mode = match options.text("mode")? {
            Some(mode) => u32::from_str_radix(&mode, 8)
                .ok()
                .filter(|mode| *mode <= 0o777)
                .ok_or_else(|| options.wrong("mode", "must be octal, as `0600`"))?,
            None => AUDIT_MODE,
        };
        let fsync = options.flag("fsync")?.unwrap_or(false);
        let raw = options.flag("log_raw")?.unwrap_or(false);
        if raw {
            return Err(options.wrong("log_raw", "cannot be `true`: no secret is ever recorded"));
        }
        self.ignore(&mut options, &["hmac_accessor", "format", "prefix"]);
        options.finish()?;
        if self.config.audits.iter().any(|device| device.name == name) {
            return Err(ConfigError(format!("{file}: two audit devices are called `{name}`")));
        }
        let path = (path != "stdout").then(|| path.into());
        self.config.audits.push(AuditDevice { name, path, mode, fsync });
        Ok(())
    }
}

fn read_tls(fields: &mut Fields) -> Result<Tls, ConfigError> {
    let mut needed = |name: &str| {
        let missing =
            "is needed; or write `tls_disable = true` if nobody but this machine can listen";
        fields.text(name)?.map(PathBuf::from).ok_or_else(|| fields.wrong(name, missing))
    };
    let (cert_file, key_file) = (needed("tls_cert_file")?, needed("tls_key_file")?);
    let client_ca_file = fields.text("tls_client_ca_file")?.map(PathBuf::from);
    let client_cert_required = fields.flag("tls_require_and_verify_client_cert")?.unwrap_or(false);
    if client_cert_required && client_ca_file.is_none() {
        let message = "needs `tls_client_ca_file` as well";
        return Err(fields.wrong("tls_require_and_verify_client_cert", message));
    }
    let only_tls13 = match fields.text("tls_min_version")?.as_deref() {
        None | Some("" | "tls12") => false,
        Some("tls13") => true,
        Some(other) => {
            let message = format!("must be `tls12` or `tls13`, not `{other}`");
            return Err(fields.wrong("tls_min_version", &message));
        }
    };
    Ok(Tls { cert_file, key_file, client_ca_file, client_cert_required, only_tls13 })
}

impl Config {
    /// Makes this a server to try things with.
    pub(crate) fn for_dev(&mut self, address: &str) -> Result<(), ConfigError> {
        if self.storage != Storage::Memory || self.seal.is_some() {
            return Err(ConfigError(
                "a server started with -dev keeps everything in memory: leave `storage` and `seal` out".into(),
            ));
        }
        let address = address.to_owned();
        self.listeners.insert(0, Listener { address, tls: None, open_metrics: false });
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Limits { default_lease_ttl, max_lease_ttl } = self.limits;
        if default_lease_ttl.is_zero() || max_lease_ttl.is_zero() {
            return Err(ConfigError(
                "`default_lease_ttl` and `max_lease_ttl` cannot be zero".into(),
            ));
        }
        if default_lease_ttl > max_lease_ttl {
            return Err(ConfigError("`default_lease_ttl` is longer than `max_lease_ttl`".into()));
        }
        Ok(())
    }

    /// Checks that a server that is not for trying things has all it needs.
    pub(crate) fn checked_for_use(&self) -> Result<(), ConfigError> {
        let missing = |what: &str, write: &str| {
            Err(ConfigError(format!("the configuration has no `{what}`; write `{write}`")))
        };
        if self.storage == Storage::Memory {
            return missing("storage", "storage \"embedded\" { path = \"/var/lib/leasehold\" }");
        }
        if self.seal.is_none() {
            return missing("seal", "seal \"file\" { path = \"/etc/leasehold/root.key\" }");
        }
        if self.listeners.is_empty() {
            return missing("listener", "listener \"tcp\" { … }");
        }
        Ok(())
    }
}

impl Block {
    /// Returns the only label: which kind it is.
    fn label(&self, file: &str) -> Result<&str, ConfigError> {
        match self.labels.as_slice() {
            [label] => Ok(label),
            _ => Err(ConfigError(format!("{file}: `{}` takes one label: its kind", self.name))),
        }
    }

    /// Returns what is written in it; blocks in it count as fields that hold fields.
    fn fields(self, file: &str) -> Result<Fields, ConfigError> {
        let place = std::iter::once(&self.name).chain(&self.labels).map(String::as_str);
        let place = place.collect::<Vec<_>>().join(" ");
        let mut fields = self.fields;
        for block in self.blocks {
            if !block.labels.is_empty() || fields.contains_key(&block.name) {
                let message = format!("{file}: `{}` in `{place}` cannot be used so", block.name);
                return Err(ConfigError(message));
            }
            fields.insert(block.name, serde_json::Value::Object(block.fields));
        }
        Ok(Fields::new(fields, file, &place))
    }
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
