//! Renews a lease.
//!
//! **Invariant:** at no moment does the store promise more than the target gives. So a longer term goes to the target
//! first, a shorter one to the store first, and whatever breaks off in between needs nobody to take it back. Its
//! exceptions, all of them renewals of one lease that two processes or an uncertain commit bring out of order, and what
//! bounds them: `docs/decisions/0006-renewals.md`.

use super::access::Rights;
use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Request};
use crate::access::policy::Acl;
use crate::access::token::{Token, TokenKind};
use crate::audit::Answer;
use crate::engine::erased::{OpenTarget, RoleRef, ToRenew};
use crate::engine::{EngineError, Renewed};
use crate::ids::LeaseId;
use crate::lease::{Cause, Lease, LeaseError};
use crate::limits::RENEW_WITHIN;
use crate::store::mounts::Role;
use crate::store::records::Found;
use crate::store::tokens::TokenKey;
use crate::store::{Batch, StoreError};
use crate::time::watch::Doubt;
use std::sync::Arc;
use std::time::Duration;

/// A lease whose term has begun again.
#[derive(Clone, Debug)]
pub struct RenewedLease {
    /// Its name on the wire.
    pub lease_id: String,
    /// How long it lives from now.
    pub ttl: Duration,
    /// Set if more was asked for than may be given: what was asked, and the maximum.
    pub capped: Option<(Duration, Duration)>,
}

/// The lease keeps the term it had, unless it says otherwise.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such lease.
    #[error("lease not found")]
    NoLease,
    /// The term is over, or the ceiling is reached.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The role it was made by is gone, so nothing says how long it may live.
    #[error("the role `{0}` no longer exists; the lease ends at its term")]
    NoRole(String),
    /// The target its role is for is not configured any more, or is another one now.
    #[error(
        "the target `{0}` of the lease's role is not the one it was issued at; the lease ends at its term"
    )]
    NoTarget(String),
    /// The token that it was issued to may not ask for it any more.
    #[error(
        "the token that the lease was issued to may not read `{0}` any more; the lease ends at its term"
    )]
    OwnerMayNot(String),
    /// The time that would say how long it lives is in doubt.
    #[error(transparent)]
    Clock(#[from] Doubt),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target has not confirmed the longer term.
    #[error("the target could not be told the new term, try again: {0}")]
    Target(EngineError),
    /// The target says that there is no such credential; the lease is revoked.
    #[error("lease not found: the credential is gone from its target")]
    Gone,
}

impl Recorded for RenewedLease {
    fn recorded(&self) -> Answer {
        Answer::lease(self.lease_id.clone())
    }
}

/// What a renewal goes by: the lease's role and target as they are now.
struct Basis {
    role: Arc<Found<Role>>,
    target: Arc<dyn OpenTarget>,
    ttl: Duration,
    ttl_max: Duration,
}

impl Broker {
    /// Starts the term of a lease again; by the role's TTL unless `increment` asks for another.
    pub async fn renew(
        self: &Arc<Self>,
        request: &Request,
        lease_id: &str,
        increment: Option<Duration>,
    ) -> Result<RenewedLease, RenewError> {
        self.served(request, async |caller: Caller| {
            self.trust_clock()?;
            let found = self.find_lease(request, lease_id).await?.ok_or(RenewError::NoLease)?;
            let id = found.record.id();
            // Nobody has been told of a lease that is being issued.
            if self.issuing.is_flying(id) {
                return Err(RenewError::NoLease);
            }
            // One at a time for each lease, revocations included: what the target is told last is what is stored.
            let _turn = self.turns.begin_next(id).await;
            self.until_kept(request, caller, async |caller| {
                self.renew_found(&caller, id, increment).await
            })
            .await
        })
        .await
    }

