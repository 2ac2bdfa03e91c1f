//! The life of a lease, as a value.
//!
//! ```text
//!  Held ──renew──▶ Held ──attempt──▶ Revoking ──settle──▶ (gone; a history record stays)
//!    └───────────── attempt ────────────▲   └─attempt─▶ Revoking
//! ```
//!
//! Every transition takes the time as an argument and returns a new value; none awaits. Storing the
//! value is the business of [`crate::broker`].

pub mod backoff;
pub mod death;
mod denied;
mod handle;
pub mod id_key;
pub mod queue;
pub mod term;

pub use handle::Handle;

use crate::engine::Unanswered;
use crate::ids::{BootId, EntityId, LeaseId, MountId, TargetId, TokenAccessor};
use crate::limits::{ISSUE_WITHIN, REVOKE_WITHIN};
use crate::store::holds::Hold;
use crate::store::leases::RepeatKey;
use crate::store::tokens::TokenKey;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use term::Term;

/// By how much an end that a target tells may differ from the one it was told: two clocks, and whole seconds.
const CLOCKS_APART: Duration = Duration::from_secs(1);

/// A promise to remove one credential from one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lease {
    id: LeaseId,
    place: Place,
    handle: Handle,
    owner: Owner,
    issue: IssueSpan,
    /// What the target itself calls the credential, where it chose that once it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_as: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeat_key: Option<RepeatKey>,
    issued_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renewed_at: Option<Timestamp>,
    term: Term,
    /// Its credential ends by itself, at the end of its term, which is therefore the only one.
    #[serde(default, skip_serializing_if = "is_not")]
    ends_itself: bool,
    state: LeaseState,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_not(flag: &bool) -> bool {
    !flag
}

/// Where a credential is, and by which recipe it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The mount it was asked from.
    pub mount: MountId,
    /// The role it was made by.
    pub role: String,
    /// The target it is at.
    pub target: TargetId,
    /// Which identity of the target that was.
    pub generation: Generation,
}

/// One identity of a target; a configuration that points at another server starts a new one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u32);

/// To whom a lease was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Under which key the token is kept that the lease ends with; [`TokenKey::NONE`] if it ends with none.
    pub token: TokenKey,
    /// What names the token to people.
    pub accessor: TokenAccessor,
    /// What the auth method calls the caller.
    pub display_name: String,
    /// Who is behind the token, if anybody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<EntityId>,
    /// The policies by whose rules it was lent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted_by: Vec<String>,
    /// The request that asked, as the audit has it.
    pub request: String,
}

/// When the target may be asked to create, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueSpan {
    /// The process that asks.
    pub boot: BootId,
    /// After this, the target must not create.
    pub issue_by: Timestamp,
    /// After this, an issue that was sent can no longer take effect.
    pub settles_at: Timestamp,
}

/// Where a lease is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum LeaseState {
    /// The credential is lent.
    Held,
    /// The target has to forget the credential; it may already have.
    Revoking(Revoking),
}

/// What is known of a revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoking {
    /// What brought it about.
    pub cause: Cause,
    /// When it began.
    pub since: Timestamp,
    /// How many attempts have failed; in older records, how many were started.
    pub attempts: u32,
    /// When the next attempt starts. While one goes on, when it must be over.
    pub retry_at: Timestamp,
    /// Until when an issue that was never answered may still land; `None` if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles_at: Option<Timestamp>,
    /// Why the last attempt failed; for people, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What brought a revocation about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The term is over.
    Lapsed,
    /// A caller asked.
    Asked,
    /// The token it was issued to has ended.
    TokenEnded,
    /// The issue failed, or nobody could be told the secret.
    IssueFailed,
    /// The target refused to make a credential that would have ended by itself, so that there is no end to wait for.
    NeverMade,
    /// The target says that there is no such credential.
    Missing,
    /// Its secret is lost, and the request that asked for it was repeated.
    Superseded,
    /// An operator has said that its target is gone for ever.
    Abandoned,
}

/// A lease was asked to do what its state forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The term is over, or revocation has begun.
    #[error("lease expired")]
    Lapsed,
    /// The ceiling leaves no whole second.
    #[error("past the max TTL, cannot renew")]
    PastCeiling,
    /// Its credential ends by itself, at a time that nothing moves.
    #[error("lease is not renewable")]
    NotRenewable,
}

impl Lease {
    /// Starts a lease, before the target has heard of it.
    #[must_use]
    pub fn new(
        id: LeaseId,
        place: Place,
        owner: Owner,
        handle: Handle,
        issue: IssueSpan,
        term: Term,
        now: Timestamp,
    ) -> Self {
        let state = LeaseState::Held;
        let (known_as, repeat_key, renewed_at, ends_itself) = (None, None, None, false);
        Self {
            id,
            place,
            handle,
            owner,
            issue,
            known_as,
            repeat_key,
            issued_at: now,
            renewed_at,
            term,
            ends_itself,
            state,
        }
    }

