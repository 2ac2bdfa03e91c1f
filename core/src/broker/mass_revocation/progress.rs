//! Tells how far a mass revocation is: counted in the index of leases, so that it is true whoever did the work.

use super::MassRevocationError;
use crate::audit::Answer;
use crate::broker::Broker;
use crate::broker::authenticate::Recorded;
use crate::broker::lanes::Lane;
use crate::ids::{LeaseId, RevocationId};
use crate::lease::LeaseState;
use crate::limits::MASS_REVOCATION_ERRORS_LOOKED;
use crate::store::StoreError;
use crate::store::mass_revocations::{MassRevocation, Stage};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What was seen of a mass revocation is told again for ten times as long as it took to look, and for this long at
/// least: looking costs a tenth of a core at most, whoever asks how often.
const SEEN_FOR: Duration = Duration::from_millis(500);

/// A mass revocation, as operators see it.
#[derive(Clone, Debug)]
pub struct MassRevocationView {
    /// What is kept of it.
    pub job: MassRevocation,
    /// What is left of its leases.
    pub left: Left,
    /// Its targets have not all been compared with a store that was restored; it goes on until they have been.
    pub may_have_forgotten: bool,
}

/// What is left of the leases that a mass revocation means.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// Those that are not marked yet.
    pub waiting: u64,
    /// Those that are marked, and are tried until they are gone.
    pub tried: u64,
    /// What stands in the way, one error of each target where there is any.
    pub troubles: Vec<Trouble>,
}

/// Why credentials at a target could not be removed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The target, by mount and name.
    pub target: String,
    /// One of the leases.
    pub lease_id: String,
    /// Why its last attempt failed.
    pub error: String,
}

/// What was left at some moment.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    left: Left,
    good_until: Timestamp,
}

impl MassRevocationView {
    /// Returns how many credentials are gone; `None` while the leases have not been counted.
    #[must_use]
    pub fn gone(&self) -> Option<u64> {
        let left = self.left.waiting.saturating_add(self.left.tried);
        self.job.leases.map(|leases| leases.saturating_sub(left))
    }
}

impl Recorded for MassRevocationView {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "id": self.job.id.to_string() })))
    }
}

impl Broker {
    pub(super) fn view_of_job(&self, job: MassRevocation, left: Left) -> MassRevocationView {
        let is_done = matches!(job.stage, Stage::Done { .. });
        let may_have_forgotten = !is_done && self.may_have_forgotten(&job.asked.to_string());
        MassRevocationView { job, left, may_have_forgotten }
    }

    /// Looks how far a mass revocation is.
    pub(super) async fn job_as_it_is(
        self: &Arc<Self>,
        id: RevocationId,
    ) -> Result<MassRevocationView, MassRevocationError> {
        let job = self.job(id).await?.record;
        if let Stage::Done { .. } = job.stage {
            self.mass_revocations.seen.lock().remove(&id);
            return Ok(self.view_of_job(job, Left::default()));
        }
        let began = self.clock.now();
        let seen = self.mass_revocations.seen.lock().get(&id).cloned();
        if let Some(seen) = seen.filter(|seen| began < seen.good_until) {
            return Ok(self.view_of_job(job, seen.left));
        }
        let left = self.left_of(&job).await?;
        let now = self.clock.now();
        let good_until = now.plus(SEEN_FOR.max(now.since(began).saturating_mul(10)));
        let looked = Looked { left: left.clone(), good_until };
        self.mass_revocations.seen.lock().insert(id, looked);
        if left.waiting == 0 && left.tried == 0 {
            // That it is done is only to be stored.
            self.look_at_job(id, now);
        }
        Ok(self.view_of_job(job, left))
    }

    async fn left_of(&self, job: &MassRevocation) -> Result<Left, StoreError> {
        let (mut left, passed) = (Left::default(), job.passed());
        let mut tried = BTreeMap::<Lane, Vec<LeaseId>>::new();
        self.each_meant(job, |at, key, placed| {
            let is_marked = job.passes > 0
                || at < job.cursor.places
                || (at == job.cursor.places && passed.as_ref().is_some_and(|to| key <= to));
            if !is_marked {
                left.waiting = left.waiting.saturating_add(1);
                return;
            }
            left.tried = left.tried.saturating_add(1);
            let of_target = tried.entry((placed.target, placed.generation)).or_default();
            if of_target.len() < MASS_REVOCATION_ERRORS_LOOKED {
                of_target.push(placed.lease);
            }
        })
        .await?;
        for ((target, generation), leases) in tried {
            if let Some((lease_id, error)) = self.first_error(&leases).await? {
                let catalog = self.catalog();
                let target = catalog.target(target, generation);
                let name = target.map(|target| self.target_name(&target.record));
                let target = name.unwrap_or_else(|| "unknown".to_owned());
                left.troubles.push(Trouble { target, lease_id, error });
            }
        }
        Ok(left)
    }

    /// Returns the first of these leases of which an attempt has failed, and why.
    async fn first_error(
        &self,
        leases: &[LeaseId],
    ) -> Result<Option<(String, String)>, StoreError> {
        for id in leases {
            let Some(lease) = self.records.lease(*id).await? else { continue };
            if let LeaseState::Revoking(revoking) = lease.record.state()
                && let Some(error) = &revoking.error
            {
                let lease_id = self.catalog().wire_id(lease.record.place(), *id);
                return Ok(Some((lease_id, error.clone())));
            }
        }
        Ok(None)
    }
}
