//! The engines that stand for targets, opened when first needed.

use super::Broker;
use super::batch::LinePorts;
use super::count::label_of;
use crate::engine::erased::{Fields, Kind, OpenTarget};
use crate::engine::{FieldError, Origin};
use crate::ids::TargetId;
use crate::lease::Generation;
use crate::store::Revision;
use crate::store::holds::HoldCause;
use crate::store::mounts::Target;
use crate::store::records::Found;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One engine for each target and generation, replaced when its configuration is written again. In order, so that
/// equal runs are equal.
#[derive(Debug, Default)]
pub(super) struct OpenTargets(Mutex<BTreeMap<(TargetId, Generation), Opened>>);

/// An engine, and for which write of its configuration it was opened.
type Opened = (Revision, Arc<dyn OpenTarget>);

impl Broker {
    /// Returns the engine that stands for a target. There is none for a target of another installation: this is the
    /// one way to ask any target anything.
    pub(super) fn open_target(
        &self,
        target: &Found<Target>,
    ) -> Result<Arc<dyn OpenTarget>, FieldError> {
        let key = (target.record.id, target.record.generation);
        if self.catalog().holds_back(HoldCause::Copied, key.0, key.1) {
            return Err(self.left_alone(&target.record));
        }
        if self.catalog().abandonment(key.0, key.1).is_some() {
            let name = self.target_name(&target.record);
            return Err(FieldError(format!(
                "the target `{name}` is abandoned; nothing is asked of it"
            )));
        }
        let mut open = self.open_targets.0.lock();
        if let Some((_, known)) = open.get(&key).filter(|(at, _)| *at == target.revision) {
            return Ok(Arc::clone(known));
        }
        let opened = self.open_afresh(&target.record)?;
        open.insert(key, (target.revision, Arc::clone(&opened)));
        Ok(opened)
    }

    /// Says why a target of another installation is left alone.
    pub(super) fn left_alone(&self, target: &Target) -> FieldError {
        let name = self.target_name(target);
        FieldError(format!(
            "this store is a copy, and the target `{name}` belongs to the installation it was copied from: nothing is \
             asked of it until an operator runs `leasehold operator take-over {name}`"
        ))
    }

    /// Stands for a target that may not be stored yet.
    pub(super) fn open_afresh(&self, target: &Target) -> Result<Arc<dyn OpenTarget>, FieldError> {
        let origin = Origin { installation: self.installation, target: target.id };
        let (mount, name) = label_of(&self.catalog(), target);
        let ports = LinePorts {
            meter: self.metrics.target(&mount, &name),
            clock: Arc::clone(&self.clock),
            chance: Arc::clone(&self.chance),
            tasks: Arc::clone(&self.tasks),
        };
        self.kind(&target.plugin_name)?.open(&target.fields.0, origin, ports)
    }

    /// Returns a kind of engine by its name in Vault's API.
    pub(super) fn kind(&self, plugin_name: &str) -> Result<&Arc<dyn Kind>, FieldError> {
        self.kinds.iter().find(|kind| kind.is_called(plugin_name)).ok_or_else(|| {
            let known: Vec<_> = self.kinds.iter().map(|kind| kind.name()).collect();
            FieldError(format!(
                "unknown plugin_name `{plugin_name}`; known are: {}",
                known.join(", ")
            ))
        })
    }

    /// Returns a kind of engine by its name, if it is one for mounts of this type.
    pub(super) fn kind_in(
        &self,
        family: &str,
        plugin_name: &str,
    ) -> Result<&Arc<dyn Kind>, FieldError> {
        self.kind(plugin_name).and_then(|kind| match kind.family() {
            its if its == family => Ok(kind),
            its => Err(FieldError(format!(
                "the plugin `{plugin_name}` is for mounts of the type `{its}`, and this one is of the type `{family}`"
            ))),
        })
    }

    /// Returns the kind that a role is for whose target is not there yet: the first for mounts of this type that
    /// takes it.
    pub(super) fn kind_of_role(
        &self,
        family: &str,
        fields: &Fields,
    ) -> Result<&Arc<dyn Kind>, FieldError> {
        let mut refused = None;
        for kind in self.kinds.iter().filter(|kind| kind.family() == family) {
            match kind.role(fields) {
                Ok(_) => return Ok(kind),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| FieldError("no kind of target is known".into())))
    }

    /// Returns the engines that are open.
    pub(super) fn all_open_targets(&self) -> Vec<((TargetId, Generation), Arc<dyn OpenTarget>)> {
        let open = self.open_targets.0.lock();
        open.iter().map(|(key, (_, engine))| (*key, Arc::clone(engine))).collect()
    }

    /// Forgets the engines of all targets; they are opened anew when needed.
    pub(super) fn close_all_targets(&self) {
        self.open_targets.0.lock().clear();
    }

    /// Forgets the engine of a target that is gone; its connections close once nobody uses them.
    pub(super) fn close_target(&self, id: TargetId, generation: Generation) {
        self.open_targets.0.lock().remove(&(id, generation));
    }
}
