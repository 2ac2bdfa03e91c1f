//! What a request meets: a store that nobody has initialized yet, one that is sealed, or a broker.

use super::sealing::Holder;
use super::{Count, StartError};
use crate::config::{AuditDevice, Config, Seal};
use crate::meters::Meters;
use crate::{keeper, sweeper};
use leasehold_core::broker::{Broker, Ports, first_public_keys, found_with_holders};
use leasehold_core::engine::erased::{Kind, KindOf};
use leasehold_core::limits::Limits;
use leasehold_core::seal::keeper::KeeperError;
use leasehold_core::seal::shares::{Share, Split};
use leasehold_core::seal::splits::{Gathered, Purpose, Splits};
use leasehold_core::seal::{self, RootKey, SealError, Unsealed};
use leasehold_core::secret::SecretText;
use leasehold_core::store::StoreError;
use leasehold_core::time::Clock;
use leasehold_engines::aws::Aws;
use leasehold_engines::mysql::MySql;
use leasehold_engines::postgres::Postgres;
use leasehold_engines::redis::Redis;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// How far an installation is. Sealed is a type, not a flag: without a broker there is nothing to ask.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// The store is empty; only `init` does anything.
    Uninitialized,
    /// Nobody has opened the store; only `unseal` does anything.
    Sealed,
    /// The store is open.
    Unsealed(Arc<Broker>),
}

/// One server, from its start to its end.
#[derive(Debug)]
pub(crate) struct Server {
    node: RwLock<Node>,
    pub(super) ports: Ports,
    limits: Limits,
    pub(super) holder: Holder,
    /// Vault's word for the kind of store.
    pub(crate) storage: &'static str,
    /// Where callers are told to find the server.
    pub(crate) api_addr: Option<String>,
    pub(crate) meters: Meters,
    /// The audit devices, as they are declared.
    pub(crate) audits: Vec<AuditDevice>,
    /// Requests that a broker serves.
    pub(crate) calls: Count,
    /// Work beside the callers.
    pub(super) running: Count,
    /// Held while the store is being initialized, opened or closed: the shares that were shown so far.
    pub(super) founding: tokio::sync::Mutex<Option<Gathered>>,
    /// Held while what a broker has begun goes on to its end: no other writes to its audit record meanwhile.
    pub(super) closing: tokio::sync::Mutex<()>,
    /// What goes on beside the callers for as long as the store is open.
    beside: Mutex<Vec<JoinHandle<()>>>,
}

/// A store that was initialized; what is shown here is shown once.
#[derive(Debug)]
pub(crate) struct Founded {
    pub(crate) token: SecretText,
    /// The shares of the key that opens the store, or, where it opens by itself, of the recovery key.
    pub(crate) shares: Vec<Share>,
    /// What checks the record of each audit device.
    pub(crate) public_keys: BTreeMap<String, String>,
}

/// The store was not initialized.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoundError {
    /// The store refused, or is initialized already.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The root key could not be kept.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The kinds of targets there are.
fn kinds() -> Vec<Arc<dyn Kind>> {
    let kinds = vec![
        KindOf::<Postgres>::new(),
        KindOf::<MySql>::new(),
        KindOf::<Redis>::new(),
        KindOf::<Aws>::new(),
    ];
    #[cfg(feature = "kill-points")]
    let kinds = crate::kill_points::kinds(kinds);
    kinds
}

impl Server {
    pub(super) fn new(
        ports: Ports,
        config: &Config,
        storage: &'static str,
        meters: Meters,
        running: Count,
    ) -> Self {
        let holder = match &config.seal {
            Seal::Shares => Holder::Shares,
            Seal::Kept { key, is_left } => {
                Holder::Keeper { keeper: Arc::new(key.clone()), is_left: *is_left }
            }
        };
        Self {
            node: RwLock::new(Node::Uninitialized),
            ports,
            limits: config.limits,
            holder,
            storage,
            api_addr: config.api_addr.clone(),
            meters,
            audits: config.audits.clone(),
            calls: Count::new(),
            running,
            founding: tokio::sync::Mutex::default(),
            closing: tokio::sync::Mutex::default(),
            beside: Mutex::default(),
        }
    }

    /// Returns how far the installation is.
    pub(crate) fn node(&self) -> Node {
        self.node.read().clone()
    }

