//! What was found last at each target, and what of it an operator has been shown and may have repaired.

use super::compare::Report;
use super::{ReconcileError, Recorded};
use crate::audit::Answer;
use crate::broker::count::label_of;
use crate::broker::lanes::Lane;
use crate::broker::{Broker, Request};
use crate::ids::PlanId;
use crate::store::mounts::Target;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a plan can be carried out: the longer ago it was shown, the less it says of what is there.
const PLAN_KEPT: Duration = Duration::from_mins(10);

/// The last comparison of each target, in this process.
#[derive(Debug, Default)]
pub(in crate::broker) struct Plans(Mutex<BTreeMap<Lane, Compared>>);

/// What a comparison found.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The target, by mount and name.
    pub target: String,
    /// The same in two.
    pub label: (String, String),
    /// Names what was found, for whoever wants it repaired.
    pub plan: PlanId,
    /// Until when it can be.
    pub expires_at: Timestamp,
    /// What was found.
    pub report: Arc<Report>,
}

/// The last comparisons of all targets.
#[derive(Clone, Debug)]
pub struct LastCompared(pub Vec<Compared>);

impl Recorded for LastCompared {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Plans {
    /// Takes a plan away, so that it is carried out once.
    pub(super) fn take(&self, target: &Target, plan: PlanId, now: Timestamp) -> Option<Compared> {
        let mut plans = self.0.lock();
        let lane = (target.id, target.generation);
        let is_good = |known: &&Compared| known.plan == plan && now < known.expires_at;
        plans.get(&lane).filter(is_good)?;
        plans.remove(&lane)
    }
}

impl Broker {
    /// Keeps what a comparison found, in place of what was found before.
    pub(super) fn keep_plan(&self, target: &Target, report: Report) -> Compared {
        let now = self.clock.now();
        let compared = Compared {
            target: self.target_name(target),
            label: label_of(&self.catalog(), target),
            plan: PlanId::new(now, &*self.chance),
            expires_at: now.plus(PLAN_KEPT),
            report: Arc::new(report),
        };
        let catalog = self.catalog();
        let mut plans = self.plans.0.lock();
        // What nobody can ask for any more must not be kept for ever.
        plans.retain(|(target, generation), _| catalog.target(*target, *generation).is_some());
        plans.insert((target.id, target.generation), compared.clone());
        compared
    }

    /// Returns what the last comparison of a target found.
    pub async fn last_comparison(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<Compared, ReconcileError> {
        self.served(request, async |_| {
            let target = self.target_called(mount, name)?;
            let last = self.last_compared(&target.record);
            last.ok_or_else(|| ReconcileError::NotCompared(format!("{mount}{name}")))
        })
        .await
    }

    /// Returns the last comparisons of all targets, as far as this process has made any.
    pub async fn last_comparisons(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<LastCompared, ReconcileError> {
        self.served(request, async |_| Ok(LastCompared(self.all_compared()))).await
    }

    pub(in crate::broker) fn all_compared(&self) -> Vec<Compared> {
        self.plans.0.lock().values().cloned().collect()
    }

    pub(super) fn last_compared(&self, target: &Target) -> Option<Compared> {
        self.plans.0.lock().get(&(target.id, target.generation)).cloned()
    }
}
