//! Shows, renews and ends a token that the request names: the caller's own, or another by its text or accessor.

use super::super::authenticate::{AdmitError, Caller, Recorded};
use super::super::{Broker, Request};
use super::TokenError;
use super::ending::Children;
use crate::access::identity::Identity;
use crate::access::token::{EndCause, Token, TokenKind, TokenRole};
use crate::audit::Answer;
use crate::limits::READ_CHUNK;
use crate::secret::SecretText;
use crate::store::mounts::mount_at;
use crate::store::records::Found;
use crate::store::tokens::{TokenKey, token_role_at};
use crate::store::{Batch, Key, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// Which token a request is about.
#[derive(Debug)]
pub enum WhichToken {
    /// The caller's.
    Own,
    /// The one with this text.
    Text(SecretText),
    /// The one with this accessor, as it was written.
    Accessor(String),
}

/// A token as it is now.
#[derive(Clone, Debug)]
pub struct TokenView {
    /// What is kept of it.
    pub token: Token,
    /// Who is behind it, if anybody is.
    pub identity: Option<Arc<Identity>>,
    /// How many requests it is good for; 0 for any number, -1 if this one was the last.
    pub uses_left: i64,
}

/// What a renewal goes by.
#[derive(Debug)]
struct Renewable {
    token: Token,
    ttl_max: Duration,
    /// Expects all that this was read from.
    batch: Batch,
}

impl Recorded for TokenView {
    fn recorded(&self) -> Answer {
        self.token.recorded()
    }
}

impl Broker {
    /// Shows a token.
    pub async fn lookup_token(
        self: &Arc<Self>,
        request: &Request,
        which: &WhichToken,
    ) -> Result<TokenView, TokenError> {
        self.served(request, async |caller: Caller| {
            let found = self.named(which, &caller).await?;
            let found = found.ok_or(match which {
                WhichToken::Own => AdmitError::BadToken.into(),
                WhichToken::Text(_) => TokenError::BadToken,
                WhichToken::Accessor(_) => TokenError::NoAccessor,
            })?;
            self.seen(found.record).await
        })
        .await
    }

    /// Starts the term of a token again.
    pub async fn renew_token(
        self: &Arc<Self>,
        request: &Request,
        which: &WhichToken,
        increment: Option<Duration>,
    ) -> Result<TokenView, TokenError> {
        self.served(request, async |caller: Caller| {
            let found = self.named(which, &caller).await?;
            let found = found.ok_or(match which {
                WhichToken::Own => AdmitError::BadToken.into(),
                WhichToken::Text(_) => TokenError::NoToken,
                WhichToken::Accessor(_) => TokenError::NoAccessor,
            })?;
            if found.record.kind == TokenKind::Batch {
                return Err(TokenError::Bad("batch tokens cannot be renewed".into()));
            }
            let key = found.record.key;
            let renewed = self.until_kept(request, caller, async |caller| {
                self.store_renewed(&caller, &key, increment).await
            });
            let renewed = renewed.await?;
            self.seen(renewed).await
        })
        .await
    }

    /// Ends a token. It is good for nothing once this returns; what was lent to it is revoked next. Tells whether
    /// there was one.
    pub async fn revoke_token(
        self: &Arc<Self>,
        request: &Request,
        which: &WhichToken,
        children: Children,
    ) -> Result<bool, TokenError> {
        self.served(request, async |caller: Caller| {
            let Some(found) = self.named(which, &caller).await? else { return Ok(false) };
            if found.record.kind == TokenKind::Batch {
                return Err(TokenError::Bad("batch tokens cannot be revoked".into()));
            }
            self.end_token(&found.record.key, children, EndCause::Asked).await?;
            Ok(true)
        })
        .await
    }

    /// Lists the accessors of all tokens that are good, in the order they were made.
    pub async fn list_accessors(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<Vec<String>, TokenError> {
        self.served(request, async |_| {
            let now = self.clock.now();
            let mut accessors = Vec::new();
            let mut from = Some(Key::default());
            while let Some(start) = from {
                let (tokens, next) = self.records.tokens(&start, READ_CHUNK).await?;
                let held = tokens.iter().filter(|token| token.is_held(now));
                accessors.extend(held.map(|token| token.accessor));
                from = next;
            }
            accessors.sort_unstable();
            Ok(accessors.iter().map(ToString::to_string).collect())
        })
        .await
    }

    /// Returns the token that is meant, if it is good.
    pub(in crate::broker) async fn named(
        &self,
        which: &WhichToken,
        caller: &Caller,
    ) -> Result<Option<Found<Token>>, StoreError> {
        let found = match which {
            WhichToken::Own => Some((*caller.token).clone()),
            WhichToken::Text(text) => self.token_of(text).await?,
            WhichToken::Accessor(accessor) => match accessor.parse() {
                Ok(accessor) => self.records.token_by_accessor(accessor).await?,
                Err(_) => None,
            },
        };
        let now = self.clock.now();
        Ok(found.filter(|found| found.record.is_held(now)))
    }

    async fn seen(&self, token: Token) -> Result<TokenView, TokenError> {
        let left =
            if token.num_uses > 0 { self.records.uses_left(&token.key).await? } else { None };
        let uses_left = match left {
            Some(0) => -1,
            Some(left) => i64::from(left),
            None => i64::from(token.num_uses),
        };
        let identity = self.identity_of(&token).await?;
        Ok(TokenView { token, identity, uses_left })
    }

    async fn store_renewed(
        &self,
        caller: &Caller,
        key: &TokenKey,
        increment: Option<Duration>,
    ) -> Result<Token, TokenError> {
        let was = self.records.token(key).await?.ok_or(AdmitError::BadToken)?;
        if !was.record.renewable {
            return Err(TokenError::NotRenewable);
        }
        let asked = increment.filter(|increment| !increment.is_zero());
        let Renewable { token, ttl_max, batch } = self.asked_again(was.record.clone()).await?;
        let renewed = token.renew(asked, ttl_max, self.clock.now())?;
        self.keep_token_if(caller.rights.expected(batch), &was, &renewed).await?;
        Ok(renewed)
    }

    /// Asks who let a token's holder have it whether they still would, and by what: the method that let them in, or the
    /// token role that it was made by.
    async fn asked_again(&self, token: Token) -> Result<Renewable, TokenError> {
        let Some(login) = &token.login else { return self.role_asked_again(token).await };
        let entry = self.catalog().mount(login.mount).map(Arc::clone);
        let entry = entry.ok_or(AdmitError::BadToken)?;
        let standing = self.standing(login.mount, &login.by).await?;
        let standing = standing.ok_or_else(|| {
            TokenError::Bad("who it was made for is gone; the token ends at its term".into())
        })?;
        if standing.keeps_policies && standing.params.token_policies() != token.policies {
            return Err(TokenError::Bad("policies have changed, not renewing".into()));
        }
        let spans = self.login_spans(&entry, &standing.params).capped(&mut Vec::new());
        let mut batch = Batch::default().expect(mount_at(login.mount), Some(entry.mount.revision));
        batch.expected.extend(standing.read);
        let token = Token { period: spans.period, ..token };
        Ok(Renewable { token, ttl_max: spans.max_ttl, batch })
    }
}

impl Broker {
    async fn role_asked_again(&self, token: Token) -> Result<Renewable, TokenError> {
        let (ttl_max, batch) = (self.limits.max_lease_ttl, Batch::default());
        let Some(name) = &token.role else { return Ok(Renewable { token, ttl_max, batch }) };
        let at = token_role_at(name);
        let role = self.records.read::<TokenRole>(&at).await?.ok_or_else(|| {
            let told = format!("original token role {name:?} could not be found, not renewing");
            TokenError::Bad(told)
        })?;
        let batch = batch.expect(at, Some(role.revision));
        let TokenRole { period, explicit_max_ttl, .. } = role.record;
        let explicit_max_ttl = match explicit_max_ttl {
            Duration::ZERO => token.explicit_max_ttl,
            bound => bound,
        };
        Ok(Renewable { token: Token { explicit_max_ttl, period, ..token }, ttl_max, batch })
    }
}

impl Recorded for bool {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}
