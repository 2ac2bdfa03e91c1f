//! Revokes all leases under a prefix or at a target as a job: it can be watched, paused and resumed, and goes on after a
//! restart.
//!
//! The job is one record with a cursor. It looks the leases through in chunks: each lease of a chunk is marked, which
//! may be done twice, and then the cursor moves, so that a process that dies in between repeats a chunk and leaves none
//! out. What is marked the sweep revokes as it does everything else. When all have been looked through the job begins
//! anew, until nothing is found any more; only then is it done.

mod carry_on;
mod plan;
mod progress;

pub(super) use carry_on::Jobs;
pub use plan::{PlanAsked, PlanCursor, PlanOf, Planned, RevocationPlan};
pub use progress::{Left, MassRevocationView, Trouble};

use super::access::Rights;
use super::authenticate::{AdmitError, Caller, Recorded};
use super::lookup::Prefix;
use super::{Broker, Request};
use crate::audit::Answer;
use crate::ids::{MountId, RevocationId, TargetId};
use crate::limits::MASS_REVOCATIONS_MAX;
use crate::store::mass_revocations::{
    Asked, Cursor, MassRevocation, Stage, without_mass_revocation,
};
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use std::sync::Arc;

/// The mass revocation is not begun, or is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MassRevocationError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// The prefix names nothing that could have leases.
    #[error("no mount or role has the prefix `{0}`; `leasehold lease list` shows what there is")]
    NoSuchPrefix(String),
    /// There is no such target.
    #[error(
        "no target is called `{0}`; name mount and target, as in `database/shop`, which `leasehold list database/config` lists, or `aws/root`"
    )]
    NoTarget(String),
    /// That is no job.
    #[error("`{0}` is one lease; `leasehold lease revoke {0}` revokes it")]
    OneLease(String),
    /// What a method has is tokens.
    #[error(
        "what is under `{0}` is tokens, not leases; `leasehold lease revoke -prefix {0}` ends them"
    )]
    Tokens(String),
    /// There is no such lease to show.
    #[error("there is no lease `{0}`; `leasehold lease list` shows what there is")]
    NoLease(String),
    /// There are too many that go on.
    #[error(
        "{MASS_REVOCATIONS_MAX} mass revocations are not done, which is the most there may be; `leasehold lease job list` \
         shows them"
    )]
    TooMany,
    /// There is none of this name.
    #[error("there is no such mass revocation; one that is done is forgotten after a day")]
    NoJob,
    /// It can be neither paused nor resumed.
    #[error("the mass revocation is done: all that was meant is gone")]
    Done,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The mass revocations there are, the oldest first.
#[derive(Clone, Debug)]
pub struct MassRevocations(pub Vec<MassRevocation>);

impl Recorded for MassRevocations {
    fn recorded(&self) -> Answer {
        let ids: Vec<_> = self.0.iter().map(|job| job.id.to_string()).collect();
        Answer::data(Some(serde_json::json!({ "keys": ids })))
    }
}

/// The leases that are meant: mounts or roles of mounts, and the targets if not all are.
pub(super) struct Meant {
    pub(super) places: Vec<(MountId, Option<String>)>,
    pub(super) targets: Vec<TargetId>,
}

impl Broker {
    /// Begins to revoke all that is meant, and answers at once.
    pub async fn begin_mass_revocation(
        self: &Arc<Self>,
        request: &Request,
        asked: Asked,
    ) -> Result<MassRevocationView, MassRevocationError> {
        self.written(request, async |caller: Caller| {
            let Meant { places, targets } = self.meant_by(&asked).await?;
            let _stepping = self.mass_revocations.stepping.lock().await;
            let batch = caller.rights.expected(Batch::default());
            let batch = self.with_room_for_job(batch).await?;
            let now = self.clock.now();
            let job = MassRevocation {
                id: RevocationId::new(now, &*self.chance),
                asked: asked.clone(),
                asked_by: caller.token.record.display_name.clone(),
                asked_at: now,
                places,
                targets,
                boots: vec![self.boot],
                stage: Stage::Running,
                leases: None,
                marked: 0,
                passes: 0,
                found: 0,
                cursor: Cursor::default(),
            };
            self.records.keep_mass_revocation(None, &job, batch).await?;
            self.look_at_job(job.id, now);
            Ok(self.view_of_job(job, Left::default()))
        })
        .await
    }