    /// Its credential ends by itself by the end of its term, if so it is said.
    #[must_use]
    pub fn ending_itself(self, ends_itself: bool) -> Self {
        Self { ends_itself, ..self }
    }

    /// The request that asked for it may be repeated under this key.
    #[must_use]
    pub fn repeatable(self, repeat_key: Option<RepeatKey>) -> Self {
        Self { repeat_key, ..self }
    }

    /// The target has answered, and calls the credential so.
    #[must_use]
    pub fn known_as(self, name: &str) -> Self {
        Self { known_as: Some(name.to_owned()), ..self }
    }

    /// The term starts again, as far as the ceiling allows.
    pub fn renew(
        mut self,
        ttl: Duration,
        ttl_max: Duration,
        now: Timestamp,
    ) -> Result<Self, LeaseError> {
        match self.state {
            LeaseState::Held if self.ends_itself => Err(LeaseError::NotRenewable),
            LeaseState::Held if now < self.term.lapses_at() => {
                self.term = self.term.renewed(ttl, self.issued_at.plus(ttl_max), now)?;
                self.renewed_at = Some(now);
                Ok(self)
            }
            LeaseState::Held | LeaseState::Revoking(_) => Err(LeaseError::Lapsed),
        }
    }

    /// A renewal that the store has forgotten is taken over from the target, as far as the ceiling allows: there the
    /// credential ends at `ends`, or at no time that the target knows. `None`: there is nothing to take over.
    #[must_use]
    pub fn remembering(self, ends: Option<Timestamp>, hold: &Hold) -> Option<Self> {
        let since = self.renewed_at.unwrap_or(self.issued_at);
        // What was renewed after the restore is in the store, and what had lapsed before the backup was not renewed.
        let is_known = since >= hold.since || self.term.lapses_at() <= hold.taken_at;
        if is_known || self.state != LeaseState::Held {
            return None;
        }
        let again = || hold.since.plus(self.term.lapses_at().since(since));
        let term = self.term.known_until(ends.unwrap_or_else(again));
        let longer = term.lapses_at().since(self.term.lapses_at());
        (longer >= CLOCKS_APART).then_some(Self { term, ..self })
    }

    /// The target is about to be asked to set the credential again, which it has forgotten: it may land until
    /// `issue.settles_at`, under `handle`. `None`: it is not lent any more.
    #[must_use]
    pub fn put_back(self, handle: Handle, issue: IssueSpan, now: Timestamp) -> Option<Self> {
        self.is_held(now).then_some(Self { handle, issue, ..self })
    }

    /// The credential is to be revoked, by whoever looks next. Storing this takes the lease from its holder.
    #[must_use]
    pub fn to_revoke(self, cause: Cause, answered: bool, now: Timestamp) -> Self {
        match self.state {
            LeaseState::Held => {
                let settles_at = (!answered).then_some(self.issue.settles_at);
                let state = LeaseState::Revoking(Revoking {
                    cause,
                    since: now,
                    attempts: 0,
                    retry_at: now,
                    settles_at,
                    error: None,
                });
                Self { state, ..self }
            }
            // Nobody need wait for a target that is gone.
            LeaseState::Revoking(before)
                if cause == Cause::Abandoned && before.cause != Cause::Abandoned =>
            {
                let settles_at = (!answered).then_some(self.issue.settles_at);
                let settles_at = before.settles_at.or(settles_at);
                let state =
                    LeaseState::Revoking(Revoking { cause, retry_at: now, settles_at, ..before });
                Self { state, ..self }
            }
            // What is found out later may only make it more careful.
            LeaseState::Revoking(before) if !answered && before.settles_at.is_none() => {
                let settles_at = Some(self.issue.settles_at);
                let state = LeaseState::Revoking(Revoking { settles_at, ..before });
                Self { state, ..self }
            }
            LeaseState::Revoking(_) => self,
        }
    }

    /// An attempt to revoke is about to start.
    ///
    /// Storing the result claims the attempt: the sweep starts no other one for as long as it may take. One that dies
    /// with its process has not failed, and is soon followed by another.
    #[must_use]
    pub fn attempt(self, cause: Cause, answered: bool, now: Timestamp) -> Self {
        let marked = self.to_revoke(cause, answered, now);
        let state = match marked.state {
            LeaseState::Held => LeaseState::Held,
            LeaseState::Revoking(before) => {
                let over_at = now.plus(REVOKE_WITHIN);
                // Who asks before the next attempt is due never makes that one later.
                let retry_at =
                    if before.retry_at > now { before.retry_at.min(over_at) } else { over_at };
                LeaseState::Revoking(Revoking { retry_at, ..before })
            }
        };
        Self { state, ..marked }
    }

