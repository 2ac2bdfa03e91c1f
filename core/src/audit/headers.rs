//! Which headers of requests are recorded. None is, until an operator says so.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How many headers may be recorded: each makes every line longer that has it.
const HEADERS_MAX: usize = 64;
/// The longest name, in bytes.
const NAME_MAX: usize = 128;
/// What clients send secrets in. In the clear, these are recorded for nobody.
const SECRET: [&str; 5] =
    ["authorization", "cookie", "idempotency-key", "proxy-authorization", "x-vault-token"];

/// The headers that are recorded, by their names in lower case, and whether each is hidden as a keyed hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuditedHeaders(BTreeMap<String, bool>);

/// A header that came with a request, to be recorded.
#[derive(Clone)]
pub struct AskedHeader {
    pub(super) name: String,
    pub(super) values: Vec<String>,
    pub(super) is_hidden: bool,
}

impl AuditedHeaders {
    /// Adds a header, or says anew how it is shown; refused with the reason.
    pub fn with(mut self, name: &str, is_hidden: bool) -> Result<Self, String> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_token) {
            return Err(format!(
                "{name:?} is no name of a header: letters, digits and `-`, up to {NAME_MAX} of them"
            ));
        }
        let name = name.to_ascii_lowercase();
        if !is_hidden && SECRET.contains(&name.as_str()) {
            return Err(format!("`{name}` carries secrets: it is recorded with `hmac=true` only"));
        }
        self.0.insert(name, is_hidden);
        if self.0.len() > HEADERS_MAX {
            return Err(format!(
                "no more than {HEADERS_MAX} headers are recorded; delete one first"
            ));
        }
        Ok(self)
    }

    /// Takes a header out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(&name.to_ascii_lowercase());
        self
    }

    /// Tells whether a header is hidden; `None` for one that is not recorded.
    #[must_use]
    pub fn is_hidden(&self, name: &str) -> Option<bool> {
        self.0.get(&name.to_ascii_lowercase()).copied()
    }

    /// Returns all of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().map(|(name, is_hidden)| (name.as_str(), *is_hidden))
    }

    /// Picks out of a request what is to be recorded; `values` returns all that came under a name.
    #[must_use]
    pub fn pick(&self, values: impl Fn(&str) -> Vec<String>) -> Vec<AskedHeader> {
        let picked = self.iter().map(|(name, is_hidden)| AskedHeader {
            name: name.to_owned(),
            values: values(name),
            is_hidden,
        });
        picked.filter(|header| !header.values.is_empty()).collect()
    }
}

impl fmt::Debug for AskedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskedHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_known_however_it_is_written_and_one_with_secrets_is_always_hidden() {
        let headers = AuditedHeaders::default().with("X-Req", false).unwrap();
        assert_eq!((headers.is_hidden("x-rEQ"), headers.is_hidden("x-re")), (Some(false), None));
        let hidden = headers.with("x-req", true).unwrap();
        assert_eq!(hidden.iter().collect::<Vec<_>>(), [("x-req", true)]);
        for name in ["X-Vault-Token", "authorization", "Cookie"] {
            let refused = AuditedHeaders::default().with(name, false).unwrap_err();
            assert!(refused.contains("`hmac=true` only"), "{refused}");
            assert!(AuditedHeaders::default().with(name, true).is_ok());
        }
        for name in ["", "a b", "a:b", "ä", &"x".repeat(NAME_MAX + 1)] {
            assert!(AuditedHeaders::default().with(name, true).is_err(), "{name}");
        }
        assert_eq!(hidden.without("X-REQ"), AuditedHeaders::default());
    }

    #[test]
    fn there_is_a_bound_on_how_many_are_recorded() {
        let mut headers = AuditedHeaders::default();
        for number in 0..HEADERS_MAX {
            headers = headers.with(&format!("x-{number}"), true).unwrap();
        }
        // One that is there may still be written.
        assert!(headers.clone().with("x-0", false).is_ok());
        assert!(headers.with("one-more", true).is_err());
    }
}
