//! What is said about accounts whose secret is rotated: an operator's own, and the administrator of a target.
//!
//! What a rotation is to bring about is stored before the target is asked ([`Intent`]), so that whoever comes after a
//! crash brings about the same and not something else. An account whose secret nobody knows cannot come of it.

use crate::chance::Chance;
use crate::secret::SecretText;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// How much chance an intent holds for whoever stores a verifier of the secret, in bytes.
pub const SALT_BYTES: usize = 32;

/// An account that was there before Leasehold, of which it alters the secret and nothing else (law 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What it is called at the target.
    pub name: String,
    /// Whether it is the one that Leasehold administers this target with.
    pub administers: bool,
    /// The operator's own statements for setting the secret; with none the engine has its own.
    pub statements: Vec<String>,
    /// How a new secret is tested.
    pub verify: Verify,
}

/// How a secret is tested before it is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// By a login.
    #[default]
    Login,
    /// By what the target's catalog says, for accounts that cannot log in from here.
    Catalog,
}

/// The administrator of a target, as its configuration has it.
#[derive(Debug)]
pub struct Administrator {
    /// What it is called at the target.
    pub name: String,
    /// Where it logs in, as the configuration has it: the same text for the same place.
    pub at: String,
    /// What it logs in with.
    pub secret: AccountSecret,
}

/// The secret of an account by the names that Vault's clients know its parts by: `password`, or `access_key` and
/// `secret_key`. It is told again and again, so it is stored, sealed.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountSecret(BTreeMap<String, Part>);

#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
struct Part(Zeroizing<String>);

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.0.to_string()
    }
}

impl Part {
    fn secret(&self) -> SecretText {
        SecretText::new(self.0.to_string())
    }
}

impl fmt::Debug for AccountSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountSecret(..)")
    }
}

impl AccountSecret {
    /// Makes a secret of its parts.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = (&'static str, SecretText)>) -> Self {
        let part = |(name, text): (&str, SecretText)| {
            (name.to_owned(), Part::from(text.reveal().to_owned()))
        };
        Self(parts.into_iter().map(part).collect())
    }

    /// Makes a secret that is a password.
    #[must_use]
    pub fn of_password(password: SecretText) -> Self {
        Self::new([("password", password)])
    }

    /// Returns one part of it; `None` if it has no such part.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<SecretText> {
        self.0.get(name).map(Part::secret)
    }

    /// Returns all parts with their names.
    pub fn parts(&self) -> impl Iterator<Item = (&str, SecretText)> {
        self.0.iter().map(|(name, part)| (name.as_str(), part.secret()))
    }

    /// Returns the same once more, for a record that replaces the one it is in.
    #[must_use]
    pub fn again(&self) -> Self {
        Self(self.0.clone())
    }

    /// Tells whether two secrets are the same, in a time that does not tell where they differ.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        let same =
            |((name, part), (other_name, other_part)): ((&str, SecretText), (&str, SecretText))| {
                name == other_name && part.ct_eq(&other_part)
            };
        self.0.len() == other.0.len() && self.parts().zip(other.parts()).all(same)
    }
}

/// What a rotation is to bring about. It is stored, sealed, before the target is asked, and what follows is done by it
/// however often it is begun anew.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// We choose the secret: this one and no other.
    Chosen {
        /// What the account is to have.
        secret: AccountSecret,
        /// Chance for whoever stores a verifier, so that a second try says the same as the first.
        salt: [u8; SALT_BYTES],
    },
    /// The target chooses the secret, and an account may have several at once.
    Given {
        /// The ids of those that it had before; whatever is on no list and younger than `since` came of this intent.
        before: Vec<String>,
        /// When they were looked at, by the clock of the target, which dates them, where it tells the time.
        since: Timestamp,
    },
}

impl Intent {
    /// Intends this secret and no other.
    #[must_use]
    pub fn chosen(secret: AccountSecret, chance: &dyn Chance) -> Self {
        let mut salt = [0; SALT_BYTES];
        chance.fill(&mut salt);
        Self::Chosen { secret, salt }
    }

    /// Returns the secret the account is to have, where that is known beforehand.
    #[must_use]
    pub fn secret(&self) -> Option<&AccountSecret> {
        match self {
            Self::Chosen { secret, .. } => Some(secret),
            Self::Given { .. } => None,
        }
    }
}

/// What became of an account that was asked to be rotated.
#[derive(Debug)]
pub enum Rotated {
    /// It has the secret that was intended.
    AsIntended,
    /// It has this one, which the target chose.
    Given(AccountSecret),
}

/// What became of a test of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tested {
    /// It opens the account.
    Works,
    /// The target says that it does not.
    Denied,
    /// It is the account's, says the target, and the account may not log in with any.
    Barred,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;

    #[test]
    fn an_intent_reads_back_and_shows_nothing() {
        let secret = AccountSecret::of_password(SecretText::new("geheim".into()));
        let intent = Intent::chosen(secret, &Counting::default());
        assert!(!format!("{intent:?}").contains("geheim"));
        let stored = serde_json::to_string(&intent).unwrap();
        let read: Intent = serde_json::from_str(&stored).unwrap();
        assert!(read.secret().unwrap().ct_eq(intent.secret().unwrap()));
    }

    #[test]
    fn secrets_differ_by_any_part() {
        let key = |id: &str, secret: &str| {
            let text = |text: &str| SecretText::new(text.to_owned());
            AccountSecret::new([("access_key", text(id)), ("secret_key", text(secret))])
        };
        assert!(key("a", "b").ct_eq(&key("a", "b")));
        for other in [key("a", "c"), key("c", "b"), AccountSecret::new([])] {
            assert!(!key("a", "b").ct_eq(&other) && !other.ct_eq(&key("a", "b")));
        }
    }
}
