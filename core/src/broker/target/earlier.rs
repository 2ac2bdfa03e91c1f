//! Gives an earlier identity of a target what revoking its leases needs: its configuration is kept for nothing else.
//!
//! Its administrator's secret may be changed as that of any other, by hand, or, in a store that was restored, by a rotation
//! that the backup does not know of. Without the new one its leases could never be revoked.

use super::{TargetError, TargetWrite};
use crate::broker::Broker;
use crate::broker::abandon::generation_name;
use crate::broker::access::Rights;
use crate::mount::MountEntry;
use crate::schedule::PlanWrite;
use crate::store::Batch;
use crate::store::holds::HoldCause;
use crate::store::mounts::{Hidden, Target, retired_at};

impl TargetWrite {
    /// Whether it says anything but how the target is reached.
    fn says_more(&self) -> bool {
        let Self { password_policy, root_rotation_statements, reconcile_period, .. } = self;
        let Self { reconcile_repair, max_credentials, rotation, moved, .. } = self;
        let PlanWrite { period, schedule, window } = rotation;
        password_policy.is_some()
            || root_rotation_statements.is_some()
            || reconcile_period.is_some()
            || reconcile_repair.is_some()
            || max_credentials.is_some()
            || (period.is_some() || schedule.is_some() || window.is_some())
            || *moved == Some(false)
            || self.verify_connection == Some(false)
    }
}

impl Broker {
    /// Writes how an identity of a target is reached that is configured no longer and still has leases. It has to let its
    /// administrator in, and to be the same as before.
    pub(super) async fn put_earlier(
        &self,
        entry: &MountEntry,
        wanted: &TargetWrite,
        generation: &str,
        rights: &Rights,
    ) -> Result<(), TargetError> {
        let catalog = self.catalog();
        let mount = entry.mount.record.id;
        let mut called = catalog.retired().filter(|target| {
            let Target { id, generation: number, .. } = target.record;
            (target.record.mount, &target.record.name) == (mount, &wanted.name)
                && generation_name((id, number)) == generation
        });
        let was = called.next().ok_or_else(|| TargetError::NoEarlier {
            target: format!("{}{}", wanted.mount, wanted.name),
            generation: generation.to_owned(),
        })?;
        let Target { id, generation: number, .. } = was.record;
        if wanted.says_more() {
            let message = "with `generation` only what reaches its server can be written, and that is always verified";
            return Err(TargetError::Bad(message.to_owned()));
        }
        if catalog.holds_back(HoldCause::Copied, id, number) {
            return Err(self.left_alone(&was.record).into());
        }
        let mut fields = was.record.fields.0.clone();
        fields.extend(wanted.fields.clone());
        let mut target = Target { fields: Hidden(fields), ..was.record.clone() };
        target.server = self.verify(&target).await?;
        let kind = self.kind(&target.plugin_name)?;
        let (before, after) = (kind.shown(&was.record.fields.0)?, kind.shown(&target.fields.0)?);
        // Two servers that are copies of one are told apart by nobody but an operator.
        let is_there = before.get("connection_url") == after.get("connection_url");
        let is_said = is_there || wanted.moved == Some(true);
        if !is_said || self.generation(was, &target, Some(true)).await? != number {
            let message = format!(
                "the leases of the generation `{generation}` are of another server or of another administrator; write \
                 `moved=true` if it is the same one at another address"
            );
            return Err(TargetError::Bad(message));
        }
        let batch = self.administrator_let_in(rights.expected(Batch::default()), &target)?;
        let at = (retired_at(id, number), Some(was.revision));
        self.records.replace_under(&entry.mount, at, &target, batch).await?;
        self.reload().await?;
        self.lanes.answered((id, number));
        self.compare_soon(&target);
        self.wake_sweep();
        Ok(())
    }
}
