//! Wraps answers: what a caller is told goes into the cubbyhole of a token made for it, which opens it once.
//!
//! What the wrapped request made, a lease or a token, is indexed under the wrapping token like what was lent to any
//! other token, or made by it. So it ends with it, whether that lapses or is revoked, and after a crash as well. To
//! take the answer out is to remove the token with its index in one conditional write, before the answer is told.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::token::Children;
use super::{Broker, Request};
use crate::access::cubbyhole::Cubbyhole;
use crate::access::token::{EndCause, Token, Wrapped, draw, key_of};
use crate::audit::{Answer, Who};
use crate::ids::TokenAccessor;
use crate::lease::Cause;
use crate::lease::term::Term;
use crate::limits::{CUBBYHOLE_BYTES_MAX, TTL_MAX};
use crate::secret::SecretText;
use crate::store::records::Found;
use crate::store::tokens::{cubbyhole_at, delete_token};
use crate::store::{Batch, StoreError};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The policy that wrapping tokens carry, for whoever looks one up. What they may do is decided by what they are.
const WRAPPING_POLICY: &str = "response-wrapping";
/// Where in its cubbyhole a wrapping token has the answer, as in Vault.
const RESPONSE: &str = "response";

/// A wrapping token: shown to the caller in place of the answer.
#[derive(Debug)]
pub struct Wrapping {
    /// Its text.
    pub text: SecretText,
    /// What is kept of it; its path is the one whose answer it wraps.
    pub token: Token,
    /// The accessor of the token that it wraps.
    pub wrapped_accessor: Option<TokenAccessor>,
}

/// An answer that was taken out.
pub struct Unwrapped {
    /// The answer as it would have been told without wrapping.
    pub answer: Box<RawValue>,
    /// What had ended if it had not been taken out.
    pub made: Wrapped,
}

/// Nothing was wrapped, or nothing was taken out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// The request was not admitted, or not recorded.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// It is no wrapping token, or it was used already, or its time is over.
    #[error("wrapping token is not valid or does not exist")]
    NotValid,
    /// It cannot be wrapped.
    #[error("{0}")]
    Bad(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which wrapping token is asked about, and by whom.
struct Asking<'a> {
    caller: Caller,
    token: Option<Arc<Found<Token>>>,
    text: &'a SecretText,
}

impl Recorded for Wrapping {
    fn recorded(&self) -> Answer {
        let wrapped_accessor = self.wrapped_accessor.map(|accessor| accessor.to_string());
        Answer::data(Some(json!({ "wrap_info": {
            "token": self.text.reveal(),
            "accessor": self.token.accessor.to_string(),
            "ttl": self.token.creation_ttl.as_secs(),
            "creation_time": self.token.issued_at.rfc3339(),
            "creation_path": self.token.path,
            "wrapped_accessor": wrapped_accessor,
        } })))
    }
}

impl Recorded for Unwrapped {
    fn recorded(&self) -> Answer {
        let answer: Value = serde_json::from_str(self.answer.get()).unwrap_or_default();
        Answer::theirs(Some(json!({ "data": answer.get("data"), "auth": answer.get("auth") })))
    }
}

impl fmt::Debug for Unwrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unwrapped").field("made", &self.made).finish_non_exhaustive()
    }
}

impl Broker {
    /// Wraps the answer to a request that was served. If it cannot be wrapped, nobody is told the answer, and what the
    /// request made ends.
    pub async fn wrap(
        self: &Arc<Self>,
        request: &Request,
        answer: Box<RawValue>,
        made: Wrapped,
        ttl: Duration,
    ) -> Result<Wrapping, WrapError> {
        let outcome = self.store_wrapped(&request.asked.path, answer, made, ttl).await;
        let recorded = self.record_wrapped(request, &outcome).await;
        match (outcome, recorded) {
            (Ok(wrapping), Ok(())) => Ok(wrapping),
            (Ok(wrapping), Err(error)) => {
                self.end_unseen(Wrapped::Token(wrapping.token.key)).await;
                Err(error.into())
            }
            (Err(error), recorded) => {
                self.end_unseen(made).await;
                recorded?;
                Err(error)
            }
        }
    }

