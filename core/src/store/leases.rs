//! Leases in the store: one record, and the keys that lead to it.
//!
//! | key | leads from |
//! |---|---|
//! | `lease/<id>` | the lease itself |
//! | `due/<due_at><id>` | time, for the sweep; its value is the lease's [`Standing`] |
//! | `of-token/<token><id>` | the token it was issued to |
//! | `of-role/<mount><role>\0<id>` | mount and role; its value tells target and generation |
//! | `repeat/<hash>` | the request that asked for it, if that may be repeated; the value is the lease |
//! | `of-bits/<bits>` | the bits in a name that has no room for the whole id; the value is the id |
//! | `known-as/<digest>` | what the target itself calls the credential; the value is the id |
//! | `history/<id>` | what remains of a lease that is gone |
//! | `history-at/<settled_at><id>` | time, for forgetting it; the value is the digest of that name, if it has one |

mod history;

pub use history::History;

use super::records::{Found, Records};
use super::tokens::TokenKey;
use super::{Batch, Key, Revision, StoreError, Value};
use crate::ids::{LeaseId, MountId, TargetId};
use crate::lease::death::Death;
use crate::lease::{Generation, Lease, LeaseState, Place};
use crate::limits::READ_CHUNK;
use crate::quota::estimates::Holder;
use crate::quota::tallies::Of;
use crate::time::Timestamp;
use aws_lc_rs::digest::{SHA256, digest};
use history::{history_at, history_from};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The keyed hash of a request that may be repeated: where the lease is found that came of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RepeatKey(pub [u8; 32]);

/// What the index by role says beside a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The lease.
    pub lease: LeaseId,
    /// The target it is at.
    pub target: TargetId,
    /// And which identity of it.
    pub generation: Generation,
}

/// What the index by time says beside a lease, so that leases can be counted without opening any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The target it is at.
    pub target: TargetId,
    /// And which identity of it.
    pub generation: Generation,
    /// Since when it is being revoked, and how many attempts have failed; `None` while it is lent.
    pub revoking: Option<(Timestamp, u32)>,
}

/// Where a lease is kept.
#[must_use]
pub fn lease_at(id: LeaseId) -> Key {
    joined(&[b"lease/", id.bytes()])
}

/// Where the bits of a name lead to the lease.
fn of_bits(bits: &str) -> Key {
    joined(&[b"of-bits/", bits.as_bytes()])
}

/// Names of a target's choice are led from by their digests, so that a key is of one length however long they are.
fn digest_of(own_name: &str) -> Value {
    Value(digest(&SHA256, own_name.as_bytes()).as_ref().to_vec())
}

/// Where the digest of a name that the target chose leads to the lease.
fn known_as(digest: &Value) -> Key {
    joined(&[b"known-as/", &digest.0])
}

fn due_at(at: Timestamp, id: LeaseId) -> Key {
    joined(&[b"due/", &at.0.to_be_bytes(), id.bytes()])
}

/// Where a request that may be repeated leads to its lease.
#[must_use]
pub fn repeat_at(key: &RepeatKey) -> Key {
    joined(&[b"repeat/", &key.0])
}

fn of_token(token: &TokenKey, id: LeaseId) -> Key {
    joined(&[b"of-token/", &token.0, id.bytes()])
}

/// The prefix of a role's leases; of all the mount's if no role is named.
fn of_role(mount: MountId, role: Option<&str>) -> Key {
    match role {
        Some(role) => joined(&[b"of-role/", mount.bytes(), role.as_bytes(), &[0]]),
        None => joined(&[b"of-role/", mount.bytes()]),
    }
}

/// Where a lease's mount and role lead to it.
#[must_use]
pub fn of_role_lease(place: &Place, id: LeaseId) -> Key {
    in_role(place.mount, &place.role, id)
}

/// The same, for a place that is told by its parts.
pub(crate) fn in_role(mount: MountId, role: &str, id: LeaseId) -> Key {
    joined(&[&of_role(mount, Some(role)).0, id.bytes()])
}

pub(super) fn joined(parts: &[&[u8]]) -> Key {
    Key(parts.concat())
}

/// Returns the last `N` bytes of a key.
pub(super) fn tail<const N: usize>(key: &Key) -> Option<[u8; N]> {
    key.0.last_chunk::<N>().copied()
}

