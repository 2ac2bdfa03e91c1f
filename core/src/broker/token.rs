//! Makes, shows, renews and ends tokens; what lives under a token ends with it.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Ports, Request};
use crate::access::policy::Need;
use crate::access::token::{ROOT_POLICY, Token, draw, key_of};
use crate::audit::Answer;
use crate::chance::Chance;
use crate::ids::TokenAccessor;
use crate::lease::term::Term;
use crate::lease::{Cause, LeaseError};
use crate::limits::{CONFLICT_TRIES, READ_CHUNK, TTL_MAX};
use crate::seal::{self, RootKey, SealError, Unsealed};
use crate::secret::SecretText;
use crate::store::leases::of_token_lease;
use crate::store::records::{Found, Records};
use crate::store::tokens::{TokenKey, token_at};
use crate::store::{Batch, StoreError};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What a token is to be.
#[derive(Debug, Default)]
pub struct TokenRequest {
    /// Its text, if it is not to be drawn.
    pub id: Option<SecretText>,
    /// Its policies; the maker's own if none are named.
    pub policies: Vec<String>,
    /// Leave out the `default` policy.
    pub no_default_policy: bool,
    /// What is noted on it.
    pub meta: BTreeMap<String, String>,
    /// Does not end with its maker.
    pub no_parent: bool,
    /// How it is called, after `token-`.
    pub display_name: Option<String>,
    /// How long it lives.
    pub ttl: Option<Duration>,
    /// The bound that no renewal passes.
    pub explicit_max_ttl: Duration,
    /// Renewed by this much each time.
    pub period: Duration,
    /// How many requests it is good for; 0 for any number.
    pub num_uses: u32,
    /// Whether it may be renewed; yes unless said otherwise.
    pub not_renewable: bool,
}

/// A token, with its text: shown once.
#[derive(Debug)]
pub struct TokenMade {
    /// Its text.
    pub text: SecretText,
    /// What is kept of it.
    pub token: Token,
    /// For the caller, if something is not as they asked.
    pub warnings: Vec<String>,
}

/// Nothing was made, or nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// What was asked for cannot be.
    #[error("{0}")]
    Bad(String),
    /// The token cannot be renewed.
    #[error("lease is not renewable")]
    NotRenewable,
    /// The token has ended, or may not live any longer.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorded for TokenMade {
    fn recorded(&self) -> Answer {
        let auth = serde_json::json!({
            "client_token": self.text.reveal(),
            "accessor": self.token.accessor.to_string(),
            "display_name": self.token.display_name,
        });
        Answer::data(Some(serde_json::json!({ "auth": auth })))
    }
}

impl Recorded for Token {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "accessor": self.accessor.to_string() })))
    }
}

/// Makes an installation of an empty store, and its first token, which may do everything and never lapses.
/// Both are one batch: an installation without a token would be closed to everybody for ever.
pub async fn found(
    ports: &Ports,
    root: &RootKey,
    text: Option<SecretText>,
    display_name: &str,
) -> Result<(Unsealed, SecretText), SealError> {
    let (now, chance) = (ports.clock.now(), &*ports.chance);
    let text = text.unwrap_or_else(|| draw(chance));
    let first = |unsealed: &Unsealed, batch: Batch| {
        let token = Token {
            display_name: display_name.to_owned(),
            path: "auth/token/root".into(),
            policies: vec![ROOT_POLICY.into()],
            ..blank_token(key_of(&unsealed.token_key, &text), now, chance)
        };
        let barrier = Arc::clone(&unsealed.barrier);
        let records = Records::new(Arc::clone(&ports.store), barrier, Arc::clone(&ports.chance));
        records.put_new_token(batch, &token)
    };
    let unsealed = match seal::initialize(&*ports.store, root, now, chance, first).await {
        // Whether it was kept is seen by looking: nobody else has this root key.
        Err(SealError::Store(StoreError::Uncertain(why))) => seal::unseal(&*ports.store, root)
            .await
            .map_err(|_| SealError::Store(StoreError::Uncertain(why)))?,
        outcome => outcome?,
    };
    Ok((unsealed, text))
}

fn blank_token(key: TokenKey, now: Timestamp, chance: &dyn Chance) -> Token {
    Token {
        key,
        accessor: TokenAccessor::new(now, chance),
        policies: Vec::new(),
        display_name: String::new(),
        path: String::new(),
        meta: BTreeMap::new(),
        issued_at: now,
        renewed_at: None,
        term: None,
        creation_ttl: Duration::ZERO,
        explicit_max_ttl: Duration::ZERO,
        period: Duration::ZERO,
        num_uses: 0,
        renewable: false,
        parent: None,
        ended: None,
    }
}

impl Broker {
    /// Makes a token.
    pub async fn create_token(
        self: &Arc<Self>,
        request: &Request,
        wanted: TokenRequest,
    ) -> Result<TokenMade, TokenError> {
        self.served(request, Need::Policy, async |caller: Caller| {
            self.make_token(&caller, wanted).await
        })
        .await
    }

