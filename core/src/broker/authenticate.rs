//! Says who a caller is and whether they may, and records the request before anything is done.

use super::access::Rights;
use super::{Broker, Request};
use crate::access::login::LoginOrigin;
use crate::access::params::is_within;
use crate::access::policy::Right;
use crate::access::token::{EndCause, Token, Wrapped};
use crate::address::ClientAddress;
use crate::audit::{Answer, AuditError, Who};
use crate::limits::CONFLICT_TRIES;
use crate::store::records::Found;
use crate::store::tokens::uses_at;
use crate::store::{Batch, StoreError};
use std::fmt;
use std::sync::Arc;

/// Who sent a request, once that is known and they may.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) token: Arc<Found<Token>>,
    pub(super) who: Arc<Who>,
    /// What they may do.
    pub(super) rights: Rights,
    pub(super) spent: bool,
}

/// The request goes no further, and nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// There is no token, or it is not good.
    #[error("permission denied")]
    BadToken,
    /// The token is good, but its policies do not allow this.
    #[error("permission denied")]
    Denied {
        /// Which rule of which policy it was; known to those who may read the policies.
        why: Option<String>,
    },
    /// The request or its answer could not be recorded.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What of an outcome the audit is shown.
pub(super) trait Recorded {
    fn recorded(&self) -> Answer;
}

impl Recorded for () {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Broker {
    /// Admits a request: its token is good, its policies allow it, and it is recorded.
    pub(super) async fn admit(self: &Arc<Self>, request: &Request) -> Result<Caller, AdmitError> {
        let (token, who, spent) = match self.authenticate(request).await {
            Ok(known) => known,
            Err(refused) => {
                let who = Who::stranger(request.token.as_ref(), self.trail.keys());
                self.record_refusal(request, &who, &refused).await?;
                return Err(refused);
            }
        };
        let key = token.record.key;
        let admitted = self.admit_known(request, token, who, spent).await;
        if spent && admitted.is_err() {
            // Spent is spent: what was lent to it before ends with it.
            self.end_token_soon(key, EndCause::Spent);
        }
        admitted
    }

    async fn admit_known(
        &self,
        request: &Request,
        token: Found<Token>,
        who: Who,
        spent: bool,
    ) -> Result<Caller, AdmitError> {
        let rights = match self.allowed_now(&token.record, request).await {
            Ok(rights) => rights,
            Err(refused) => {
                self.record_refusal(request, &who.denied(), &refused).await?;
                return Err(refused);
            }
        };
        let who = who.known_as(rights.identity.as_deref());
        let who = who.granted(Arc::clone(&rights.granting));
        self.recorded(self.trail.asked(&request.asked, Some(&who), self.clock.now())).await?;
        let (token, who) = (Arc::new(token), Arc::new(who));
        Ok(Caller { token, who, rights, spent })
    }

    /// Puts on record that somebody is refused, and why.
    pub(super) async fn record_refusal(
        &self,
        request: &Request,
        who: &Who,
        why: &impl ToString,
    ) -> Result<(), AdmitError> {
        let now = self.clock.now();
        Ok(self.recorded(self.trail.refused(&request.asked, who, why.to_string(), now)).await?)
    }

    /// Turns a request away for `why`, on record. Only who could have been served learns that it failed for that.
    pub async fn turn_away(
        self: &Arc<Self>,
        request: &Request,
        why: &str,
    ) -> Result<(), AdmitError> {
        if request.right == Right::Nothing {
            return self.record_refusal(request, &Who::nobody(), &why).await;
        }
        let caller = self.admit(request).await?;
        self.conclude(request, &caller, &Answer::error(why)).await
    }

    /// Admits a request that asks nothing of the broker, and puts it on record.
    pub async fn let_pass(self: &Arc<Self>, request: &Request) -> Result<(), AdmitError> {
        self.served(request, async |_| Ok(())).await
    }

    /// Returns the token of a request, who holds it, and whether this was its last use.
    async fn authenticate(
        &self,
        request: &Request,
    ) -> Result<(Found<Token>, Who, bool), AdmitError> {
        let text = request.token.as_ref().ok_or(AdmitError::BadToken)?;
        let token = self.token_of(text).await?.ok_or(AdmitError::BadToken)?;
        let now = self.clock.now();
        // Whoever has a wrapping token may open what it wraps, and nothing else.
        let is_good = token.record.is_held(now) && token.record.wraps.is_none();
        if !is_good || !self.may_come(&token.record, request) {
            return Err(AdmitError::BadToken);
        }
        let token = if token.record.num_uses > 0 { self.spend_use(token).await? } else { token };
        let spent = token.record.spent_at.is_some();
        let who = Who::holder(&token.record, text, now, self.trail.keys());
        Ok((token, who, spent))
    }

