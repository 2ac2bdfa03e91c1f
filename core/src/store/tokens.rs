//! Tokens in the store, kept under keyed hashes of their text.
//!
//! | key | leads from |
//! |---|---|
//! | `token/<hash>` | the token itself |
//! | `token-uses/<hash>` | how many uses are left, where they are counted |
//! | `token-due/<due_at><accessor>` | time, for the sweep |
//! | `accessor/<accessor>` | its accessor; the value is the hash |
//! | `child/<parent's hash><hash>` | the token that made it, or that wraps it |
//! | `token-of/<mount><hash>` | the mount whose login made it |
//! | `token-role/<name>` | a recipe for tokens |
//! | `batch-ring` | the keys that seal batch tokens, of which none is stored |
//! | `cubbyhole/<hash>` | what it keeps for itself, which only its text opens |

use super::leases::{joined, of_token_lease, tail};
use super::records::{Found, Records};
use super::{Batch, Key, Revision, StoreError, Value};
use crate::access::token::{Token, Wrapped};
use crate::ids::{MountId, TokenAccessor};
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The keyed hash of a token's text: where it is kept. Nobody can make a token of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey(pub [u8; 32]);

impl TokenKey {
    /// The key of no token: nothing ends with it, for it never ends.
    pub const NONE: Self = Self([0; 32]);

    /// The key under which is found what a batch token is lent that a login made: it begins with the mount, so that all
    /// that ends with the mount is found together.
    #[must_use]
    pub fn of_login_at(&self, mount: MountId) -> Self {
        let mut key = self.0;
        key.iter_mut().zip(mount.bytes()).for_each(|(to, from)| *to = *from);
        Self(key)
    }
}

/// Where a token is kept.
#[must_use]
pub fn token_at(key: &TokenKey) -> Key {
    joined(&[b"token/", &key.0])
}

/// Where its uses are counted.
#[must_use]
pub fn uses_at(key: &TokenKey) -> Key {
    joined(&[b"token-uses/", &key.0])
}

/// Where a recipe for tokens is.
#[must_use]
pub fn token_role_at(name: &str) -> Key {
    joined(&[&token_roles_at().0, name.as_bytes()])
}

/// What the keys of all of them begin with.
#[must_use]
pub fn token_roles_at() -> Key {
    joined(&[b"token-role/"])
}

/// Where the keys that seal batch tokens are.
#[must_use]
pub fn batch_ring_at() -> Key {
    joined(&[b"batch-ring"])
}

/// Where is what it keeps for itself.
#[must_use]
pub fn cubbyhole_at(key: &TokenKey) -> Key {
    joined(&[b"cubbyhole/", &key.0])
}

/// Where what it wraps is found when it ends: beside what was lent to other tokens, and what they made. A secret id is
/// found by the token itself, for no other token has one.
fn wrapped_at(token: &Token) -> Option<Key> {
    match token.wraps? {
        Wrapped::Answer | Wrapped::SecretId { .. } => None,
        Wrapped::Lease(lease) => Some(of_token_lease(&token.key, lease)),
        Wrapped::Token(made) => Some(child_at(&token.key, &made)),
    }
}

fn accessor_at(accessor: TokenAccessor) -> Key {
    joined(&[b"accessor/", accessor.bytes()])
}

fn child_at(parent: &TokenKey, child: &TokenKey) -> Key {
    joined(&[b"child/", &parent.0, &child.0])
}

fn of_mount_at(mount: MountId, token: &TokenKey) -> Key {
    joined(&[b"token-of/", mount.bytes(), &token.0])
}

fn due_at(at: Timestamp, accessor: TokenAccessor) -> Key {
    joined(&[b"token-due/", &at.0.to_be_bytes(), accessor.bytes()])
}

