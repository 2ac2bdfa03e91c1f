//! Keys that are split among people, as they are stored, and the shares that have been shown so far.
//!
//! | key | record |
//! |---|---|
//! | `seal/shares` | the unseal key's splits, in the clear: they are needed before anything can be opened |
//! | `seal/recovery` | the recovery key's splits, sealed under the root key |
//!
//! Of each share the store has a salted hash, so that a wrong one is known as such before it is put beside the right
//! ones. A share has 256 bits of chance: its hash helps nobody to guess it.
//!
//! A key that was split anew is held by two groups until enough of the new shares were shown: who has lost the new
//! ones, or never got them, still has the old ones.

use super::barrier::SealingKey;
use super::shares::{Share, Split, WholeKey};
use super::{RootKey, SealError};
use crate::chance::Chance;
use crate::store::{Batch, Key, Revision, Store, StoreError, Value};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The key that opens the store: what it opens is the root key.
    Unseal,
    /// The key that opens nothing, and says that its holders may decide together.
    Recovery,
}

/// The splits of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splits {
    /// The one in force, and then a new one of which not enough shares were shown yet.
    groups: Vec<Group>,
    /// Whether shares that are void now once told the root key: whoever has them and an old copy of this record can still
    /// find it, so the store is to have another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    root_is_known: bool,
}

/// Who holds shares of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    split: Split,
    salt: [u8; 16],
    hashes: Vec<[u8; 32]>,
    /// What the key opens, sealed under it.
    opens: Vec<u8>,
}

/// The splits of a key, and which write of them this is; none, if it is not split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// What was kept.
    pub splits: Splits,
    /// Which write it was.
    pub revision: Option<Revision>,
}

/// The shares that were shown so far, for one thing to be done.
#[derive(Debug)]
pub struct Gathered {
    /// Names what is to be done.
    pub nonce: String,
    shares: Vec<(usize, Share)>,
}

/// Enough shares were shown.
#[derive(Debug)]
pub struct Joined {
    /// Of which group.
    group: usize,
    /// What they make.
    pub key: WholeKey,
    /// What it opens: the root key, where it opens anything.
    opened: Zeroizing<Vec<u8>>,
}

/// A share was not taken. Those shown before it stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongShare {
    /// It is none of this key.
    #[error("the key share is not one of this installation's; the shares shown before it stay")]
    Unknown,
    /// They do not make the key that they should.
    #[error("the key shares do not open what they should: the record of them was altered")]
    Altered,
}

impl Purpose {
    /// The other one.
    #[must_use]
    pub(super) fn other(self) -> Self {
        match self {
            Self::Unseal => Self::Recovery,
            Self::Recovery => Self::Unseal,
        }
    }

    fn at(self) -> Key {
        Key(match self {
            Self::Unseal => b"seal/shares".to_vec(),
            Self::Recovery => b"seal/recovery".to_vec(),
        })
    }
}

impl Splits {
    /// Splits a key that was not split before; returns the shares as well, to be told once.
    pub fn first(
        purpose: Purpose,
        split: Split,
        root: &RootKey,
        chance: &dyn Chance,
    ) -> (Self, Vec<Share>) {
        let (group, shares) = Group::draw(purpose, split, &WholeKey::draw(chance), root, chance);
        (Self { groups: vec![group], root_is_known: false }, shares)
    }

    /// Splits a new key. The group in force stays so until enough of the new shares were shown.
    #[must_use]
    pub fn and_then(
        &self,
        purpose: Purpose,
        split: Split,
        root: &RootKey,
        chance: &dyn Chance,
    ) -> (Self, Vec<Share>) {
        let (group, shares) = Group::draw(purpose, split, &WholeKey::draw(chance), root, chance);
        let groups = self.groups.first().cloned().into_iter().chain([group]).collect();
        (Self { groups, root_is_known: self.root_is_known || self.has_unshown() }, shares)
    }

