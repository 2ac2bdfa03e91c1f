//! What a request meets: a store that nobody has initialized yet, or a broker.

use super::StartError;
use crate::config::{AuditDevice, Config};
use crate::meters::Meters;
use crate::seal_file::{self, SealFileError};
use crate::{keeper, sweeper};
use leasehold_core::broker::{Broker, Ports, found};
use leasehold_core::engine::erased::{Kind, KindOf};
use leasehold_core::limits::Limits;
use leasehold_core::seal::{self, RootKey, SealError, Unsealed};
use leasehold_core::secret::SecretText;
use leasehold_core::store::StoreError;
use leasehold_core::time::Clock;
use leasehold_engines::postgres::Postgres;
use parking_lot::{Mutex, RwLock};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// How far an installation is. Sealed is a type, not a flag: without a broker there is nothing to ask.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// The store is empty; only `init` does anything.
    Uninitialized,
    /// The store is open.
    Unsealed(Arc<Broker>),
}

/// One server, from its start to its end.
#[derive(Debug)]
pub(crate) struct Server {
    node: RwLock<Node>,
    ports: Ports,
    limits: Limits,
    /// Where the root key is; none for a server to try things with.
    seal: Option<PathBuf>,
    /// Vault's word for the kind of store.
    pub(crate) storage: &'static str,
    /// Where callers are told to find the server.
    pub(crate) api_addr: Option<String>,
    pub(crate) meters: Meters,
    /// The audit devices, as they are declared.
    pub(crate) audits: Vec<AuditDevice>,
    /// Held while the store is being initialized.
    founding: tokio::sync::Mutex<()>,
    /// What goes on beside the callers.
    running: Mutex<Vec<JoinHandle<()>>>,
}

/// The store was not initialized.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoundError {
    /// The store refused, or is initialized already.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The root key could not be kept.
    #[error(transparent)]
    SealFile(#[from] SealFileError),
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The kinds of targets there are.
fn kinds() -> Vec<Arc<dyn Kind>> {
    let kinds = vec![KindOf::<Postgres>::new()];
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
    ) -> Self {
        Self {
            node: RwLock::new(Node::Uninitialized),
            ports,
            limits: config.limits,
            seal: config.seal.clone(),
            storage,
            api_addr: config.api_addr.clone(),
            meters,
            audits: config.audits.clone(),
            founding: tokio::sync::Mutex::default(),
            running: Mutex::default(),
        }
    }

    /// Returns how far the installation is.
    pub(crate) fn node(&self) -> Node {
        self.node.read().clone()
    }

    /// Returns Vault's word for how the root key is kept.
    pub(crate) fn seal_kind(&self) -> &'static str {
        if self.seal.is_some() { "file" } else { "dev" }
    }

    /// Returns the time.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.ports.clock
    }

    /// Draws random bytes.
    pub(crate) fn chance(&self) -> &dyn leasehold_core::chance::Chance {
        &*self.ports.chance
    }

    /// Opens a store that is initialized; leaves one that is not as it is.
    pub(super) async fn unseal(&self) -> Result<(), StartError> {
        if !seal::is_initialized(&*self.ports.store).await? {
            tracing::info!("the store is not initialized; run `leasehold operator init`");
            return Ok(());
        }
        let Some(path) = &self.seal else { return Ok(()) };
        let root = seal_file::read(path)?;
        passing!(StartBeforeUnseal);
        let unsealed = seal::unseal(&*self.ports.store, &root).await?;
        self.open(unsealed).await?;
        passing!(StartAfterUnseal);
        Ok(())
    }

    /// Initializes the store, and returns its first token. From the moment it is kept there is no other way in, so
    /// it is returned whatever happens afterwards.
    pub(crate) async fn found(&self) -> Result<SecretText, FoundError> {
        let _founding = self.founding.lock().await;
        let store = &*self.ports.store;
        if seal::is_initialized(store).await? {
            return Err(SealError::AlreadyInitialized.into());
        }
        // The key is on the disk before anything is sealed with it.
        let root = match &self.seal {
            None => RootKey::draw(self.chance()),
            Some(path) if path.exists() => seal_file::read(path)?,
            Some(path) => seal_file::make(path, self.chance())?,
        };
        let (unsealed, token) = found(&self.ports, &root, None, "root").await?;
        if let Err(error) = self.open(unsealed).await {
            tracing::error!(%error, "the store is initialized, but could not be opened; start the server again");
        }
        Ok(token)
    }

    /// Initializes the store of a server to try things with.
    pub(super) async fn found_for_dev(
        &self,
        text: Option<SecretText>,
    ) -> Result<SecretText, StartError> {
        let root = RootKey::draw(self.chance());
        let (unsealed, token) = found(&self.ports, &root, text, "token").await?;
        self.open(unsealed).await?;
        Ok(token)
    }

    async fn open(&self, unsealed: Unsealed) -> Result<(), StoreError> {
        let (broker, woken) =
            Broker::open(self.ports.clone(), unsealed, kinds(), self.limits).await?;
        let tasks = Arc::clone(&self.ports.tasks);
        let sweeping = tokio::spawn(sweeper::run(Arc::clone(&broker), Arc::clone(&tasks), woken));
        let keeping = tokio::spawn(keeper::run(Arc::clone(&broker), tasks));
        self.running.lock().extend([sweeping, keeping]);
        *self.node.write() = Node::Unsealed(broker);
        Ok(())
    }

    /// Ends what goes on beside the callers, and then the record.
    pub(super) async fn close(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        for running in running {
            running.abort();
            // It ends at its next wait; the abort is all that it can fail of.
            let _ = running.await;
        }
        if let Node::Unsealed(broker) = self.node()
            && let Err(error) = broker.keep_audit(true).await
        {
            tracing::warn!(%error, "where the audit record ends could not be kept; the next start reads it");
        }
    }
}

#[cfg(test)]
#[path = "node/tests.rs"]
mod tests;
