//! Carries mass revocations on, one chunk after the other, in whatever process there is.

use super::progress::Looked;
use crate::broker::Broker;
use crate::broker::lanes::Lane;
use crate::broker::revoke::many::Each;
use crate::engine::EngineError;
use crate::ids::{MountId, RevocationId};
use crate::lease::Cause;
use crate::limits::{
    CONFLICT_TRIES, MASS_REVOCATION_BOOTS_MAX, MASS_REVOCATION_KEPT, MASS_REVOCATION_LOOK_MAX,
    READ_CHUNK, RETRY_FIRST,
};
use crate::store::leases::Placed;
use crate::store::mass_revocations::{Cursor, MassRevocation, Stage};
use crate::store::records::Found;
use crate::store::{Batch, Key, StoreError};
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long nobody marks anything between two chunks: whoever wants to pause it gets their turn.
const BETWEEN_CHUNKS: Duration = Duration::from_millis(1);

/// The mass revocations of this process's memory. The store knows them all; this is only when to look.
#[derive(Debug, Default)]
pub(in crate::broker) struct Jobs {
    /// One chunk at a time, of whichever job: who holds this keeps all of them from marking anything.
    pub(super) stepping: futures_util::lock::Mutex<()>,
    looks: Mutex<BTreeMap<RevocationId, Look>>,
    /// What was last seen of each, for whoever asks.
    pub(super) seen: Mutex<BTreeMap<RevocationId, Looked>>,
    /// Targets that did not answer when a plan was made, until when they are left out, and why.
    pub(super) away: Mutex<BTreeMap<Lane, (Timestamp, EngineError)>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Look {
    running: bool,
    at: Option<Timestamp>,
}

/// When a mass revocation needs the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Now,
    At(Timestamp),
    Never,
}

impl Jobs {
    fn due(&self, now: Timestamp) -> Vec<RevocationId> {
        let mut looks = self.looks.lock();
        let due = looks
            .iter_mut()
            .filter(|(_, look)| !look.running && look.at.is_some_and(|at| at <= now));
        due.map(|(id, look)| {
            *look = Look { running: true, at: None };
            *id
        })
        .collect()
    }

    /// When the next look is.
    pub(in crate::broker) fn next(&self) -> Option<Timestamp> {
        self.looks.lock().values().filter(|look| !look.running).filter_map(|look| look.at).min()
    }

    /// Nobody carries it on any more. Somebody may have said meanwhile when to look again.
    fn rests(&self, id: RevocationId, next: Option<Timestamp>) {
        let mut looks = self.looks.lock();
        let said = looks.remove(&id).and_then(|look| look.at);
        match said.into_iter().chain(next).min() {
            Some(at) => {
                looks.insert(id, Look { running: false, at: Some(at) });
            }
            None => {
                self.seen.lock().remove(&id);
            }
        }
    }
}

impl Broker {
    /// Says when to look at a mass revocation, if not earlier.
    pub(super) fn look_at_job(&self, id: RevocationId, at: Timestamp) {
        let mut looks = self.mass_revocations.looks.lock();
        let look = looks.entry(id).or_default();
        look.at = Some(look.at.map_or(at, |before| before.min(at)));
        drop(looks);
        self.wake_sweep_by(at);
    }

    /// Starts those that are due, beside everything else.
    pub(in crate::broker) fn start_mass_revocations(self: &Arc<Self>, now: Timestamp) {
        for id in self.mass_revocations.due(now) {
            let broker = Arc::clone(self);
            self.tasks.spawn(Box::pin(async move {
                let next = loop {
                    match broker.carry_on(id).await {
                        Ok(Next::Now) => {
                            let soon = broker.clock.now().plus(BETWEEN_CHUNKS);
                            broker.tasks.sleep_until(soon).await;
                        }
                        Ok(Next::At(at)) => break Some(at),
                        Ok(Next::Never) => break None,
                        Err(error) => {
                            tracing::warn!(revocation = %id, %error, "a mass revocation broke off; it is tried again soon");
                            break Some(broker.clock.now().plus(RETRY_FIRST));
                        }
                    }
                };
                broker.mass_revocations.rests(id, next);
                broker.wake_sweep();
            }));
        }
    }

    /// Reads from the store which mass revocations go on. At a start this process says of all that are not done that
    /// it has begun since they were asked for: nothing is issued before that is stored.
    pub(in crate::broker) async fn find_mass_revocations(
        &self,
        at_start: bool,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        for job in self.records.mass_revocations().await? {
            let id = job.record.id;
            match job.record.stage {
                Stage::Done { at } if now.since(at) >= MASS_REVOCATION_KEPT => {
                    match self.records.forget_mass_revocation(&job).await {
                        // Somebody else was faster.
                        Ok(_) | Err(StoreError::Conflict) => {}
                        Err(error) => return Err(error),
                    }
                }
                Stage::Done { .. } => {}
                Stage::Running | Stage::Paused => {
                    if at_start {
                        self.note_boot(job).await?;
                    }
                    self.look_at_job(id, now);
                }
            }
        }
        Ok(())
    }

