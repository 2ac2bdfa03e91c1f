//! Opens the store and closes it again: by itself where something keeps the root key, else by the people who have
//! shares of it; and moves it from the one to the others.

use super::node::{Node, Server, keep_record};
use super::{DRAIN_ATTEMPTS, DRAIN_REQUESTS, StartError};
use leasehold_core::ids::InstallationId;
use leasehold_core::seal::keeper::{Keeper, KeeperError};
use leasehold_core::seal::shares::{Share, Split};
use leasehold_core::seal::splits::{Gathered, Joined, Purpose, Stored, WrongShare};
use leasehold_core::seal::{self, RootKey, SealError, Unsealed};
use leasehold_core::store::StoreError;
use std::sync::Arc;

/// Who has the root key.
#[derive(Clone, Debug)]
pub(crate) enum Holder {
    /// People, who show their shares after every start.
    Shares,
    /// What the server asks by itself.
    Keeper {
        /// What that is.
        keeper: Arc<dyn Keeper>,
        /// Whether people are to have the key from now on.
        is_left: bool,
    },
}

/// A store that is moved from one holder of the root key to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// People had it, and show their shares for the last time.
    ToKeeper,
    /// The holders of the recovery key are to have it.
    ToShares,
}

/// How the seal is, as whoever asks may see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SealView {
    /// Vault's word for who has the root key.
    pub(crate) kind: &'static str,
    pub(crate) initialized: bool,
    /// Which installation it is; none while it is sealed.
    pub(crate) installation: Option<InstallationId>,
    /// Into how many shares the key is split that opens the store, or, where it opens by itself, the recovery key, as far
    /// as that can be known.
    pub(crate) split: Option<Split>,
    /// How many shares were shown.
    pub(crate) progress: usize,
    /// Names this showing of shares.
    pub(crate) nonce: String,
    /// Whether the store is being moved to another holder of the root key.
    pub(crate) migration: bool,
    /// Whether the shares are of a recovery key.
    pub(crate) recovery: bool,
}

/// A share was not taken, or the store could not be opened with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnsealError {
    /// There is nothing to open.
    #[error("Vault is not initialized")]
    NotInitialized,
    /// Another holder of the root key is named in the configuration than the one who has it.
    #[error(
        "'migrate' parameter must be set true in JSON body when in seal migration mode: the configuration names another \
         seal than the store has, and showing the shares moves it there"
    )]
    IsMoving,
    /// Nothing is moved.
    #[error("'migrate' parameter set true in JSON body when not in seal migration mode")]
    IsNotMoving,
    /// It opens by itself.
    #[error("the store opens by itself with its seal `{0}`; start the server again to unseal it")]
    OpensByItself(&'static str),
    /// There is nobody to move to.
    #[error(
        "nobody has shares of a recovery key; start the server with its seal, make them with `leasehold operator rekey \
         -target=recovery -init`, and try again"
    )]
    NoRecoveryKey,
    /// A stranger.
    #[error(
        "shares were shown already, and only somebody with one may undo that: send one of this installation's as `key` \
         with `reset`"
    )]
    ResetByStranger,
    /// The share is none.
    #[error(transparent)]
    Wrong(#[from] WrongShare),
    /// The store cannot be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The root key is not to be had.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
}

impl From<StoreError> for UnsealError {
    fn from(error: StoreError) -> Self {
        Self::Seal(error.into())
    }
}

/// What shares are to be shown, and what for.
struct Showing {
    purpose: Purpose,
    stored: Stored,
    moving: Option<Move>,
    /// Known only where a keeper is to be left.
    root: Option<RootKey>,
}

impl Server {
    /// Opens a store that opens by itself; leaves one that is not initialized, or that people open, as it is.
    pub(in crate::wiring) async fn start(&self) -> Result<(), StartError> {
        if !seal::is_initialized(&*self.ports.store).await? {
            tracing::info!("the store is not initialized; run `leasehold operator init`");
            return Ok(());
        }
        self.become_sealed();
        let is_split = self.unseal_splits().await?.splits.split().is_some();
        match (&self.holder, is_split) {
            (Holder::Keeper { keeper, is_left: false }, false) => {
                let root = keeper.recall().await?;
                passing!(StartBeforeUnseal);
                let unsealed = seal::unseal(&*self.ports.store, &root).await?;
                self.open(unsealed).await?;
                passing!(StartAfterUnseal);
            }
            (Holder::Shares, false) => return Err(StartError::OpensByKey),
            (Holder::Keeper { is_left: false, .. }, true)
            | (Holder::Keeper { is_left: true, .. }, false) => {
                tracing::warn!(
                    "the configuration names another seal than the store has; `leasehold operator unseal -migrate` moves it"
                );
            }
            (Holder::Keeper { is_left: true, .. }, true) => {
                tracing::warn!(
                    "the store is sealed; the `seal` of the configuration is no longer in use and can be taken out"
                );
            }
            (Holder::Shares, true) => {
                tracing::info!("the store is sealed; `leasehold operator unseal` opens it");
            }
        }
        Ok(())
    }

