//! After a restore: finds out which stored secrets are older than their accounts.
//!
//! A store that was restored may know a secret that was rotated since. That of a static role is not served, and nothing
//! is rotated by itself, until an operator has said that this installation is the one that counts, by `rotate-role`.
//! Where it is the administrator's own, nothing is issued or rotated at the target until an operator has given the one
//! that it has now, by its configuration. Only the target's own word about the secret counts: one that is down, or that
//! has another reason to let nobody in, is as it was.

use super::{RotateError, Which};
use crate::broker::Broker;
use crate::broker::abandon::generation_name;
use crate::engine::FieldError;
use crate::engine::erased::OpenTarget;
use crate::engine::rotation::{Account, AccountSecret, Tested, Verify};
use crate::ids::MountId;
use crate::limits::{CONFLICT_TRIES, ISSUE_WITHIN};
use crate::store::accounts::{Begun, Rotation, StaticRole, static_role_at};
use crate::store::holds::{Hold, hold_at};
use crate::store::mounts::{Target, retired_at, target_at};
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use crate::time::Timestamp;
use std::sync::Arc;

/// What is told of an account whose stored secret is not let in.
const OLDER: &str = "the credential in the store is older than the target: it was rotated after the backup. run \
                     `rotate-role` if this installation is the one that rotates it";

/// What is told of an account of which the target has not said whether its stored secret is let in.
const UNTRIED: &str = "after the restore the target did not say whether the credential in the store is still let in. run \
                       `rotate-role` if this installation is the one that rotates it";

/// How often a target that has just been listed is asked about one secret before it has nothing to say of it: an answer
/// that is lost is not to stop an account until somebody sees to it.
const RETESTS: u32 = 3;

/// A target does not let its administrator in with what the store has: it was rotated after the backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the credential in the store is older than the target: the administrator's secret was changed after the backup, and \
     `{mount}{name}` does not let it in. nothing is issued or rotated there until `{mount}config/{name}` is written with \
     {}the secret that it has now", .earlier.as_ref().map(|name| format!("`generation={name}` and ")).unwrap_or_default()
)]
pub struct OlderSecret {
    mount: String,
    name: String,
    /// Which identity of it, where that is configured no longer.
    earlier: Option<String>,
}

