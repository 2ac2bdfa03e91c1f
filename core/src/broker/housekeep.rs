//! Removes what is kept only until something else is gone.

use super::authenticate::AdmitError;
use super::{Broker, Request};
use crate::ids::MountId;
use crate::limits::{HISTORY_KEPT, READ_CHUNK};
use crate::mount::MountEntry;
use crate::store::StoreError;
use crate::store::holds::HoldCause;
use crate::store::leases::of_login_leases;
use crate::store::mounts::Target;
use crate::store::records::Found;
use std::sync::Arc;

impl Broker {
    /// Looks at once at all that is looked at now and then, beside the caller.
    pub async fn tidy(self: &Arc<Self>, request: &Request) -> Result<(), AdmitError> {
        self.served(request, async |_| {
            let broker = Arc::clone(self);
            self.tasks.spawn(Box::pin(async move {
                match broker.housekeep().await {
                    Ok(()) => tracing::info!("what an operator asked to be tidied is tidy"),
                    Err(error) => {
                        tracing::error!(%error, "tidying broke off; it is tried again by itself");
                    }
                }
            }));
            self.wake_sweep();
            Ok(())
        })
        .await
    }

    /// Keeps the time, removes retired targets and closed mounts whose last lease or token is gone, goes on revoking
    /// the leases and ending the tokens of closed mounts, and the leases of targets that were abandoned or deleted with
    /// theirs, forgets history that is old enough and secret ids that are over, and counts what is left. Called every minute or
    /// so; nothing depends on when.
    pub async fn housekeep(self: &Arc<Self>) -> Result<(), StoreError> {
        self.measure_skews();
        self.start_reconciles();
        self.keep_time().await?;
        self.keep_key_ring().await?;
        self.requeue_overdue().await?;
        // What another process has written, or a commit that was given up for lost and landed later, is known by now.
        self.reload().await?;
        self.start_put_backs(self.clock.now());
        self.go_on_abandoning();
        if self.drop_retired().await? {
            self.reload().await?;
        }
        if self.drop_closed().await? {
            self.reload().await?;
        }
        self.find_rotations(false).await?;
        self.find_mass_revocations(false).await?;
        self.forget_history().await?;
        self.settle_doubts().await?;
        self.forget_secret_ids().await?;
        self.count().await
    }

    /// Tells whether the catalog is no longer what is stored.
    async fn drop_retired(self: &Arc<Self>) -> Result<bool, StoreError> {
        let mut is_stale = false;
        let catalog = self.catalog();
        for target in catalog.retired() {
            let record = &target.record;
            let is_current = catalog.mount(record.mount).is_some_and(|entry| {
                entry.targets.get(&record.name).is_some_and(|now| {
                    now.record.id == record.id && now.record.generation == record.generation
                })
            });
            // What was issued since a backup is found through the configuration of then.
            if is_current || catalog.holds_back(HoldCause::Restored, record.id, record.generation) {
                continue;
            }
            if self.has_leases(record.mount, record.id, record.generation).await? {
                if record.revokes {
                    // The process may have died before all of them were marked.
                    self.revoke_target_soon(record);
                }
                continue;
            }
            let root = self.root_rotation(record).await?;
            if root.as_ref().is_some_and(|root| self.may_land(&root.record.rotation)) {
                continue;
            }
            match self.records.forget_retired(target, root.map(|root| root.revision)).await {
                // Whoever has changed it meanwhile has not told this process: it is read anew.
                Ok(_) | Err(StoreError::Conflict) => is_stale = true,
                Err(error) => return Err(error),
            }
            self.close_target(record.id, record.generation);
        }
        Ok(is_stale)
    }

    /// The same for mounts.
    async fn drop_closed(self: &Arc<Self>) -> Result<bool, StoreError> {
        let mut is_stale = false;
        let catalog = self.catalog();
        for entry in catalog.all_mounts().filter(|entry| entry.mount.record.closed_at.is_some()) {
            let id = entry.mount.record.id;
            let held = |target: &Found<Target>| {
                let Target { id, generation, .. } = target.record;
                catalog.holds_back(HoldCause::Restored, id, generation)
            };
            if entry.targets.values().any(|target| held(target)) {
                continue;
            }
            if self.is_bare(id).await? {
                is_stale = true;
                match self.remove_closed(entry).await {
                    Ok(()) => {}
                    // The same here, and as long as it is not read anew it would be so each time.
                    Err(StoreError::Conflict) => continue,
                    Err(error) => return Err(error),
                }
                for target in entry.targets.values() {
                    self.close_target(target.record.id, target.record.generation);
                }
            } else {
                // The process may have died before all of them were marked.
                self.revoke_mount_soon(id);
            }
        }
        Ok(is_stale)
    }

    /// Whether nothing is left that ends with a mount: its leases, the tokens of its logins, what batch tokens of them
    /// were lent, and what was asked for its accounts.
    async fn is_bare(&self, mount: MountId) -> Result<bool, StoreError> {
        let records = &self.records;
        Ok(records.leases_of_role(mount, None, None, 1).await?.is_empty()
            && records.tokens_of_mount(mount, None, 1).await?.is_empty()
            && records.leases_ending_with(&of_login_leases(mount), None, 1).await?.is_empty()
            && !self.may_land_under(mount).await?)
    }

    /// Removes a closed mount, in bounded steps: nothing can be written under it any more.
    async fn remove_closed(&self, entry: &MountEntry) -> Result<(), StoreError> {
        while self.records.clear_method(entry.mount.record.id).await? {}
        while self.forget_aliases(entry.mount.record.id).await? {}
        let targets = entry.targets.values().map(|target| &target.record);
        self.records.remove_mount(&entry.mount, targets).await?;
        Ok(())
    }

    async fn forget_history(&self) -> Result<(), StoreError> {
        let before = self.clock.now().minus(HISTORY_KEPT);
        while self.records.forget_history(before, READ_CHUNK).await? {}
        Ok(())
    }
}
