//! What every engine has to do for the proof that a credential is dead.

use super::rotation::{intended, intent};
use super::{PATIENCE, Site, issued, now, revocation};
use leasehold_core::engine::rotation::{Account, Intent, Tested, Verify};
use leasehold_core::engine::{Engine, EngineError, Issue, Revocation};
use leasehold_core::ids::LeaseId;
use std::sync::Arc;

/// Returns the handle of a credential as it is stored before it is armed.
pub fn armed_handle<S: Site>(site: &S, issue: &Issue<S::Engine>) -> <S::Engine as Engine>::Handle {
    site.engine().armed_as(&issue.handle, now().plus(PATIENCE))
}

/// Arms a credential for one lease.
pub async fn armed<S: Site>(
    site: &S,
    issue: &Issue<S::Engine>,
    lease: LeaseId,
    intent: &Intent,
) -> Result<Account, EngineError> {
    let handle = armed_handle(site, issue);
    site.engine().arm(lease, &handle, intent, now().plus(PATIENCE)).await
}

/// Tries what a credential was armed with.
pub async fn tested<S: Site>(
    site: &S,
    account: &Account,
    intent: &Intent,
) -> Result<Tested, EngineError> {
    site.engine().tested(account, intended(intent), now().plus(PATIENCE)).await
}

/// What a credential was armed with works until the revocation, and is refused after it.
pub async fn a_control_login_works_until_the_revocation<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let (issue, login) = issued(site, 1).await.pop().expect("one was issued");
    let intent = intent();
    let account = armed(site, &issue, issue.lease, &intent).await.expect("it is armed");
    assert_eq!(tested(site, &account, &intent).await, Ok(Tested::Works));
    if account.verify == Verify::Login {
        assert!(site.log_in(&login).await.is_err(), "its holder's password is another one");
    }
    let asked = Revocation { handle: armed_handle(site, &issue), ..revocation(&issue) };
    assert_eq!(site.engine().revoke(&[asked]).await, [Ok(())]);
    assert_eq!(tested(site, &account, &intent).await, Ok(Tested::Denied));
}

/// Nothing is armed but the credential of the lease that is named, and nothing is made by it.
pub async fn only_what_is_the_leases_is_armed<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let mut two = issued(site, 2).await;
    let ((issue, login), (other, _)) = two.pop().zip(two.pop()).expect("two were issued");
    let refused = armed(site, &issue, other.lease, &intent()).await;
    assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
    site.log_in(&login).await.map(drop).expect("nothing was altered");
    let answers = site.engine().revoke(&[revocation(&issue), revocation(&other)]).await;
    assert_eq!(answers, [Ok(()), Ok(())]);
    let before = site.credentials().await;
    let refused = armed(site, &issue, issue.lease, &intent()).await;
    assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
    assert_eq!(site.credentials().await, before, "what is not there is not made");
}
