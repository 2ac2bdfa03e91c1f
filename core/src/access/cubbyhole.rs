//! What a token keeps for itself: nobody can open it without the token's text.
//!
//! It is encrypted under a key that is derived (HKDF, RFC 5869) from the text of the token, of which the store has
//! only a keyed hash. So the store and the root key together do not open it, and with the text it is all lost.
//! Answers that are wrapped are kept in the same way, each in the cubbyhole of a token of its own.

use crate::chance::Chance;
use crate::seal::barrier::{SealingKey, Unreadable};
use crate::secret::SecretText;
use crate::store::{Key, Value};
use aws_lc_rs::hkdf;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Keeps keys that are derived from tokens for this apart from all others.
const DERIVED_FOR: &[u8] = b"leasehold cubbyhole 1";

/// The open content of a cubbyhole: JSON by its path.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cubbyhole(BTreeMap<String, Box<RawValue>>);

/// The same as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Closed(String);

impl Cubbyhole {
    /// Opens what is kept at `at` by the token's text.
    pub fn open(closed: &Closed, text: &SecretText, at: &Key) -> Result<Self, Unreadable> {
        let sealed = STANDARD_NO_PAD.decode(&closed.0).map_err(|_| Unreadable)?;
        let plain = key_of(text, at)?.open(at, &Value(sealed))?;
        serde_json::from_slice(&plain).map_err(|_| Unreadable)
    }

    /// Closes it, to be kept at `at`.
    pub fn close(
        &self,
        text: &SecretText,
        at: &Key,
        chance: &dyn Chance,
    ) -> Result<Closed, Unreadable> {
        let plain = Zeroizing::new(serde_json::to_vec(self).map_err(|_| Unreadable)?);
        let sealed = key_of(text, at)?.seal(at, &plain, chance);
        Ok(Closed(STANDARD_NO_PAD.encode(sealed.0)))
    }

    /// Returns what is at a path.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<&RawValue> {
        self.0.get(path).map(AsRef::as_ref)
    }

    /// Keeps something at a path, in place of what was there.
    pub fn write(&mut self, path: String, content: Box<RawValue>) {
        self.0.insert(path, content);
    }

    /// Drops what is at a path.
    pub fn delete(&mut self, path: &str) {
        self.0.remove(path);
    }

    /// Returns the names directly under a folder, which is empty or ends in `/`; those of folders end in `/`.
    #[must_use]
    pub fn list(&self, folder: &str) -> Vec<String> {
        let below = self.0.keys().filter_map(|path| path.strip_prefix(folder));
        let mut names: Vec<_> = below
            .map(|rest| rest.split_inclusive('/').next().unwrap_or_default().to_owned())
            .collect();
        // A folder is told once; all that is in it stands together.
        names.dedup();
        names
    }

    /// Returns how many paths there are, and how many bytes they take with their content.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let bytes =
            self.0.iter().map(|(path, content)| path.len().saturating_add(content.get().len()));
        (self.0.len(), bytes.fold(0, usize::saturating_add))
    }
}

impl fmt::Debug for Cubbyhole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cubbyhole(..)")
    }
}

/// Derives the key of a token for one place. The place has the token's keyed hash in it, which is another in each
/// installation.
fn key_of(text: &SecretText, at: &Key) -> Result<SealingKey, Unreadable> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, DERIVED_FOR);
    let derived = salt.extract(text.reveal().as_bytes());
    let mut key = Zeroizing::new([0; 32]);
    let info = [at.0.as_slice()];
    let expanded = derived.expand(&info, hkdf::HKDF_SHA256).map_err(|_| Unreadable)?;
    expanded.fill(&mut *key).map_err(|_| Unreadable)?;
    Ok(SealingKey::new(0, &key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn only_the_tokens_own_text_opens_it_and_only_in_its_place() {
        let (text, at) = (SecretText::new("hvs.one".into()), Key(b"cubbyhole/1".to_vec()));
        let mut open = Cubbyhole::default();
        open.write("a".into(), raw(r#"{"x":"canary"}"#));
        let closed = open.close(&text, &at, &Counting::default()).unwrap();
        assert!(!serde_json::to_string(&closed).unwrap().contains("canary"));
        let again = Cubbyhole::open(&closed, &text, &at).unwrap();
        assert_eq!(again.read("a").unwrap().get(), r#"{"x":"canary"}"#);
        let other = SecretText::new("hvs.two".into());
        assert!(Cubbyhole::open(&closed, &other, &at).is_err());
        assert!(Cubbyhole::open(&closed, &text, &Key(b"cubbyhole/2".to_vec())).is_err());
        assert!(!format!("{again:?}").contains("canary"));
    }

    #[test]
    fn a_folder_is_listed_by_what_is_directly_in_it() {
        let mut open = Cubbyhole::default();
        for path in ["a", "a/b", "a/c/d", "a/c/e", "ab", "b/x"] {
            open.write(path.into(), raw("{}"));
        }
        assert_eq!(open.list(""), ["a", "a/", "ab", "b/"]);
        assert_eq!(open.list("a/"), ["b", "c/"]);
        assert!(open.list("c/").is_empty());
        open.delete("a/b");
        assert_eq!(open.list("a/"), ["c/"]);
    }
}