    /// Takes out what a token wraps: the one that is named, or the one that the request came with.
    pub async fn unwrap(
        self: &Arc<Self>,
        request: &Request,
        named: Option<&SecretText>,
    ) -> Result<Unwrapped, WrapError> {
        self.about_wrapping(request, named, async |token, text| {
            let (answer, made) = self.look_into(&token, text).await?;
            let taken = self.records.commit(delete_token(Batch::default(), &token)).await;
            self.taken(taken, made).await?;
            Ok((Unwrapped { answer, made }, made))
        })
        .await
    }

    /// Puts what a token wraps into a new one, for as long as the old one was made for. The old one is good for
    /// nothing from the same moment on.
    pub async fn rewrap(
        self: &Arc<Self>,
        request: &Request,
        named: Option<&SecretText>,
    ) -> Result<Wrapping, WrapError> {
        self.about_wrapping(request, named, async |token, text| {
            let (answer, made) = self.look_into(&token, text).await?;
            let Token { path, creation_ttl, .. } = &token.record;
            let (wrapping, cubbyhole) = self.wrapping(path, answer, made, *creation_ttl).await?;
            let batch =
                self.put_wrapping(delete_token(Batch::default(), &token), &wrapping, &cubbyhole)?;
            let taken = self.records.commit(batch).await;
            self.taken(taken, made).await?;
            self.wrapping_due(&wrapping.token);
            let unseen = Wrapped::Token(wrapping.token.key);
            Ok((wrapping, unseen))
        })
        .await
    }

    /// Shows what is known of a wrapping token, which stays as it is.
    pub async fn look_up_wrapping(
        self: &Arc<Self>,
        request: &Request,
        named: Option<&SecretText>,
    ) -> Result<Token, WrapError> {
        let Some(text) = named.or(request.token.as_ref()) else {
            return Err(self.no_wrapping(request).await);
        };
        let asking = self.admit_by_itself(request, text).await?;
        let token = asking.token.ok_or(WrapError::NotValid)?.record.clone();
        self.conclude(request, &asking.caller, &token.recorded()).await?;
        Ok(token)
    }

    /// Serves a request about a wrapping token. The verb tells as well what must end if its answer cannot be recorded.
    async fn about_wrapping<T: Recorded>(
        self: &Arc<Self>,
        request: &Request,
        named: Option<&SecretText>,
        verb: impl AsyncFnOnce(Arc<Found<Token>>, &SecretText) -> Result<(T, Wrapped), WrapError>,
    ) -> Result<T, WrapError> {
        let asking = match (named, request.token.as_ref()) {
            (Some(text), Some(own)) if !text.ct_eq(own) => {
                let caller = self.admit(request).await?;
                Asking { caller, token: self.held_wrapping(text).await?, text }
            }
            (Some(text), _) | (None, Some(text)) => self.admit_by_itself(request, text).await?,
            (None, None) => return Err(self.no_wrapping(request).await),
        };
        let outcome = match asking.token {
            Some(token) => verb(token, asking.text).await,
            None => Err(WrapError::NotValid),
        };
        let answer = match &outcome {
            Ok((done, _)) => done.recorded(),
            Err(error) => Answer::error(error),
        };
        if let Err(error) = self.conclude(request, &asking.caller, &answer).await {
            if let Ok((_, unseen)) = outcome {
                self.end_unseen(unseen).await;
            }
            return Err(error.into());
        }
        outcome.map(|(done, _)| done)
    }

