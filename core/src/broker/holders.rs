//! What the holders of key shares decide together: whom they are, who may begin and end such a thing, and what is
//! gathered for it so far.
//!
//! To begin and to end one takes a token that may, or one good share; to bring it about takes enough shares, and each
//! is checked alone. So a stranger can neither bring anything about nor undo what the holders have begun.

use super::authenticate::{AdmitError, Caller};
use super::{Broker, Request};
use crate::audit::{Answer, Who};
use crate::seal::SealError;
use crate::seal::shares::{Share, Split};
use crate::seal::splits::{Gathered, Joined, Purpose, Splits, Stored, WrongShare};
use crate::store::{Batch, StoreError};
use futures_util::lock::Mutex;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The holders do not do that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HolderError {
    /// Who asks may not.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is nobody who could decide it.
    #[error(
        "nobody holds shares of a key that could decide this; a token with sudo makes a recovery key: `leasehold operator \
         rekey -target=recovery -init`"
    )]
    NoHolders,
    /// It is being done already.
    #[error("{0} already in progress")]
    InProgress(&'static str),
    /// It has not begun.
    #[error("no {0} in progress")]
    NotInProgress(&'static str),
    /// It is about another one.
    #[error("incorrect nonce supplied; nonce for this {what} operation is {nonce:?}")]
    OtherNonce {
        /// What is being done.
        what: &'static str,
        /// What it is called.
        nonce: String,
    },
    /// What is asked cannot be.
    #[error("{0}")]
    Bad(String),
    /// The share is none.
    #[error(transparent)]
    Wrong(#[from] WrongShare),
    /// What is stored cannot be read.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl From<StoreError> for HolderError {
    fn from(error: StoreError) -> Self {
        Self::Seal(error.into())
    }
}

/// What the holders have begun. One of each kind at most, however many ask for it.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) root: Mutex<Option<super::generate_root::RootWanted>>,
    pub(super) unseal_key: Mutex<Option<super::rekey::NewKey>>,
    pub(super) recovery_key: Mutex<Option<super::rekey::NewKey>>,
}

/// Who holds shares of a key.
#[derive(Debug)]
pub(super) struct Holders {
    pub(super) purpose: Purpose,
    pub(super) stored: Stored,
}

impl Holders {
    /// How many of them are needed.
    pub(super) fn required(&self) -> usize {
        self.stored.splits.split().map_or(0, Split::threshold)
    }
}

impl Broker {
    /// Returns who holds shares of this key.
    pub(super) async fn holders_of(&self, purpose: Purpose) -> Result<Holders, SealError> {
        let (store, barrier) = self.records.ring();
        let stored = Stored::read(store, purpose, Some(barrier.root())).await?;
        Ok(Holders { purpose, stored })
    }

    /// Tells how the recovery key is split, if anybody holds shares of one.
    pub async fn recovery_split(&self) -> Result<Option<Split>, SealError> {
        Ok(self.holders_of(Purpose::Recovery).await?.stored.splits.split())
    }

    /// Returns who decides for the installation: those who open the store, or else those with the recovery key.
    pub(super) async fn deciders(&self) -> Result<Holders, SealError> {
        let holders = self.holders_of(Purpose::Unseal).await?;
        if holders.stored.splits.split().is_some() {
            return Ok(holders);
        }
        self.holders_of(Purpose::Recovery).await
    }

    /// Admits somebody with a share of these, or else with a token that may, and puts them on record.
    pub(super) async fn admit_holder(
        self: &Arc<Self>,
        request: &Request,
        share: Option<&Share>,
        holders: &Holders,
    ) -> Result<Option<Caller>, HolderError> {
        let Some(share) = share else {
            return Ok(Some(self.admit(request).await?));
        };
        let now = self.clock.now();
        if holders.stored.splits.has(share) {
            let record = self.trail.asked(&request.asked, None, now);
            self.recorded(record).await.map_err(AdmitError::from)?;
            return Ok(None);
        }
        let who = Who::stranger(request.token.as_ref(), self.trail.keys());
        self.record_refusal(request, &who, &WrongShare::Unknown).await?;
        Err(WrongShare::Unknown.into())
    }

    /// Puts on record what came of it.
    pub(super) async fn conclude_holder<T>(
        self: &Arc<Self>,
        request: &Request,
        caller: Option<&Caller>,
        outcome: &Result<T, HolderError>,
    ) -> Result<(), HolderError> {
        let answer = match outcome {
            Ok(_) => Answer::default(),
            Err(error) => Answer::error(error),
        };
        if let Some(caller) = caller {
            return Ok(self.conclude(request, caller, &answer).await?);
        }
        let record = self.trail.answered(&request.asked, None, &answer, self.clock.now());
        Ok(self.recorded(record).await.map_err(AdmitError::from)?)
    }

    /// Takes a share of these. That enough of them open the root key of this store is made sure of: what says whose
    /// shares are good is stored in the clear.
    pub(super) fn gather(
        &self,
        gathered: &mut Gathered,
        holders: &Holders,
        share: Share,
    ) -> Result<Option<Joined>, WrongShare> {
        let joined = gathered.take(holders.purpose, &holders.stored.splits, share)?;
        let (_, barrier) = self.records.ring();
        let opens = |joined: &Joined| match (holders.purpose, joined.root()) {
            (Purpose::Recovery, None) => true,
            (Purpose::Unseal, Some(root)) => root.expose().ct_eq(barrier.root().expose()).into(),
            (Purpose::Recovery, Some(_)) | (Purpose::Unseal, None) => false,
        };
        if joined.as_ref().is_some_and(|joined| !opens(joined)) {
            return Err(WrongShare::Altered);
        }
        Ok(joined)
    }

    /// Adds to a batch that these splits are kept in place of the ones that were read.
    pub(super) fn keep_holders(
        &self,
        batch: Batch,
        holders: &Holders,
        splits: &Splits,
    ) -> Result<Batch, StoreError> {
        let (_, barrier) = self.records.ring();
        let (purpose, chance) = (holders.purpose, &*self.chance);
        holders.stored.replaced(batch, purpose, splits, barrier.root(), chance)
    }
}
