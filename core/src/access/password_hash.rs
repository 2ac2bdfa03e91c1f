//! What is kept of a user's password: a hash that is slow and large to compute, so that a stolen one is hard to guess.
//!
//! Each hash carries its cost. What an installation spends on a check only grows: with the machines that it runs on, and
//! with hashes that were made elsewhere. A hash that cost less is made up for, and replaced when its password is shown
//! next.
//!
//! **Invariant:** to check a password costs the same whether there is such a user or not, and whichever hash is kept: the
//! [`Cost`] of the installation.

mod elsewhere;

pub use elsewhere::BadHash;

use crate::chance::Chance;
use crate::secret::SecretText;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use elsewhere::Bcrypt;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hint::black_box;
use std::time::Duration;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Memory of one hash, in KiB, as in the second of OWASP's choices.
const MEMORY_KIB: u32 = 19 * 1024;
/// The fewest passes over it, as in that choice: 34 ms of one processor of the machine that this was measured on.
const PASSES_MIN: u32 = 2;
/// The most: a machine that is this fast is not to make logins a burden on one that comes after it.
const PASSES_MAX: u32 = 16;
/// How long one hash is to take, where that is more than the fewest passes take: two at a time make 40 logins a second.
const TAKES: Duration = Duration::from_millis(50);
/// The longest password, in bytes. The cost of a hash does not depend on it by much; this is far beyond what people
/// type, and what programs draw.
pub const PASSWORD_MAX: usize = 4096;

/// What an installation spends on checking a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Passes of Argon2id.
    passes: u32,
    /// The cost of bcrypt besides, once there is a hash of that kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bcrypt: Option<u32>,
}

/// A password, hashed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(Kind);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Kind {
    Argon2id(Argon2id),
    Bcrypt(Bcrypt),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Argon2id {
    memory_kib: u32,
    passes: u32,
    #[serde(with = "text")]
    salt: [u8; 16],
    #[serde(with = "text")]
    hash: [u8; 32],
}

/// Work that a check has yet to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Passes(u32),
    Bcrypt(u32),
}

impl Default for Cost {
    fn default() -> Self {
        Self { passes: PASSES_MIN, bcrypt: None }
    }
}

impl Cost {
    /// Returns what a hash is to cost on a machine that took this long for one; `None` where that is no more than it
    /// costs now. What took no time was not measured.
    #[must_use]
    pub fn fitting(self, took: Duration) -> Option<Self> {
        let wanted = TAKES.as_millis().saturating_mul(u128::from(self.passes));
        let passes = wanted.checked_div(took.as_millis())?.min(u128::from(PASSES_MAX));
        let passes = u32::try_from(passes).ok().filter(|passes| *passes > self.passes)?;
        Some(Self { passes, ..self })
    }

    /// Returns the cost that is as high as both.
    #[must_use]
    pub fn raised(self, other: Self) -> Self {
        Self { passes: self.passes.max(other.passes), bcrypt: self.bcrypt.max(other.bcrypt) }
    }
}

impl PasswordHash {
    /// Hashes a password. Computes for long.
    #[must_use]
    pub fn of(password: &SecretText, salt: [u8; 16], cost: Cost) -> Self {
        let hash = *hashed(password, &salt, MEMORY_KIB, cost.passes).unwrap_or_default();
        let (memory_kib, passes) = (MEMORY_KIB, cost.passes);
        Self(Kind::Argon2id(Argon2id { memory_kib, passes, salt, hash }))
    }

    /// Reads a hash that was made elsewhere, as Vault takes it: by bcrypt.
    pub fn made_elsewhere(written: &str) -> Result<Self, BadHash> {
        Bcrypt::parse(written).map(Kind::Bcrypt).map(Self)
    }

    /// Tells whether this is the password, at the installation's cost. Computes for long.
    #[must_use]
    pub fn verifies(&self, password: &SecretText, cost: Cost) -> bool {
        let verified = match &self.0 {
            Kind::Argon2id(kept) => hashed(password, &kept.salt, kept.memory_kib, kept.passes)
                .is_some_and(|hash| hash.ct_eq(&kept.hash).into()),
            Kind::Bcrypt(kept) => kept.verifies(password),
        };
        for rest in self.rest(cost) {
            match rest {
                Rest::Passes(passes) => {
                    black_box(hashed(password, &[0; 16], MEMORY_KIB, passes));
                }
                Rest::Bcrypt(cost) => {
                    black_box(Bcrypt::of_nobody(cost).verifies(password));
                }
            }
        }
        verified
    }

    /// Returns what a check of it has yet to do to cost as much as that of any other.
    fn rest(&self, cost: Cost) -> Vec<Rest> {
        let (passes, bcrypt) = match &self.0 {
            Kind::Argon2id(kept) => (kept.passes, None),
            Kind::Bcrypt(kept) => (0, Some(kept.cost())),
        };
        let mut rest = Vec::new();
        let left = cost.passes.saturating_sub(passes);
        rest.extend((left > 0).then_some(Rest::Passes(left)));
        match (bcrypt, cost.bcrypt) {
            // Each step of its cost doubles the work: 2^a + (2^a + … + 2^(b-1)) is 2^b.
            (Some(own), Some(all)) => rest.extend((own..all).map(Rest::Bcrypt)),
            (None, all) => rest.extend(all.map(Rest::Bcrypt)),
            (Some(_), None) => {}
        }
        rest
    }

