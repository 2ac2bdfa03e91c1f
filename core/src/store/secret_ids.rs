//! Secret ids of the method `approle` in the store, kept under keyed hashes of their text.
//!
//! | key | record |
//! |---|---|
//! | `secret-id/<mount><role><hash>` | a secret id, without its text |
//! | `secret-id-uses/<mount><role><hash>` | how many uses are left, where they are counted |
//! | `secret-id-accessor/<mount><role><accessor>` | the hash of the secret id with an accessor |
//! | `secret-id-due/<lapses_at><mount><role><hash>` | time, for what removes those that are over |
//!
//! Everything of a secret id is under its role, so that nothing of one role leads to another's (CVE-2023-24999).

use super::approles::{AppRole, approle_at};
use super::leases::{joined, tail};
use super::mounts::{Mount, mount_at};
use super::records::{Found, Records};
use super::{Batch, Key, StoreError, Value};
use crate::ids::{AppRoleId, MountId, SecretIdAccessor};
use crate::secret::SecretText;
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a secret id is: its role, and the keyed hash of its text. Nobody can make a secret id of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretIdKey {
    mount: MountId,
    role: AppRoleId,
    hash: [u8; 32],
}

/// What is kept of a secret id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretId {
    /// Names it to people.
    pub accessor: SecretIdAccessor,
    /// What its maker noted on it; goes to the tokens that it makes.
    pub meta: BTreeMap<String, String>,
    /// From where one may log in with it, as it was written; none for as its role says.
    pub cidr_list: Vec<String>,
    /// From where its tokens may be used, as it was written; none for as its role says.
    pub token_bound_cidrs: Vec<String>,
    /// How many logins it was made for; 0 for any number.
    pub num_uses: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it is over; `None` for never.
    pub lapses_at: Option<Timestamp>,
}

impl SecretId {
    /// Whether it is good now.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.lapses_at.is_none_or(|at| now < at)
    }
}

impl SecretIdKey {
    /// Returns where a secret id of this text is kept.
    #[must_use]
    pub fn of(hashing: &hmac::Key, mount: MountId, role: AppRoleId, text: &SecretText) -> Self {
        let mut tagged = hmac::Context::with_key(hashing);
        // No token has such a text, so no hash of the one kind is one of the other.
        for part in [b"secret-id/".as_slice(), mount.bytes(), role.bytes()] {
            tagged.update(part);
        }
        tagged.update(text.reveal().as_bytes());
        let mut hash = [0; 32];
        hash.iter_mut().zip(tagged.sign().as_ref()).for_each(|(to, from)| *to = *from);
        Self { mount, role, hash }
    }

    /// Returns where its record is.
    #[must_use]
    pub fn at(&self) -> Key {
        joined(&[b"secret-id/", &self.bytes()])
    }

    fn uses_at(&self) -> Key {
        joined(&[b"secret-id-uses/", &self.bytes()])
    }

    fn due_at(&self, at: Timestamp) -> Key {
        joined(&[b"secret-id-due/", &at.0.to_be_bytes(), &self.bytes()])
    }

    fn bytes(&self) -> Vec<u8> {
        [self.mount.bytes().as_slice(), self.role.bytes(), &self.hash].concat()
    }

    /// Reads the end of a key.
    fn at_end_of(key: &Key) -> Option<Self> {
        let bytes: &[u8; 64] = key.0.last_chunk()?;
        let mount = bytes.first_chunk().copied().map(MountId::from_bytes)?;
        let role = bytes.get(16..32)?.try_into().ok().map(AppRoleId::from_bytes)?;
        Some(Self { mount, role, hash: *bytes.last_chunk()? })
    }
}

fn accessor_at(mount: MountId, role: AppRoleId, accessor: Option<SecretIdAccessor>) -> Key {
    let accessor = accessor.map(|accessor| *accessor.bytes());
    let accessor = accessor.as_ref().map_or(&[][..], |bytes| bytes.as_slice());
    joined(&[b"secret-id-accessor/", mount.bytes(), role.bytes(), accessor])
}

fn secret_ids_of(mount: MountId, role: Option<AppRoleId>) -> Key {
    let role = role.map(|role| *role.bytes());
    let role = role.as_ref().map_or(&[][..], |bytes| bytes.as_slice());
    joined(&[b"secret-id/", mount.bytes(), role])
}

/// Adds to a batch that a secret id goes, with all that leads to it.
fn without(mut batch: Batch, key: &SecretIdKey, was: &Found<SecretId>) -> Batch {
    let accessor = accessor_at(key.mount, key.role, Some(was.record.accessor));
    batch.deletes.extend([key.at(), key.uses_at(), accessor]);
    batch.deletes.extend(was.record.lapses_at.map(|at| key.due_at(at)));
    batch.expected.push((key.at(), Some(was.revision)));
    batch
}

impl Records {
    /// Keeps a new secret id of a role that is still as it was found; a conflict if there is one of the same text.
    pub async fn put_secret_id(
        &self,
        mount: &Found<Mount>,
        role: &Found<AppRole>,
        (key, secret_id): (&SecretIdKey, &SecretId),
        batch: Batch,
    ) -> Result<(), StoreError> {
        let at = key.at();
        let accessor = accessor_at(key.mount, key.role, Some(secret_id.accessor));
        let mut batch = batch
            .expect(mount_at(mount.record.id), Some(mount.revision))
            .expect(approle_at(mount.record.id, &role.record.name), Some(role.revision))
            .expect(at.clone(), None)
            .put(at.clone(), self.seal(&at, secret_id)?)
            .put(accessor, Value(key.hash.to_vec()));
        if let Some(at) = secret_id.lapses_at {
            batch = batch.put(key.due_at(at), Value::default());
        }
        if secret_id.num_uses > 0 {
            let at = key.uses_at();
            batch = batch.put(at.clone(), self.seal(&at, &secret_id.num_uses)?);
        }
        self.commit(batch).await?;
        Ok(())
    }

