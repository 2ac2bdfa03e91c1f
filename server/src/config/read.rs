//! Gives the entries of a file their meaning.
//!
//! Every field is read whatever is wrong with the others, so that all problems are told at once.

use super::fields::{Fields, Findings, Found};
use super::listener::{read_forwarded, read_headers};
use super::tree::{Entry, Held};
use super::{Config, Listener, LogFormat, Seal, Storage, Tls};
use crate::logging;
use crate::seal_file::KeyFile;
use leasehold_core::limits::Limits;
use std::path::PathBuf;

/// Where a listener listens if nobody says.
const ADDRESS: &str = "127.0.0.1:8200";

/// Words of Vault's configuration that mean nothing here; they are accepted so that its files can be used.
const VAULTS_OWN: [&str; 28] = [
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
    "telemetry",
    "service_registration",
    "user_lockout",
    "entropy",
];
/// The same of a listener's.
const VAULTS_OWN_OF_LISTENERS: [&str; 11] = [
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
];
/// The same of what a listener shows of itself.
const VAULTS_OWN_OF_TELEMETRY: [&str; 2] =
    ["unauthenticated_pprof_access", "unauthenticated_in_flight_request_access"];
/// What is read of a listener with TLS, and means nothing in one without.
const OF_TLS: [&str; 5] = [
    "tls_cert_file",
    "tls_key_file",
    "tls_client_ca_file",
    "tls_require_and_verify_client_cert",
    "tls_min_version",
];

/// How it is written.
pub(super) const STORAGE: &str = "storage \"embedded\" { path = \"/var/lib/leasehold\" }";
/// How it is written.
pub(super) const SEAL: &str = "seal \"file\" { path = \"/etc/leasehold/root.key\" }";
/// How it is written.
pub(super) const LISTENER: &str = "listener \"tcp\" { address = \"127.0.0.1:8200\" … }";
/// How it is written.
pub(super) const AUDIT: &str =
    "audit \"file\" \"main\" { options { file_path = \"/var/log/leasehold/audit.log\" } }";

/// Reads files one after the other into one configuration: of what may be given once the later counts.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) config: Config,
    pub(super) findings: Findings,
    at: Places,
}

/// Where things are given, for messages about two of them.
#[derive(Debug, Default)]
struct Places {
    storage: Option<String>,
    seal: Option<String>,
    default_lease_ttl: Option<String>,
    max_lease_ttl: Option<String>,
}