    async fn make_token(
        &self,
        caller: &Caller,
        mut wanted: TokenRequest,
    ) -> Result<TokenMade, TokenError> {
        // Read once: its term and its age are counted from the same moment.
        let now = self.clock.now();
        let parent = &caller.token;
        if caller.spent {
            return Err(TokenError::Bad(
                "restricted use token cannot generate child tokens".into(),
            ));
        }
        let text = wanted.id.take().unwrap_or_else(|| draw(&*self.chance));
        let key = key_of(&self.token_key, &text);
        let mut warnings = Vec::new();
        let policies = chosen_policies(&wanted, &parent.record);
        let (term, creation_ttl) = self.term_of_new(&wanted, &policies, now, &mut warnings)?;
        if parent.record.term.is_some() && term.is_none() {
            return Err(TokenError::Bad(
                "expiring root tokens cannot create non-expiring root tokens".into(),
            ));
        }
        let name = wanted.display_name.as_deref().map(|name| format!("token-{name}"));
        let token = Token {
            policies,
            display_name: name.unwrap_or_else(|| "token".into()),
            path: "auth/token/create".into(),
            meta: wanted.meta,
            term,
            creation_ttl,
            explicit_max_ttl: wanted.explicit_max_ttl,
            period: wanted.period,
            num_uses: wanted.num_uses,
            renewable: !wanted.not_renewable && term.is_some(),
            parent: (!wanted.no_parent).then_some(parent.record.key),
            ..blank_token(key, now, &*self.chance)
        };
        // A token whose maker has ended meanwhile is not made.
        let batch = Batch::default().expect(token_at(&parent.record.key), Some(parent.revision));
        let batch = self.records.put_new_token(batch, &token)?;
        match self.records.commit(batch).await {
            Ok(_) => {}
            Err(StoreError::Conflict) if self.records.token(&key).await?.is_some() => {
                return Err(TokenError::Bad("cannot create a token with a duplicate ID".into()));
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(at) = token.due_at() {
            self.token_due(token.accessor, at);
        }
        Ok(TokenMade { text, token, warnings })
    }

    /// Decides how long a new token lives; only a root token may live for ever.
    fn term_of_new(
        &self,
        wanted: &TokenRequest,
        policies: &[String],
        now: Timestamp,
        warnings: &mut Vec<String>,
    ) -> Result<(Option<Term>, Duration), TokenError> {
        if [wanted.ttl.unwrap_or_default(), wanted.explicit_max_ttl, wanted.period]
            .iter()
            .any(|ttl| *ttl > TTL_MAX)
        {
            return Err(TokenError::Bad("a ttl may be at most 876000h".into()));
        }
        let bounded = !wanted.explicit_max_ttl.is_zero() || !wanted.period.is_zero();
        let asked = wanted.ttl.filter(|ttl| !ttl.is_zero());
        if asked.is_none() && !bounded && policies.iter().any(|policy| policy == ROOT_POLICY) {
            return Ok((None, Duration::ZERO));
        }
        let max = self.limits.max_lease_ttl;
        let explicit = wanted.explicit_max_ttl;
        let ceiling = match (wanted.period.is_zero(), explicit.is_zero()) {
            (false, true) => now.plus(TTL_MAX),
            (false, false) => now.plus(explicit),
            (true, true) => now.plus(max),
            (true, false) => now.plus(explicit.min(max)),
        };
        let ttl = if wanted.period.is_zero() {
            asked.unwrap_or(self.limits.default_lease_ttl)
        } else {
            wanted.period.min(max)
        };
        let term = Term::starting(ttl, ceiling, now);
        let given = term.lapses_at().since(now);
        if given < ttl {
            warnings.push(crate::duration::capped_warning(ttl, given));
        }
        Ok((Some(term), given))
    }

    /// Shows the caller their own token.
    pub async fn lookup_self(self: &Arc<Self>, request: &Request) -> Result<Token, TokenError> {
        self.served(request, Need::OwnToken, async |caller: Caller| Ok(caller.token.record.clone()))
            .await
    }

    /// Starts the term of the caller's own token again.
    pub async fn renew_self(
        self: &Arc<Self>,
        request: &Request,
        increment: Option<Duration>,
    ) -> Result<Token, TokenError> {
        self.served(request, Need::OwnToken, async |caller: Caller| {
            self.renew_token(&caller.token.record.key, increment).await
        })
        .await
    }

    async fn renew_token(
        &self,
        key: &TokenKey,
        increment: Option<Duration>,
    ) -> Result<Token, TokenError> {
        for _ in 0..CONFLICT_TRIES {
            let was = self.records.token(key).await?.ok_or(AdmitError::BadToken)?;
            if !was.record.renewable {
                return Err(TokenError::NotRenewable);
            }
            let asked = increment.filter(|increment| !increment.is_zero());
            let renewed =
                was.record.clone().renew(asked, self.limits.max_lease_ttl, self.clock.now())?;
            match self.keep_token(&was, &renewed).await {
                Ok(_) => return Ok(renewed),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Ends the caller's own token. It is good for nothing once this returns; what lives under it is revoked next.
    pub async fn revoke_self(self: &Arc<Self>, request: &Request) -> Result<(), TokenError> {
        self.served(request, Need::OwnToken, async |caller: Caller| {
            self.end_token(&caller.token.record.key).await?;
            Ok(())
        })
        .await
    }

    /// Ends a token beside the caller.
    pub(super) fn end_token_soon(self: &Arc<Self>, key: TokenKey) {
        let broker = Arc::clone(self);
        self.tasks.spawn(Box::pin(async move {
            if let Err(error) = broker.end_token(&key).await {
                tracing::error!(%error, "a token without uses could not be ended; it is good for nothing all the same");
            }
        }));
    }

    /// Ends a token whose term is over, and goes on with one that has ended.
    pub(super) fn lapse_token_soon(self: &Arc<Self>, accessor: TokenAccessor) {
        let broker = Arc::clone(self);
        self.tasks.spawn(Box::pin(async move {
            let outcome = match broker.records.token_by_accessor(accessor).await {
                Ok(Some(token)) if token.record.due_at().is_some_and(|at| at <= broker.clock.now()) => {
                    broker.end_token(&token.record.key).await
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::error!(%accessor, %error, "the end of a token broke off and will be tried again");
                let at = broker.clock.now().plus(crate::limits::RETRY_FIRST);
                broker.token_due(accessor, at);
            }
        }));
    }

    /// Ends a token: one write, then what lives under it, then its own record. The sweep goes on with it after a crash.
    async fn end_token(self: &Arc<Self>, key: &TokenKey) -> Result<(), StoreError> {
        let mut key = *key;
        while let Some(ended) = self.store_end(&key, Token::end).await? {
            let children = self.end_children(&key).await?;
            let leases = self.mark_leases(&key).await?;
            if children || leases {
                return Ok(());
            }
            match self.records.remove_token(&ended).await {
                Ok(_) => {}
                Err(StoreError::Conflict) => return Ok(()),
                Err(error) => return Err(error),
            }
            // The last one under a parent that has ended lets the parent go as well.
            match ended.record.parent {
                Some(parent) if self.waits_for_children(&parent).await? => key = parent,
                Some(_) | None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Whether a token has ended and nothing but the look of the sweep keeps its record.
    async fn waits_for_children(&self, key: &TokenKey) -> Result<bool, StoreError> {
        let parent = self.records.token(key).await?;
        let ended = parent.is_some_and(|parent| parent.record.ended.is_some());
        Ok(ended && self.records.children(key, None, 1).await?.is_empty())
    }

    async fn store_end(
        &self,
        key: &TokenKey,
        end: fn(Token, Timestamp) -> Token,
    ) -> Result<Option<Found<Token>>, StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let Some(was) = self.records.token(key).await? else { return Ok(None) };
            let ended = end(was.record.clone(), self.clock.now());
            match self.keep_token(&was, &ended).await {
                Ok(revision) => return Ok(Some(Found { record: ended, revision })),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Ends the tokens that a token made, and tells whether there are any. What lives under them is the sweep's, so
    /// that a long chain of tokens costs no more at once than a short one.
    async fn end_children(self: &Arc<Self>, key: &TokenKey) -> Result<bool, StoreError> {
        let mut after = None;
        loop {
            let children = self.records.children(key, after, READ_CHUNK).await?;
            let Some(last) = children.last() else { return Ok(after.is_some()) };
            after = Some(*last);
            let ends = children.iter().map(async |child| match self.records.token(child).await? {
                Some(found) if found.record.ended.is_none() => {
                    self.store_end(child, Token::end_soon).await.map(|_| ())
                }
                Some(_) | None => Ok(()),
            });
            // All of them, whatever becomes of one.
            for outcome in futures_util::future::join_all(ends).await {
                outcome?;
            }
        }
    }

    /// Takes the leases of a token from it; tells whether there are any left.
    async fn mark_leases(self: &Arc<Self>, key: &TokenKey) -> Result<bool, StoreError> {
        let mut after = None;
        loop {
            let leases = self.records.leases_of_token(key, after, READ_CHUNK).await?;
            let Some(last) = leases.last() else { return Ok(after.is_some()) };
            after = Some(*last);
            let marks = leases.iter().map(async |id| {
                self.records.drop_dangling(&of_token_lease(key, *id), *id).await?;
                self.mark(*id, Cause::TokenEnded).await
            });
            for outcome in futures_util::future::join_all(marks).await {
                outcome?;
            }
        }
    }
}

fn chosen_policies(wanted: &TokenRequest, parent: &Token) -> Vec<String> {
    let mut policies =
        if wanted.policies.is_empty() { parent.policies.clone() } else { wanted.policies.clone() };
    let is_root = policies.iter().any(|policy| policy == ROOT_POLICY);
    if is_root {
        return vec![ROOT_POLICY.into()];
    }
    if !wanted.no_default_policy {
        policies.push("default".into());
    }
    policies.sort();
    policies.dedup();
    policies
}