    /// The holders stay, and what their key opens is another root key.
    #[must_use]
    pub fn of_same_holders(
        joined: &Joined,
        holders: &Self,
        purpose: Purpose,
        root: &RootKey,
        chance: &dyn Chance,
    ) -> Self {
        let group = holders.groups.get(joined.group).cloned().map(|group| Group {
            opens: Group::sealed(purpose, &joined.key, root, chance),
            ..group
        });
        Self { groups: group.into_iter().collect(), root_is_known: false }
    }

    /// Whether the store should get another root key, now that these shares were shown: others are void that told this
    /// one. Shares that nobody has shown yet tell it as well, and have to wait for it.
    #[must_use]
    pub fn root_is_due(&self, joined: &Joined) -> bool {
        let remaining = self.once_shown(joined);
        remaining.root_is_known && !remaining.has_unshown()
    }

    /// Reads the splits of the unseal key, if a record is that of theirs.
    #[must_use]
    pub fn in_record(key: &Key, value: &Value) -> Option<Self> {
        let is_theirs = *key == Purpose::Unseal.at();
        is_theirs.then(|| serde_json::from_slice(&value.0).ok()).flatten()
    }

    /// How the newest key is split, if any is.
    #[must_use]
    pub fn split(&self) -> Option<Split> {
        self.groups.last().map(|group| group.split)
    }

    /// Whether a key was split anew, and not enough of its shares were shown yet.
    #[must_use]
    pub fn has_unshown(&self) -> bool {
        self.groups.len() > 1
    }

    /// Whether a share is one of these.
    #[must_use]
    pub fn has(&self, share: &Share) -> bool {
        self.group_of(share).is_some()
    }

    fn group_of(&self, share: &Share) -> Option<usize> {
        // The newest is looked at first: a key that is not split is whole in every group that has it.
        (0..self.groups.len())
            .rev()
            .find(|place| self.groups.get(*place).is_some_and(|group| group.has(share)))
    }

    /// What remains once enough shares of a group were shown: older ones have no force any more.
    #[must_use]
    pub fn once_shown(&self, joined: &Joined) -> Self {
        Self {
            groups: self.groups.iter().skip(joined.group).cloned().collect(),
            root_is_known: self.root_is_known || joined.group > 0,
        }
    }

    /// The newest of them alone.
    #[must_use]
    pub fn newest(&self) -> Self {
        Self {
            groups: self.groups.last().cloned().into_iter().collect(),
            root_is_known: self.root_is_known || self.has_unshown(),
        }
    }

    /// What remains if the new shares are given up.
    #[must_use]
    pub fn without_unshown(&self) -> Self {
        Self {
            groups: self.groups.first().cloned().into_iter().collect(),
            root_is_known: self.root_is_known || self.has_unshown(),
        }
    }
}

impl Group {
    fn draw(
        purpose: Purpose,
        split: Split,
        key: &WholeKey,
        root: &RootKey,
        chance: &dyn Chance,
    ) -> (Self, Vec<Share>) {
        let shares = key.split(split, chance);
        let mut salt = [0; 16];
        chance.fill(&mut salt);
        let hashes = shares.iter().map(|share| hash(&salt, share)).collect();
        let opens = Self::sealed(purpose, key, root, chance);
        (Self { split, salt, hashes, opens }, shares)
    }

    fn sealed(purpose: Purpose, key: &WholeKey, root: &RootKey, chance: &dyn Chance) -> Vec<u8> {
        let opens: &[u8] = match purpose {
            Purpose::Unseal => root.expose(),
            Purpose::Recovery => &[],
        };
        SealingKey::new(0, key.expose()).seal(&purpose.at(), opens, chance).0
    }

    fn has(&self, share: &Share) -> bool {
        let shown = hash(&self.salt, share);
        // All are compared, so that the time does not tell which one it is.
        self.hashes.iter().fold(0, |found, hash| found | shown.ct_eq(hash).unwrap_u8()) == 1
    }
}

