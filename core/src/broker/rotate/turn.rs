//! One account on its way to another secret: what is stored of it, and what it rests on.

use super::{RotateError, Which};
use crate::audit::{Asked, Operation};
use crate::broker::Broker;
use crate::chance::Chance;
use crate::engine::FieldError;
use crate::engine::rotation::{Account, AccountSecret, Verify};
use crate::ids::{EffectId, MountId, TargetId};
use crate::lease::Generation;
use crate::schedule::Plan;
use crate::store::accounts::{
    Begun, RootRotation, Rotation, StaticRole, root_rotation_at, static_role_at,
};
use crate::store::mounts::Target;
use crate::store::records::Found;
use crate::store::{Batch, Key, Revision, StoreError};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// One account, as it is stored, and the target it is at.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) account: Account,
    pub(super) target: Arc<Found<Target>>,
    pub(super) revision: Option<Revision>,
    /// Until when what was asked and never answered may land, as far as it was not asked by this turn.
    pub(super) unanswered_until: Option<Timestamp>,
    /// What must be so for what is kept first; nothing more once it is, for what follows from it goes on.
    pub(super) allowed: Batch,
    at: Key,
    plan: Plan,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Static(Box<StaticRole>),
    Root(Box<RootRotation>),
}

impl Turn {
    pub(super) fn rotation(&self) -> &Rotation {
        match &self.kept {
            Kept::Static(role) => &role.rotation,
            Kept::Root(root) => &root.rotation,
        }
    }

    pub(super) fn rotation_mut(&mut self) -> &mut Rotation {
        match &mut self.kept {
            Kept::Static(role) => &mut role.rotation,
            Kept::Root(root) => &mut root.rotation,
        }
    }

    pub(super) fn begun(&self) -> Option<&Begun> {
        self.rotation().begun.as_ref()
    }

    /// Whether what is due may begin now: its slot is not over, and nobody has to see to it first.
    pub(super) fn is_in_its_slot(&self, now: Timestamp) -> bool {
        let rotation = self.rotation();
        let is_due = rotation.due_at.is_some_and(|at| at <= now);
        is_due && rotation.due_by.is_none_or(|by| now <= by) && !rotation.is_older_than_target
    }

    /// Whether it is rotated by itself.
    pub(super) fn is_planned(&self, now: Timestamp) -> bool {
        self.plan.next(now).is_some()
    }

    /// Says when it is rotated next.
    pub(super) fn plan_next(&mut self, now: Timestamp, chance: &dyn Chance) {
        let slot = self.plan.next(now);
        let spread = u32::try_from(self.plan.spread().as_millis()).unwrap_or(u32::MAX);
        let delay = Duration::from_millis(chance.below(spread).into());
        let waits = self.rotation().is_older_than_target;
        let rotation = self.rotation_mut();
        rotation.due_at = slot.filter(|_| !waits).map(|slot| slot.from.plus(delay));
        rotation.due_by = slot.and_then(|slot| slot.to);
    }

    fn is_kept(&mut self, revision: Revision) {
        self.revision = Some(revision);
        self.allowed = Batch::default();
    }

    /// Makes sure that the configuration of a target can have another secret of its administrator.
    pub(super) fn check_administrator(
        &self,
        broker: &Broker,
        secret: &AccountSecret,
    ) -> Result<(), FieldError> {
        if self.account.administers {
            let target = &self.target.record;
            broker.kind(&target.plugin_name)?.with_secret(&target.fields.0, secret)?;
        }
        Ok(())
    }

    /// Returns the target as it is after its administrator may have got another secret.
    pub(super) fn target_as_it_is(
        &self,
        broker: &Broker,
    ) -> Result<Arc<Found<Target>>, RotateError> {
        let Target { id, generation, ref name, .. } = self.target.record;
        let found = broker.catalog().target(id, generation).map(Arc::clone);
        found.ok_or_else(|| RotateError::NoTarget(name.clone()))
    }
}

impl Broker {
    /// Returns how a rotation that nobody asked for is recorded: as the request that would ask for it.
    pub(super) fn rotation_asked(&self, turn: &Turn) -> Asked {
        let target = &turn.target.record;
        let catalog = self.catalog();
        let mount = catalog.mount(target.mount).map(|entry| &entry.mount.record);
        let path = match &turn.kept {
            Kept::Static(role) => format!("rotate-role/{}", role.name),
            // There it has no name.
            Kept::Root(_) if mount.is_some_and(|mount| mount.kind == "aws") => {
                "config/rotate-root".to_owned()
            }
            Kept::Root(_) => format!("rotate-root/{}", target.name),
        };
        Asked {
            id: EffectId::new(self.clock.now(), &*self.chance).to_string(),
            operation: Operation::Update,
            path: format!("{}{path}", mount.map_or("", |mount| &mount.path)),
            ..Asked::default()
        }
    }