impl Reader {
    /// Reads the entries of a file.
    pub(super) fn read(&mut self, entries: Vec<Entry>, file: &str) {
        let is_block = |entry: &Entry| {
            matches!(entry.name.as_str(), "storage" | "backend" | "listener" | "seal" | "audit")
        };
        let (blocks, rest): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_block);
        self.read_top(rest, file);
        for block in blocks {
            match block.name.as_str() {
                "listener" => self.read_listener(block, file),
                "seal" => self.read_seal(block, file),
                "audit" => self.read_audit(block, file),
                // `backend` is an old word for it.
                _ => self.read_storage(block, file),
            }
        }
    }

    /// Checks what several fields say together.
    pub(super) fn finish(&self) {
        let audits = &self.config.audits;
        if !audits.is_empty() && !audits.iter().any(super::AuditDevice::acknowledges) {
            self.findings.problem(format!(
                "no audit device says when it has a line, so that every request would be refused: a socket and \
                 syslog do not; write `{AUDIT}` as well, or one of the kind `http`"
            ));
        }
        let Limits { default_lease_ttl, max_lease_ttl } = self.config.limits;
        if default_lease_ttl > max_lease_ttl {
            let given = self.at.max_lease_ttl.as_ref().or(self.at.default_lease_ttl.as_ref());
            let hours = |span: std::time::Duration| leasehold_core::duration::go_string(span);
            self.findings.problem(format!(
                "{}: `default_lease_ttl` ({}) is longer than `max_lease_ttl` ({}); set both, the second at least as long",
                given.map_or("the configuration", String::as_str),
                hours(default_lease_ttl),
                hours(max_lease_ttl),
            ));
        }
    }

    fn read_top(&mut self, entries: Vec<Entry>, file: &str) {
        let mut fields = Fields::new(entries, file, "", 1, &self.findings);
        let config = &mut self.config;
        if let Some(Found { value, line }) = fields.ttl("default_lease_ttl", "\"1h\"") {
            config.limits.default_lease_ttl = value;
            self.at.default_lease_ttl = Some(format!("{file}:{line}"));
        }
        if let Some(Found { value, line }) = fields.ttl("max_lease_ttl", "\"24h\"") {
            config.limits.max_lease_ttl = value;
            self.at.max_lease_ttl = Some(format!("{file}:{line}"));
        }
        if let Some(Found { value, line }) = fields.text("log_level", "\"info\"") {
            if logging::checked(&value).is_ok() {
                config.log_level = Some(value);
            } else {
                let message =
                    format!("must be `error`, `warn`, `info`, `debug` or `trace`, not `{value}`");
                fields.wrong(line, "log_level", &message, "\"info\"");
            }
        }
        let formats = [("standard", LogFormat::Standard), ("json", LogFormat::Json)];
        if let Some(format) = fields.word("log_format", &formats, "\"json\"") {
            config.log_format = format.value;
        }
        let example = "\"https://leasehold.example:8200\"";
        if let Some(Found { value, line }) = fields.text("api_addr", example) {
            let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
            if host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', ':'])) {
                config.api_addr = Some(value);
            } else {
                let message = format!("must be a URL, not `{value}`");
                fields.wrong(line, "api_addr", &message, example);
            }
        }
        fields.ignore(&VAULTS_OWN);
        fields.finish();
    }

    fn read_storage(&mut self, block: Entry, file: &str) {
        let findings = &self.findings;
        let Some((_, mut fields)) = of_kind(block, file, "embedded", STORAGE, findings) else {
            return;
        };
        let path = fields.needed("path", "\"/var/lib/leasehold\"");
        fields.only_one("storage", &mut self.at.storage);
        fields.finish();
        if let Some(path) = path {
            self.config.storage = Storage::Embedded(path.value.into());
        }
    }

    fn read_seal(&mut self, block: Entry, file: &str) {
        let findings = &self.findings;
        let kinds = ["shamir", "credential", "file"];
        let kind = kinds.into_iter().find(|kind| block.labels.first().is_some_and(|of| of == kind));
        let kind = kind.unwrap_or("file");
        let Some((_, mut fields)) = of_kind(block, file, kind, SEAL, findings) else { return };
        let key = match kind {
            "shamir" => None,
            "credential" => fields.needed("name", "\"leasehold.key\"").map(|name| KeyFile {
                path: credentials_folder().join(name.value),
                is_credential: true,
            }),
            _ => fields
                .needed("path", "\"/etc/leasehold/root.key\"")
                .map(|path| KeyFile { path: path.value.into(), is_credential: false }),
        };
        let disabled = fields.flag("disabled");
        let is_left = disabled.is_some_and(|disabled| disabled.value);
        fields.only_one("seal", &mut self.at.seal);
        fields.finish();
        if let Some(key) = key {
            self.config.seal = Seal::Kept { key, is_left };
        }
    }

    fn read_listener(&mut self, block: Entry, file: &str) {
        let findings = &self.findings;
        let Some((_, mut fields)) = of_kind(block, file, "tcp", LISTENER, findings) else { return };
        let example = "\"127.0.0.1:8200\"";
        let address = match fields.text("address", example) {
            None => ADDRESS.to_owned(),
            Some(Found { value, line }) => {
                if !is_address(&value) {
                    let message = format!("must be a host and a port, not `{value}`");
                    fields.wrong(line, "address", &message, example);
                }
                value
            }
        };
        let disabled = fields.flag("tls_disable").is_some_and(|disabled| disabled.value);
        let tls = if disabled {
            fields.ignore(&OF_TLS);
            None
        } else {
            read_tls(&mut fields)
        };
        let example = "{ unauthenticated_metrics_access = true }";
        let open_metrics = fields.nested("telemetry", example).is_some_and(|mut telemetry| {
            let open = telemetry.flag("unauthenticated_metrics_access");
            telemetry.ignore(&VAULTS_OWN_OF_TELEMETRY);
            telemetry.finish();
            open.is_some_and(|open| open.value)
        });
        let forwarded = read_forwarded(&mut fields);
        let headers = read_headers(&mut fields, !disabled);
        fields.ignore(&VAULTS_OWN_OF_LISTENERS);
        fields.finish();
        self.config.listeners.push(Listener { address, tls, open_metrics, forwarded, headers });
    }
}