    /// Returns the time.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.ports.clock
    }

    /// Draws random bytes.
    pub(crate) fn chance(&self) -> &dyn leasehold_core::chance::Chance {
        &*self.ports.chance
    }

    /// Whether a store that is initialized now opens by itself.
    pub(crate) fn founds_with_keeper(&self) -> bool {
        matches!(self.holder, Holder::Keeper { is_left: false, .. })
    }

    /// Initializes the store, and returns its first token, and the shares of the key that is split. From the moment they
    /// are kept there is no other way in, so they are returned whatever happens afterwards.
    pub(crate) async fn found(&self, split: Option<Split>) -> Result<Founded, FoundError> {
        let _founding = self.founding.lock().await;
        if seal::is_initialized(&*self.ports.store).await? {
            return Err(SealError::AlreadyInitialized.into());
        }
        let (mut founded, unsealed) = self.make(split, None, "root").await?;
        match first_public_keys(&self.ports, &unsealed).await {
            Ok(public_keys) => founded.public_keys = public_keys,
            Err(error) => {
                tracing::error!(%error, "the keys of the audit devices could not be drawn; they are logged once the store is open");
            }
        }
        self.become_sealed();
        if self.founds_with_keeper()
            && let Err(error) = self.open(unsealed).await
        {
            tracing::error!(%error, "the store is initialized, but could not be opened; start the server again");
        }
        Ok(founded)
    }

    /// Initializes and opens the store of a server to try things with: one share is all of its key.
    pub(super) async fn found_for_dev(
        &self,
        text: Option<SecretText>,
    ) -> Result<Founded, StartError> {
        let (founded, unsealed) = self.make(Split::new(1, 1).ok(), text, "token").await?;
        self.open(unsealed).await?;
        Ok(founded)
    }

    async fn make(
        &self,
        split: Option<Split>,
        text: Option<SecretText>,
        name: &str,
    ) -> Result<(Founded, Unsealed), FoundError> {
        // The key is kept before anything is sealed with it.
        let root: RootKey = self.kept_or_new().await?;
        let keeps = self.founds_with_keeper();
        let purpose = if keeps { Purpose::Recovery } else { Purpose::Unseal };
        let made = split.map(|split| Splits::first(purpose, split, &root, self.chance()));
        let holders = made.as_ref().map(|(splits, _)| (purpose, splits));
        let (unsealed, token) = found_with_holders(&self.ports, &root, holders, text, name).await?;
        let shares = made.map(|(_, shares)| shares).unwrap_or_default();
        Ok((Founded { token, shares, public_keys: BTreeMap::new() }, unsealed))
    }

    pub(super) fn become_sealed(&self) {
        *self.node.write() = Node::Sealed;
    }

    /// Opens the store for callers.
    pub(super) async fn open(&self, unsealed: Unsealed) -> Result<(), StoreError> {
        let _none_is_closing = self.closing.lock().await;
        let (broker, woken) =
            Broker::open(self.ports.clone(), unsealed, kinds(), self.limits).await?;
        let tasks = Arc::clone(&self.ports.tasks);
        let sweeping = tokio::spawn(sweeper::run(Arc::clone(&broker), Arc::clone(&tasks), woken));
        let keeping = tokio::spawn(keeper::run(Arc::clone(&broker), tasks));
        self.beside.lock().extend([sweeping, keeping]);
        *self.node.write() = Node::Unsealed(broker);
        Ok(())
    }

    /// Keeps how far the record reaches; where all has `ended` that could add to it, for good.
    pub(super) async fn close(&self, ended: bool) {
        if let Node::Unsealed(broker) = self.node() {
            keep_record(&broker, ended).await;
        }
    }

    /// Ends what goes on beside the callers.
    pub(super) async fn end_beside(&self) {
        let beside = std::mem::take(&mut *self.beside.lock());
        for task in beside {
            task.abort();
            // It ends at its next wait; the abort is all that it can fail of.
            let _ = task.await;
        }
    }
}

/// Keeps how far the audit record reaches; where it has `ended`, for good.
pub(super) async fn keep_record(broker: &Broker, ended: bool) {
    if let Err(error) = broker.keep_audit(ended).await {
        tracing::warn!(%error, "where the audit record ends could not be kept; the next start reads it");
    }
}

#[cfg(test)]
#[path = "node/tests.rs"]
mod tests;
