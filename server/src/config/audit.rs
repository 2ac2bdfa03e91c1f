//! `audit`: where requests are recorded, in Vault's words.

use super::fields::{Fields, Found};
use super::read::{AUDIT, Reader, is_address, of_kinds};
use super::tree::Entry;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The permissions of an audit file if nobody says.
const MODE: u32 = 0o600;
/// How long a socket may take for a write if nobody says; Vault's.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for an HTTP server, which has to answer as well.
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);
/// Where a machine's own syslog listens.
const SYSLOG: &str = "/dev/log";
/// Syslog's names of where messages come from, and their numbers (RFC 5424, section 6.2.1).
const FACILITIES: [(&str, u8); 20] = [
    ("auth", 4),
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// Where requests are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditDevice {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) way: Way,
}

/// How lines get there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// Into a file; `None` for the standard output.
    File { path: Option<PathBuf>, mode: u32, fsync: bool },
    /// To the syslog of this machine.
    Syslog { path: PathBuf, facility: (&'static str, u8), tag: String },
    /// To whoever listens.
    Socket { address: String, kind: SocketKind, write_timeout: Duration },
    /// To an HTTP server.
    Http { uri: String, headers: BTreeMap<String, String>, timeout: Duration },
}

/// What kind of socket lines are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketKind {
    /// A stream over the network.
    Tcp,
    /// A message for each line over the network.
    Udp,
    /// A stream on this machine.
    Unix,
}

impl AuditDevice {
    /// Whether it says when it has a line.
    pub(crate) fn acknowledges(&self) -> bool {
        match self.way {
            Way::File { .. } | Way::Http { .. } => true,
            Way::Syslog { .. } | Way::Socket { .. } => false,
        }
    }
}

impl Way {
    /// Returns Vault's word for it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Syslog { .. } => "syslog",
            Self::Socket { .. } => "socket",
            Self::Http { .. } => "http",
        }
    }

    /// Returns what operators are shown of it: headers may hold a secret.
    pub(crate) fn options(&self) -> BTreeMap<&'static str, String> {
        let seconds = |span: &Duration| leasehold_core::duration::go_string(*span);
        match self {
            Self::File { path, mode, fsync } => {
                let path =
                    path.as_ref().map_or("stdout".to_owned(), |path| path.display().to_string());
                BTreeMap::from([
                    ("file_path", path),
                    ("mode", format!("{mode:04o}")),
                    ("fsync", fsync.to_string()),
                ])
            }
            Self::Syslog { path, facility, tag } => BTreeMap::from([
                ("path", path.display().to_string()),
                ("facility", facility.0.to_uppercase()),
                ("tag", tag.clone()),
            ]),
            Self::Socket { address, kind, write_timeout } => BTreeMap::from([
                ("address", address.clone()),
                ("socket_type", kind.word().to_owned()),
                ("write_timeout", seconds(write_timeout)),
            ]),
            Self::Http { uri, timeout, .. } => {
                BTreeMap::from([("uri", uri.clone()), ("write_timeout", seconds(timeout))])
            }
        }
    }
}

impl SocketKind {
    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Unix => "unix",
        }
    }
}

/// Headers may hold a secret.
impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind(), self.options())
    }
}

