//! Hashes of passwords that were made elsewhere, by bcrypt: the one kind that Vault takes.

use crate::secret::SecretText;
use base64::Engine;
use base64::alphabet::BCRYPT;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Half of the last letter means nothing, and some that make hashes leave anything there.
const LETTERS: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);
/// The lowest cost that is taken, which is Vault's own: 2^10 rounds, some 60 ms.
const COST_MIN: u32 = 10;
/// The highest: every check of any password costs as much from then on, some 250 ms.
const COST_MAX: u32 = 12;
/// How much of a password bcrypt looks at, in bytes.
const LOOKS_AT: usize = 72;
/// The bytes that are kept of what it computes.
const HASH_BYTES: usize = 23;

/// A hash by bcrypt.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bcrypt {
    cost: u32,
    salt: [u8; 16],
    hash: [u8; HASH_BYTES],
}

/// It is no hash that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHash {
    /// It is not written as one.
    #[error(
        "a `password_hash` is one of bcrypt: `$2a$`, `$2b$` or `$2y$`, two digits, `$` and 53 letters"
    )]
    NotBcrypt,
    /// Its cost is out of bounds.
    #[error(
        "the cost of a `password_hash` is 10 to 12; write `password`, or a hash of another cost"
    )]
    Cost,
}

impl Bcrypt {
    /// Reads one as it is written everywhere: `$2b$10$<salt><hash>`.
    pub(super) fn parse(written: &str) -> Result<Self, BadHash> {
        let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|head| written.strip_prefix(head));
        let (cost, letters) =
            rest.and_then(|rest| rest.split_once('$')).ok_or(BadHash::NotBcrypt)?;
        let digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
        let cost = cost.parse::<u32>().ok().filter(|_| digits).ok_or(BadHash::NotBcrypt)?;
        let (salt, hash) = letters.split_at_checked(22).ok_or(BadHash::NotBcrypt)?;
        let bytes = |text| LETTERS.decode(text).map_err(|_| BadHash::NotBcrypt);
        let salt = bytes(salt)?.try_into().map_err(|_| BadHash::NotBcrypt)?;
        let hash = bytes(hash)?.try_into().map_err(|_| BadHash::NotBcrypt)?;
        if !(COST_MIN..=COST_MAX).contains(&cost) {
            return Err(BadHash::Cost);
        }
        Ok(Self { cost, salt, hash })
    }

    /// A hash that no password has.
    pub(super) fn of_nobody(cost: u32) -> Self {
        Self { cost, salt: [0; 16], hash: [0; HASH_BYTES] }
    }

    pub(super) fn cost(&self) -> u32 {
        self.cost
    }

    /// Tells whether this is the password. Computes for long.
    pub(super) fn verifies(&self, password: &SecretText) -> bool {
        // The zero at its end is part of what is hashed, as in C.
        let bytes = password.reveal().bytes().chain([0]).take(LOOKS_AT);
        let bytes = Zeroizing::new(bytes.collect::<Vec<_>>());
        let computed = Zeroizing::new(bcrypt::bcrypt(self.cost, self.salt, &bytes));
        computed
            .iter()
            .as_slice()
            .get(..HASH_BYTES)
            .is_some_and(|hash| hash.ct_eq(&self.hash).into())
    }

    /// Whether a password that this verifies is known to be the one that was hashed: of a longer one nobody knows the end.
    pub(super) fn tells(password: &SecretText) -> bool {
        password.len() < LOOKS_AT
    }
}

impl Serialize for Bcrypt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { cost, salt, hash } = self;
        let written = format!("$2b${cost}${}{}", LETTERS.encode(salt), LETTERS.encode(hash));
        serializer.serialize_str(&written)
    }
}

impl<'de> Deserialize<'de> for Bcrypt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&written).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifies(written: &str, password: &str) -> bool {
        Bcrypt::parse(written).unwrap().verifies(&SecretText::new(password.to_owned()))
    }

    #[test]
    fn it_is_bcrypt_as_others_compute_it() {
        // By libxcrypt.
        let salted = |hash: &str| format!("$2b$10$WvvTPHKwdBJ3uk0Z37EMR.{hash}");
        let hash = salted("/jPuzG9gBby2d5Bw7Ll6TASbiQ2IuQe");
        assert!(verifies(&hash, "correct horse"));
        assert!(!verifies(&hash, "correct Horse") && !verifies(&hash, ""));
        assert!(verifies(&salted("JxAeJ0EgWz.NE7WMxSE/LVAUdvOLdE2"), ""));
        assert!(verifies(&salted("mxbgJ0rSgUYjk5ym1hra8Psj0OrGL1K"), "é"));
    }

    #[test]
    fn what_is_no_hash_or_costs_too_little_or_too_much_is_refused() {
        let letters = "WvvTPHKwdBJ3uk0Z37EMR./jPuzG9gBby2d5Bw7Ll6TASbiQ2IuQe";
        for written in [
            "",
            "x",
            "$2a$10$",
            "$2x$10$a",
            "$argon2id$v=19$m=1",
            "$2a$10",
            "$2a$+9$",
            "$2a$10$é",
            &format!("$2a$1${letters}"),
            &format!("$2a$010${letters}"),
            &format!("$2a$10${letters}a"),
            &format!("$2a$10$ {letters}"),
            &format!("$2a$10${}", letters.replace('Q', "!")),
        ] {
            assert_eq!(Bcrypt::parse(written).err(), Some(BadHash::NotBcrypt), "{written}");
        }
        for (cost, taken) in
            [("04", false), ("09", false), ("10", true), ("12", true), ("13", false), ("31", false)]
        {
            let read = Bcrypt::parse(&format!("$2y${cost}${letters}"));
            assert_eq!(read.is_ok(), taken, "{cost}");
            assert!(taken || read.err() == Some(BadHash::Cost));
        }
    }

    #[test]
    fn of_a_long_password_only_the_beginning_counts_and_the_rest_is_not_known() {
        // By libxcrypt, of 72 letters as of 80.
        let hash = "$2b$10$WvvTPHKwdBJ3uk0Z37EMR.AbTGokUhF9dbavT/7O8V.cSnBhb/81S";
        assert!(verifies(hash, &"a".repeat(72)) && verifies(hash, &"a".repeat(4096)));
        assert!(!verifies(hash, &"a".repeat(71)));
        for (bytes, tells) in [(0, true), (71, true), (72, false), (4096, false)] {
            assert_eq!(Bcrypt::tells(&SecretText::new("a".repeat(bytes))), tells, "{bytes}");
        }
    }
}
