//! Compares what bears our mark at a target with the leases, shows where they differ, and repairs what an operator has
//! seen and wants repaired.
//!
//! The target is listed first and each name looked up afterwards, so that what is issued meanwhile is never taken for
//! an orphan. A repair compares once more, and touches only what has stayed as the operator was shown it; what it
//! removes it puts on a lease or takes from its holder, and the sweep does the rest.

mod compare;
mod plans;
mod repair;
mod rights;
mod scheduled;

pub use compare::{Difference, Kind, Report};
pub(super) use plans::Plans;
pub use plans::{Compared, LastCompared};
pub use repair::{Repair, Repaired};
pub(super) use scheduled::Schedule;

use super::authenticate::{AdmitError, Recorded};
use super::{Broker, Request};
use crate::audit::Answer;
use crate::engine::erased::Listed;
use crate::engine::{EngineError, FieldError};
use crate::store::StoreError;
use crate::store::mounts::Target;
use crate::store::records::Found;
use std::sync::Arc;

/// A target and the leases were not compared, or not made to agree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such target.
    #[error(
        "no target is called `{0}`; name mount and target, as in `database/shop`, which `leasehold list database/config` lists, or `aws/root`"
    )]
    NoTarget(String),
    /// It was not compared since this server was started.
    #[error(
        "the target `{0}` was not compared since the server was started; `leasehold reconcile {0}` does it"
    )]
    NotCompared(String),
    /// Nobody was shown such a plan, or too long ago.
    #[error(
        "there is no such plan, or it is older than ten minutes; compare again to be shown what would be repaired"
    )]
    NoPlan,
    /// The plan would remove much of what is there.
    #[error(
        "the plan would remove {removes} of {all} credentials, more than a tenth: see whether the target and the store \
         are the right ones, and say `force` if they are"
    )]
    TooMuch {
        /// How many.
        removes: usize,
        /// Of how many.
        all: usize,
    },
    /// Its configuration cannot be used, or not yet.
    #[error(transparent)]
    Unusable(#[from] FieldError),
    /// The target could not be asked.
    #[error("the target could not be listed: {0}")]
    Target(#[from] EngineError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorded for Compared {
    fn recorded(&self) -> Answer {
        let counts = Kind::ALL.map(|kind| (kind.name(), self.report.count(kind)));
        Answer::data(Some(serde_json::json!(std::collections::BTreeMap::from(counts))))
    }
}

impl Broker {
    /// Compares a target with the leases, and keeps what was found as a plan of what could be repaired.
    pub async fn reconcile(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<Compared, ReconcileError> {
        self.served(request, async |_| {
            let target = self.target_called(mount, name)?;
            let report = self.compare(&target).await?;
            Ok(self.keep_plan(&target.record, report))
        })
        .await
    }

    fn target_called(&self, mount: &str, name: &str) -> Result<Arc<Found<Target>>, ReconcileError> {
        let catalog = self.catalog();
        let target = catalog.at(mount).and_then(|entry| entry.targets.get(name));
        target.map(Arc::clone).ok_or_else(|| ReconcileError::NoTarget(format!("{mount}{name}")))
    }

    pub(super) async fn list_target(
        &self,
        target: &Found<Target>,
    ) -> Result<Vec<Listed>, ReconcileError> {
        Ok(self.open_target(target)?.list().await?)
    }
}
