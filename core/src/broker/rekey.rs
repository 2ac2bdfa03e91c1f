//! Splits a key anew, for the holders of its shares: another number of them, or other people.
//!
//! The old shares stay good until enough of the new ones were shown, in a verification or by using them: whoever loses
//! the new ones has lost nothing.

use super::authenticate::Caller;
use super::holders::{HolderError, Holders};
use super::{Broker, Request};
use crate::seal::shares::{Share, Split};
use crate::seal::splits::{Gathered, Purpose, Splits};
use crate::store::Batch;
use futures_util::lock::Mutex;
use std::sync::Arc;

const WHAT: &str = "rekey";

/// A new split that was asked for.
#[derive(Debug)]
pub(super) struct NewKey {
    split: Split,
    must_verify: bool,
    gathered: Gathered,
    /// The new shares were told, and are to be shown.
    verifying: bool,
}

/// How far it is.
#[derive(Debug, Default)]
pub struct Rekeying {
    /// Names it; empty if it has not begun.
    pub nonce: String,
    /// How the key is to be split.
    pub split: Option<Split>,
    /// How many shares were shown.
    pub progress: usize,
    /// How many are needed.
    pub required: usize,
    /// Whether the new shares are to be shown before the old ones have no force.
    pub must_verify: bool,
    /// Whether they were told, and are to be shown now.
    pub verifying: bool,
    /// The new shares, told once; or nothing, where enough of them were shown and it is done.
    pub done: Option<Vec<Share>>,
}

impl Broker {
    fn begun_of(&self, purpose: Purpose) -> &Mutex<Option<NewKey>> {
        match purpose {
            Purpose::Unseal => &self.begun.unseal_key,
            Purpose::Recovery => &self.begun.recovery_key,
        }
    }

    /// Tells how far it is.
    pub async fn rekeying(&self, purpose: Purpose) -> Result<Rekeying, HolderError> {
        let holders = self.holders_of(purpose).await?;
        let begun = self.begun_of(purpose).lock().await;
        let none = Rekeying { required: holders.required(), ..Rekeying::default() };
        Ok(begun.as_ref().map_or(none, |begun| begun.told(&holders)))
    }

    /// Begins. A recovery key that nobody holds yet is made at once, by who may.
    pub async fn begin_rekey(
        self: &Arc<Self>,
        request: &Request,
        purpose: Purpose,
        split: Split,
        must_verify: bool,
        share: Option<&Share>,
    ) -> Result<Rekeying, HolderError> {
        let holders = self.holders_of(purpose).await?;
        let caller = self.admit_holder(request, share, &holders).await?;
        let begin = async |batch| self.begin(purpose, split, must_verify, batch).await;
        let outcome = match caller.clone() {
            None => begin(Batch::default()).await,
            Some(caller) => {
                let begin = async |by: Caller| begin(by.rights.expected(Batch::default())).await;
                self.until_kept(request, caller, begin).await
            }
        };
        self.conclude_holder(request, caller.as_ref(), &outcome).await?;
        outcome
    }

    async fn begin(
        &self,
        purpose: Purpose,
        split: Split,
        must_verify: bool,
        batch: Batch,
    ) -> Result<Rekeying, HolderError> {
        let holders = &self.holders_of(purpose).await?;
        let mut begun = self.begun_of(purpose).lock().await;
        if begun.is_some() {
            return Err(HolderError::InProgress(WHAT));
        }
        if holders.required() > 0 {
            let gathered = Gathered::new(&*self.chance);
            let new = begun.insert(NewKey { split, must_verify, gathered, verifying: false });
            return Ok(new.told(holders));
        }
        if purpose == Purpose::Unseal {
            let told = "the key of this store is not split; `sys/rekey-recovery-key` splits the recovery key";
            return Err(HolderError::Bad(told.to_owned()));
        }
        let (_, barrier) = self.records.ring();
        let (splits, shares) = Splits::first(purpose, split, barrier.root(), &*self.chance);
        self.records.commit(self.keep_holders(batch, holders, &splits)?).await?;
        Ok(Rekeying { split: Some(split), done: Some(shares), ..Rekeying::default() })
    }