    /// Admits whoever shows the wrapping token itself: it needs no other right.
    async fn admit_by_itself<'a>(
        &self,
        request: &Request,
        text: &'a SecretText,
    ) -> Result<Asking<'a>, WrapError> {
        let now = self.clock.now();
        let Some(token) = self.held_wrapping(text).await? else {
            let who = Who::stranger(Some(text), self.trail.keys());
            self.record_refusal(request, &who, &WrapError::NotValid).await?;
            return Err(WrapError::NotValid);
        };
        let who = Arc::new(Who::holder(&token.record, text, now, self.trail.keys()));
        let record = self.trail.asked(&request.asked, Some(&who), now);
        self.recorded(record).await.map_err(AdmitError::Audit)?;
        let rights = self.rights_of(&token.record).await?.ok_or(WrapError::NotValid)?;
        let caller = Caller { token: Arc::clone(&token), who, rights, spent: false };
        Ok(Asking { caller, token: Some(token), text })
    }

    /// Turns away whoever names no token and has none.
    async fn no_wrapping(&self, request: &Request) -> WrapError {
        let who = Who::stranger(None, self.trail.keys());
        let refused = WrapError::Admit(AdmitError::BadToken);
        match self.record_refusal(request, &who, &refused).await {
            Ok(()) => refused,
            Err(error) => error.into(),
        }
    }

    async fn held_wrapping(
        &self,
        text: &SecretText,
    ) -> Result<Option<Arc<Found<Token>>>, StoreError> {
        let found = self.records.token(&key_of(&self.token_key, text)).await?;
        let now = self.clock.now();
        let held = |found: &Found<Token>| found.record.wraps.is_some() && found.record.is_held(now);
        Ok(found.filter(held).map(Arc::new))
    }

    /// Opens what a wrapping token holds, and leaves it there.
    async fn look_into(
        &self,
        token: &Found<Token>,
        text: &SecretText,
    ) -> Result<(Box<RawValue>, Wrapped), WrapError> {
        let (open, _) = self.open_cubbyhole(&token.record.key, text).await?;
        let answer = open.read(RESPONSE).ok_or(WrapError::NotValid)?;
        Ok((answer.to_owned(), token.record.wraps.ok_or(WrapError::NotValid)?))
    }

    /// Whether the answer is the caller's. Of all who try at once, one was first.
    async fn taken<T>(
        self: &Arc<Self>,
        committed: Result<T, StoreError>,
        made: Wrapped,
    ) -> Result<(), WrapError> {
        match committed {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict) => Err(WrapError::NotValid),
            Err(StoreError::Refused(why)) => Err(StoreError::Refused(why).into()),
            Err(StoreError::Uncertain(why)) => {
                // It may have been taken out, and nobody is told.
                self.end_unseen(made).await;
                Err(StoreError::Uncertain(why).into())
            }
        }
    }

    async fn store_wrapped(
        &self,
        path: &str,
        answer: Box<RawValue>,
        made: Wrapped,
        ttl: Duration,
    ) -> Result<Wrapping, WrapError> {
        if ttl > TTL_MAX {
            return Err(WrapError::Bad("a wrap ttl may be at most 876000h".into()));
        }
        if answer.get().len() > CUBBYHOLE_BYTES_MAX {
            return Err(WrapError::Bad(format!(
                "the answer is too long to be wrapped: it has more than {CUBBYHOLE_BYTES_MAX} bytes"
            )));
        }
        let (wrapping, cubbyhole) = self.wrapping(path, answer, made, ttl).await?;
        let batch = self.put_wrapping(Batch::default(), &wrapping, &cubbyhole)?;
        self.records.commit(batch).await?;
        self.wrapping_due(&wrapping.token);
        Ok(wrapping)
    }

    /// Makes a wrapping token with what it keeps, in memory.
    async fn wrapping(
        &self,
        path: &str,
        answer: Box<RawValue>,
        made: Wrapped,
        ttl: Duration,
    ) -> Result<(Wrapping, Cubbyhole), StoreError> {
        let now = self.clock.now();
        let text = draw(&*self.chance);
        let token = Token {
            policies: vec![WRAPPING_POLICY.into()],
            path: path.to_owned(),
            term: Some(Term::starting(ttl, now.plus(ttl), now)),
            creation_ttl: ttl,
            explicit_max_ttl: ttl,
            num_uses: 1,
            wraps: Some(made),
            ..Token::blank(key_of(&self.token_key, &text), now, &*self.chance)
        };
        let wrapped_accessor = match made {
            Wrapped::Token(key) => self.records.token(&key).await?.map(|made| made.record.accessor),
            Wrapped::Answer | Wrapped::Lease(_) | Wrapped::SecretId { .. } => None,
        };
        let mut cubbyhole = Cubbyhole::default();
        cubbyhole.write(RESPONSE.to_owned(), answer);
        Ok((Wrapping { text, token, wrapped_accessor }, cubbyhole))
    }

    fn put_wrapping(
        &self,
        batch: Batch,
        Wrapping { text, token, .. }: &Wrapping,
        cubbyhole: &Cubbyhole,
    ) -> Result<Batch, StoreError> {
        let at = cubbyhole_at(&token.key);
        let kept = self.close_cubbyhole(cubbyhole, text, &at)?;
        Ok(self.records.put_new_token(batch, token)?.put(at, kept))
    }

    fn wrapping_due(&self, token: &Token) {
        if let Some(at) = token.due_at() {
            self.token_due(token.accessor, at);
        }
    }

    /// Records what the caller is told in place of the answer, which is on record already.
    async fn record_wrapped(
        &self,
        request: &Request,
        outcome: &Result<Wrapping, WrapError>,
    ) -> Result<(), AdmitError> {
        let answer = match outcome {
            Ok(wrapping) => wrapping.recorded(),
            Err(error) => Answer::error(error),
        };
        let now = self.clock.now();
        // The token may have ended with this request, if that was its last use.
        let who = match &request.token {
            Some(text) => {
                let found = self.token_of(text).await?;
                found.map(|found| Who::holder(&found.record, text, now, self.trail.keys()))
            }
            None => None,
        };
        let record = self.trail.answered(&request.asked, who.as_ref(), &answer, now);
        Ok(self.recorded(record).await?)
    }

    /// Serves a request that makes something. If its answer cannot be recorded, nobody is told of it, and it ends (law 8).
    pub(super) async fn served_or_ended<T, E, F>(
        self: &Arc<Self>,
        request: &Request,
        made: impl Fn(&T) -> Wrapped,
        verb: impl FnOnce(Caller) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        T: Recorded,
        E: From<AdmitError> + fmt::Display,
    {
        let caller = self.admit(request).await?;
        let outcome = verb(caller.clone()).await;
        let answer = match &outcome {
            Ok(done) => done.recorded(),
            Err(error) => Answer::error(error),
        };
        let recorded = self.conclude(request, &caller, &answer).await;
        if let (Err(_), Ok(unseen)) = (&recorded, &outcome) {
            // Seldom, and long beside the rest: kept out of what every request carries with it.
            Box::pin(self.end_unseen(made(unseen))).await;
        }
        recorded?;
        outcome
    }

    /// Ends what nobody has seen, nor will.
    async fn end_unseen(self: &Arc<Self>, made: Wrapped) {
        let ended = match made {
            Wrapped::Answer => Ok(()),
            Wrapped::Lease(lease) => self.mark(lease, Cause::IssueFailed).await,
            Wrapped::Token(token) => self.end_token(&token, Children::End, EndCause::Untold).await,
            Wrapped::SecretId { mount, role, accessor } => {
                self.end_secret_id(mount, role, accessor).await
            }
        };
        if let Err(error) = ended {
            tracing::error!(%error, "what was made for an answer that nobody was told waits for its term");
        }
    }
}
