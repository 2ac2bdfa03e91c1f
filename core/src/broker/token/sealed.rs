//! Batch tokens: seals them, and finds out whether one is good, which is the question whether what made it is.

use super::super::Broker;
use super::role::{bound, made_at};
use super::{TokenError, TokenMade, TokenRequest};
use crate::access::token::{
    BATCH_TEXT_MAX, BatchRing, ROOT_POLICY, RestsOn, Token, TokenKind, TokenRole, is_batch, key_of,
};
use crate::ids::{EntityId, TokenAccessor};
use crate::limits::CONFLICT_TRIES;
use crate::secret::SecretText;
use crate::store::mounts::{Mount, mount_at};
use crate::store::records::Found;
use crate::store::tokens::batch_ring_at;
use crate::store::{Batch, Revision, StoreError};
use crate::time::Timestamp;
use std::sync::Arc;

/// No batch token was made.
#[derive(Debug, thiserror::Error)]
pub(in crate::broker) enum NotSealed {
    #[error(
        "all of a batch token is in its text, and this one would be too long for a header; give it less `meta` and fewer policies"
    )]
    TooLong,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NotSealed> for TokenError {
    fn from(error: NotSealed) -> Self {
        match error {
            NotSealed::TooLong => Self::Bad(error.to_string()),
            NotSealed::Store(error) => error.into(),
        }
    }
}

impl Broker {
    /// Returns the token of a text. One of a batch token is as good as the stored token that made it, or as the method
    /// whose login did, and comes with the write of that one, so that whatever is decided for it expects it as it was
    /// read.
    pub(in crate::broker) async fn token_of(
        &self,
        text: &SecretText,
    ) -> Result<Option<Found<Token>>, StoreError> {
        if !is_batch(text) {
            return self.records.token(&key_of(&self.token_key, text)).await;
        }
        let open = |ring: &BatchRing| ring.open(text, self.installation, &self.token_key).ok();
        let ring = Arc::clone(&self.batch_ring.read());
        let token = match open(&ring) {
            Some(token) => Some(token),
            // Another process may have added a key.
            None => open(&self.read_batch_ring().await?.0),
        };
        match token {
            Some(token) => self.as_it_rests(token).await,
            None => Ok(None),
        }
    }

    /// Reads a token again, to see what has become of it.
    pub(in crate::broker) async fn token_again(
        &self,
        token: &Token,
    ) -> Result<Option<Found<Token>>, StoreError> {
        match token.kind {
            TokenKind::Service => self.records.token(&token.key).await,
            TokenKind::Batch => self.as_it_rests(token.clone()).await,
        }
    }

    async fn as_it_rests(&self, token: Token) -> Result<Option<Found<Token>>, StoreError> {
        let revision = match token.rests_on() {
            RestsOn::Token(parent) => {
                let parent = self.records.token(&parent).await?;
                let held = parent.filter(|parent| parent.record.is_held(self.clock.now()));
                held.map(|parent| parent.revision)
            }
            RestsOn::Method(mount) => {
                let mount = self.records.read::<Mount>(&mount_at(mount)).await?;
                let open = mount.filter(|mount| mount.record.closed_at.is_none());
                open.map(|mount| mount.revision)
            }
            RestsOn::Nothing => Some(Revision::default()),
        };
        Ok(revision.map(|revision| Found { record: token, revision }))
    }

    /// Makes a batch token of another one, in which all is as it is to be but how it is kept. Nothing is stored but, now
    /// and then, a new key of the ring.
    pub(in crate::broker) async fn sealed_token(
        &self,
        token: Token,
    ) -> Result<(SecretText, Token), NotSealed> {
        let accessor = TokenAccessor::from_bytes([0; 16]);
        let token = Token { kind: TokenKind::Batch, accessor, renewable: false, ..token };
        let ring = self.sealing_ring(token.issued_at).await?;
        let sealed = ring.seal(&token, self.installation, &*self.chance);
        let text = sealed.map_err(|_| StoreError::Refused("the ring has no key".into()))?;
        if text.reveal().len() > BATCH_TEXT_MAX {
            return Err(NotSealed::TooLong);
        }
        let key = key_of(&self.token_key, &text);
        Ok((text, Token { key, ..token }))
    }

    /// Makes a batch token for a caller.
    pub(super) async fn make_batch_token(
        &self,
        (maker, role): (&Token, Option<&TokenRole>),
        wanted: TokenRequest,
        (policies, entity): (Vec<String>, Option<EntityId>),
        mut warnings: Vec<String>,
    ) -> Result<TokenMade, TokenError> {
        refuse_for_batch(&wanted, &policies)?;
        let now = self.clock.now();
        let spans = self.spans_of(&wanted);
        if spans.are_endless() {
            return Err(TokenError::Bad("a ttl may be at most 876000h".into()));
        }
        let (term, creation_ttl) = spans.term(now, &mut warnings);
        let token = Token {
            display_name: wanted.shown_name(),
            policies,
            path: made_at(role),
            meta: wanted.meta,
            term: Some(term),
            creation_ttl,
            parent: (!wanted.no_parent).then_some(maker.key),
            entity,
            bound_cidrs: bound(maker, role)?,
            ..Token::blank(maker.key, now, &*self.chance)
        };
        let (text, token) = self.sealed_token(token).await?;
        Ok(TokenMade { text, token, identity: None, warnings })
    }

    /// Returns a ring whose last key seals now.
    async fn sealing_ring(&self, now: Timestamp) -> Result<Arc<BatchRing>, StoreError> {
        let ttl_max = self.limits.max_lease_ttl;
        let known = Arc::clone(&self.batch_ring.read());
        if known.renewed(ttl_max, now, &*self.chance).is_none() {
            return Ok(known);
        }
        let at = batch_ring_at();
        for _ in 0..CONFLICT_TRIES {
            let (ring, was) = self.read_batch_ring().await?;
            let Some(renewed) = ring.renewed(ttl_max, now, &*self.chance) else { return Ok(ring) };
            let sealed = self.records.seal(&at, &renewed)?;
            match self
                .records
                .commit(Batch::default().expect(at.clone(), was).put(at.clone(), sealed))
                .await
            {
                // No token is sealed by a key that is not durable.
                Ok(_) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    async fn read_batch_ring(&self) -> Result<(Arc<BatchRing>, Option<Revision>), StoreError> {
        let found = self.records.read::<BatchRing>(&batch_ring_at()).await?;
        let Some(found) = found else { return Ok((Arc::default(), None)) };
        let ring = Arc::new(found.record);
        *self.batch_ring.write() = Arc::clone(&ring);
        Ok((ring, Some(found.revision)))
    }
}

/// Refuses what no batch token can have.
fn refuse_for_batch(wanted: &TokenRequest, policies: &[String]) -> Result<(), TokenError> {
    let set = [
        ("id", wanted.id.is_some()),
        ("explicit_max_ttl", !wanted.explicit_max_ttl.is_zero()),
        ("num_uses", wanted.num_uses > 0),
        ("period", !wanted.period.is_zero()),
    ];
    if let Some((name, _)) = set.iter().find(|(_, set)| *set) {
        return Err(TokenError::Bad(format!("batch tokens cannot have {name:?} set")));
    }
    if policies.iter().any(|policy| policy == ROOT_POLICY) {
        return Err(TokenError::Bad("batch tokens cannot be root tokens".into()));
    }
    Ok(())
}
