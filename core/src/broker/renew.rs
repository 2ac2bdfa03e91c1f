//! Renews a lease: store, target, caller.

use super::authenticate::{AdmitError, Recorded};
use super::{Broker, Request};
use crate::access::policy::Need;
use crate::audit::Answer;
use crate::engine::erased::{RoleRef, ToRenew};
use crate::engine::{EngineError, Renewed};
use crate::lease::{Cause, Lease, LeaseError};
use crate::limits::{CONFLICT_TRIES, RENEW_WITHIN};
use crate::store::StoreError;
use crate::store::records::Found;
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

/// A renewal that is stored and not yet told to the target.
struct Stored {
    lease: Found<Lease>,
    renewed: RenewedLease,
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
            let Stored { lease, renewed } = self.store_renewal(lease_id, increment).await?;
            self.tell_target(&lease).await?;
            Ok(renewed)
        })
        .await
    }

    async fn store_renewal(
        &self,
        lease_id: &str,
        increment: Option<Duration>,
    ) -> Result<Stored, RenewError> {
        for _ in 0..CONFLICT_TRIES {
            let was = self.find_lease(lease_id).await?.ok_or(RenewError::NoLease)?;
            let (ttl, ttl_max) = self.ttls_of(&was.record)?;
            let asked = increment.filter(|increment| !increment.is_zero()).unwrap_or(ttl);
            let now = self.clock.now();
            let lease = was.record.clone().renew(asked, ttl_max, now)?;
            match self.records.replace_lease(&was, &lease).await {
                Ok(revision) => {
                    self.due(lease.id(), lease.due_at());
                    let ttl = lease.term().lapses_at().since(now);
                    let renewed = RenewedLease {
                        lease_id: self.catalog().wire_id(lease.place(), lease.id()),
                        ttl,
                        capped: (ttl < asked).then_some((asked, ttl_max)),
                    };
                    return Ok(Stored { lease: Found { record: lease, revision }, renewed });
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    fn ttls_of(&self, lease: &Lease) -> Result<(Duration, Duration), RenewError> {
        let catalog = self.catalog();
        let place = lease.place();
        let no_role = || RenewError::NoRole(place.role.clone());
        let entry = catalog.mount(place.mount).ok_or_else(no_role)?;
        let role = entry.roles.get(&place.role).ok_or_else(no_role)?;
        Ok(entry.ttls(&role.record, &self.limits))
    }

    async fn tell_target(self: &Arc<Self>, lease: &Found<Lease>) -> Result<(), RenewError> {
        let catalog = self.catalog();
        let place = lease.record.place();
        let no_role = || RenewError::NoRole(place.role.clone());
        let role = catalog.role_of(place).ok_or_else(no_role)?;
        let target = catalog.target(place.target, place.generation).ok_or_else(no_role)?;
        let open = self.open_target(target).map_err(|_| no_role())?;
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
        match open.renew(asked).await {
            Ok(Renewed::Extended) => Ok(()),
            Ok(Renewed::Gone) => {
                let gone = lease.record.clone().to_revoke(Cause::Missing, true, self.clock.now());
                match self.records.replace_lease(lease, &gone).await {
                    Ok(_) => self.due(gone.id(), gone.due_at()),
                    Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error.into()),
                }
                Err(RenewError::Gone)
            }
            Err(error) => Err(RenewError::Target(error)),
        }
    }
}