    /// Gives up what was begun, and new shares that were to be shown; where nothing was there is nothing to be allowed.
    pub async fn cancel_rekey(
        self: &Arc<Self>,
        request: &Request,
        purpose: Purpose,
        share: Option<&Share>,
    ) -> Result<(), HolderError> {
        if self.begun_of(purpose).lock().await.is_none() {
            return Ok(());
        }
        let holders = self.holders_of(purpose).await?;
        let caller = self.admit_holder(request, share, &holders).await?;
        let outcome = self.drop_new_key(purpose).await;
        self.conclude_holder(request, caller.as_ref(), &outcome).await?;
        outcome
    }

    async fn drop_new_key(&self, purpose: Purpose) -> Result<(), HolderError> {
        let mut begun = self.begun_of(purpose).lock().await;
        if begun.as_ref().is_some_and(|begun| begun.verifying) {
            let holders = self.holders_of(purpose).await?;
            let splits = holders.stored.splits.without_unshown();
            let batch = self.keep_holders(Batch::default(), &holders, &splits)?;
            self.records.commit(batch).await?;
        }
        *begun = None;
        Ok(())
    }

    /// Takes a share: of the old ones, until there are enough and the new ones are told; or of the new ones, where they
    /// are to be shown.
    pub async fn go_on_with_rekey(
        self: &Arc<Self>,
        request: &Request,
        purpose: Purpose,
        verifies: bool,
        nonce: &str,
        share: Share,
    ) -> Result<Rekeying, HolderError> {
        let holders = self.holders_of(purpose).await?;
        let caller: Option<Caller> = self.admit_holder(request, Some(&share), &holders).await?;
        let outcome = self.shown_for_rekey(purpose, verifies, nonce, share).await;
        self.conclude_holder(request, caller.as_ref(), &outcome).await?;
        outcome
    }

    async fn shown_for_rekey(
        &self,
        purpose: Purpose,
        verifies: bool,
        nonce: &str,
        share: Share,
    ) -> Result<Rekeying, HolderError> {
        let mut begun = self.begun_of(purpose).lock().await;
        let what = if verifies { "rekey verification" } else { WHAT };
        let new = begun.as_mut().filter(|new| new.verifying == verifies);
        let new = new.ok_or(HolderError::NotInProgress(what))?;
        if new.gathered.nonce != nonce {
            let nonce = new.gathered.nonce.clone();
            return Err(HolderError::OtherNonce { what, nonce });
        }
        let mut holders = self.holders_of(purpose).await?;
        if verifies {
            // Only new shares prove that the new shares are there.
            holders.stored.splits = holders.stored.splits.newest();
        }
        let Some(joined) = self.gather(&mut new.gathered, &holders, share)? else {
            return Ok(new.told(&holders));
        };
        let in_force = holders.stored.splits.once_shown(&joined);
        if verifies {
            self.records.commit(self.keep_holders(Batch::default(), &holders, &in_force)?).await?;
            let done =
                Rekeying { nonce: nonce.to_owned(), done: Some(Vec::new()), ..new.told(&holders) };
            *begun = None;
            return Ok(done);
        }
        let (_, barrier) = self.records.ring();
        let (splits, shares) = in_force.and_then(purpose, new.split, barrier.root(), &*self.chance);
        self.records.commit(self.keep_holders(Batch::default(), &holders, &splits)?).await?;
        let told = Rekeying { done: Some(shares), ..new.told(&holders) };
        if new.must_verify {
            new.verifying = true;
            new.gathered = Gathered::new(&*self.chance);
            return Ok(Rekeying { nonce: new.gathered.nonce.clone(), verifying: true, ..told });
        }
        *begun = None;
        Ok(told)
    }
}

impl NewKey {
    fn told(&self, holders: &Holders) -> Rekeying {
        Rekeying {
            nonce: self.gathered.nonce.clone(),
            split: Some(self.split),
            progress: self.gathered.progress(),
            required: if self.verifying { self.split.threshold() } else { holders.required() },
            must_verify: self.must_verify,
            verifying: self.verifying,
            done: None,
        }
    }
}