impl Records {
    /// Adds a fresh token to a batch.
    pub fn put_new_token(&self, batch: Batch, token: &Token) -> Result<Batch, StoreError> {
        let at = token_at(&token.key);
        let mut batch = batch
            .expect(at.clone(), None)
            .put(at.clone(), self.seal(&at, token)?)
            .put(accessor_at(token.accessor), Value(token.key.0.to_vec()));
        if let Some(parent) = &token.parent {
            batch = batch.put(child_at(parent, &token.key), Value::default());
        }
        if let Some(login) = &token.login {
            batch = batch.put(of_mount_at(login.mount, &token.key), Value::default());
        }
        if let Some(at) = wrapped_at(token) {
            batch = batch.put(at, Value::default());
        }
        if let Some(at) = token.due_at() {
            batch = batch.put(due_at(at, token.accessor), Value::default());
        }
        if token.num_uses > 0 {
            let at = uses_at(&token.key);
            batch = batch.put(at.clone(), self.seal(&at, &token.num_uses)?);
        }
        Ok(batch)
    }

    /// Adds to a batch what became of a token.
    pub fn put_changed_token(
        &self,
        batch: Batch,
        was: &Found<Token>,
        token: &Token,
    ) -> Result<Batch, StoreError> {
        let at = token_at(&token.key);
        let mut batch =
            batch.expect(at.clone(), Some(was.revision)).put(at.clone(), self.seal(&at, token)?);
        if was.record.due_at() != token.due_at() {
            batch.deletes.extend(was.record.due_at().map(|at| due_at(at, token.accessor)));
            batch
                .puts
                .extend(token.due_at().map(|at| (due_at(at, token.accessor), Value::default())));
        }
        if was.record.parent != token.parent {
            let left = was.record.parent.as_ref().map(|parent| child_at(parent, &token.key));
            batch.deletes.extend(left);
            let joined = token.parent.as_ref().map(|parent| child_at(parent, &token.key));
            batch.puts.extend(joined.map(|at| (at, Value::default())));
        }
        if token.ended.is_some() {
            batch = batch.delete(cubbyhole_at(&token.key));
        }
        batch.spends_reserve = true;
        Ok(batch)
    }

    /// Removes a token that has ended, with all that leads to it. Nothing lives under it any more.
    pub async fn remove_token(&self, was: &Found<Token>) -> Result<Revision, StoreError> {
        self.commit(delete_token(Batch::default(), was)).await
    }

    /// Returns a token.
    pub async fn token(&self, key: &TokenKey) -> Result<Option<Found<Token>>, StoreError> {
        self.read(&token_at(key)).await
    }

    /// Returns a token by its accessor.
    pub async fn token_by_accessor(
        &self,
        accessor: TokenAccessor,
    ) -> Result<Option<Found<Token>>, StoreError> {
        let at = accessor_at(accessor);
        let found = self.index(&at, &at.next(), 1).await?.pop();
        match found.and_then(|(_, value)| value.0.try_into().ok()) {
            Some(key) => self.token(&TokenKey(key)).await,
            None => Ok(None),
        }
    }

    /// Returns up to `limit` tokens that this one made, after the token `after`.
    pub async fn children(
        &self,
        parent: &TokenKey,
        after: Option<&TokenKey>,
        limit: usize,
    ) -> Result<Vec<TokenKey>, StoreError> {
        let prefix = joined(&[b"child/", &parent.0]);
        let from = after.map_or_else(|| prefix.clone(), |after| child_at(parent, after).next());
        let found = self.index(&from, &prefix.after_prefix(), limit).await?;
        Ok(found.iter().filter_map(|(key, _)| tail(key)).map(TokenKey).collect())
    }

    /// Returns up to `limit` tokens that logins at a mount made, after the token `after`.
    pub async fn tokens_of_mount(
        &self,
        mount: MountId,
        after: Option<&TokenKey>,
        limit: usize,
    ) -> Result<Vec<TokenKey>, StoreError> {
        let prefix = joined(&[b"token-of/", mount.bytes()]);
        let from = after.map_or_else(|| prefix.clone(), |after| of_mount_at(mount, after).next());
        let found = self.index(&from, &prefix.after_prefix(), limit).await?;
        Ok(found.iter().filter_map(|(key, _)| tail(key)).map(TokenKey).collect())
    }