fn hash(salt: &[u8; 16], share: &Share) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), share.expose());
    let mut hash = [0; 32];
    hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

impl Gathered {
    /// Begins to gather.
    #[must_use]
    pub fn new(chance: &dyn Chance) -> Self {
        let mut bytes = [0; 16];
        chance.fill(&mut bytes);
        let nonce = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
        Self { nonce, shares: Vec::new() }
    }

    /// How many shares were shown.
    #[must_use]
    pub fn progress(&self) -> usize {
        self.shares.len()
    }

    /// Takes a share. One that was shown already is no error, and none that is wrong disturbs what was shown; once
    /// there are enough, they are joined, and forgotten here.
    pub fn take(
        &mut self,
        purpose: Purpose,
        splits: &Splits,
        share: Share,
    ) -> Result<Option<Joined>, WrongShare> {
        let group = splits.group_of(&share).ok_or(WrongShare::Unknown)?;
        if !self.shares.iter().any(|(_, shown)| shown.is(&share)) {
            self.shares.push((group, share));
        }
        let of_group: Vec<_> =
            self.shares.iter().filter(|(of, _)| *of == group).map(|(_, share)| share).collect();
        let Some(of) = splits.groups.get(group).filter(|of| of_group.len() >= of.split.threshold())
        else {
            return Ok(None);
        };
        let key = WholeKey::join(&of_group);
        self.shares.clear();
        let key = key.ok_or(WrongShare::Altered)?;
        let opened = SealingKey::new(0, key.expose()).open(&purpose.at(), &Value(of.opens.clone()));
        let opened = opened.map_err(|_| WrongShare::Altered)?;
        Ok(Some(Joined { group, key, opened }))
    }
}

impl Joined {
    /// The root key that the shares open; none, if they open nothing.
    #[must_use]
    pub fn root(&self) -> Option<RootKey> {
        self.opened.as_slice().try_into().ok().map(RootKey::new)
    }

    /// Whether the shares were of a new key that nobody had shown enough of.
    #[must_use]
    pub fn is_first_showing(&self) -> bool {
        self.group > 0
    }
}

impl Stored {
    /// Reads the splits of a key. Those of the unseal key need no root key.
    pub async fn read(
        store: &dyn Store,
        purpose: Purpose,
        root: Option<&RootKey>,
    ) -> Result<Self, SealError> {
        let at = purpose.at();
        let Some((value, revision)) = store.get(&at).await? else { return Ok(Self::default()) };
        let altered = || SealError::Altered(at.readable());
        let splits = match (purpose, root) {
            (Purpose::Unseal, _) => serde_json::from_slice(&value.0),
            (Purpose::Recovery, None) => return Err(SealError::WrongKey),
            (Purpose::Recovery, Some(root)) => {
                let plain = SealingKey::new(0, root.expose()).open(&at, &value);
                serde_json::from_slice(&plain.map_err(|_| altered())?)
            }
        };
        Ok(Self { splits: splits.map_err(|_| altered())?, revision: Some(revision) })
    }

    /// Adds to a batch that other splits are kept in place of these.
    pub fn replaced(
        &self,
        batch: Batch,
        purpose: Purpose,
        splits: &Splits,
        root: &RootKey,
        chance: &dyn Chance,
    ) -> Result<Batch, StoreError> {
        let at = purpose.at();
        let batch = batch.expect(at.clone(), self.revision);
        if splits.groups.is_empty() {
            return Ok(batch.delete(at));
        }
        let plain =
            serde_json::to_vec(splits).map_err(|error| StoreError::Refused(error.to_string()))?;
        let value = match purpose {
            Purpose::Unseal => Value(plain),
            Purpose::Recovery => SealingKey::new(0, root.expose()).seal(&at, &plain, chance),
        };
        Ok(batch.put(at, value))
    }
}

#[cfg(test)]
#[path = "splits/tests.rs"]
mod tests;
