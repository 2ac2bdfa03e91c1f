//! Gives a leased role the password by which its death is proven.
//!
//! A role is never created by it, so whatever of it is late finds a role that is on its way out, or none.

use super::failure::Failure;
use super::message::{self, Deadline};
use super::{Handle, Postgres, look, quote, rotate};
use leasehold_core::engine::rotation::{Account, Intent, Verify};
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;

pub(super) async fn arm(
    target: &Postgres,
    lease: LeaseId,
    handle: &Handle,
    intent: &Intent,
    answer_by: Timestamp,
) -> Result<Account, EngineError> {
    let name = handle.name.as_str();
    look::bears_its_bits(name, lease)?;
    let (password, told) = rotate::told(target, intent)?;
    let deadline = Deadline::new(answer_by, target.links.now());
    let failed = |failure: Failure| {
        failure.without([password.reveal(), told.reveal()].into_iter()).of_issue()
    };
    let mut link = target.links.link(deadline.until).await.map_err(failed)?;
    let mut there = look::look(target, &mut link, &[name], deadline).await.map_err(failed)?;
    let Some(found) = there.remove(name) else {
        let why = format!("there is no role `{name}`");
        return Err(EngineError::refused(Cause::Rejected, why));
    };
    found.is_of(target, name, lease)?;
    let limits = deadline.limits(message::LOCK_WAIT);
    let owner = found.owner.as_deref().map(quote::identifier);
    let owner = owner.map(|owner| format!("SET LOCAL ROLE {owner}; ")).unwrap_or_default();
    let (quoted, told) = (quote::identifier(name), quote::literal(told.reveal()));
    let sql = format!("{limits}{owner}ALTER ROLE {quoted} PASSWORD {told}");
    link.say(sql, deadline.until).await.map_err(failed)?;
    Ok(Account {
        name: name.to_owned(),
        administers: false,
        statements: Vec::new(),
        verify: Verify::Login,
    })
}
