//! Renews a lease: store, target, caller.

use super::authenticate::{AdmitError, Recorded};
use super::{Broker, Request};
use crate::access::policy::Need;
use crate::audit::Answer;
use crate::engine::erased::{OpenTarget, RoleRef, ToRenew};
use crate::engine::{EngineError, Renewed};
use crate::ids::LeaseId;
use crate::lease::{Cause, Lease, LeaseError};
use crate::limits::{CONFLICT_TRIES, RENEW_WITHIN};
use crate::store::StoreError;
use crate::store::mounts::Role;
use crate::store::records::Found;
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
#[derive(Debug, thiserror::Error)]
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
    /// The time that would say how long it lives is in doubt.
    #[error(transparent)]
    Clock(#[from] Doubt),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target has not heard of the new term: it may end the credential at the old one.
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

/// Whether the target, which did not confirm a renewal, cannot have an end that is earlier than the one of before.
fn may_take_back(error: &EngineError, was: &Lease, renewed: &Lease) -> bool {
    match error {
        EngineError::Refused(_) => true,
        EngineError::Uncertain(_) => renewed.term().lapses_at() >= was.term().lapses_at(),
    }
}

/// A renewal that is stored, and that the target is to be told.
struct Renewing {
    was: Lease,
    lease: Found<Lease>,
    renewed: RenewedLease,
    basis: Basis,
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
        self.served(request, Need::Policy, async |_| {
            self.trust_clock()?;
            let found = self.find_lease(lease_id).await?.ok_or(RenewError::NoLease)?;
            let id = found.record.id();
            // Nobody has been told of a lease that is being issued.
            if self.issuing.is_flying(id) {
                return Err(RenewError::NoLease);
            }
            // One at a time for each lease, revocations included: what the target is told last is what is stored.
            let _turn = self.turns.begin_next(id).await;
            let Renewing { was, lease, renewed, basis } = self.store_renewal(id, increment).await?;
            let told = self.tell_target(&lease, &basis).await;
            if let Err(RenewError::Target(error)) = &told
                && may_take_back(error, &was, &lease.record)
            {
                self.take_back(&was, &lease).await;
            }
            told.map(|()| renewed)
        })
        .await
    }

    async fn store_renewal(
        &self,
        id: LeaseId,
        increment: Option<Duration>,
    ) -> Result<Renewing, RenewError> {
        for _ in 0..CONFLICT_TRIES {
            let was = self.records.lease(id).await?.ok_or(RenewError::NoLease)?;
            let now = self.clock.now();
            if !was.record.is_held(now) {
                return Err(LeaseError::Lapsed.into());
            }
            // A lease that cannot be told to its target keeps the term it has.
            let basis = self.basis(&was.record)?;
            let increment = increment.filter(|increment| !increment.is_zero());
            let asked = increment.unwrap_or(basis.ttl);
            let lease = was.record.clone().renew(asked, basis.ttl_max, now)?;
            match self.keep_lease(&was, &lease).await {
                Ok(revision) => {
                    let ttl = lease.term().lapses_at().since(now);
                    let capped = increment.filter(|increment| ttl < *increment);
                    let renewed = RenewedLease {
                        lease_id: self.catalog().wire_id(lease.place(), lease.id()),
                        ttl,
                        capped: capped.map(|increment| (increment, basis.ttl_max)),
                    };
                    let lease = Found { record: lease, revision };
                    return Ok(Renewing { was: was.record, lease, renewed, basis });
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// A renewal that the target did not confirm leaves the lease with the end its holder was told before. Where even
    /// that fails, the lease ends later than its holder thinks, and no later than its ceiling.
    async fn take_back(&self, was: &Lease, renewed: &Found<Lease>) {
        let lease = was.id();
        match self.keep_lease(renewed, was).await {
            // Whoever has changed it meanwhile has decided on it.
            Ok(_) | Err(StoreError::Conflict) => {}
            Err(error) => {
                tracing::warn!(%lease, %error, "a renewal that failed could not be taken back");
            }
        }
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

    async fn tell_target(
        self: &Arc<Self>,
        lease: &Found<Lease>,
        basis: &Basis,
    ) -> Result<(), RenewError> {
        let role = &basis.role;
        let asked = ToRenew {
            lease: lease.record.id(),
            handle: lease.record.handle(),
            role: RoleRef {
                name: &role.record.name,
                revision: role.revision,
                fields: &role.record.fields,
            },
            lapses_at: lease.record.term().lapses_at(),
            answer_by: self.clock.now().plus(RENEW_WITHIN),
        };
        match basis.target.renew(asked).await {
            Ok(Renewed::Extended) => Ok(()),
            Ok(Renewed::Gone) => {
                self.mark(lease.record.id(), Cause::Missing).await?;
                Err(RenewError::Gone)
            }
            Err(error) => Err(RenewError::Target(error)),
        }
    }
}
