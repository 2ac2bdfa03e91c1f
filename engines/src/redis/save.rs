//! Has a node write its users to its file: grouped over all that wait for it, never once for each.
//!
//! The server does nothing else while it writes (a second at 20,000 users), so what was issued is written now and then
//! only, and a revocation asks for it only where the user may stand in a file.

use super::failure::Failure;
use super::link::{Files, Link, Node, text, within};
use leasehold_core::ids::LeaseId;
use redis::cmd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How soon at most, after users were set, they are written to an `aclfile`.
const LATER: Duration = Duration::from_secs(1);
/// A file is written by itself for a fiftieth of the time at most.
const SHARE: u32 = 50;
/// How long one writing may take before it counts as failed.
const SAVE_MAX: Duration = Duration::from_secs(30);

/// The writings of one node's file.
#[derive(Debug, Default)]
pub(super) struct Saves {
    /// Held while the file is written; what became of the last writing.
    turn: Mutex<Option<Failure>>,
    begun: AtomicU64,
    /// How long the last one took.
    took_ms: AtomicU64,
    /// Somebody will write the file by itself.
    awaited: AtomicBool,
}

impl Node {
    /// Has the file written after now, by this caller or by another who began since.
    pub(super) async fn save(&self, link: &mut Link, until: Instant) -> Result<(), Failure> {
        let seen = self.saves.begun.load(Ordering::Acquire);
        let mut turn = self.saves.turn.lock().await;
        if self.saves.begun.load(Ordering::Acquire) > seen {
            return turn.clone().map_or(Ok(()), Err);
        }
        self.saves.begun.fetch_add(1, Ordering::AcqRel);
        let command = match link.facts().files {
            Files::Acl => cmd("ACL").arg("SAVE").clone(),
            Files::Config => cmd("CONFIG").arg("REWRITE").clone(),
            Files::None => return Ok(()),
        };
        let began = Instant::now();
        let saved = link.one(command, until).await.map(|_| ());
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.saves.took_ms.store(took, Ordering::Release);
        *turn = saved.clone().err();
        saved
    }

    /// Has what was issued written to the `aclfile` soon, beside the caller. Whatever becomes of it, a user that is lost
    /// in a restart is put back.
    pub(super) fn save_later(self: &Arc<Self>, link: &Link) {
        if link.facts().files != Files::Acl || self.saves.awaited.swap(true, Ordering::AcqRel) {
            return;
        }
        let node = Arc::clone(self);
        tokio::spawn(async move {
            let took = Duration::from_millis(node.saves.took_ms.load(Ordering::Acquire));
            tokio::time::sleep(LATER.max(took.saturating_mul(SHARE))).await;
            node.saves.awaited.store(false, Ordering::Release);
            let until = within(SAVE_MAX);
            let saved = match node.link(until).await {
                Ok(mut link) => node.save(&mut link, until).await,
                Err(failure) => Err(failure),
            };
            if let Err(error) = saved {
                tracing::warn!(node = %node.address, %error, "what was issued could not be written to the server's `aclfile`");
            }
        });
    }
}

/// Tells whether the users of these leases may stand in a file of the server's: unless all were made in this run of it,
/// and nothing was written since it began.
pub(super) async fn may_stand_in_a_file(
    link: &mut Link,
    mut leases: impl Iterator<Item = LeaseId>,
    until: Instant,
) -> Result<bool, Failure> {
    let files = link.facts().files;
    if files == Files::None {
        return Ok(false);
    }
    let started_at = link.facts().started_at;
    if leases.any(|lease| lease.made_at() <= started_at) {
        return Ok(true);
    }
    let said = match link.one(cmd("INFO").arg("commandstats").clone(), until).await {
        Ok(said) => text(&said),
        Err(Failure::Denied { .. }) => return Ok(true),
        Err(failure) => return Err(failure),
    };
    // Before version 7 the parts of a command are not counted apart, and a count that was set back tells nothing.
    let writes = match files {
        Files::Acl => ["cmdstat_acl|save:", "cmdstat_acl:", "cmdstat_config|resetstat:"],
        Files::Config | Files::None => {
            ["cmdstat_config|rewrite:", "cmdstat_config:", "cmdstat_config|resetstat:"]
        }
    };
    Ok(said.lines().any(|line| writes.iter().any(|counted| line.starts_with(counted))))
}