    /// Takes a share of one who wants the store to be open. Once enough were shown, it is.
    pub(crate) async fn unseal(&self, share: Share, migrate: bool) -> Result<(), UnsealError> {
        let mut gathering = self.founding.lock().await;
        match self.node() {
            Node::Unsealed(_) => return Ok(()),
            Node::Uninitialized => return Err(UnsealError::NotInitialized),
            Node::Sealed => {}
        }
        let Showing { purpose, stored, moving, root } = self.showing().await?;
        match (moving, migrate) {
            (Some(_), false) => return Err(UnsealError::IsMoving),
            (None, true) => return Err(UnsealError::IsNotMoving),
            (Some(_), true) | (None, false) => {}
        }
        let gathered = gathering.get_or_insert_with(|| Gathered::new(self.chance()));
        let Some(joined) = gathered.take(purpose, &stored.splits, share)? else { return Ok(()) };
        *gathering = None;
        let (store, chance) = (&*self.ports.store, self.chance());
        let root = root.or_else(|| joined.root()).ok_or(SealError::WrongKey)?;
        let unsealed = match moving {
            None => self.opened_by(&stored, &joined, &root).await?,
            Some(moving) => {
                let new = match moving {
                    Move::ToKeeper => self.kept_or_new().await?,
                    Move::ToShares => RootKey::draw(chance),
                };
                let from = (purpose, &stored, &joined);
                let now = self.clock().now();
                let unsealed = seal::change_seal(store, from, (&root, &new), now, chance).await?;
                tracing::warn!("the seal was moved, and the root key is another one now");
                unsealed
            }
        };
        Ok(self.open(unsealed).await?)
    }

    /// Opens the store for those who have shown enough shares. Where that makes older shares void, or some are void that
    /// told the root key, the store gets another one; if it cannot be kept, it is tried again when they are shown again.
    async fn opened_by(
        &self,
        stored: &Stored,
        joined: &Joined,
        root: &RootKey,
    ) -> Result<Unsealed, SealError> {
        let (store, chance) = (&*self.ports.store, self.chance());
        if stored.splits.root_is_due(joined) {
            let new = RootKey::draw(chance);
            let (shown, now) = ((stored, joined), self.clock().now());
            match seal::renew_root(store, shown, (root, &new), now, chance).await {
                Ok(unsealed) => {
                    tracing::warn!(
                        "the root key is another one now, which no older key share opens"
                    );
                    return Ok(unsealed);
                }
                Err(error) => {
                    tracing::warn!(%error, "the root key, which older key shares open, could not be replaced yet");
                }
            }
        }
        seal::unseal(store, root).await
    }

    /// Forgets the shares that were shown, for somebody who has one.
    pub(crate) async fn reset_unseal(&self, share: Option<Share>) -> Result<(), UnsealError> {
        let mut gathering = self.founding.lock().await;
        match self.node() {
            Node::Unsealed(_) => return Ok(()),
            Node::Uninitialized => return Err(UnsealError::NotInitialized),
            Node::Sealed => {}
        }
        if gathering.is_some() {
            let showing = self.showing().await?;
            if !share.is_some_and(|share| showing.stored.splits.has(&share)) {
                return Err(UnsealError::ResetByStranger);
            }
            *gathering = None;
        }
        Ok(())
    }