    /// Finds out which leases are meant.
    pub(super) async fn meant_by(&self, asked: &Asked) -> Result<Meant, MassRevocationError> {
        let catalog = self.catalog();
        match asked {
            Asked::Prefix(prefix) => match Prefix::parse(&catalog, prefix) {
                Prefix::Lease(_) => Err(MassRevocationError::OneLease(prefix.clone())),
                Prefix::Places(places) if self.names_nothing(&places).await? => {
                    Err(MassRevocationError::NoSuchPrefix(prefix.clone()))
                }
                Prefix::Places(places) => {
                    let logs_in = |mount: MountId| {
                        let entry = catalog.mount(mount);
                        entry.is_some_and(|entry| entry.mount.record.method.is_some())
                    };
                    if places.iter().any(|(mount, _)| logs_in(*mount)) {
                        return Err(MassRevocationError::Tokens(prefix.clone()));
                    }
                    Ok(Meant { places, targets: Vec::new() })
                }
            },
            Asked::Target(named) => {
                let unknown = || MassRevocationError::NoTarget(named.clone());
                let (mount, name) = named.rsplit_once('/').ok_or_else(unknown)?;
                let entry = catalog.at(&format!("{mount}/")).ok_or_else(unknown)?;
                let id = entry.mount.record.id;
                // Those that were deleted had the name as well, and may have leases left.
                let called = catalog.targets().map(|target| &target.record);
                let called = called.filter(|target| target.mount == id && target.name == name);
                let targets: Vec<_> = called.map(|target| target.id).collect();
                if targets.is_empty() {
                    return Err(unknown());
                }
                Ok(Meant { places: vec![(id, None)], targets })
            }
        }
    }

    /// Adds to a batch that the oldest that is done is forgotten, if there are as many as there may be.
    async fn with_room_for_job(&self, batch: Batch) -> Result<Batch, MassRevocationError> {
        let jobs = self.records.mass_revocations().await?;
        if jobs.len() < MASS_REVOCATIONS_MAX {
            return Ok(batch);
        }
        let done = jobs.iter().find(|job| matches!(job.record.stage, Stage::Done { .. }));
        Ok(without_mass_revocation(batch, done.ok_or(MassRevocationError::TooMany)?))
    }

    /// Lists the mass revocations that go on, and those that are done since a day at most.
    pub async fn list_mass_revocations(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<MassRevocations, MassRevocationError> {
        self.served(request, async |_| {
            let jobs = self.records.mass_revocations().await?;
            Ok(MassRevocations(jobs.into_iter().map(|job| job.record).collect()))
        })
        .await
    }

    /// Shows how far a mass revocation is.
    pub async fn read_mass_revocation(
        self: &Arc<Self>,
        request: &Request,
        id: RevocationId,
    ) -> Result<MassRevocationView, MassRevocationError> {
        self.served(request, async |_| self.job_as_it_is(id).await).await
    }

    /// Pauses a mass revocation: once this is answered nothing further is marked. What is marked goes on.
    pub async fn pause_mass_revocation(
        self: &Arc<Self>,
        request: &Request,
        id: RevocationId,
    ) -> Result<MassRevocationView, MassRevocationError> {
        let pause = async |caller: Caller| self.set_stage(id, Stage::Paused, &caller.rights).await;
        self.written(request, pause).await
    }

    /// Lets a mass revocation go on.
    pub async fn resume_mass_revocation(
        self: &Arc<Self>,
        request: &Request,
        id: RevocationId,
    ) -> Result<MassRevocationView, MassRevocationError> {
        let resume =
            async |caller: Caller| self.set_stage(id, Stage::Running, &caller.rights).await;
        self.written(request, resume).await
    }

    async fn set_stage(
        self: &Arc<Self>,
        id: RevocationId,
        stage: Stage,
        rights: &Rights,
    ) -> Result<MassRevocationView, MassRevocationError> {
        // A chunk that is being marked is waited for.
        let stepping = self.mass_revocations.stepping.lock().await;
        let was = self.job(id).await?;
        match was.record.stage {
            Stage::Done { .. } => return Err(MassRevocationError::Done),
            now if now == stage => {}
            Stage::Running | Stage::Paused => {
                let job = MassRevocation { stage, ..was.record.clone() };
                let batch = rights.expected(Batch::default());
                self.records.keep_mass_revocation(Some(was.revision), &job, batch).await?;
            }
        }
        drop(stepping);
        self.mass_revocations.seen.lock().remove(&id);
        self.look_at_job(id, self.clock.now());
        self.job_as_it_is(id).await
    }

    async fn job(&self, id: RevocationId) -> Result<Found<MassRevocation>, MassRevocationError> {
        self.records.mass_revocation(id).await?.ok_or(MassRevocationError::NoJob)
    }
}
