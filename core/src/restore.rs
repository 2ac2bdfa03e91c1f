//! Prepares a store that was made of a backup, before any server opens it.
//!
//! The world went on after the backup: credentials were issued that the store does not know, leases and tokens were
//! renewed, others were revoked. The store cannot know which. So a restore leaves a hold on every target: nothing lapses
//! there until the target was asked (`broker/restored.rs`). Tokens are known to nobody else, so each that was good gets
//! one more term. Whether an answer that was wrapped has been taken out since the backup nobody knows: its token is
//! void, or it could be opened twice, and what it made is left its term. What was revoked since is gone at its target, and nothing here creates anything.
//!
//! A copy is another installation: it has no leases and no tokens of the original, and asks nothing of any target.

use crate::access::token::draw;
use crate::broker::root_token;
use crate::chance::Chance;
use crate::ids::InstallationId;
use crate::limits::{Limits, READ_CHUNK};
use crate::mount::Catalog;
use crate::seal::{self, RootKey, SealError};
use crate::secret::SecretText;
use crate::store::holds::{Hold, HoldCause, hold_at};
use crate::store::records::Records;
use crate::store::tokens::delete_token;
use crate::store::{Batch, Key, Store, StoreError};
use crate::time::Timestamp;
use crate::time::watch::Watch;
use std::sync::Arc;

/// What under the root of the store is about leases, tokens, and targets of the past. None of it goes into a copy, nor
/// does the time that was seen: it is there so that no lease lives too long, and is about another machine's clock. The
/// audit devices of a copy have keys and chains of their own.
const NOT_IN_A_COPY: [&str; 29] = [
    "accessor/",
    "audit-device/",
    "audit-head/",
    "batch-ring",
    "child/",
    "clock/",
    "cubbyhole/",
    "denial/",
    "due/",
    "history-at/",
    "history/",
    "hold/",
    "known-as/",
    "lease/",
    "mass-revocation/",
    "of-bits/",
    "of-role/",
    "of-token/",
    "quarantine/",
    "repeat/",
    "retired/",
    "secret-id-accessor/",
    "secret-id-due/",
    "secret-id-uses/",
    "secret-id/",
    "token-due/",
    "token-of/",
    "token-uses/",
    "token/",
];

/// A store made of a backup, and when.
#[derive(Clone, Debug)]
pub struct FromBackup {
    /// The store, with all records of the backup, or those that go into a copy.
    pub store: Arc<dyn Store>,
    /// Chance.
    pub chance: Arc<dyn Chance>,
    /// Which moment the backup shows.
    pub taken_at: Timestamp,
    /// What the system's clock says.
    pub wall: Timestamp,
}

/// What was prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Targets that are to be compared, or taken over.
    pub targets: usize,
    /// Tokens that have one more term.
    pub tokens: usize,
}

/// A copy, with its first token: shown once.
#[derive(Debug)]
pub struct Copy {
    /// What was prepared.
    pub prepared: Prepared,
    /// Which installation it is.
    pub installation: InstallationId,
    /// The one token that is good there.
    pub root: SecretText,
}

/// Tells whether a record of a backup goes into a copy.
#[must_use]
pub fn goes_into_a_copy(key: &Key) -> bool {
    !NOT_IN_A_COPY.iter().any(|prefix| key.0.starts_with(prefix.as_bytes()))
}

impl FromBackup {
    /// Prepares the store to take up where the backup left off.
    pub async fn prepare(&self, root: &RootKey, limits: &Limits) -> Result<Prepared, SealError> {
        let unsealed = seal::unseal(&*self.store, root).await?;
        let records = self.records(&unsealed);
        let now = self.time_of(&records).await?;
        // Nobody knows what the key of then has sealed since.
        seal::rotate(&*self.store, &unsealed, now, &*self.chance).await?;
        let targets = self.hold_targets(&records, HoldCause::Restored, now).await?;
        let tokens = self.prolong_tokens(&records, limits, now).await?;
        Ok(Prepared { targets, tokens })
    }

    /// Makes another installation of the store.
    pub async fn prepare_copy(&self, root: &RootKey) -> Result<Copy, SealError> {
        let (store, chance, now) = (&*self.store, &*self.chance, self.wall);
        let text = draw(chance);
        let first = |unsealed: &seal::Unsealed, batch: Batch| {
            let token = root_token(unsealed, &text, "root", now, chance);
            self.records(unsealed).put_new_token(batch, &token)
        };
        let unsealed = seal::found_copy(store, root, now, chance, first).await?;
        let records = self.records(&unsealed);
        let targets = self.hold_targets(&records, HoldCause::Copied, now).await?;
        let prepared = Prepared { targets, tokens: 0 };
        Ok(Copy { prepared, installation: unsealed.installation, root: text })
    }

    fn records(&self, unsealed: &seal::Unsealed) -> Records {
        let (store, chance) = (Arc::clone(&self.store), Arc::clone(&self.chance));
        Records::new(store, Arc::clone(&unsealed.barrier), chance)
    }

    /// The time that a server on the store begins with. What is stored is told in it, and where an operator has
    /// accepted so, it is ahead of the system's clock.
    async fn time_of(&self, records: &Records) -> Result<Timestamp, StoreError> {
        let seen = records.seen_time().await?.map(|found| found.record);
        let (_, start) = Watch::start(seen, self.wall, self.wall);
        Ok(start)
    }

    /// Leaves a hold on every target, in every generation of it.
    async fn hold_targets(
        &self,
        records: &Records,
        cause: HoldCause,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let catalog = Catalog::load(records, now).await?;
        let mut batch = Batch::default();
        for target in catalog.targets().map(|target| &target.record) {
            // The backup of a copy is that of a copy: what nobody has taken over stays so.
            let before = catalog.hold(target.id, target.generation).map(|hold| hold.record.cause);
            let cause = if before == Some(HoldCause::Copied) { HoldCause::Copied } else { cause };
            let hold = Hold { cause, since: now, taken_at: self.taken_at, older_since: None };
            let at = hold_at(target.id, target.generation);
            batch = batch.put(at.clone(), records.seal(&at, &hold)?);
        }
        let targets = batch.puts.len();
        records.commit(batch).await?;
        Ok(targets)
    }

    /// Gives tokens the term that nobody knows they have not got.
    async fn prolong_tokens(
        &self,
        records: &Records,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let mut prolonged = 0_usize;
        let mut from = Some(Key::default());
        while let Some(start) = from {
            let (found, next) = records.tokens_found(&start, READ_CHUNK).await?;
            let mut batch = Batch::default();
            for was in found {
                if was.record.wraps.is_some() {
                    batch = delete_token(batch, &was);
                    continue;
                }
                let token = was.record.clone();
                let max = limits.max_lease_ttl;
                if let Some(token) = token.given_another_term(self.taken_at, max, now) {
                    batch = records.put_changed_token(batch, &was, &token)?;
                    prolonged = prolonged.saturating_add(1);
                }
            }
            records.commit(batch).await?;
            from = next;
        }
        Ok(prolonged)
    }
}