    /// Closes the store: nobody is served any more, what has begun goes on to its end within the bounds of a
    /// shutdown, and the keys are forgotten.
    pub(crate) async fn seal(&self) {
        let (broker, _closing) = {
            let _sealing = self.founding.lock().await;
            let Node::Unsealed(broker) = self.node() else { return };
            let closing = self.closing.lock().await;
            self.become_sealed();
            (broker, closing)
        };
        tracing::warn!("the store was sealed; what has begun goes on to its end");
        self.end_beside().await;
        // One is the request that asked for it.
        let few = self.calls.at_most(1);
        let served = tokio::time::timeout(DRAIN_REQUESTS, few).await.is_ok();
        if !served {
            tracing::warn!(
                "some requests go on beyond the seal; what they have begun is on leases"
            );
        }
        let idle = tokio::time::timeout(DRAIN_ATTEMPTS, self.running.idle()).await.is_ok();
        if !idle {
            tracing::warn!(
                "some attempts at targets go on beyond the seal; after it is open they are looked at again"
            );
        }
        // What goes on is still recorded.
        keep_record(&broker, served && idle).await;
    }

    /// Tells how the seal is.
    pub(crate) async fn seal_view(&self) -> Result<SealView, SealError> {
        let node = self.node();
        let installation = match &node {
            Node::Unsealed(broker) => Some(broker.installation()),
            Node::Uninitialized | Node::Sealed => None,
        };
        let initialized = !matches!(node, Node::Uninitialized);
        let stored = if initialized { self.unseal_splits().await? } else { Stored::default() };
        let is_split = stored.splits.split().is_some();
        let kind = self.seal_kind(is_split, initialized);
        let moving = self.moving(is_split).filter(|_| initialized);
        let (progress, nonce) = match &*self.founding.lock().await {
            Some(gathered) => (gathered.progress(), gathered.nonce.clone()),
            None => (0, String::new()),
        };
        let split = match (&node, stored.splits.split()) {
            (Node::Unsealed(broker), None) => broker.recovery_split().await?,
            // Its record is sealed under the root key, which is at hand only where its holders are to open the store.
            (Node::Sealed, None) => {
                self.showing().await.ok().and_then(|showing| showing.stored.splits.split())
            }
            (_, split) => split,
        };
        Ok(SealView {
            kind,
            initialized,
            installation,
            split,
            progress,
            nonce,
            migration: moving.is_some() && installation.is_none(),
            recovery: initialized && !is_split,
        })
    }

    /// Returns Vault's word for who has the root key, or is to have it.
    fn seal_kind(&self, is_split: bool, initialized: bool) -> &'static str {
        match &self.holder {
            Holder::Keeper { keeper, .. } if initialized && !is_split => keeper.kind(),
            Holder::Keeper { keeper, is_left: false } if !initialized => keeper.kind(),
            Holder::Keeper { .. } | Holder::Shares => "shamir",
        }
    }

    fn moving(&self, is_split: bool) -> Option<Move> {
        match (&self.holder, is_split) {
            (Holder::Keeper { is_left: false, .. }, true) => Some(Move::ToKeeper),
            (Holder::Keeper { is_left: true, .. }, false) => Some(Move::ToShares),
            (Holder::Keeper { .. } | Holder::Shares, _) => None,
        }
    }

    async fn unseal_splits(&self) -> Result<Stored, SealError> {
        Stored::read(&*self.ports.store, Purpose::Unseal, None).await
    }

    async fn showing(&self) -> Result<Showing, UnsealError> {
        let stored = self.unseal_splits().await?;
        let moving = self.moving(stored.splits.split().is_some());
        match (&self.holder, moving) {
            (Holder::Keeper { keeper, .. }, Some(Move::ToShares)) => {
                let root = keeper.recall().await?;
                let purpose = Purpose::Recovery;
                let stored = Stored::read(&*self.ports.store, purpose, Some(&root)).await?;
                if stored.splits.split().is_none() {
                    return Err(UnsealError::NoRecoveryKey);
                }
                Ok(Showing { purpose, stored, moving, root: Some(root) })
            }
            (Holder::Keeper { keeper, .. }, None) if stored.splits.split().is_none() => {
                Err(UnsealError::OpensByItself(keeper.kind()))
            }
            (Holder::Keeper { .. } | Holder::Shares, _) => {
                Ok(Showing { purpose: Purpose::Unseal, stored, moving, root: None })
            }
        }
    }

    /// Returns the key that the keeper has, or has it keep a new one. It is kept before anything is sealed under it.
    pub(in crate::wiring) async fn kept_or_new(&self) -> Result<RootKey, KeeperError> {
        let Holder::Keeper { keeper, is_left: false } = &self.holder else {
            return Ok(RootKey::draw(self.chance()));
        };
        match keeper.recall().await {
            Err(KeeperError::Missing(_)) => {
                let root = RootKey::draw(self.chance());
                keeper.keep(root.clone()).await?;
                Ok(root)
            }
            outcome => outcome,
        }
    }
}