    async fn note_boot(&self, job: Found<MassRevocation>) -> Result<(), StoreError> {
        let mut found = Some(job);
        for _ in 0..CONFLICT_TRIES {
            let Some(was) = found else { return Ok(()) };
            let mut job = was.record;
            if job.boots.len() >= MASS_REVOCATION_BOOTS_MAX {
                return Ok(());
            }
            job.boots.push(self.boot);
            match self
                .records
                .keep_mass_revocation(Some(was.revision), &job, Batch::default())
                .await
            {
                Err(StoreError::Conflict) => found = self.records.mass_revocation(job.id).await?,
                outcome => return outcome.map(|_| ()),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Takes one step.
    async fn carry_on(self: &Arc<Self>, id: RevocationId) -> Result<Next, StoreError> {
        let _stepping = self.mass_revocations.stepping.lock().await;
        let Some(was) = self.records.mass_revocation(id).await? else { return Ok(Next::Never) };
        if was.record.stage != Stage::Running {
            return Ok(Next::Never);
        }
        let mut job = was.record.clone();
        let next = match job.places.get(job.cursor.places).cloned() {
            _ if job.leases.is_none() => {
                job.leases = Some(self.count_meant(&job).await?);
                Next::Now
            }
            Some(place) => {
                self.mark_chunk(&mut job, place).await?;
                Next::Now
            }
            None => self.end_pass(&mut job),
        };
        match self.records.keep_mass_revocation(Some(was.revision), &job, Batch::default()).await {
            Ok(_) => Ok(next),
            // Somebody else carries it on as well, or has paused it.
            Err(StoreError::Conflict) => Ok(Next::Now),
            Err(error) => Err(error),
        }
    }

    /// Marks the next leases of a place. Where one cannot be marked the cursor stays, so that none is left out.
    async fn mark_chunk(
        self: &Arc<Self>,
        job: &mut MassRevocation,
        (mount, role): (MountId, Option<String>),
    ) -> Result<(), StoreError> {
        let after = job.passed();
        let chunk =
            self.records.leases_of_role(mount, role.as_deref(), after.as_ref(), READ_CHUNK).await?;
        let Some((last, _)) = chunk.last() else {
            job.cursor = Cursor { places: job.cursor.places.saturating_add(1), passed: None };
            return Ok(());
        };
        let passed = Some(last.0.clone());
        let meant = self.meant_of(job, chunk).await?;
        let mut each = Each::<StoreError>::default();
        self.do_to_each(meant, &mut each, |id| self.mark(id, Cause::Asked)).await;
        if let Some(error) = each.first {
            return Err(error);
        }
        let marked = u64::try_from(each.all).unwrap_or(u64::MAX);
        job.found = job.found.saturating_add(marked);
        if job.passes == 0 {
            job.marked = job.marked.saturating_add(marked);
        }
        job.cursor.passed = passed;
        Ok(())
    }

    /// All leases have been looked through: either none was left, or they are looked through once more.
    fn end_pass(&self, job: &mut MassRevocation) -> Next {
        let now = self.clock.now();
        if job.found == 0 && !self.may_have_forgotten(&job.asked.to_string()) {
            job.stage = Stage::Done { at: now };
            tracing::info!(
                revocation = %job.id, of = %job.asked, leases = job.leases,
                "a mass revocation is done: all that was meant is gone"
            );
            return Next::Never;
        }
        let wait = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(job.passes.min(16)));
        job.passes = job.passes.saturating_add(1);
        job.found = 0;
        job.cursor = Cursor::default();
        Next::At(now.plus(wait.min(MASS_REVOCATION_LOOK_MAX)))
    }

    /// Returns those leases of a chunk that a mass revocation means: at its targets, and not issued since.
    pub(super) async fn meant_of(
        &self,
        job: &MassRevocation,
        chunk: Vec<(Key, Placed)>,
    ) -> Result<Vec<(Key, Placed)>, StoreError> {
        let mut meant = Vec::new();
        for (key, placed) in chunk {
            if job.is_at_target(&placed)
                && !self.is_issued_since(job.asked_at, &job.boots, placed.lease).await?
            {
                meant.push((key, placed));
            }
        }
        Ok(meant)
    }

    async fn count_meant(&self, job: &MassRevocation) -> Result<u64, StoreError> {
        let mut count = 0_u64;
        self.each_meant(job, |_, _, _| count = count.saturating_add(1)).await?;
        Ok(count)
    }

    /// Shows each lease that a mass revocation means: in which of its places it is, by which key, and what the index
    /// says of it.
    pub(super) async fn each_meant(
        &self,
        job: &MassRevocation,
        mut see: impl FnMut(usize, &Key, Placed),
    ) -> Result<(), StoreError> {
        for (at, (mount, role)) in job.places.iter().enumerate() {
            let mut after = None;
            loop {
                let chunk = self
                    .records
                    .leases_of_role(*mount, role.as_deref(), after.as_ref(), READ_CHUNK)
                    .await?;
                let Some((last, _)) = chunk.last() else { break };
                after = Some(last.clone());
                for (key, placed) in self.meant_of(job, chunk).await? {
                    see(at, &key, placed);
                }
            }
        }
        Ok(())
    }
}
