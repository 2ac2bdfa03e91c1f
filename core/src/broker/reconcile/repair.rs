//! Makes a target and the leases agree, where an operator has seen that they do not.

use super::compare::{Difference, Kind, Report};
use super::{ReconcileError, Recorded};
use crate::audit::Answer;
use crate::broker::{Broker, Request};
use crate::engine::erased::Listed;
use crate::ids::{LeaseId, PlanId};
use crate::lease::Cause;
use crate::limits::REVOKE_CHUNK;
use crate::store::mounts::Target;
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use futures_util::StreamExt;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The part of a target's credentials that one plan removes without being told to: one of so many.
const PART_MAX: usize = 10;

/// What of a plan is to be carried out.
#[derive(Clone, Debug)]
pub struct Repair {
    /// The plan, as it was shown.
    pub plan: PlanId,
    /// The kinds of differences that are to be repaired.
    pub kinds: BTreeSet<Kind>,
    /// Also if much of what is there is removed.
    pub force: bool,
}

/// What became of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Credentials that are being removed from now on.
    pub removed: usize,
    /// Leases that are being ended because their credentials are not there.
    pub ended: usize,
    /// Revocations that are tried again at once.
    pub tried: usize,
    /// What was no longer as it had been shown.
    pub changed: usize,
}

impl Kind {
    /// What is repaired unless it is said otherwise: nothing that is lent and there.
    pub const USUAL: [Self; 4] = [Self::Orphan, Self::Abandoned, Self::Missing, Self::Stuck];

    /// Whether a repair takes something from the target that may still be of use.
    fn removes(self) -> bool {
        matches!(self, Self::Orphan | Self::Abandoned | Self::Altered)
    }
}

impl Recorded for Repaired {
    fn recorded(&self) -> Answer {
        let Self { removed, ended, tried, changed } = self;
        let told = serde_json::json!({
            "removed": removed, "ended": ended, "tried": tried, "changed": changed,
        });
        Answer::data(Some(told))
    }
}

impl Broker {
    /// Carries out a plan, as far as what it was made of is still so. The sweep does what this decides.
    pub async fn repair(
        self: &Arc<Self>,
        request: &Request,
        (mount, name): (&str, &str),
        repair: Repair,
    ) -> Result<Repaired, ReconcileError> {
        self.served(request, async |caller| {
            let target = self.target_called(mount, name)?;
            let known = self.last_compared(&target.record).filter(|last| last.plan == repair.plan);
            let known = known.ok_or(ReconcileError::NoPlan)?;
            if !repair.force {
                check_part(&known.report, &repair.kinds)?;
            }
            let taken = self.plans.take(&target.record, repair.plan, self.clock.now());
            let plan = taken.ok_or(ReconcileError::NoPlan)?;
            self.until_kept(request, caller, async |caller| {
                let allowed = caller.rights.expected(Batch::default());
                self.carry_out(&target, &plan.report, &repair.kinds, allowed).await
            })
            .await
        })
        .await
    }

    /// Repairs what is still as it was reported, if all is as the batch expects when it is begun.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        target: &Found<Target>,
        planned: &Report,
        kinds: &BTreeSet<Kind>,
        allowed: Batch,
    ) -> Result<Repaired, ReconcileError> {
        let (listed, now) = self.listed_and_compared(target).await?;
        self.begin_if(allowed).await?;
        let still: HashSet<_> = now.differences.iter().map(identity).collect();
        // By name: a look-alike bears the mark of a lease that another credential is on.
        let listed: HashMap<_, _> =
            listed.iter().map(|listed| (listed.handle.name(), listed)).collect();
        let meant: Vec<_> =
            planned.differences.iter().filter(|one| kinds.contains(&one.kind)).collect();
        let same: Vec<_> = meant.iter().filter(|one| still.contains(&identity(one))).collect();
        let changed = meant.len().saturating_sub(same.len());
        let mut repaired = Repaired { changed, ..Repaired::default() };
        let same: Vec<_> = same
            .into_iter()
            .map(|one| ((*one).clone(), listed.get(&one.name).map(|listed| (*listed).clone())))
            .collect();
        let acts = same.into_iter().map(|(one, listed)| async move {
            (one.kind, self.repair_one(&target.record, &one, listed.as_ref()).await)
        });
        let mut outcomes = futures_util::stream::iter(acts).buffer_unordered(REVOKE_CHUNK);
        while let Some((kind, outcome)) = outcomes.next().await {
            outcome?;
            let count = match kind {
                Kind::Orphan | Kind::Abandoned | Kind::Altered => &mut repaired.removed,
                Kind::Missing => &mut repaired.ended,
                Kind::Stuck => &mut repaired.tried,
                Kind::LookAlike => continue,
            };
            *count = count.saturating_add(1);
        }
        Ok(repaired)
    }

    async fn repair_one(
        self: &Arc<Self>,
        target: &Target,
        one: &Difference,
        listed: Option<&Listed>,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        match (one.kind, listed) {
            (Kind::Orphan | Kind::Abandoned, Some(listed)) => self.adopt(target, listed, now).await,
            (Kind::Altered, _) => self.mark(one.lease, Cause::Asked).await,
            (Kind::Missing, _) => self.mark(one.lease, Cause::Missing).await,
            (Kind::Stuck, _) => {
                self.attempt_soon(one.lease);
                Ok(())
            }
            (Kind::Orphan | Kind::Abandoned, None) | (Kind::LookAlike, _) => Ok(()),
        }
    }

    /// Makes an attempt to revoke now, beside the caller. Why it fails, if it does, is stored with the lease.
    fn attempt_soon(self: &Arc<Self>, id: LeaseId) {
        let broker = Arc::clone(self);
        self.tasks.spawn(Box::pin(async move {
            if let Err(error) = broker.attempt(id, Cause::Asked).await {
                tracing::warn!(lease = %id, %error, "a revocation that was tried again at once has failed");
            }
        }));
    }
}

/// What makes two differences the same.
fn identity(one: &Difference) -> (LeaseId, Kind, &str) {
    (one.lease, one.kind, &one.name)
}

/// Refuses a plan that removes much of what is there: more likely the wrong store was restored than that so many
/// orphans came to be.
pub(super) fn check_part(report: &Report, kinds: &BTreeSet<Kind>) -> Result<(), ReconcileError> {
    let removes = |one: &&Difference| one.kind.removes() && kinds.contains(&one.kind);
    let removes = report.differences.iter().filter(removes).count();
    let all = report.all();
    // One may always go: of a handful of credentials it is more than a tenth.
    if removes > 1 && removes.saturating_mul(PART_MAX) > all {
        return Err(ReconcileError::TooMuch { removes, all });
    }
    Ok(())
}
