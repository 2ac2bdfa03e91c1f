//! Where a node of a target is.

use leasehold_core::engine::FieldError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The port where none is named.
pub(super) const PORT: u16 = 6379;
/// The port of a Sentinel where none is named.
pub(super) const SENTINEL_PORT: u16 = 26379;

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]:port` or, as a cluster writes it, `v6:port`.
    pub(super) fn parse(text: &str, default_port: u16) -> Result<Self, FieldError> {
        let wrong = || FieldError(format!("`{text}` is no `host:port`"));
        let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (host, port) = match text.rsplit_once(':') {
            Some(_) if text.ends_with(']') => (bare(text), default_port),
            Some((host, port)) => (bare(host), port.parse().map_err(|_| wrong())?),
            None => (text.to_owned(), default_port),
        };
        let is_name = |char: char| char.is_ascii_alphanumeric() || "-_.:%".contains(char);
        if host.is_empty() || !host.chars().all(is_name) || port == 0 {
            return Err(wrong());
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl TryFrom<String> for Address {
    type Error = FieldError;

    fn try_from(text: String) -> Result<Self, FieldError> {
        Self::parse(&text, PORT)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_from_its_text() {
        for (text, host, port) in [
            ("h", "h", 6379),
            ("h:1", "h", 1),
            ("[::1]:7", "::1", 7),
            ("[::1]", "::1", 6379),
            ("fe80::2:7001", "fe80::2", 7001),
        ] {
            let address = Address::parse(text, PORT).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
            assert_eq!(Address::parse(&address.to_string(), PORT).unwrap(), address);
        }
        for text in ["", ":1", "h:x", "h:0", "a b:1", "h:70000", "u@h:1"] {
            assert!(Address::parse(text, PORT).is_err(), "{text}");
        }
    }
}
