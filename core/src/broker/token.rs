//! Makes tokens. What lives under a token ends with it.

mod ending;
mod given;
mod minting;
mod named;
mod role;
mod sealed;

pub use crate::access::token::TokenKind;
pub use ending::Children;
pub(super) use minting::Spans;
pub use named::{TokenView, WhichToken};
pub use role::TokenRoleWrite;
pub(super) use sealed::NotSealed;

use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Ports, Request};
use crate::access::identity::Identity;
use crate::access::token::{ROOT_POLICY, Token, TokenRole, Wrapped, draw, key_of};
use crate::audit::Answer;
use crate::chance::Chance;
use crate::ids::EntityId;
use crate::lease::LeaseError;
use crate::limits::CONFLICT_TRIES;
use crate::seal::splits::{Purpose, Splits, Stored};
use crate::seal::{self, RootKey, SealError, Unsealed};
use crate::secret::SecretText;
use crate::store::records::Records;
use crate::store::tokens::{TokenKey, token_at, token_role_at};
use crate::store::{Batch, StoreError};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use given::given;
use role::{bound, made_at};
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
    /// How it is kept; stored unless said otherwise.
    pub kind: Option<TokenKind>,
    /// The token role that it is made by.
    pub role: Option<String>,
    /// As whom it is made, by a name that the role allows; else it is as much its maker's.
    pub entity_alias: Option<String>,
    /// Whether it may be renewed; yes unless said otherwise.
    pub not_renewable: bool,
}

impl TokenRequest {
    fn shown_name(&self) -> String {
        self.display_name.as_deref().map_or("token".into(), |name| format!("token-{name}"))
    }
}

/// A token, with its text: shown once.
#[derive(Debug)]
pub struct TokenMade {
    /// Its text.
    pub text: SecretText,
    /// What is kept of it.
    pub token: Token,
    /// Who is behind it, if anybody is.
    pub identity: Option<Arc<Identity>>,
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
    /// There is no such role, or there is none at all.
    #[error("no value found")]
    Empty,
    /// No good token has the text that is asked about.
    #[error("bad token")]
    BadToken,
    /// No good token has the text that is to be renewed.
    #[error("token not found")]
    NoToken,
    /// No good token has the accessor.
    #[error("invalid accessor")]
    NoAccessor,
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

impl TokenMade {
    /// What ends with the wrapping token, if this is wrapped and nobody takes it out. A batch token cannot be ended.
    #[must_use]
    pub fn made(&self) -> Wrapped {
        match self.token.kind {
            TokenKind::Service => Wrapped::Token(self.token.key),
            TokenKind::Batch => Wrapped::Answer,
        }
    }
}

impl Recorded for TokenMade {
    fn recorded(&self) -> Answer {
        let auth = serde_json::json!({
            "client_token": self.text.reveal(),
            "accessor": self.token.accessor_text(),
            "display_name": self.token.display_name,
            "entity_id": entity_told(&self.token, self.identity.as_deref()),
        });
        Answer::data(Some(serde_json::json!({ "auth": auth })))
    }
}

/// Returns what callers and the audit are told of who is behind a token; nothing if nobody is. One that was merged is
/// the one that it was merged into.
#[must_use]
pub fn entity_told(token: &Token, identity: Option<&Identity>) -> String {
    let entity = identity.map(|identity| identity.entity.id).or(token.entity);
    entity.map(|id| id.to_string()).unwrap_or_default()
}

impl Recorded for Token {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "accessor": self.accessor_text() })))
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
    found_with_holders(ports, root, None, text, display_name).await
}