impl Records {
    /// Adds a fresh lease to a batch: its record and its index, all absent before but the place of a request that may
    /// be repeated, of which the batch says how it was found.
    pub fn put_new_lease(&self, batch: Batch, lease: &Lease) -> Result<Batch, StoreError> {
        let at = lease_at(lease.id());
        let place = lease.place();
        let mut batch = batch;
        if let Some(key) = lease.repeat_key() {
            let at = repeat_at(key);
            batch = batch.put(at.clone(), self.seal(&at, &lease.id())?);
        }
        let id = lease.id().to_string();
        if !lease.handle().0.get().to_ascii_lowercase().contains(&id) {
            let bytes = Value(lease.id().bytes().to_vec());
            batch = batch.put(of_bits(&lease.id().bits()), bytes);
        }
        let standing = Standing::of(lease);
        Ok(batch
            .expect(at.clone(), None)
            .put(of_token(&lease.owner().token, lease.id()), Value::default())
            .put(of_role_lease(place, lease.id()), Value(standing.place().to_vec()))
            .put(due_at(lease.due_at(), lease.id()), standing.value())
            .put(at.clone(), self.seal(&at, lease)?))
    }

    /// Replaces a lease by what became of it, if it is still as it was found, and whatever else the batch expects is
    /// so.
    pub async fn replace_lease(
        &self,
        was: &Found<Lease>,
        lease: &Lease,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let at = lease_at(lease.id());
        let mut batch =
            batch.expect(at.clone(), Some(was.revision)).put(at.clone(), self.seal(&at, lease)?);
        if was.record.due_at() != lease.due_at() {
            batch = batch.delete(due_at(was.record.due_at(), lease.id()));
        }
        let standing = Standing::of(lease);
        if was.record.due_at() != lease.due_at() || Standing::of(&was.record) != standing {
            batch = batch.put(due_at(lease.due_at(), lease.id()), standing.value());
        }
        if let Some(name) = lease.own_name().filter(|_| was.record.own_name().is_none()) {
            batch = batch.put(known_as(&digest_of(name)), Value(lease.id().bytes().to_vec()));
        }
        // A renewal waits for space like an issue; only what ends leases goes on without.
        batch.spends_reserve = matches!(lease.state(), LeaseState::Revoking(_));
        self.commit(batch).await
    }

    /// Removes a lease whose credential was seen to be gone, or whose target was `abandoned`, if it is still as it was
    /// found.
    pub async fn settle_lease(
        &self,
        was: &Found<Lease>,
        settled_at: Timestamp,
        abandoned: bool,
        death: Option<&Death>,
    ) -> Result<Revision, StoreError> {
        let lease = &was.record;
        let history = history_at(lease.id());
        let death = death.cloned();
        let gone = History { lease: lease.clone(), settled_at, abandoned, death };
        let sealed = self.seal(&history, &gone)?;
        let at = lease_at(lease.id());
        let mut batch = Batch::default()
            .expect(at.clone(), Some(was.revision))
            .delete(at)
            .delete(due_at(lease.due_at(), lease.id()))
            .delete(of_token(&lease.owner().token, lease.id()))
            .delete(of_role_lease(lease.place(), lease.id()))
            .put(history, sealed);
        if !abandoned {
            let own_name = lease.own_name().map(digest_of).unwrap_or_default();
            batch = batch.put(history_from(settled_at, Some(lease.id())), own_name);
        }
        if let Some(key) = lease.repeat_key() {
            // A later lease may have the place by now. It never comes back to this one.
            let place = self.repeated(key).await?.filter(|place| place.record == lease.id());
            if let Some(place) = place {
                batch = batch.expect(repeat_at(key), Some(place.revision)).delete(repeat_at(key));
            }
        }
        batch.spends_reserve = true;
        self.commit(batch).await
    }

    /// Returns a lease.
    pub async fn lease(&self, id: LeaseId) -> Result<Option<Found<Lease>>, StoreError> {
        self.read(&lease_at(id)).await
    }

    /// Returns the lease that came of a request that may be repeated.
    pub async fn repeated(&self, key: &RepeatKey) -> Result<Option<Found<LeaseId>>, StoreError> {
        self.read(&repeat_at(key)).await
    }

    /// Returns the lease whose bits these are, if they lead to one: a name with room for it has the id itself.
    pub async fn lease_of_bits(&self, bits: &str) -> Result<Option<LeaseId>, StoreError> {
        self.lease_at_end_of(&of_bits(bits)).await
    }

    /// Returns the lease whose credential the target itself calls so.
    pub async fn lease_known_as(&self, own_name: &str) -> Result<Option<LeaseId>, StoreError> {
        self.lease_at_end_of(&known_as(&digest_of(own_name))).await
    }

