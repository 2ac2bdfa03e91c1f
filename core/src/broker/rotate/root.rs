//! Rotates the administrator of a target, by request; and what a configuration says of when that is done.

use super::{RotateError, Which, Why};
use crate::audit::Answer;
use crate::broker::authenticate::{Caller, Recorded};
use crate::broker::{Broker, Request};
use crate::engine::erased::Fields;
use crate::store::accounts::{RootRotation, Rotation, root_rotation_at};
use crate::store::mounts::Target;
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use std::sync::Arc;

/// A target whose administrator has another secret.
#[derive(Debug)]
pub struct RootRotated {
    /// What of its configuration an operator is shown: no secret.
    pub shown: Fields,
}

impl Recorded for RootRotated {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::Value::Object(self.shown.clone())))
    }
}

impl Which {
    /// Returns what names the administrator of a target.
    pub(super) fn root(target: &Target) -> Self {
        Self::Root(target.mount, target.id, target.generation)
    }
}

impl Broker {
    /// Gives the administrator of a target another secret, which nobody is told. Backups from before no longer open
    /// the target.
    pub async fn rotate_root(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<RootRotated, RotateError> {
        self.written(request, async |caller: Caller| {
            let found = || {
                let catalog = self.catalog();
                let target = catalog.at(mount).and_then(|entry| entry.targets.get(name));
                target.map(Arc::clone).ok_or_else(|| RotateError::NoTarget(name.to_owned()))
            };
            let target = found()?;
            let which = Which::root(&target.record);
            let allowed = caller.rights.expected(Batch::default());
            self.rotate(&which, Why::Asked, allowed).await?;
            let target = &found()?.record;
            let shown = self.kind(&target.plugin_name)?.shown(&target.fields.0)?;
            Ok(RootRotated { shown })
        })
        .await
    }

    /// Returns how far the rotation of a target's administrator is.
    pub(in crate::broker) async fn root_rotation(
        &self,
        target: &Target,
    ) -> Result<Option<Found<RootRotation>>, StoreError> {
        self.records.read(&root_rotation_at(target.mount, target.id, target.generation)).await
    }

    /// Keeps when a target's administrator is rotated next, after its configuration said so.
    pub(in crate::broker) async fn plan_root_rotation(
        &self,
        target: &Target,
    ) -> Result<(), StoreError> {
        let at = root_rotation_at(target.mount, target.id, target.generation);
        let found = self.root_rotation(target).await?;
        let slot = target.rotation.next(self.clock.now());
        if found.is_none() && slot.is_none() {
            return Ok(());
        }
        let was = found.as_ref().map(|found| found.revision);
        let mut root = found.map_or_else(
            || RootRotation {
                target: target.id,
                generation: target.generation,
                rotation: Rotation::default(),
            },
            |found| found.record,
        );
        if root.rotation.begun.is_some() {
            // It is planned anew when it is over.
            return Ok(());
        }
        root.rotation.due_at = slot.map(|slot| slot.from);
        root.rotation.due_by = slot.and_then(|slot| slot.to);
        let due_at = root.rotation.due_at;
        self.records.replace(at, was, &root).await?;
        self.rotations.set(&Which::root(target), due_at);
        self.wake_sweep();
        Ok(())
    }
}
