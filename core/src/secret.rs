//! What may not be seen.

mod locked;

pub use locked::{Locked, LockedKey};

use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A text that only one caller, or one target, may see.
///
/// It cannot be copied, compared with `==`, printed, or stored by accident, and its memory is wiped when it goes.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Wraps a secret; from here on only [`SecretText::reveal`] shows it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Shows the secret. Called only in files on the list of the tidy test.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns how many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether two secrets are the same, in a time that does not tell where they differ.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// What a caller is shown, once: fields in the order of their names, as Vault's clients know them.
#[derive(Debug)]
pub struct Secret {
    fields: Vec<(&'static str, Field)>,
    known_as: Option<String>,
}

/// One field of a [`Secret`].
#[derive(Debug)]
pub enum Field {
    /// Not secret: a user name.
    Open(String),
    /// Secret: a password.
    Hidden(SecretText),
}

impl Secret {
    /// Makes a secret of its fields.
    #[must_use]
    pub fn new(fields: Vec<(&'static str, Field)>) -> Self {
        Self { fields, known_as: None }
    }

    /// The target has given the credential a name of its own choice, which is not secret and stands in its logs: the id
    /// of an access key.
    #[must_use]
    pub fn known_as(self, name: String) -> Self {
        Self { known_as: Some(name), ..self }
    }

    /// Returns what the target itself calls the credential, where it chose that.
    #[must_use]
    pub fn own_name(&self) -> Option<&str> {
        self.known_as.as_deref()
    }

    /// Returns the fields. Their values are shown in one place only: where the response is rendered.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &Field)> {
        self.fields.iter().map(|(name, field)| (*name, field))
    }
}
