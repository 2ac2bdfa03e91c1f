//! When accounts may be left alone: whoever forgets one whose secret is on its way may take away the only record of it.

use super::{RotateError, Turn};
use crate::broker::{Broker, MountError};
use crate::ids::MountId;
use crate::mount::MountEntry;
use crate::store::accounts::{
    RootRotation, Rotation, StaticRole, root_rotation_at, root_rotations_of, static_role_at,
};
use crate::store::holds::HoldCause;
use crate::store::mounts::{Target, mount_at};
use crate::store::{Batch, StoreError};

impl Broker {
    /// Whether the record of a rotation may be the only one of what its account has: something that was asked may still
    /// land, or nobody knows whether it has, and `target` is configured and can be asked. What a backup intends may
    /// have been asked since.
    pub(in crate::broker) fn is_unsettled(
        &self,
        rotation: &Rotation,
        target: Option<&Target>,
    ) -> bool {
        let may_be_had = target.zip(rotation.begun.as_ref()).is_some_and(|(target, begun)| {
            let (id, generation) = (target.id, target.generation);
            let is_restored = self.catalog().holds_back(HoldCause::Restored, id, generation);
            begun.may_land_until.is_some() || is_restored
        });
        self.may_land(rotation) || may_be_had
    }

    /// Adds to a batch that closes a mount that every account of it is as it is now, which is settled.
    pub(in crate::broker) async fn expect_settled(
        &self,
        entry: &MountEntry,
        mut batch: Batch,
    ) -> Result<Batch, MountError> {
        let mount = entry.mount.record.id;
        let unsettled = |account: String, target: &str| MountError::Unsettled {
            account,
            target: format!("{}{target}", entry.mount.record.path),
        };
        for (at, found) in self.records.all::<StaticRole>(&static_role_at(mount, "")).await? {
            let StaticRole { name, target, rotation, .. } = &found.record;
            let configured = entry.targets.get(target).map(|target| &target.record);
            if self.is_unsettled(rotation, configured) {
                return Err(unsettled(format!("the static role `{name}`"), target));
            }
            batch = batch.expect(at, Some(found.revision));
        }
        for target in entry.targets.values().map(|target| &target.record) {
            let found = self.root_rotation(target).await?;
            if found.as_ref().is_some_and(|it| self.is_unsettled(&it.record.rotation, Some(target)))
            {
                let account = format!("the administrator of `{}`", target.name);
                return Err(unsettled(account, &target.name));
            }
            let at = root_rotation_at(mount, target.id, target.generation);
            batch = batch.expect(at, found.map(|found| found.revision));
        }
        Ok(batch)
    }

    /// Whether what was asked for any account of a mount may still land.
    pub(in crate::broker) async fn may_land_under(
        &self,
        mount: MountId,
    ) -> Result<bool, StoreError> {
        let roles = self.records.all::<StaticRole>(&static_role_at(mount, "")).await?;
        let roots = self.records.all::<RootRotation>(&root_rotations_of(mount)).await?;
        let roots = roots.iter().map(|(_, found)| &found.record.rotation);
        let mut rotations = roles.iter().map(|(_, found)| &found.record.rotation).chain(roots);
        Ok(rotations.any(|rotation| self.may_land(rotation)))
    }

    /// Expects of what is kept next that the mount of an account is open: nothing more is asked for one that is left
    /// alone.
    pub(super) fn expect_open(&self, turn: &mut Turn) -> Result<(), RotateError> {
        let target = &turn.target.record;
        let catalog = self.catalog();
        let entry = catalog.open_mount(target.mount);
        let mount = &entry.ok_or_else(|| RotateError::NoTarget(target.name.clone()))?.mount;
        let allowed = std::mem::take(&mut turn.allowed);
        turn.allowed = allowed.expect(mount_at(mount.record.id), Some(mount.revision));
        Ok(())
    }
}