    /// Returns a secret id.
    pub async fn secret_id(
        &self,
        key: &SecretIdKey,
    ) -> Result<Option<Found<SecretId>>, StoreError> {
        self.read(&key.at()).await
    }

    /// Returns which secret id of a role has an accessor.
    pub async fn secret_id_by_accessor(
        &self,
        mount: MountId,
        role: AppRoleId,
        accessor: SecretIdAccessor,
    ) -> Result<Option<SecretIdKey>, StoreError> {
        let at = accessor_at(mount, role, Some(accessor));
        let found = self.index(&at, &at.next(), 1).await?.pop();
        let hash = found.and_then(|(_, value)| value.0.try_into().ok());
        Ok(hash.map(|hash| SecretIdKey { mount, role, hash }))
    }

    /// Returns up to `limit` accessors of a role's secret ids, after `after`.
    pub async fn secret_id_accessors(
        &self,
        mount: MountId,
        role: AppRoleId,
        after: Option<SecretIdAccessor>,
        limit: usize,
    ) -> Result<Vec<SecretIdAccessor>, StoreError> {
        let prefix = accessor_at(mount, role, None);
        let from = after
            .map_or_else(|| prefix.clone(), |after| accessor_at(mount, role, Some(after)).next());
        let accessors = self.index(&from, &prefix.after_prefix(), limit).await?;
        let read = |key: &Key| tail(key).map(SecretIdAccessor::from_bytes);
        Ok(accessors.iter().filter_map(|(key, _)| read(key)).collect())
    }

    /// Returns how many uses a secret id has left; `None` if they are not counted.
    pub async fn secret_id_uses(&self, key: &SecretIdKey) -> Result<Option<u32>, StoreError> {
        Ok(self.read::<u32>(&key.uses_at()).await?.map(|uses| uses.record))
    }

    /// Spends one use of a secret id that is still as it was found, and removes it with the last one. Returns whether it
    /// is still there; `None` if it had none left.
    pub async fn spend_secret_id(
        &self,
        key: &SecretIdKey,
        was: &Found<SecretId>,
    ) -> Result<Option<bool>, StoreError> {
        let at = key.uses_at();
        let Some(uses) = self.read::<u32>(&at).await? else { return Ok(None) };
        let Some(left) = uses.record.checked_sub(1) else { return Ok(None) };
        let batch = Batch::default().expect(at.clone(), Some(uses.revision));
        let batch = if left == 0 {
            without(batch, key, was)
        } else {
            batch.expect(key.at(), Some(was.revision)).put(at.clone(), self.seal(&at, &left)?)
        };
        self.commit(batch).await?;
        Ok(Some(left > 0))
    }

    /// Removes a secret id that is still as it was found, if all is as the batch expects.
    pub async fn remove_secret_id(
        &self,
        key: &SecretIdKey,
        was: &Found<SecretId>,
        batch: Batch,
    ) -> Result<(), StoreError> {
        let batch = without(batch, key, was);
        self.commit(Batch { spends_reserve: true, ..batch }).await?;
        Ok(())
    }

    /// Removes up to `limit` secret ids that are over at `now`; tells whether there may be more.
    pub async fn forget_secret_ids(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<bool, StoreError> {
        let from = joined(&[b"secret-id-due/"]);
        let to = joined(&[b"secret-id-due/", &now.0.saturating_add(1).to_be_bytes()]);
        let due = self.index(&from, &to, limit).await?;
        let may_be_more = due.len() >= limit;
        let mut batch = Batch { spends_reserve: true, ..Batch::default() };
        for (at, _) in due {
            let Some(key) = SecretIdKey::at_end_of(&at) else { continue };
            let was = self.secret_id(&key).await?;
            match was.filter(|was| was.record.lapses_at.is_some_and(|at| at <= now)) {
                Some(was) => batch = without(batch, &key, &was),
                // What it led to is gone, or another one of the same text.
                None => batch.deletes.push(at),
            }
        }
        if !batch.deletes.is_empty() {
            batch.deletes.sort_unstable();
            batch.deletes.dedup();
            self.commit(batch).await?;
        }
        Ok(may_be_more)
    }

    /// Removes up to `limit` secret ids of a role, or of a whole mount; tells whether there may be more. Nobody can log in
    /// by them any more, nor make another.
    pub async fn clear_secret_ids(
        &self,
        mount: MountId,
        role: Option<AppRoleId>,
        limit: usize,
    ) -> Result<bool, StoreError> {
        let prefix = secret_ids_of(mount, role);
        let (found, _) = self.scan::<SecretId>(&prefix, &prefix.after_prefix(), limit).await?;
        let may_be_more = found.len() >= limit;
        let mut batch = Batch { spends_reserve: true, ..Batch::default() };
        for (at, was) in found {
            if let Some(key) = SecretIdKey::at_end_of(&at) {
                batch = without(batch, &key, &was);
            }
        }
        if !batch.deletes.is_empty() {
            self.commit(batch).await?;
        }
        Ok(may_be_more)
    }
}

impl std::fmt::Debug for SecretIdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretIdKey(..)")
    }
}