    async fn lease_at_end_of(&self, at: &Key) -> Result<Option<LeaseId>, StoreError> {
        let found = self.index(at, &at.next(), 1).await?;
        Ok(found
            .first()
            .and_then(|(_, id)| id.0.as_slice().try_into().ok().map(LeaseId::from_bytes)))
    }

    /// Returns up to `limit` leases that are due in the span, with the times, soonest first.
    pub async fn leases_due(
        &self,
        from: &Key,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, LeaseId, Key)>, StoreError> {
        let found = self.index(from, &due_from(to), limit).await?;
        Ok(found.into_iter().filter_map(|(key, _)| read_due(&key)).collect())
    }

    /// Returns up to `limit` leases from the key `from` of the index by time on, soonest due first, with how each
    /// stands; `None` where the index does not say.
    pub async fn standings(
        &self,
        from: &Key,
        limit: usize,
    ) -> Result<Vec<(Timestamp, LeaseId, Key, Option<Standing>)>, StoreError> {
        let end = joined(&[b"due/"]).after_prefix();
        let found = self.index(from, &end, limit).await?;
        let read = found.into_iter().filter_map(|(key, value)| {
            let (at, id, key) = read_due(&key)?;
            Some((at, id, key, Standing::read(&value)))
        });
        Ok(read.collect())
    }

    /// Returns up to `limit` leases that end with a token, or with a method whose logins made batch tokens; `of` is
    /// [`of_token_leases`] or [`of_login_leases`]. They are told with their places in the index, after the place `after`.
    pub async fn leases_ending_with(
        &self,
        of: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, LeaseId)>, StoreError> {
        let from = after.map_or_else(|| of.clone(), Key::next);
        let found = self.index(&from, &of.after_prefix(), limit).await?;
        let read = |key: Key| tail(&key).map(|id| (key, LeaseId::from_bytes(id)));
        Ok(found.into_iter().filter_map(|(key, _)| read(key)).collect())
    }

    /// Returns up to `limit` leases of a mount or of one of its roles, after the lease `after`.
    pub async fn leases_of_role(
        &self,
        mount: MountId,
        role: Option<&str>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Placed)>, StoreError> {
        let prefix = of_role(mount, role);
        let from = after.map_or_else(|| prefix.clone(), Key::next);
        let found = self.index(&from, &prefix.after_prefix(), limit).await?;
        Ok(found
            .into_iter()
            .filter_map(|(key, value)| read_placed(&key, &value).map(|p| (key, p)))
            .collect())
    }

    /// Returns which of the next leases of a mount, after the key `after`, are those of one identity of a target, with the
    /// key to go on after; `None` where the mount has no more.
    pub async fn leases_at(
        &self,
        mount: MountId,
        (target, generation): (TargetId, Generation),
        after: Option<&Key>,
    ) -> Result<Option<(Key, Vec<LeaseId>)>, StoreError> {
        let found = self.leases_of_role(mount, None, after, READ_CHUNK).await?;
        let Some((last, _)) = found.last() else { return Ok(None) };
        let here = found
            .iter()
            .map(|(_, placed)| placed)
            .filter(|placed| (placed.target, placed.generation) == (target, generation));
        Ok(Some((last.clone(), here.map(|placed| placed.lease).collect())))
    }

    /// Returns up to `limit` leases of all roles, after the key `after`, with the roles and targets that they are of.
    pub async fn leases_by_role(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Of, LeaseId)>, StoreError> {
        let prefix = joined(&[b"of-role/"]);
        let from = after.map_or_else(|| prefix.clone(), Key::next);
        let found = self.index(&from, &prefix.after_prefix(), limit).await?;
        Ok(found.into_iter().filter_map(|(key, value)| read_of_role(key, &value)).collect())
    }

    /// Returns up to `limit` keys that lead to the leases of a token or a role, after the key `after`.
    pub async fn held_by(
        &self,
        holder: &Holder,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        let prefix = match holder {
            Holder::Token(token) => joined(&[b"of-token/", &token.0]),
            Holder::Role((mount, role)) => of_role(*mount, Some(role)),
        };
        let from = after.map_or_else(|| prefix.clone(), Key::next);
        let found = self.index(&from, &prefix.after_prefix(), limit).await?;
        Ok(found.into_iter().map(|(key, _)| key).collect())
    }

