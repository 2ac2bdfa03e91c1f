//! Ends tokens: first the token with all that it made, then what was lent to any of them, then their records.

use super::super::Broker;
use crate::access::token::{Token, Wrapped};
use crate::ids::TokenAccessor;
use crate::lease::Cause;
use crate::limits::{CONFLICT_TRIES, READ_CHUNK};
use crate::store::leases::of_token_leases;
use crate::store::tokens::TokenKey;
use crate::store::{Key, StoreError};
use std::sync::Arc;

/// What becomes of the tokens that an ending token made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// They end with it.
    End,
    /// They become orphans and live on.
    Free,
}

/// When a token is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Whatever its term.
    Now,
    /// If its term is over, or it has ended and is to be looked at again.
    Due,
}

impl Broker {
    /// Ends a token beside the caller.
    pub(in crate::broker) fn end_token_soon(self: &Arc<Self>, key: TokenKey) {
        let broker = Arc::clone(self);
        self.tasks.spawn(Box::pin(async move {
            if let Err(error) = broker.end_token(&key, Children::End).await {
                tracing::error!(%error, "a token without uses could not be ended; it is good for nothing all the same");
            }
        }));
    }

    /// Ends a token whose term is over, and goes on with one that has ended.
    pub(in crate::broker) fn lapse_token_soon(self: &Arc<Self>, accessor: TokenAccessor) {
        let broker = Arc::clone(self);
        self.tasks.spawn(Box::pin(async move {
            let outcome = match broker.records.token_by_accessor(accessor).await {
                Ok(Some(token)) => broker.end_due_token(&token.record.key).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::error!(%accessor, %error, "the end of a token broke off and will be tried again");
                let at = broker.clock.now().plus(crate::limits::RETRY_FIRST);
                broker.token_due(accessor, at);
            }
        }));
    }

    /// Ends a token and all below it: none of them is good for anything once this returns. The sweep goes on with
    /// what lives under them after a crash, for the end of the first is stored with what becomes of the others.
    pub(in crate::broker) async fn end_token(
        self: &Arc<Self>,
        key: &TokenKey,
        children: Children,
    ) -> Result<(), StoreError> {
        self.end_from((*key, children, When::Now)).await
    }

    /// Does the same for a token that is due, unless it was renewed meanwhile.
    async fn end_due_token(self: &Arc<Self>, key: &TokenKey) -> Result<(), StoreError> {
        self.end_from((*key, Children::End, When::Due)).await
    }

    async fn end_from(
        self: &Arc<Self>,
        first: (TokenKey, Children, When),
    ) -> Result<(), StoreError> {
        // A list and no recursion: tokens may be made by tokens to any depth.
        let mut ended = Vec::new();
        let mut to_end = vec![first];
        while let Some((key, children, when)) = to_end.pop() {
            let Some(token) = self.store_end(&key, children, when).await? else { continue };
            ended.push(key);
            if token.ended.is_some_and(|ended| ended.frees_children) {
                self.free_children(&key).await?;
                continue;
            }
            for child in self.all_children(&key).await? {
                match self.records.token(&child).await? {
                    Some(held) if held.record.ended.is_none() => {
                        to_end.push((child, Children::End, When::Now));
                    }
                    // One that has ended already is looked after on its own.
                    Some(_) => {}
                    // One that was wrapped in this one ended as the child of another.
                    None => self.free_child(&key, &child).await?,
                }
            }
        }
        // The last ones first: a record goes when nothing lives under it any more.
        let mut above = None;
        for key in ended.iter().rev() {
            above = self.remove_if_bare(key).await?;
        }
        // The last one under a token that has ended lets that one go as well.
        while let Some(parent) = above {
            above = self.remove_if_bare(&parent).await?;
        }
        Ok(())
    }

    async fn store_end(
        &self,
        key: &TokenKey,
        children: Children,
        when: When,
    ) -> Result<Option<Token>, StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let Some(was) = self.records.token(key).await? else { return Ok(None) };
            let now = self.clock.now();
            // Decided by what is replaced: a renewal may have come first.
            if when == When::Due && was.record.due_at().is_none_or(|at| at > now) {
                return Ok(None);
            }
            let ended = was.record.clone().end(now, children == Children::Free);
            match self.keep_token(&was, &ended).await {
                Ok(_) => return Ok(Some(ended)),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    async fn all_children(&self, key: &TokenKey) -> Result<Vec<TokenKey>, StoreError> {
        let mut all: Vec<TokenKey> = Vec::new();
        loop {
            let mut found = self.records.children(key, all.last(), READ_CHUNK).await?;
            if found.is_empty() {
                return Ok(all);
            }
            all.append(&mut found);
        }
    }

    /// Makes orphans of the tokens that an ended one made. It can make no more of them.
    async fn free_children(&self, key: &TokenKey) -> Result<(), StoreError> {
        for child in self.all_children(key).await? {
            self.free_child(key, &child).await?;
        }
        Ok(())
    }

    async fn free_child(&self, parent: &TokenKey, child: &TokenKey) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let outcome = match self.records.token(child).await? {
                Some(was) if was.record.parent.as_ref() == Some(parent) => {
                    let freed = Token { parent: None, ..was.record.clone() };
                    self.keep_token(&was, &freed).await
                }
                Some(was) => self.records.forget_child(parent, child, Some(was.revision)).await,
                None => self.records.forget_child(parent, child, None).await,
            };
            match outcome {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Takes the leases of an ended token from it, and removes its record once nothing lives under it. Returns the
    /// token that made it, if it is removed and was not free of it.
    async fn remove_if_bare(
        self: &Arc<Self>,
        key: &TokenKey,
    ) -> Result<Option<TokenKey>, StoreError> {
        let Some(token) = self.records.token(key).await? else { return Ok(None) };
        // Its text may have been given to a new token meanwhile.
        if token.record.ended.is_none() {
            return Ok(None);
        }
        let leases = self.mark_leases(&of_token_leases(key)).await?;
        if leases || !self.records.children(key, None, 1).await?.is_empty() {
            return Ok(None);
        }
        if let Some(Wrapped::SecretId { mount, role, accessor }) = token.record.wraps {
            self.end_secret_id(mount, role, accessor).await?;
        }
        match self.records.remove_token(&token).await {
            Ok(_) => Ok(token.record.parent),
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the leases of a token from it, or those of a method's batch tokens; tells whether there are any left.
    pub(in crate::broker) async fn mark_leases(
        self: &Arc<Self>,
        of: &Key,
    ) -> Result<bool, StoreError> {
        let mut after = None;
        loop {
            let leases = self.records.leases_ending_with(of, after.as_ref(), READ_CHUNK).await?;
            let Some((last, _)) = leases.last() else { return Ok(after.is_some()) };
            after = Some(last.clone());
            let marks = leases.iter().map(async |(at, id)| {
                self.records.drop_dangling(at, *id).await?;
                self.mark(*id, Cause::TokenEnded).await
            });
            // All of them, whatever becomes of one.
            for outcome in futures_util::future::join_all(marks).await {
                outcome?;
            }
        }
    }
}