/// The administrator of a target that was restored is not known to be let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::broker) enum RetestError {
    /// It is known that it is not.
    #[error(transparent)]
    Older(#[from] OlderSecret),
    /// The configuration cannot be used.
    #[error(transparent)]
    Unusable(#[from] FieldError),
    /// What it was being given when the backup was taken is what it has, and could not be kept.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Broker {
    /// Makes sure that nothing is known against the stored secret of a target's administrator.
    pub(in crate::broker) fn require_no_older_secret(
        &self,
        target: &Target,
    ) -> Result<(), OlderSecret> {
        self.older_secret(target).map_or(Ok(()), Err)
    }

    /// Returns what is told of a target at which it is known that the administrator's stored secret is older.
    pub(in crate::broker) fn older_secret(&self, target: &Target) -> Option<OlderSecret> {
        let catalog = self.catalog();
        let hold = catalog.hold(target.id, target.generation)?;
        let _since = hold.record.older_since?;
        Some(self.as_older(target))
    }

    fn as_older(&self, target: &Target) -> OlderSecret {
        let catalog = self.catalog();
        let mount = catalog.mount(target.mount).map(|entry| entry.mount.record.path.clone());
        let earlier =
            (!self.is_current(target)).then(|| generation_name((target.id, target.generation)));
        OlderSecret { mount: mount.unwrap_or_default(), name: target.name.clone(), earlier }
    }

    /// Finds out whether a target that is held back lets its administrator in, and keeps that with the hold. The secret
    /// that was being set when the backup was taken counts as well, and is kept if it is the one. Returns the target
    /// as it then is.
    pub(in crate::broker) async fn retest_administrator(
        self: &Arc<Self>,
        target: &Arc<Found<Target>>,
    ) -> Result<Arc<Found<Target>>, RetestError> {
        let record = &target.record;
        let administrator = self.kind(&record.plugin_name)?.administrator(&record.fields.0)?;
        let Some(administrator) = administrator else { return Ok(Arc::clone(target)) };
        let account = Account {
            name: administrator.name,
            administers: true,
            statements: Vec::new(),
            verify: Verify::Login,
        };
        let open = self.open_afresh(record)?;
        let by = self.clock.now().plus(ISSUE_WITHIN);
        match open.tested(&account, &administrator.secret, by).await {
            Ok(Tested::Works | Tested::Barred) => {
                self.note_let_in(target).await?;
                return Ok(Arc::clone(target));
            }
            Ok(Tested::Denied) => {}
            // Whoever asks the target next learns what is the matter.
            Err(_) => return Ok(Arc::clone(target)),
        }
        if self.keep_intended(target, &*open).await? {
            let target = self.catalog().target(record.id, record.generation).map(Arc::clone);
            let target = target.ok_or(StoreError::Conflict)?;
            self.note_let_in(&target).await?;
            return Ok(target);
        }
        self.note_older(target).await?;
        Err(self.as_older(record).into())
    }

    /// Keeps the secret that a rotation was about to give the administrator, if it is the one that is let in.
    async fn keep_intended(
        self: &Arc<Self>,
        target: &Found<Target>,
        open: &dyn OpenTarget,
    ) -> Result<bool, RotateError> {
        let which = Which::root(&target.record);
        let _running = self.rotations.begin(&which).ok_or(RotateError::Busy)?;
        let mut turn = match self.turn(&which).await {
            // It is configured no longer, and nothing had begun there.
            Err(RotateError::NoTarget(_)) => return Ok(false),
            turn => turn?,
        };
        let Some(secret) = turn.begun().and_then(Begun::secret) else { return Ok(false) };
        let by = self.clock.now().plus(ISSUE_WITHIN);
        if open.tested(&turn.account, secret, by).await != Ok(Tested::Works) {
            return Ok(false);
        }
        self.serve(&mut turn).await?;
        self.rotations.set(&which, turn.rotation().due_at);
        Ok(true)
    }

    async fn note_older(&self, target: &Found<Target>) -> Result<(), StoreError> {
        let Target { id, generation, mount, ref name, .. } = target.record;
        let catalog = self.catalog();
        let Some(hold) = catalog.hold(id, generation) else { return Ok(()) };
        if hold.record.older_since.is_some() {
            return Ok(());
        }
        let older = Hold { older_since: Some(self.clock.now()), ..hold.record };
        let current = self.current_target(mount, id);
        let is_current = current.is_some_and(|now| now.revision == target.revision);
        let its = if is_current { target_at(mount, name) } else { retired_at(id, generation) };
        // Of what an operator has written meanwhile nothing is known.
        let batch = Batch::default().expect(its, Some(target.revision));
        let at = hold_at(id, generation);
        self.records.replace_if(at, Some(hold.revision), &older, batch).await?;
        self.reload().await
    }

    async fn note_let_in(&self, target: &Found<Target>) -> Result<(), StoreError> {
        let batch = self.administrator_let_in(Batch::default(), &target.record)?;
        if batch.puts.is_empty() {
            return Ok(());
        }
        self.records.commit(batch).await?;
        self.reload().await
    }

    /// Adds to a batch that a target lets its administrator in, if anything else was known.
    pub(in crate::broker) fn administrator_let_in(
        &self,
        batch: Batch,
        target: &Target,
    ) -> Result<Batch, StoreError> {
        let catalog = self.catalog();
        let hold = catalog.hold(target.id, target.generation);
        let Some(hold) = hold.filter(|hold| hold.record.older_since.is_some()) else {
            return Ok(batch);
        };
        let at = hold_at(target.id, target.generation);
        let sealed = self.records.seal(&at, &Hold { older_since: None, ..hold.record })?;
        Ok(batch.expect(at.clone(), Some(hold.revision)).put(at, sealed))
    }

    /// Tries the stored secret of every static account of a target, and marks those that are not let in. One that was
    /// being set when the backup was taken counts as well. Nothing is rotated.
    pub(in crate::broker) async fn retest_accounts(
        &self,
        target: &Found<Target>,
    ) -> Result<(), StoreError> {
        let mount = target.record.mount;
        let roles = self.records.all::<StaticRole>(&static_role_at(mount, "")).await?;
        // What is held back is asked all the same: this is what the hold waits for.
        let Ok(open) = self.open_afresh(&target.record) else { return Ok(()) };
        for (_, found) in roles.iter().filter(|(_, it)| it.record.target == target.record.name) {
            self.retest_account(&*open, mount, &found.record.name).await?;
        }
        Ok(())
    }

    /// Tries what is stored of one account, anew if its record is written meanwhile: a rotation that is put off notes
    /// that, and what was found out counts all the same.
    async fn retest_account(
        &self,
        open: &dyn OpenTarget,
        mount: MountId,
        name: &str,
    ) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let found = self.records.static_role(mount, name).await?;
            let Some(Found { record: mut role, revision }) = found else { return Ok(()) };
            let begun = role.rotation.begun.as_ref().and_then(Begun::secret);
            let served = self.is_let_in(open, &role, role.secret.as_ref()).await;
            let intended = match served {
                Some(true) => Some(false),
                Some(false) | None => self.is_let_in(open, &role, begun).await,
            };
            note_retest(&mut role.rotation, served, intended, self.clock.now());
            let at = static_role_at(mount, name);
            match self.records.replace(at, Some(revision), &role).await {
                Ok(_) => {
                    let which = Which::Static(mount, role.name.clone());
                    self.rotations.set(&which, role.rotation.due_at);
                    return Ok(());
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Whether an account is let in with a secret, by the target's own word; `None` if it has none to say.
    async fn is_let_in(
        &self,
        open: &dyn OpenTarget,
        role: &StaticRole,
        secret: Option<&AccountSecret>,
    ) -> Option<bool> {
        let Some(secret) = secret else { return Some(false) };
        for _ in 0..RETESTS {
            let by = self.clock.now().plus(ISSUE_WITHIN);
            if let Ok(tested) = open.tested(&role.account(), secret, by).await {
                return Some(tested == Tested::Works);
            }
        }
        None
    }
}

/// Notes whether a target lets an account in with what is served, and if not, with what it was being given.
fn note_retest(
    rotation: &mut Rotation,
    served: Option<bool>,
    intended: Option<bool>,
    now: Timestamp,
) {
    let is_let_in = served == Some(true) || intended == Some(true);
    rotation.is_older_than_target = !is_let_in;
    if !is_let_in {
        rotation.due_at = None;
        // What may be the account's is kept; whoever goes on with it says so.
        let is_known = served.is_some() && intended.is_some();
        rotation.error = Some(if is_known { OLDER } else { UNTRIED }.to_owned());
        rotation.begun = rotation.begun.take().filter(|_| !is_known);
    } else if intended == Some(true)
        && let Some(begun) = rotation.begun.as_mut()
    {
        // It was asked for after the backup: what is served works no more, and is not told until this is served.
        begun.may_land_until.get_or_insert(now);
        rotation.due_at = Some(now);
    }
}