/// Where systemd puts the credentials of a service.
fn credentials_folder() -> PathBuf {
    std::env::var_os("CREDENTIALS_DIRECTORY").unwrap_or_else(|| "/run/credentials".into()).into()
}

/// Returns the fields of a block that is of this kind, and its name, which is its last label.
fn of_kind<'a>(
    block: Entry,
    file: &'a str,
    wanted: &'static str,
    example: &str,
    findings: &'a Findings,
) -> Option<(String, Fields<'a>)> {
    let found = of_kinds(block, file, &[wanted], example, findings);
    found.map(|(_, name, fields)| (name, fields))
}

/// The same for a block of one of these kinds; returns which as well.
pub(super) fn of_kinds<'a>(
    block: Entry,
    file: &'a str,
    wanted: &[&'static str],
    example: &str,
    findings: &'a Findings,
) -> Option<(&'static str, String, Fields<'a>)> {
    let Entry { name, labels, line, held } = block;
    let problem =
        |what: &str| findings.problem(format!("{file}:{line}: {what}; write `{example}`"));
    let labels_max = if name == "audit" { 2 } else { 1 };
    let kind = labels.first().filter(|_| labels.len() <= labels_max);
    let Held::Fields(entries) = held else {
        problem(&format!("`{name}` must be a block"));
        return None;
    };
    let known = kind.and_then(|kind| wanted.iter().find(|wanted| *wanted == kind));
    match kind {
        Some(_) if let Some(known) = known => {
            let written = std::iter::once(&name).chain(&labels).map(String::as_str);
            let written = written.collect::<Vec<_>>().join(" ");
            let fields = Fields::new(entries, file, &written, line, findings);
            Some((known, labels.last().cloned().unwrap_or_default(), fields))
        }
        Some(kind) => {
            problem(&format!("there is no {name} of the kind `{kind}`"));
            None
        }
        None => {
            problem(&format!("`{name}` takes its kind as a label"));
            None
        }
    }
}

/// Tells whether a text is a host and a port.
pub(super) fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        // The colons of an address of IPv6 stand in brackets.
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let host_is_one = !host.is_empty() && (bracketed || !host.contains([':', '/', ' ']));
        host_is_one && port.parse::<u16>().is_ok()
    })
}

fn read_tls(fields: &mut Fields<'_>) -> Option<Tls> {
    let mut needed = |name: &'static str, example: &str| {
        let there = fields.has(name);
        let path = fields.text(name, example).map(|path| PathBuf::from(path.value));
        if !there {
            let or = "is needed, or else `tls_disable = true` if only this machine can listen";
            fields.wrong_here(name, or, example);
        }
        path
    };
    let cert_file = needed("tls_cert_file", "\"/etc/leasehold/cert.pem\"");
    let key_file = needed("tls_key_file", "\"/etc/leasehold/key.pem\"");
    let client_ca_file = fields
        .text("tls_client_ca_file", "\"/etc/leasehold/clients.pem\"")
        .map(|path| path.value.into());
    let required = fields.flag("tls_require_and_verify_client_cert");
    if let Some(Found { value: true, line }) = required
        && client_ca_file.is_none()
    {
        let (name, message) =
            ("tls_require_and_verify_client_cert", "needs `tls_client_ca_file` as well");
        fields.wrong(line, name, message, "false");
    }
    let versions = [("tls12", false), ("tls13", true)];
    let only_tls13 = fields.word("tls_min_version", &versions, "\"tls13\"");
    Some(Tls {
        cert_file: cert_file?,
        key_file: key_file?,
        client_ca_file,
        client_cert_required: required.is_some_and(|required| required.value),
        only_tls13: only_tls13.is_some_and(|only| only.value),
    })
}
