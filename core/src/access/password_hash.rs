//! What is kept of a user's password: a hash that is slow and large to compute, so that a stolen one is hard to guess.
//!
//! **Invariant:** to check a password costs the same whether there is such a user or not: one Argon2id of
//! [`MEMORY_KIB`] and [`PASSES`].

use crate::chance::Chance;
use crate::secret::SecretText;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Memory of one hash, in KiB, and passes over it: the second of OWASP's choices, 34 ms of one processor of the machine
/// that this was measured on. It is the same on every machine, for a hash that cost another time than that of an
/// unknown user would tell which users there are.
pub const MEMORY_KIB: u32 = 19 * 1024;
/// See [`MEMORY_KIB`].
pub const PASSES: u32 = 2;
/// The longest password, in bytes. The cost of a hash does not depend on it by much; this is far beyond what people
/// type, and what programs draw.
pub const PASSWORD_MAX: usize = 4096;

/// A password, hashed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    #[serde(with = "text")]
    salt: [u8; 16],
    #[serde(with = "text")]
    hash: [u8; 32],
}

impl PasswordHash {
    /// Hashes a password. Computes for long.
    #[must_use]
    pub fn of(password: &SecretText, salt: [u8; 16]) -> Self {
        let hash = *hashed(password, &salt, MEMORY_KIB, PASSES).unwrap_or_default();
        Self { memory_kib: MEMORY_KIB, passes: PASSES, salt, hash }
    }

    /// Tells whether this is the password. Computes for long.
    #[must_use]
    pub fn verifies(&self, password: &SecretText) -> bool {
        hashed(password, &self.salt, self.memory_kib, self.passes)
            .is_some_and(|hash| hash.ct_eq(&self.hash).into())
    }

    /// Draws the salt of a new hash.
    pub fn draw_salt(chance: &dyn Chance) -> [u8; 16] {
        let mut salt = [0; 16];
        chance.fill(&mut salt);
        salt
    }

    /// A hash that no password has, to be checked where there is no user.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self { memory_kib: MEMORY_KIB, passes: PASSES, salt: [0; 16], hash: [0; 32] }
    }
}

fn hashed(
    password: &SecretText,
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
) -> Option<Zeroizing<[u8; 32]>> {
    let params = Params::new(memory_kib, passes, 1, Some(32)).ok()?;
    let mut hash = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.reveal().as_bytes(), salt, &mut *hash)
        .ok()?;
    Some(hash)
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Bytes as text in stored records.
mod text {
    use super::{Engine, STANDARD_NO_PAD};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bytes: impl AsRef<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| serde::de::Error::custom(format!("expected {N} bytes in base64")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    #[test]
    fn a_password_is_known_by_its_hash_and_no_other_is() {
        let hash = PasswordHash::of(&secret("correct horse"), [7; 16]);
        assert!(hash.verifies(&secret("correct horse")));
        for wrong in ["correct horse ", "Correct horse", "", "correct"] {
            assert!(!hash.verifies(&secret(wrong)), "{wrong:?}");
        }
        assert!(!PasswordHash::of_nobody().verifies(&secret("")));
    }

    #[test]
    fn it_is_argon2id_as_others_compute_it() {
        // `echo -n password | argon2 somesaltsomesalt -id -k 19456 -t 2 -p 1 -l 32 -r`, by the reference implementation.
        let hash = PasswordHash::of(&secret("password"), *b"somesaltsomesalt");
        let expected = "2b5dc4054886ec957ef59c73b661c54dd6fb274590b278f657c6d96aac8fa6d1";
        let bytes = u128::from_be_bytes(*hash.hash.first_chunk().unwrap());
        let rest = u128::from_be_bytes(*hash.hash.last_chunk().unwrap());
        assert_eq!(format!("{bytes:032x}{rest:032x}"), expected);
    }

    #[test]
    fn a_stored_hash_reads_back_and_shows_nothing() {
        let hash = PasswordHash::of(&secret("canary"), [9; 16]);
        let stored = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<PasswordHash>(&stored).unwrap(), hash);
        assert!(!stored.contains("canary"));
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }
}