    /// Forgets that a token was made by another, if the token is still at this revision, or still absent.
    pub async fn forget_child(
        &self,
        parent: &TokenKey,
        child: &TokenKey,
        was: Option<Revision>,
    ) -> Result<Revision, StoreError> {
        let mut batch =
            Batch::default().expect(token_at(child), was).delete(child_at(parent, child));
        batch.spends_reserve = true;
        self.commit(batch).await
    }

    /// Counts up to `limit` tokens from a key on (from the first one if it is empty), without opening any; returns
    /// where to go on if there may be more.
    pub async fn count_tokens(
        &self,
        from: &Key,
        limit: usize,
    ) -> Result<(usize, Option<Key>), StoreError> {
        let prefix = joined(&[b"token/"]);
        let from = if from.0.is_empty() { &prefix } else { from };
        let found = self.index(from, &prefix.after_prefix(), limit).await?;
        let next = found.last().filter(|_| found.len() >= limit).map(|(key, _)| key.next());
        Ok((found.len(), next))
    }

    /// Returns how many uses a token has left; `None` if they are not counted.
    pub async fn uses_left(&self, key: &TokenKey) -> Result<Option<u32>, StoreError> {
        Ok(self.read::<u32>(&uses_at(key)).await?.map(|uses| uses.record))
    }

    /// Returns up to `limit` tokens from a key on (from the first one if it is empty), and where to go on if there
    /// may be more.
    pub async fn tokens(
        &self,
        from: &Key,
        limit: usize,
    ) -> Result<(Vec<Token>, Option<Key>), StoreError> {
        let (found, next) = self.tokens_found(from, limit).await?;
        Ok((found.into_iter().map(|found| found.record).collect(), next))
    }

    /// The same, with which write of each it is.
    pub async fn tokens_found(
        &self,
        from: &Key,
        limit: usize,
    ) -> Result<(Vec<Found<Token>>, Option<Key>), StoreError> {
        let prefix = joined(&[b"token/"]);
        let from = if from.0.is_empty() { &prefix } else { from };
        let (found, next) = self.scan::<Token>(from, &prefix.after_prefix(), limit).await?;
        Ok((found.into_iter().map(|(_, found)| found).collect(), next))
    }

    /// Returns up to `limit` tokens that are due before `to`, from the key `from` on.
    pub async fn tokens_due(
        &self,
        from: &Key,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, TokenAccessor, Key)>, StoreError> {
        let found = self.index(from, &tokens_due_from(to), limit).await?;
        let read = |key: Key| {
            let at = key.0.get(10..18)?.try_into().ok().map(u64::from_be_bytes)?;
            Some((Timestamp(at), TokenAccessor::from_bytes(tail(&key)?), key))
        };
        Ok(found.into_iter().filter_map(|(key, _)| read(key)).collect())
    }
}

/// Adds to a batch the removal of a token, if it is still as it was found. What it wraps is free of it.
#[must_use]
pub fn delete_token(batch: Batch, was: &Found<Token>) -> Batch {
    let token = &was.record;
    let mut batch = batch
        .expect(token_at(&token.key), Some(was.revision))
        .delete(token_at(&token.key))
        .delete(uses_at(&token.key))
        .delete(cubbyhole_at(&token.key))
        .delete(accessor_at(token.accessor));
    batch.deletes.extend(token.parent.as_ref().map(|parent| child_at(parent, &token.key)));
    batch.deletes.extend(token.login.as_ref().map(|by| of_mount_at(by.mount, &token.key)));
    batch.deletes.extend(wrapped_at(token));
    batch.deletes.extend(token.due_at().map(|at| due_at(at, token.accessor)));
    batch.spends_reserve = true;
    batch
}

/// The first key of the index by time at or after `at`.
#[must_use]
pub fn tokens_due_from(at: Timestamp) -> Key {
    joined(&[b"token-due/", &at.0.to_be_bytes()])
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl Serialize for TokenKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for TokenKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine;
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("a token's key has 32 bytes in base64"))
    }
}