    /// Returns what an installation that keeps it spends at least.
    #[must_use]
    pub fn cost(&self) -> Cost {
        match &self.0 {
            Kind::Argon2id(kept) => Cost { passes: kept.passes, bcrypt: None },
            Kind::Bcrypt(kept) => Cost { bcrypt: Some(kept.cost()), ..Cost::default() },
        }
    }

    /// Whether another hash of its password should be kept instead, once somebody shows it.
    #[must_use]
    pub fn is_outdated(&self, password: &SecretText, cost: Cost) -> bool {
        match &self.0 {
            Kind::Argon2id(kept) => kept.passes < cost.passes,
            Kind::Bcrypt(_) => Bcrypt::tells(password),
        }
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
        let (memory_kib, passes) = (MEMORY_KIB, PASSES_MIN);
        Self(Kind::Argon2id(Argon2id { memory_kib, passes, salt: [0; 16], hash: [0; 32] }))
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

    fn made(text: &str) -> PasswordHash {
        PasswordHash::of(&secret(text), [7; 16], Cost::default())
    }

    #[test]
    fn a_password_is_known_by_its_hash_and_no_other_is() {
        let (hash, cost) = (made("correct horse"), Cost::default());
        assert!(hash.verifies(&secret("correct horse"), cost));
        for wrong in ["correct horse ", "Correct horse", "", "correct"] {
            assert!(!hash.verifies(&secret(wrong), cost), "{wrong:?}");
        }
        assert!(!PasswordHash::of_nobody().verifies(&secret(""), cost));
        assert!(hash.verifies(&secret("correct horse"), Cost { passes: 3, bcrypt: Some(10) }));
    }

    #[test]
    fn it_is_argon2id_as_others_compute_it() {
        // `echo -n password | argon2 somesaltsomesalt -id -k 19456 -t 2 -p 1 -l 32 -r`, by the reference implementation.
        let hash = PasswordHash::of(&secret("password"), *b"somesaltsomesalt", Cost::default());
        // Here in base64.
        let stored = serde_json::to_value(&hash).unwrap();
        assert_eq!(stored["hash"], "K13EBUiG7JV+9ZxztmHFTdb7J0WQsnj2V8bZaqyPptE");
    }

    #[test]
    fn a_stored_hash_reads_back_and_shows_nothing() {
        let elsewhere = "$2a$10$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";
        for hash in [made("canary"), PasswordHash::made_elsewhere(elsewhere).unwrap()] {
            let stored = serde_json::to_string(&hash).unwrap();
            assert_eq!(serde_json::from_str::<PasswordHash>(&stored).unwrap(), hash);
            assert!(!stored.contains("canary"));
            assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
        }
        // As the first versions kept it.
        let (salt, hash) = ("AAAAAAAAAAAAAAAAAAAAAA", "A".repeat(43));
        let first = format!(r#"{{"memory_kib":19456,"passes":2,"salt":"{salt}","hash":"{hash}"}}"#);
        assert_eq!(
            serde_json::from_str::<PasswordHash>(&first).unwrap(),
            PasswordHash::of_nobody()
        );
    }

    #[test]
    fn the_cost_fits_the_machine_within_its_bounds_and_only_grows() {
        let cost = |passes| Cost { passes, bcrypt: None };
        for (was, took_ms, fits) in [
            (2, 34, None),
            (2, 33, Some(3)),
            (2, 20, Some(5)),
            (5, 50, None),
            (5, 40, Some(6)),
            (5, 500, None),
            (2, 1, Some(16)),
            (16, 1, None),
            (2, 0, None),
        ] {
            let took = Duration::from_millis(took_ms);
            assert_eq!(cost(was).fitting(took), fits.map(cost), "{was} passes in {took:?}");
        }
        let imported = Cost { passes: 2, bcrypt: Some(12) };
        assert_eq!(imported.raised(cost(5)), Cost { passes: 5, bcrypt: Some(12) });
        assert_eq!(cost(5).raised(imported), imported.raised(cost(5)));
    }

    #[test]
    fn a_check_costs_the_same_whichever_hash_is_kept() {
        let bcrypt = |cost: u32| {
            let rest = "DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";
            PasswordHash::made_elsewhere(&format!("$2b${cost}${rest}")).unwrap()
        };
        let argon2id = |passes: u32| {
            let stored = serde_json::to_string(&PasswordHash::of_nobody()).unwrap();
            let stored = stored.replace(":2,", &format!(":{passes},"));
            serde_json::from_str::<PasswordHash>(&stored).unwrap()
        };
        let kept = [bcrypt(10), bcrypt(11), bcrypt(12), argon2id(2), argon2id(3), argon2id(7)];
        let cost = kept.iter().fold(Cost::default(), |cost, hash| cost.raised(hash.cost()));
        assert_eq!(cost, Cost { passes: 7, bcrypt: Some(12) });
        for hash in kept {
            let own = hash.cost();
            let is_argon2id = own.bcrypt.is_none();
            let mut passes = if is_argon2id { own.passes } else { 0 };
            let mut rounds = own.bcrypt.map_or(0, |cost| 1 << cost);
            for rest in hash.rest(cost) {
                match rest {
                    Rest::Passes(more) => passes += more,
                    Rest::Bcrypt(cost) => rounds += 1 << cost,
                }
            }
            assert_eq!((passes, rounds), (7, 1 << 12));
        }
    }
}