    /// The target is about to be asked to arm the credential, for the proof of its death.
    #[must_use]
    pub fn armed(self, handle: Handle) -> Self {
        Self { handle, ..self }
    }

    /// The attempt that `cause` brought about failed, and this is why. The next one starts after `wait`; without one,
    /// later after each failure, but as soon as its issue can no longer land.
    #[must_use]
    pub fn failed(
        self,
        cause: Cause,
        error: String,
        wait: Option<Duration>,
        settles_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let state = match self.state {
            LeaseState::Held => LeaseState::Held,
            LeaseState::Revoking(before) => {
                // Only the sweep's own attempts make it slower: who asks brings the next one forward, if anything.
                let asked = cause == Cause::Asked && before.attempts > 0;
                let attempts = before.attempts.saturating_add(u32::from(!asked));
                let later = now.plus(wait.unwrap_or_else(|| backoff::after(attempts)));
                let planned = Some(before.retry_at).filter(|_| asked);
                let sooner = [planned, settles_at].into_iter().flatten();
                let retry_at = sooner.filter(|at| *at > now).fold(later, Timestamp::min);
                LeaseState::Revoking(Revoking { attempts, retry_at, error: Some(error), ..before })
            }
        };
        Self { state, ..self }
    }

    /// Returns until when its issue may land, if it is not known to have been answered (law 6).
    #[must_use]
    pub fn unanswered(&self) -> Option<Unanswered> {
        match &self.state {
            LeaseState::Revoking(Revoking { settles_at: Some(settles_at), .. }) => {
                Some(Unanswered { issue_by: self.issue.issue_by, settles_at: *settles_at })
            }
            LeaseState::Revoking(_) | LeaseState::Held => None,
        }
    }

    /// When this lease needs a look, in every state.
    #[must_use]
    pub fn due_at(&self) -> Timestamp {
        match &self.state {
            LeaseState::Held => self.term.lapses_at(),
            LeaseState::Revoking(Revoking { retry_at, .. }) => *retry_at,
        }
    }

    /// Whether the credential is lent and its term is not over.
    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        match self.state {
            LeaseState::Held => now < self.term.lapses_at(),
            LeaseState::Revoking(_) => false,
        }
    }

    /// Names this lease.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.id
    }
    /// Where the credential is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }
    /// What the credential is called.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
    /// What the target itself calls the credential, where it chose that.
    #[must_use]
    pub fn own_name(&self) -> Option<&str> {
        self.known_as.as_deref()
    }
    /// To whom it was given.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }
    /// When the target may be asked, and by whom.
    #[must_use]
    pub fn issue(&self) -> IssueSpan {
        self.issue
    }
    /// Under which key the request that asked for it may be repeated.
    #[must_use]
    pub fn repeat_key(&self) -> Option<&RepeatKey> {
        self.repeat_key.as_ref()
    }
    /// When it was made.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }
    /// When it was last renewed.
    #[must_use]
    pub fn renewed_at(&self) -> Option<Timestamp> {
        self.renewed_at
    }
    /// How long it lives.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }
    /// Whether its credential ends by itself.
    #[must_use]
    pub fn ends_itself(&self) -> bool {
        self.ends_itself
    }
    /// Whether it is known that its credential was never made.
    #[must_use]
    pub fn was_never_made(&self) -> bool {
        match &self.state {
            LeaseState::Held => false,
            LeaseState::Revoking(Revoking { cause, settles_at, .. }) => {
                *cause == Cause::NeverMade && settles_at.is_none()
            }
        }
    }
    /// Until when its credential works at least, as its caller is told. The term of one that ends by itself is longer
    /// by what its issue may take, so that it has ended when the term does.
    #[must_use]
    pub fn works_until(&self) -> Timestamp {
        let lapses_at = self.term.lapses_at();
        if self.ends_itself { lapses_at.minus(ISSUE_WITHIN) } else { lapses_at }
    }
    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> &LeaseState {
        &self.state
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lapsed => "lapsed",
            Self::Asked => "asked",
            Self::TokenEnded => "token ended",
            Self::IssueFailed => "issue failed",
            Self::NeverMade => "never made",
            Self::Missing => "missing at the target",
            Self::Superseded => "superseded by a repeated request",
            Self::Abandoned => "target abandoned",
        })
    }
}

#[cfg(test)]
#[path = "lease/tests.rs"]
mod tests;
