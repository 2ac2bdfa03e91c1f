//! Judges what is left when everything has healed and time has passed: every record and every account is explained.

use super::Judge;
use super::known::Known;
use crate::worlds::disk::Disk;
use leasehold_core::access::token::Token;
use leasehold_core::ids::{LeaseId, MountId};
use leasehold_core::store::mounts::{Mount, Target, retired_at};
use leasehold_core::store::{Key, Value};
use std::collections::{BTreeSet, HashSet};

/// What may be left in a store, and what of it was found.
#[derive(Debug, Default)]
struct Left {
    tokens: HashSet<Vec<u8>>,
    mounts: BTreeSet<[u8; 16]>,
    /// Where each target would be kept if it were retired.
    targets: BTreeSet<Key>,
}

impl Judge {
    /// Everything has healed and time has passed: nothing may be left.
    pub fn at_the_end(&self, disk: &Disk) {
        let known = self.known.lock();
        for lease in known.leases.values() {
            let what = format!("a lease is left at the end: {:?}", lease.state());
            self.setting.broken(2, lease.id(), what);
        }
        for server in self.servers.lock().iter() {
            for id in server.all().into_iter().filter(|id| !known.abandoned.left(*id)) {
                let what = format!("server {} still has a credential", server.number);
                self.setting.broken(1, id, what);
            }
            self.check_strangers(server);
        }
        self.check_left(&known, disk);
        self.check_left_behind(&known, disk);
        self.check_secrets(&known, disk);
        self.check_passwords(&known, disk);
    }

    /// What a store may still hold: its keys and its time, the root token, what operators configured, and the history
    /// of every lease that there was.
    fn check_left(&self, known: &Known, disk: &Disk) {
        let records = disk.under("");
        let left = self.left(disk, &records);
        for (key, value) in &records {
            if let Some(why) = self.unexplained(known, disk, &left, (key, value)) {
                let what = format!("{} is left at the end: {why}", key.readable());
                self.setting.broken(2, None, what);
            }
        }
        // A backup does not have the history of what was settled since, so that it may be lost.
        let is_told = |id: &LeaseId| disk.at(&history_of(id.bytes())).is_some();
        let untold = known.ever.iter().find(|id| !is_told(id));
        if let (Some(id), false) = (untold, self.setting.restores) {
            self.setting.broken(2, *id, "a lease is gone without a history");
        }
    }

    fn left(&self, disk: &Disk, records: &[(Key, Value)]) -> Left {
        let mut left = Left::default();
        for (key, _) in records {
            if let Some(hash) = key.0.strip_prefix(b"token/") {
                left.tokens.insert(hash.to_vec());
            } else if let Some(mount) = self.opened::<Mount>(disk, key, b"mount/") {
                left.mounts.insert(*mount.id.bytes());
            } else if let Some(target) = self.opened::<Target>(disk, key, b"target/") {
                left.targets.insert(retired_at(target.id, target.generation));
            }
        }
        left
    }

    /// Why a record may not be there.
    fn unexplained(
        &self,
        known: &Known,
        disk: &Disk,
        left: &Left,
        (key, value): (&Key, &Value),
    ) -> Option<&'static str> {
        let slash = key.0.iter().position(|byte| *byte == b'/');
        let (prefix, rest) = key.0.split_at(slash.map_or(0, |slash| slash + 1));
        let of_mount = || rest.first_chunk().is_some_and(|id| left.mounts.contains(id));
        let of_lease = || rest.last_chunk().map(|id| LeaseId::from_bytes(*id));
        let (is_right, why) = match prefix {
            b"seal/" => (
                rest == b"keyring" || rest == b"count",
                "nothing but the key ring and its count is kept there",
            ),
            b"clock/" => (rest == b"seen", "nothing but the time is kept there"),
            b"policy/" => (rest == b"default", "nobody writes policies here"),
            b"access/" => (rest == b"revision", "nothing but the revision is kept there"),
            b"token/" => {
                let token = self.opened::<Token>(disk, key, prefix);
                let is_root = token.is_some_and(|token| token.term.is_none());
                (is_root, "only the root token never ends")
            }
            b"accessor/" => (left.tokens.contains(&value.0), "its token is gone"),
            b"mount/" => {
                let mount = self.opened::<Mount>(disk, key, prefix);
                (mount.is_some_and(|mount| mount.closed_at.is_none()), "the mount is closed")
            }
            b"mount-path/" => {
                let mount = value.0.as_slice().try_into().ok().map(MountId::from_bytes);
                (mount.is_some_and(|id| left.mounts.contains(id.bytes())), "its mount is gone")
            }
            b"target/" | b"role/" | b"static-role/" | b"static-account/" | b"root-rotation/" => {
                (of_mount(), "its mount is gone")
            }
            // A target that was deleted and is written again is the one that was retired.
            b"retired/" => (left.targets.contains(key), "no lease needs it any more"),
            b"history/" => {
                (of_lease().is_some_and(|id| known.ever.contains(&id)), "there was no such lease")
            }
            b"history-at/" => {
                let is_kept = |id: LeaseId| disk.at(&history_of(id.bytes())).is_some();
                (of_lease().is_some_and(is_kept), "it leads nowhere")
            }
            b"lease/" | b"due/" | b"of-token/" | b"of-role/" | b"repeat/" => {
                (false, "no lease is there")
            }
            b"token-due/" | b"token-uses/" | b"child/" => (false, "no token is there to end"),
            b"hold/" => (false, "every target was compared"),
            b"abandoned/" => (
                Self::is_explained_as_abandoned(known, key),
                "nobody has stored that this target is abandoned",
            ),
            b"audit-device/" | b"audit-head/" => {
                (rest == b"journal", "there is no such audit device")
            }
            b"quarantine/" => (false, "nothing was unreadable"),
            _ => (false, "nobody knows what it is"),
        };
        (!is_right).then_some(why)
    }
}

pub(super) fn history_of(lease: &[u8; 16]) -> Key {
    Key([b"history/".as_slice(), lease].concat())
}
