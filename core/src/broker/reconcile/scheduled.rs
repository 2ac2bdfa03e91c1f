//! Compares targets with the leases by itself, where their configuration says how often.

use super::ReconcileError;
use super::compare::Kind;
use super::repair::check_part;
use crate::broker::Broker;
use crate::broker::lanes::Lane;
use crate::store::Batch;
use crate::store::mounts::Target;
use crate::store::records::Found;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// When each target was compared by itself last, or is to be taken as compared.
#[derive(Debug, Default)]
pub(in crate::broker) struct Schedule(Mutex<BTreeMap<Lane, Timestamp>>);

impl Broker {
    /// Starts the comparison of every target whose period is over, beside everything else.
    pub(in crate::broker) fn start_reconciles(self: &Arc<Self>) {
        let now = self.clock.now();
        let catalog = self.catalog();
        let mut begun = self.reconciles.0.lock();
        begun.retain(|(target, generation), _| catalog.target(*target, *generation).is_some());
        let targets = catalog.mounts().flat_map(|entry| entry.targets.values());
        for target in targets.filter(|target| !target.record.reconcile_period.is_zero()) {
            let lane = (target.record.id, target.record.generation);
            let last = begun.entry(lane).or_insert_with(|| self.began_at());
            if now.since(*last) < target.record.reconcile_period {
                continue;
            }
            *last = now;
            let (broker, target) = (Arc::clone(self), Arc::clone(target));
            self.tasks.spawn(Box::pin(async move {
                let name = broker.target_name(&target.record);
                if let Err(error) = broker.reconcile_by_itself(&target).await {
                    tracing::warn!(%name, %error, "a target was not compared with the leases, or not repaired; it is tried again in its time");
                }
            }));
        }
    }

    async fn reconcile_by_itself(
        self: &Arc<Self>,
        target: &Found<Target>,
    ) -> Result<(), ReconcileError> {
        let report = self.compare(target).await?;
        let compared = self.keep_plan(&target.record, report);
        let [orphans, abandoned, look_alikes, missing, altered, stuck] =
            Kind::ALL.map(|kind| compared.report.count(kind));
        if compared.report.differences.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            name = %compared.target, orphans, abandoned, look_alikes, missing, altered,
            stuck, "a target and the leases differ; `leasehold reconcile` shows where"
        );
        if !target.record.reconcile_repair {
            return Ok(());
        }
        let kinds = Kind::USUAL.into();
        check_part(&compared.report, &kinds)?;
        // An operator may be carrying out the same.
        let taken = self.plans.take(&target.record, compared.plan, self.clock.now());
        let Some(plan) = taken else { return Ok(()) };
        let repaired = self.carry_out(target, &plan.report, &kinds, Batch::default()).await?;
        tracing::warn!(
            name = %plan.target, removed = repaired.removed, ended = repaired.ended,
            tried = repaired.tried, changed = repaired.changed, "a target was repaired"
        );
        Ok(())
    }
}
