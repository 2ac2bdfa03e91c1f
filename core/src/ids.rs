//! Names of things, one type for each kind of thing.
//!
//! Every id is 128 bits with the time first (UUID version 7, RFC 9562 section 5.7) and is written in 26
//! characters of Crockford's base32 in lower case, as TypeID has it. Such a text survives templates
//! that fold case and fits whole into a user name of `MySQL` (32 characters).

use crate::chance::Chance;
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The length of an id's text.
pub const ID_CHARS: usize = 26;

/// The text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 26 characters of lower-case base32")]
pub struct IdError;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Makes an id that no other has: 48 bits of time, 74 of chance.
            pub fn new(now: Timestamp, chance: &dyn Chance) -> Self {
                let mut random = [0; 10];
                chance.fill(&mut random);
                Self(uuid::Builder::from_unix_timestamp_millis(now.0, &random).into_uuid().into_bytes())
            }

            /// Returns the 16 bytes, which sort as the ids were made.
            #[must_use]
            pub fn bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Returns when it was made, in milliseconds since the epoch.
            #[must_use]
            pub fn made_at(&self) -> Timestamp {
                let mut time = [0; 8];
                time.iter_mut().skip(2).zip(self.0).for_each(|(to, from)| *to = from);
                Timestamp(u64::from_be_bytes(time))
            }

            /// Returns the id with these bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_base32(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                read_base32(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// Names one alias: a name that an entity logs in by, or by which a method knows a group.
    AliasId;
    /// Names one role of the method `approle`: one that is made anew under the same name is another.
    AppRoleId;
    /// Names one run of one process. Tells the issues of this process from those of a dead one.
    BootId;
    /// Names one thing that was done by itself, as the audit record has it.
    EffectId;
    /// Names one entity, for ever: one that is made anew under the same name is another.
    EntityId;
    /// Names one group, likewise.
    GroupId;
    /// Names one installation: a store and its copies on other nodes, but not a copy for staging.
    InstallationId;
    /// Names one lease, for ever. Never reused.
    LeaseId;
    /// Names one mount, through remounts.
    MountId;
    /// Names one secret id without being able to use it.
    SecretIdAccessor;
    /// Names what an operator was shown, and may want to be done.
    PlanId;
    /// Names one mass revocation.
    RevocationId;
    /// Names one target, through its generations.
    TargetId;
    /// Names one token without being able to use it.
    TokenAccessor;
}

impl LeaseId {
    /// Returns the characters that tell this lease's names from all others: 65 bits, all of chance.
    ///
    /// Law 9 rests on them: Leasehold alters nothing at a target whose name does not carry the
    /// bits of the lease it acts for.
    #[must_use]
    pub fn bits(&self) -> String {
        self.to_string().split_off(ID_CHARS / 2)
    }
}

fn write_base32(bytes: [u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let number = u128::from_be_bytes(bytes);
    for place in (0..ID_CHARS).rev() {
        let digit = (number >> (place.saturating_mul(5))) & 31;
        let char = usize::try_from(digit).ok().and_then(|digit| ALPHABET.get(digit));
        fmt::Write::write_char(f, char::from(*char.unwrap_or(&b'0')))?;
    }
    Ok(())
}

fn read_base32(text: &str) -> Result<[u8; 16], IdError> {
    if text.len() != ID_CHARS || text.as_bytes().first().is_none_or(|&first| first > b'7') {
        return Err(IdError);
    }
    let mut number = 0_u128;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|&char| char == byte).ok_or(IdError)?;
        number = (number << 5) | u128::try_from(digit).map_err(|_| IdError)?;
    }
    Ok(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = LeaseId::new(Timestamp(1_795_314_365_000), &Counting::default());
        let text = id.to_string();
        assert_eq!(text.len(), ID_CHARS);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(id.made_at(), Timestamp(1_795_314_365_000));
    }

    #[test]
    fn a_text_that_is_no_id_is_refused() {
        for text in [
            "",
            "x",
            "8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "0000000000000000000000000U",
            "0000000000000000000000000é",
        ] {
            assert_eq!(text.parse::<LeaseId>(), Err(IdError), "{text}");
        }
    }

    #[test]
    fn ids_sort_in_the_order_they_were_made() {
        let chance = Counting::default();
        let ids: Vec<_> = (0..100).map(|ms| LeaseId::new(Timestamp(ms), &chance)).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().map(ToString::to_string).is_sorted());
    }
}