    /// Reads an account and what its rotation rests on.
    pub(super) async fn turn(&self, which: &Which) -> Result<Turn, RotateError> {
        match which {
            Which::Static(mount, name) => {
                let found = self.records.static_role(*mount, name).await?;
                let found = found.ok_or(RotateError::NoRole)?;
                let catalog = self.catalog();
                let entry = catalog.mount(*mount).ok_or(RotateError::NoRole)?;
                let target = entry.targets.get(&found.record.target);
                let missing = || RotateError::NoTarget(found.record.target.clone());
                let target = target.filter(|_| entry.mount.record.closed_at.is_none());
                let target = Arc::clone(target.ok_or_else(missing)?);
                Ok(Turn {
                    account: found.record.account(),
                    target,
                    revision: Some(found.revision),
                    unanswered_until: found
                        .record
                        .rotation
                        .begun
                        .as_ref()
                        .and_then(|begun| begun.may_land_until),
                    allowed: Batch::default(),
                    at: static_role_at(*mount, name),
                    plan: found.record.plan.clone(),
                    kept: Kept::Static(Box::new(found.record)),
                })
            }
            Which::Root(mount, target, generation) => {
                self.root_turn(*mount, *target, *generation).await
            }
        }
    }

    async fn root_turn(
        &self,
        mount: MountId,
        target: TargetId,
        generation: Generation,
    ) -> Result<Turn, RotateError> {
        let target = self.catalog().target(target, generation).map(Arc::clone);
        let target = target.ok_or_else(|| RotateError::NoTarget(String::new()))?;
        let found = self.root_rotation(&target.record).await?;
        let has_begun = found.as_ref().is_some_and(|found| found.record.rotation.begun.is_some());
        // What has begun is carried on where that was, also if another identity has come since.
        if !has_begun && !self.is_rotated(&target.record) {
            return Err(RotateError::NoTarget(target.record.name.clone()));
        }
        let kind = self.kind(&target.record.plugin_name)?;
        let administrator = kind.administrator(&target.record.fields.0)?;
        let administrator = administrator.ok_or_else(|| {
                    FieldError("the configuration has no administrator's secret that could be rotated; write `username` and `password`".into())
                })?;
        let revision = found.as_ref().map(|found| found.revision);
        let root = found.map_or_else(
            || RootRotation { target: target.record.id, generation, rotation: Rotation::default() },
            |found| found.record,
        );
        Ok(Turn {
            account: Account {
                name: administrator.name,
                administers: true,
                statements: target.record.root_rotation_statements.clone(),
                verify: Verify::Login,
            },
            revision,
            unanswered_until: root.rotation.begun.as_ref().and_then(|begun| begun.may_land_until),
            allowed: Batch::default(),
            at: root_rotation_at(mount, target.record.id, generation),
            plan: target.record.rotation.clone(),
            kept: Kept::Root(Box::new(root)),
            target,
        })
    }

    /// Keeps how far a rotation is, if nobody else has gone on with it.
    pub(super) async fn keep_turn(&self, turn: &mut Turn) -> Result<(), StoreError> {
        let sealed = match &turn.kept {
            Kept::Static(role) => self.records.seal(&turn.at, role)?,
            Kept::Root(root) => self.records.seal(&turn.at, root)?,
        };
        let batch = turn.allowed.clone().expect(turn.at.clone(), turn.revision);
        let revision = self.records.commit(batch.put(turn.at.clone(), sealed)).await?;
        turn.is_kept(revision);
        Ok(())
    }

    /// Keeps a tested secret as the one that counts.
    pub(super) async fn keep_served(
        &self,
        turn: &mut Turn,
        secret: AccountSecret,
    ) -> Result<(), RotateError> {
        if let Kept::Static(role) = &mut turn.kept {
            role.secret = Some(secret);
            return Ok(self.keep_turn(turn).await?);
        }
        let Kept::Root(root) = &turn.kept else { return Ok(()) };
        let was = &turn.target;
        let fields =
            self.kind(&was.record.plugin_name)?.with_secret(&was.record.fields.0, &secret)?;
        let target = Target { fields: crate::store::mounts::Hidden(fields), ..was.record.clone() };
        let current = self.current_target(target.mount, target.id);
        let is_current = current.is_some_and(|now| now.revision == was.revision);
        let place = (turn.at.clone(), turn.revision);
        let allowed = turn.allowed.clone();
        let finished =
            self.records.finish_root_rotation((was, is_current), &target, place, root, allowed);
        let kept = finished.await;
        // Whoever wrote the configuration meanwhile is read anew before the next try.
        self.reload().await?;
        turn.is_kept(kept?);
        Ok(())
    }

    /// Whether a rotation of a target's administrator may begin: it is configured, and its mount is open.
    pub(super) fn is_rotated(&self, target: &Target) -> bool {
        self.catalog().open_mount(target.mount).is_some() && self.is_current(target)
    }

    /// Whether this identity of a target is the one that callers have now.
    pub(super) fn is_current(&self, target: &Target) -> bool {
        self.current_target(target.mount, target.id).is_some_and(|now| {
            (&now.record.name, now.record.generation) == (&target.name, target.generation)
        })
    }

    /// Returns a target as callers have it now.
    pub(super) fn current_target(
        &self,
        mount: MountId,
        id: TargetId,
    ) -> Option<Arc<Found<Target>>> {
        let catalog = self.catalog();
        let mut targets = catalog.mount(mount)?.targets.values();
        targets.find(|target| target.record.id == id).map(Arc::clone)
    }
}