    /// Returns the roles of a mount that have leases, whether or not the role is still there.
    pub async fn roles_with_leases(&self, mount: MountId) -> Result<Vec<String>, StoreError> {
        let prefix = of_role(mount, None);
        let end = prefix.after_prefix();
        let mut from = prefix.clone();
        let mut roles = Vec::new();
        // One step a role: from a role's first lease past its last one.
        while let Some((key, _)) = self.index(&from, &end, 1).await?.pop() {
            let name =
                key.0.get(prefix.0.len()..key.0.len().saturating_sub(17)).unwrap_or_default();
            let role = String::from_utf8_lossy(name).into_owned();
            from = of_role(mount, Some(&role)).after_prefix();
            roles.push(role);
        }
        Ok(roles)
    }

    /// Drops a key that leads to a lease which is not there: its record was unreadable and put aside.
    pub async fn drop_dangling(&self, index: &Key, id: LeaseId) -> Result<(), StoreError> {
        if self.store_has(&lease_at(id)).await? {
            return Ok(());
        }
        let mut batch = Batch::default().expect(lease_at(id), None).delete(index.clone());
        batch.spends_reserve = true;
        match self.commit(batch).await {
            // It is there after all.
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for RepeatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RepeatKey(..)")
    }
}

impl Standing {
    /// How a lease stands.
    #[must_use]
    pub fn of(lease: &Lease) -> Self {
        let revoking = match lease.state() {
            LeaseState::Held => None,
            LeaseState::Revoking(revoking) => Some((revoking.since, revoking.attempts)),
        };
        let Place { target, generation, .. } = lease.place();
        Self { target: *target, generation: *generation, revoking }
    }

    fn place(&self) -> [u8; 20] {
        let mut place = [0; 20];
        let (target, generation) = place.split_at_mut(16);
        target.copy_from_slice(self.target.bytes());
        generation.copy_from_slice(&self.generation.0.to_be_bytes());
        place
    }

    fn value(&self) -> Value {
        let mut value = self.place().to_vec();
        if let Some((since, attempts)) = self.revoking {
            value.extend(since.0.to_be_bytes());
            value.extend(attempts.to_be_bytes());
        }
        Value(value)
    }

    fn read(value: &Value) -> Option<Self> {
        let (place, revoking) = value.0.split_first_chunk::<20>()?;
        let (target, generation) = read_place(place)?;
        let revoking = match revoking.split_first_chunk::<8>() {
            None => None,
            Some((since, attempts)) => {
                let attempts = u32::from_be_bytes(attempts.try_into().ok()?);
                Some((Timestamp(u64::from_be_bytes(*since)), attempts))
            }
        };
        Some(Self { target, generation, revoking })
    }
}

/// What the keys begin with that lead to the leases of a token.
#[must_use]
pub fn of_token_leases(token: &TokenKey) -> Key {
    joined(&[b"of-token/", &token.0])
}

/// What the keys begin with that lead to what was lent to batch tokens that logins at a mount made.
#[must_use]
pub fn of_login_leases(mount: MountId) -> Key {
    joined(&[b"of-token/", mount.bytes()])
}

/// Where the token's key leads to one of its leases.
#[must_use]
pub fn of_token_lease(token: &TokenKey, id: LeaseId) -> Key {
    of_token(token, id)
}

/// The first key of the index by time at or after `at`.
#[must_use]
pub fn due_from(at: Timestamp) -> Key {
    joined(&[b"due/", &at.0.to_be_bytes()])
}

fn read_due(key: &Key) -> Option<(Timestamp, LeaseId, Key)> {
    let at = key.0.get(4..12)?.try_into().ok().map(u64::from_be_bytes)?;
    Some((Timestamp(at), LeaseId::from_bytes(tail(key)?), key.clone()))
}

fn read_of_role(key: Key, value: &Value) -> Option<(Key, Of, LeaseId)> {
    let (mount, rest) = key.0.strip_prefix(b"of-role/")?.split_first_chunk::<16>()?;
    let (role, id) = rest.split_last_chunk::<16>()?;
    let role = String::from_utf8_lossy(role.strip_suffix(&[0])?).into_owned();
    let role = (MountId::from_bytes(*mount), role);
    let id = LeaseId::from_bytes(*id);
    let (target, _) = read_place(&value.0)?;
    Some((key, Of { role, target }, id))
}

fn read_placed(key: &Key, value: &Value) -> Option<Placed> {
    let (target, generation) = read_place(&value.0)?;
    Some(Placed { lease: LeaseId::from_bytes(tail(key)?), target, generation })
}

fn read_place(bytes: &[u8]) -> Option<(TargetId, Generation)> {
    let (target, generation) = bytes.split_first_chunk::<16>()?;
    let generation = Generation(u32::from_be_bytes(generation.try_into().ok()?));
    Some((TargetId::from_bytes(*target), generation))
}