/// The same, where people hold shares of a key: who they are is of the same batch as well.
pub async fn found_with_holders(
    ports: &Ports,
    root: &RootKey,
    holders: Option<(Purpose, &Splits)>,
    text: Option<SecretText>,
    display_name: &str,
) -> Result<(Unsealed, SecretText), SealError> {
    let (now, chance) = (ports.clock.now(), &*ports.chance);
    // Vault's words: a text that is given is given by its maker.
    let path = if text.is_some() { "auth/token/create" } else { "auth/token/root" };
    let text = text.unwrap_or_else(|| draw(chance));
    let first = |unsealed: &Unsealed, batch: Batch| {
        let token =
            Token { path: path.into(), ..root_token(unsealed, &text, display_name, now, chance) };
        let barrier = Arc::clone(&unsealed.barrier);
        let records = Records::new(Arc::clone(&ports.store), barrier, Arc::clone(&ports.chance));
        let batch = records.put_new_token(batch, &token)?;
        match holders {
            None => Ok(batch),
            Some((purpose, splits)) => {
                Stored::default().replaced(batch, purpose, splits, root, chance)
            }
        }
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

/// A token that may do everything and never lapses.
pub(crate) fn root_token(
    unsealed: &Unsealed,
    text: &SecretText,
    display_name: &str,
    now: Timestamp,
    chance: &dyn Chance,
) -> Token {
    root_token_of(&unsealed.token_key, text, display_name, now, chance)
}

/// The same, by what hashes tokens.
pub(super) fn root_token_of(
    token_key: &hmac::Key,
    text: &SecretText,
    display_name: &str,
    now: Timestamp,
    chance: &dyn Chance,
) -> Token {
    Token {
        display_name: display_name.to_owned(),
        path: "auth/token/root".into(),
        policies: vec![ROOT_POLICY.into()],
        ..Token::blank(key_of(token_key, text), now, chance)
    }
}

impl Broker {
    /// Makes a token.
    pub async fn create_token(
        self: &Arc<Self>,
        request: &Request,
        wanted: TokenRequest,
    ) -> Result<TokenMade, TokenError> {
        let made = |made: &TokenMade| Wrapped::Token(made.token.key);
        let verb = async |caller: Caller| self.make_token(request, &caller, wanted).await;
        self.served_or_ended(request, made, verb).await
    }

    async fn make_token(
        &self,
        request: &Request,
        caller: &Caller,
        mut wanted: TokenRequest,
    ) -> Result<TokenMade, TokenError> {
        wanted.check_notes()?;
        let drawn = draw(&*self.chance);
        let key = key_of(&self.token_key, wanted.id.as_ref().unwrap_or(&drawn));
        let needs_sudo = wanted.needs_sudo();
        let found = self.token_role(&wanted).await?;
        let role = found.as_ref().map(|found| &found.record);
        if let Some(role) = role {
            wanted.by_role(role);
        }
        let (mut maker, mut rights) = (Arc::clone(&caller.token), caller.rights.clone());
        for _ in 0..CONFLICT_TRIES {
            let by = (&*maker, &rights, role);
            let policies = given(request, by, &wanted, needs_sudo)?;
            if maker.record.kind == TokenKind::Batch {
                return Err(TokenError::Bad("batch tokens cannot create more tokens".into()));
            }
            // With uses that are counted a token could make one whose are not.
            if maker.record.num_uses > 0 {
                let message = "restricted use token cannot generate child tokens";
                return Err(TokenError::Bad(message.into()));
            }
            let mut warnings = self.unknown_policies(&policies).await?;
            let by = (&maker.record, role);
            let (identity, mut batch) = self.behind_child(by, &rights, &wanted).await?;
            let entity = identity.as_ref().map(|identity| identity.entity.id);
            if wanted.kind == Some(TokenKind::Batch) {
                // Nothing is stored of the token, so whoever is new is stored before.
                let is_known = batch.puts.is_empty();
                let stored =
                    if is_known { Ok(()) } else { self.records.commit(batch).await.map(|_| ()) };
                if stored == Err(StoreError::Conflict) {
                    (maker, rights) = self.caller_now(caller, request).await?;
                    continue;
                }
                stored?;
                let made = self.make_batch_token(by, wanted, (policies, entity), warnings).await?;
                return Ok(TokenMade { identity, ..made });
            }
            let token = self.new_token((key, policies, entity), by, &wanted, &mut warnings)?;
            // Nothing is made by a maker who has ended meanwhile, or by rights or a role that have changed.
            batch = batch.expect(token_at(&maker.record.key), Some(maker.revision));
            if let Some(role) = &found {
                batch = batch.expect(token_role_at(&role.record.name), Some(role.revision));
            }
            match self.mint(&token, rights.expected(batch)).await {
                Ok(()) => {
                    let text = wanted.id.take().unwrap_or(drawn);
                    return Ok(TokenMade { text, token, identity, warnings });
                }
                Err(StoreError::Conflict) if self.records.token(&key).await?.is_some() => {
                    return Err(TokenError::Bad(
                        "cannot create a token with a duplicate ID".into(),
                    ));
                }
                Err(StoreError::Conflict) => {
                    (maker, rights) = self.caller_now(caller, request).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    fn new_token(
        &self,
        (key, policies, entity): (TokenKey, Vec<String>, Option<EntityId>),
        (maker, role): (&Token, Option<&TokenRole>),
        wanted: &TokenRequest,
        warnings: &mut Vec<String>,
    ) -> Result<Token, TokenError> {
        // Read once: its term and its age are counted from the same moment.
        let now = self.clock.now();
        let spans = self.spans_of(wanted);
        if spans.are_endless() {
            return Err(TokenError::Bad("a ttl may be at most 876000h".into()));
        }
        let spans = spans.capped(warnings);
        let (term, creation_ttl) = if spans.leave_root_unbounded(&policies) {
            (None, Duration::ZERO)
        } else {
            let (term, given) = spans.term(now, warnings);
            (Some(term), given)
        };
        if maker.term.is_some() && term.is_none() {
            return Err(TokenError::Bad(
                "expiring root tokens cannot create non-expiring root tokens".into(),
            ));
        }
        Ok(Token {
            policies,
            display_name: wanted.shown_name(),
            path: made_at(role),
            meta: wanted.meta.clone(),
            term,
            creation_ttl,
            explicit_max_ttl: spans.explicit_max_ttl,
            period: spans.period,
            num_uses: wanted.num_uses,
            renewable: !wanted.not_renewable && term.is_some(),
            parent: (!wanted.no_parent).then_some(maker.key),
            role: role.map(|role| role.name.clone()),
            entity,
            bound_cidrs: bound(maker, role)?,
            ..Token::blank(key, now, &*self.chance)
        })
    }

    fn spans_of(&self, wanted: &TokenRequest) -> Spans {
        Spans {
            ttl: wanted.ttl,
            explicit_max_ttl: wanted.explicit_max_ttl,
            period: wanted.period,
            default_ttl: self.limits.default_lease_ttl,
            max_ttl: self.limits.max_lease_ttl,
        }
    }
}

impl Spans {
    /// Only a root token may live for ever, and does where nothing else is asked for.
    fn leave_root_unbounded(&self, policies: &[String]) -> bool {
        let bounded = !self.explicit_max_ttl.is_zero() || !self.period.is_zero();
        let asked = self.ttl.is_some_and(|ttl| !ttl.is_zero());
        !bounded && !asked && policies.iter().any(|policy| policy == ROOT_POLICY)
    }
}