    /// Renews a lease, if nothing changes meanwhile of what decides it: what the caller may do, and what the token may
    /// that it was issued to.
    async fn renew_found(
        self: &Arc<Self>,
        caller: &Caller,
        id: LeaseId,
        increment: Option<Duration>,
    ) -> Result<RenewedLease, RenewError> {
        let was = self.records.lease(id).await?.ok_or(RenewError::NoLease)?;
        let rights = self.owner_may(&caller.token.record, &was.record).await;
        // Read when the store has answered: the term begins now, and not when it was asked.
        let now = self.clock.now();
        if !was.record.is_held(now) {
            return Err(LeaseError::Lapsed.into());
        }
        let rights = rights?;
        // A lease that cannot be told to its target keeps the term it has.
        let basis = self.basis(&was.record)?;
        let increment = increment.filter(|increment| !increment.is_zero());
        let asked = increment.unwrap_or(basis.ttl);
        let lease = was.record.clone().renew(asked, basis.ttl_max, now)?;
        let is_shorter = lease.term().lapses_at() < was.record.term().lapses_at();
        if !is_shorter {
            self.tell_target(&lease, &basis).await?;
        }
        let batch = caller.rights.expected(rights.expected(Batch::default()));
        self.keep_lease_if(&was, &lease, batch).await?;
        if is_shorter {
            self.tell_shorter(&lease, &basis).await?;
        }
        let given = lease.term().lapses_at().since(now);
        // What the target has taken of it, in whole seconds, as terms are told.
        let taken = Duration::from_secs(self.clock.now().since(now).as_secs());
        let ttl = given.checked_sub(taken).filter(|left| left.as_secs() > 0);
        let capped = increment.filter(|increment| given < *increment);
        Ok(RenewedLease {
            lease_id: self.catalog().wire_id(lease.place(), lease.id()),
            // One of zero would be read as an end that never comes.
            ttl: ttl.ok_or(LeaseError::Lapsed)?,
            capped: capped.map(|increment| (increment, basis.ttl_max)),
        })
    }

    /// Returns the rights of the token that a lease was issued to, if it could still be issued the same. Who renews
    /// it for that token gives it no more than it may have.
    async fn owner_may(&self, caller: &Token, lease: &Lease) -> Result<Rights, RenewError> {
        let catalog = self.catalog();
        let path = catalog.creds_path(lease.place().mount, &lease.place().role);
        let lent_by = catalog.mount(lease.place().mount).map(|entry| entry.lent_by());
        let may = |acl: &Acl| {
            let granted = acl.capabilities(&path);
            acl.is_root() || lent_by.unwrap_or_default().iter().any(|one| granted.has(*one))
        };
        let key = lease.owner().token;
        // A batch token is stored nowhere, and known only while it is shown; a lease that ends with no token is any
        // caller's who could be lent the same.
        let is_batch = caller.kind == TokenKind::Batch && caller.owner_key() == key;
        let is_own = is_batch || key == TokenKey::NONE;
        let owner =
            if is_own { self.token_again(caller).await? } else { self.records.token(&key).await? };
        let now = self.clock.now();
        if let Some(owner) = owner.filter(|owner| owner.record.is_held(now)) {
            // Nobody borrows for an entity that is disabled.
            if let Some(rights) = self.rights_of(&owner.record).await?
                && may(&rights.acl)
            {
                return Ok(rights);
            }
        }
        Err(RenewError::OwnerMayNot(path))
    }

    fn basis(&self, lease: &Lease) -> Result<Basis, RenewError> {
        let catalog = self.catalog();
        let place = lease.place();
        let no_role = || RenewError::NoRole(place.role.clone());
        let entry = catalog.mount(place.mount).ok_or_else(no_role)?;
        let role = entry.roles.get(&place.role).ok_or_else(no_role)?;
        let no_target = || RenewError::NoTarget(role.record.target.clone());
        catalog.role_of(place).ok_or_else(no_target)?;
        let target = catalog.target(place.target, place.generation).ok_or_else(no_target)?;
        let target = self.open_target(target).map_err(|_| no_target())?;
        let (ttl, ttl_max) = entry.ttls(&role.record, &self.limits);
        Ok(Basis { role: Arc::clone(role), target, ttl, ttl_max })
    }

    async fn tell_target(self: &Arc<Self>, lease: &Lease, basis: &Basis) -> Result<(), RenewError> {
        let role = &basis.role;
        let asked = ToRenew {
            lease: lease.id(),
            handle: lease.handle(),
            role: RoleRef {
                name: &role.record.name,
                revision: role.revision,
                fields: &role.record.fields,
            },
            lapses_at: lease.term().lapses_at(),
            answer_by: self.clock.now().plus(RENEW_WITHIN),
        };
        match basis.target.renew(asked).await {
            Ok(Renewed::Extended) => Ok(()),
            Ok(Renewed::Gone) => {
                self.mark(lease.id(), Cause::Missing).await?;
                Err(RenewError::Gone)
            }
            Err(error) => Err(RenewError::Target(error)),
        }
    }

    /// Tells the target of an end that is stored already. The lease ends then whether or not the target hears of it,
    /// and not at the end its holder would think of after an error.
    async fn tell_shorter(
        self: &Arc<Self>,
        lease: &Lease,
        basis: &Basis,
    ) -> Result<(), RenewError> {
        match self.tell_target(lease, basis).await {
            Err(RenewError::Target(error)) => {
                let lease = self.catalog().wire_id(lease.place(), lease.id());
                tracing::warn!(%lease, %error, "a target keeps the later end of a lease that was made shorter");
                Ok(())
            }
            outcome => outcome,
        }
    }
}
