//! Ends tokens: first the token with all that it made, then what was lent to any of them, then their records.

use super::super::Broker;
use crate::access::token::{EndCause, Ended, Token, Wrapped};
use crate::audit::{Answer, Asked, AuditError, Operation};
use crate::ids::TokenAccessor;
use crate::lease::Cause;
use crate::limits::{CONFLICT_TRIES, READ_CHUNK, RETRY_FIRST, TOKENS_AT_ONCE};
use crate::store::leases::of_token_leases;
use crate::store::records::Found;
use crate::store::tokens::TokenKey;
use crate::store::{Key, StoreError};
use futures_util::future::join_all;
use std::sync::Arc;

/// What becomes of the tokens that an ending token made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// They end with it.
    End,
    /// They become orphans and live on.
    Free,
}

/// The record of a token that has ended is not removed.
#[derive(Debug, thiserror::Error)]
enum Stays {
    /// That it has ended is not on record.
    #[error(transparent)]
    Unrecorded(#[from] AuditError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Broker {
    /// Ends a token beside the caller.
    pub(in crate::broker) fn end_token_soon(self: &Arc<Self>, key: TokenKey, cause: EndCause) {
        let broker = Arc::clone(self);
        self.tasks.spawn(Box::pin(async move {
            if let Err(error) = broker.end_token(&key, Children::End, cause).await {
                tracing::error!(?cause, %error, "a token could not be ended");
            }
        }));
    }

    /// Ends a token whose term or uses are over, and goes on with one that has ended.
    pub(in crate::broker) fn lapse_token_soon(self: &Arc<Self>, accessor: TokenAccessor) {
        let broker = Arc::clone(self);
        self.tasks.spawn(Box::pin(async move {
            let outcome = match broker.records.token_by_accessor(accessor).await {
                Ok(Some(token)) => {
                    let key = &token.record.key;
                    broker.end_token(key, Children::End, EndCause::Lapsed).await
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::error!(%accessor, %error, "the end of a token broke off and will be tried again");
                let at = broker.clock.now().plus(RETRY_FIRST);
                broker.token_due(accessor, at);
            }
        }));
    }

    /// Ends a token and all below it: none of them is good for anything once this returns. The sweep goes on with
    /// what lives under them after a crash, for the end of the first is stored with what becomes of the others. One
    /// that would lapse lives on if it was renewed meanwhile.
    pub(in crate::broker) async fn end_token(
        self: &Arc<Self>,
        key: &TokenKey,
        children: Children,
        cause: EndCause,
    ) -> Result<(), StoreError> {
        // Level by level, and no recursion: tokens may be made by tokens to any depth. Those of a level end together, for
        // their commits share a flush.
        let mut levels: Vec<Vec<TokenKey>> = Vec::new();
        let (mut to_end, mut how) = (vec![*key], (children, cause));
        while !to_end.is_empty() {
            let (mut ended, mut below) = (Vec::new(), Vec::new());
            for part in to_end.chunks(TOKENS_AT_ONCE) {
                let ends = part.iter().map(|key| self.end_one(key, how));
                // All of them, whatever becomes of one.
                for (outcome, key) in join_all(ends).await.into_iter().zip(part) {
                    let Some(children) = outcome? else { continue };
                    ended.push(*key);
                    below.extend(children);
                }
            }
            levels.push(ended);
            (to_end, how) = (below, (Children::End, EndCause::ParentEnded));
        }
        self.take_what_was_lent(&levels).await?;
        match self.remove_ended(levels).await {
            Ok(()) => Ok(()),
            Err(Stays::Store(error)) => Err(error),
            Err(Stays::Unrecorded(error)) => {
                tracing::error!(%error, "tokens have ended, and it could not be recorded; it will be tried again");
                Ok(())
            }
        }
    }

    /// Stores the end of one token, and frees the tokens it made or returns those that end with it. `None`: it lives on,
    /// or there is none.
    async fn end_one(
        &self,
        key: &TokenKey,
        (children, cause): (Children, EndCause),
    ) -> Result<Option<Vec<TokenKey>>, StoreError> {
        let Some(token) = self.store_end(key, children, cause).await? else { return Ok(None) };
        if token.ended.is_some_and(|ended| ended.frees_children) {
            self.free_children(key).await?;
            return Ok(Some(Vec::new()));
        }
        let mut to_end = Vec::new();
        for child in self.all_children(key).await? {
            match self.records.token(&child).await? {
                Some(held) if held.record.ended.is_none() => to_end.push(child),
                // One that has ended already is looked after on its own.
                Some(_) => {}
                // One that was wrapped in this one ended as the child of another.
                None => self.free_child(key, &child).await?,
            }
        }
        Ok(Some(to_end))
    }

    /// Takes their leases from ended tokens, before any is told of: a device may hold that up, or refuse it.
    async fn take_what_was_lent(
        self: &Arc<Self>,
        levels: &[Vec<TokenKey>],
    ) -> Result<(), StoreError> {
        // Of a single one they are taken before it is told of.
        if levels.iter().flatten().nth(1).is_none() {
            return Ok(());
        }
        for part in levels.iter().flat_map(|level| level.chunks(TOKENS_AT_ONCE)) {
            let takes = part.iter().map(async |key| {
                let Some(_held) = self.tokens_in_hand.take(*key) else { return Ok(()) };
                self.bared(key).await.map(drop)
            });
            for outcome in join_all(takes).await {
                outcome?;
            }
        }
        Ok(())
    }

    /// Tells of ended tokens and removes their records, each after those under it.
    async fn remove_ended(self: &Arc<Self>, levels: Vec<Vec<TokenKey>>) -> Result<(), Stays> {
        // The last ones first: a record goes when nothing lives under it any more.
        let mut above = None;
        for level in levels.iter().rev() {
            for part in level.chunks(TOKENS_AT_ONCE) {
                let removals = part.iter().map(|key| self.remove_if_bare(key));
                for outcome in join_all(removals).await {
                    above = outcome?;
                }
            }
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
        cause: EndCause,
    ) -> Result<Option<Token>, StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let Some(was) = self.records.token(key).await? else { return Ok(None) };
            let now = self.clock.now();
            // Decided by what is replaced: a renewal may have come first.
            if cause == EndCause::Lapsed && was.record.due_at().is_none_or(|at| at > now) {
                return Ok(None);
            }
            let is_spent = cause == EndCause::Lapsed && was.record.spent_at.is_some();
            let cause = if is_spent { EndCause::Spent } else { cause };
            let ended = was.record.clone().end(cause, children == Children::Free, now);
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

    /// Takes the leases of an ended token from it, tells of its end, and removes its record once nothing lives under it.
    /// Returns the token that made it, if it is removed and was not free of it.
    async fn remove_if_bare(self: &Arc<Self>, key: &TokenKey) -> Result<Option<TokenKey>, Stays> {
        let Some(_held) = self.tokens_in_hand.take(*key) else { return Ok(None) };
        let Some((token, ended, has_leases)) = self.bared(key).await? else { return Ok(None) };
        if !ended.is_told {
            self.tell_end(&token.record).await?;
        }
        let stays = has_leases || !self.records.children(key, None, 1).await?.is_empty();
        if let (false, Some(Wrapped::SecretId { mount, role, accessor })) =
            (stays, token.record.wraps)
        {
            self.end_secret_id(mount, role, accessor).await?;
        }
        Ok(self.settle_end(token, stays).await?)
    }

    /// Takes the leases of an ended token from it. Returns the token, and whether there are any left.
    async fn bared(
        self: &Arc<Self>,
        key: &TokenKey,
    ) -> Result<Option<(Found<Token>, Ended, bool)>, StoreError> {
        let Some(token) = self.records.token(key).await? else { return Ok(None) };
        // Its text may have been given to a new token meanwhile.
        let Some(ended) = token.record.ended else { return Ok(None) };
        let has_leases = self.mark_leases(&of_token_leases(key)).await?;
        Ok(Some((token, ended, has_leases)))
    }

    /// Puts on record that a token has ended. What ends is told when it has: its end waits for no device.
    async fn tell_end(&self, token: &Token) -> Result<(), AuditError> {
        let asked =
            Asked { operation: Operation::Revoke, path: token.path.clone(), ..Asked::default() };
        let answer = Answer::token_ended(token);
        self.recorded(self.trail.answered(&asked, None, &answer, self.clock.now())).await
    }

    /// Removes a token that was told of, or keeps that it was: a crash before that tells of it twice. Returns the token
    /// that made it, if it is removed and was not free of it.
    async fn settle_end(
        &self,
        mut token: Found<Token>,
        stays: bool,
    ) -> Result<Option<TokenKey>, StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let outcome = match token.record.ended {
                Some(_) if !stays => self.records.remove_token(&token).await,
                Some(ended) if !ended.is_told => {
                    let ended = Some(Ended { is_told: true, ..ended });
                    self.keep_token(&token, &Token { ended, ..token.record.clone() }).await
                }
                Some(_) | None => return Ok(None),
            };
            match outcome {
                Ok(_) => return Ok(token.record.parent.filter(|_| !stays)),
                // The sweep has looked at it meanwhile.
                Err(StoreError::Conflict) => match self.records.token(&token.record.key).await? {
                    Some(now) => token = now,
                    None => return Ok(None),
                },
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
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
            for outcome in join_all(marks).await {
                outcome?;
            }
        }
    }
}