impl Reader {
    pub(super) fn read_audit(&mut self, block: Entry, file: &str) {
        let findings = &self.findings;
        let line = block.line;
        let kinds = ["file", "syslog", "socket", "http"];
        let Some((kind, name, mut fields)) = of_kinds(block, file, &kinds, AUDIT, findings) else {
            return;
        };
        let description = fields.text("description", "\"for the auditors\"");
        let description = description.map(|text| text.value).unwrap_or_default();
        fields.ignore(&["local"]);
        let example = match kind {
            "syslog" => "{ facility = \"AUTH\" }",
            "socket" => "{ address = \"127.0.0.1:9090\" }",
            "http" => "{ uri = \"https://audit.example/leasehold\" }",
            _ => "{ file_path = \"/var/log/leasehold/audit.log\" }",
        };
        let options = if kind == "syslog" {
            // All of its options have a default.
            Some(fields.nested_or_empty("options", example))
        } else {
            fields.needed_nested("options", example)
        };
        fields.finish();
        let Some(mut options) = options else { return };
        let way = match kind {
            "syslog" => Some(read_syslog(&mut options)),
            "socket" => read_socket(&mut options),
            "http" => read_http(&mut options),
            _ => read_file(&mut options),
        };
        if let Some(Found { value: true, line }) = options.flag("log_raw") {
            let message = "cannot be `true`: no secret is ever recorded";
            options.wrong(line, "log_raw", message, "false");
        }
        options.ignore(&["hmac_accessor", "format", "prefix"]);
        options.finish();
        if self.config.audits.iter().any(|device| device.name == name) {
            let problem = format!("{file}:{line}: two audit devices are called `{name}`");
            findings.problem(format!("{problem}; give this one another name"));
        }
        self.config.audits.extend(way.map(|way| AuditDevice { name, description, way }));
    }
}

fn read_file(options: &mut Fields<'_>) -> Option<Way> {
    let path = options.needed("file_path", "\"/var/log/leasehold/audit.log\"");
    let mode = options.mode("mode", "\"0600\"").map_or(MODE, |mode| mode.value);
    let fsync = options.flag("fsync").is_some_and(|fsync| fsync.value);
    let path = path?.value;
    Some(Way::File { path: (path != "stdout").then(|| path.into()), mode, fsync })
}

fn read_syslog(options: &mut Fields<'_>) -> Way {
    let facilities = FACILITIES.map(|(name, number)| (name, (name, number)));
    let facility = options.word("facility", &facilities, "\"AUTH\"");
    let tag = options.text("tag", "\"leasehold\"").map_or("leasehold".to_owned(), |tag| tag.value);
    let path = options.text("path", "\"/dev/log\"").map_or(SYSLOG.to_owned(), |path| path.value);
    let facility = facility.map_or(("auth", 4), |facility| facility.value);
    Way::Syslog { path: path.into(), facility, tag }
}

fn read_socket(options: &mut Fields<'_>) -> Option<Way> {
    let kinds = [("tcp", SocketKind::Tcp), ("udp", SocketKind::Udp), ("unix", SocketKind::Unix)];
    let kind = options.word("socket_type", &kinds, "\"tcp\"");
    let kind = kind.map_or(SocketKind::Tcp, |kind| kind.value);
    let example = "\"127.0.0.1:9090\"";
    let address = options.needed("address", example);
    let timeout = options.ttl("write_timeout", "\"2s\"");
    let Found { value: address, line } = address?;
    if kind != SocketKind::Unix && !is_address(&address) {
        let message = format!("must be a host and a port, not `{address}`");
        options.wrong(line, "address", &message, example);
    }
    let write_timeout = timeout.map_or(WRITE_TIMEOUT, |timeout| timeout.value);
    Some(Way::Socket { address, kind, write_timeout })
}

fn read_http(options: &mut Fields<'_>) -> Option<Way> {
    let example = "\"https://audit.example/leasehold\"";
    let uri = options.needed("uri", example);
    let timeout = options.ttl("write_timeout", "\"5s\"");
    let example_of_headers = r#""{\"Authorization\":\"Bearer …\"}""#;
    let headers = options.text("headers", example_of_headers);
    let mut read = BTreeMap::new();
    if let Some(Found { value, line }) = headers {
        if let Ok(headers) = serde_json::from_str(&value) {
            read = headers;
        } else {
            let message = "must be a JSON object of texts";
            options.wrong(line, "headers", message, example_of_headers);
        }
    }
    let Found { value: uri, line } = uri?;
    if !uri.starts_with("https://") && !uri.starts_with("http://") {
        options.wrong(line, "uri", &format!("must be a URL, not `{uri}`"), example);
    }
    let timeout = timeout.map_or(HTTP_TIMEOUT, |timeout| timeout.value);
    Some(Way::Http { uri, headers: read, timeout })
}