    /// Whether a token may be used from where this request comes, and the method that made it is still there: once that
    /// is disabled its tokens are good for nothing, however long it takes to end them all.
    pub(super) fn may_come(&self, token: &Token, request: &Request) -> bool {
        let is_near = || is_within(&token.bound_cidrs, request.asked.from.map(ClientAddress::ip));
        let is_there = |login: &LoginOrigin| self.catalog().open_mount(login.mount).is_some();
        (token.bound_cidrs.is_empty() || is_near()) && token.login.as_ref().is_none_or(is_there)
    }

    /// Spends one use of a token with few, durably, before anything else is done. With the last one it is kept that the
    /// token ends, so that it does whatever becomes of the request. Returns the token as it is then.
    async fn spend_use(&self, token: Found<Token>) -> Result<Found<Token>, AdmitError> {
        let at = uses_at(&token.record.key);
        let mut token = token;
        for _ in 0..CONFLICT_TRIES.saturating_mul(8) {
            let uses = self.records.read::<u32>(&at).await?.ok_or(AdmitError::BadToken)?;
            let left = uses.record.checked_sub(1).ok_or(AdmitError::BadToken)?;
            let sealed = self.records.seal(&at, &left)?;
            let batch =
                Batch::default().expect(at.clone(), Some(uses.revision)).put(at.clone(), sealed);
            if left > 0 {
                match self.records.commit(batch).await {
                    Ok(_) => return Ok(token),
                    Err(StoreError::Conflict) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            let spent = Token { spent_at: Some(self.clock.now()), ..token.record.clone() };
            match self.keep_token_if(batch, &token, &spent).await {
                Ok(revision) => return Ok(Found { record: spent, revision }),
                Err(StoreError::Conflict) => {
                    let now = self.records.token(&token.record.key).await?;
                    token =
                        now.filter(|now| now.record.ended.is_none()).ok_or(AdmitError::BadToken)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Serves a request from its admission to the record of its answer. All verbs but `issue`, whose answer is a
    /// secret, are served so.
    pub(super) async fn served<T, E, F>(
        self: &Arc<Self>,
        request: &Request,
        verb: impl FnOnce(Caller) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        T: Recorded,
        E: From<AdmitError> + fmt::Display,
    {
        self.served_or_ended(request, |_| Wrapped::Answer, verb).await
    }

    /// Serves a write: decides it for the caller until it is kept. What it keeps first is to expect what the caller's
    /// rights were read from ([`Rights::expected`]): so nothing is done by a right that was taken away before.
    pub(super) async fn written<T, E, F>(
        self: &Arc<Self>,
        request: &Request,
        decide: impl Fn(Caller) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        T: Recorded,
        E: From<AdmitError> + From<StoreError> + PartialEq + fmt::Display,
    {
        self.served(request, async |caller| self.until_kept(request, caller, decide).await).await
    }

    /// Decides for a caller, and decides anew while what is kept of it was decided by something that has changed
    /// meanwhile: by then the caller may be allowed less, or nothing.
    pub(super) async fn until_kept<T, E, F>(
        &self,
        request: &Request,
        caller: Caller,
        decide: impl Fn(Caller) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: From<AdmitError> + From<StoreError> + PartialEq,
    {
        let mut now = caller.clone();
        for _ in 0..CONFLICT_TRIES {
            match decide(now.clone()).await {
                Err(error) if error == StoreError::Conflict.into() => {
                    // Of many who meet the same conflict not each needs to read it all.
                    self.reload_unless_read_since(self.clock.now()).await?;
                    let (token, rights) = self.caller_now(&caller, request).await?;
                    now = Caller { token, rights, ..now };
                }
                outcome => return outcome,
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Begins what takes several commits, of which none alone is what was decided: nothing is kept, and it is a conflict
    /// unless all is as the batch expects. From then on it goes on, as what a record tells of does.
    pub(super) async fn begin_if(&self, batch: Batch) -> Result<(), StoreError> {
        if !batch.expected.is_empty() {
            // What keeps nothing needs no space either.
            self.records.commit(Batch { spends_reserve: true, ..batch }).await?;
        }
        Ok(())
    }

    /// Records what is answered; a token that had this one use left ends.
    pub(super) async fn conclude(
        self: &Arc<Self>,
        request: &Request,
        caller: &Caller,
        answer: &Answer,
    ) -> Result<(), AdmitError> {
        if caller.spent {
            self.end_token_soon(caller.token.record.key, EndCause::Spent);
        }
        let now = self.clock.now();
        let record = self.trail.answered(&request.asked, Some(&caller.who), answer, now);
        Ok(self.recorded(record).await?)
    }
}
