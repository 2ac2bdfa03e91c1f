//! Gives a leased user the password by which its death is proven.
//!
//! A user is never created by it, so whatever of it is late finds a user that is on its way out, or none.

use super::{Handle, MySql, look, rotate};
use crate::deadline::Deadline;
use leasehold_core::engine::rotation::{Account, Intent, Verify};
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;

pub(super) async fn arm(
    target: &MySql,
    lease: LeaseId,
    handle: &Handle,
    intent: &Intent,
    answer_by: Timestamp,
) -> Result<Account, EngineError> {
    let name = handle.name.as_str();
    look::is_ours(target, name, lease)?;
    let deadline = Deadline::new(answer_by, target.links.now());
    {
        let link = target.links.link(deadline.until).await;
        let mut link = link.map_err(|failure| failure.refused())?;
        let there = look::look(&mut link, &[name], deadline).await;
        let there = there.map_err(|failure| failure.refused())?;
        let missing =
            || EngineError::refused(Cause::Rejected, format!("there is no user `{name}`"));
        there.get(name).ok_or_else(missing)?.is_of(target, name, lease)?;
    }
    let account = Account {
        name: name.to_owned(),
        administers: false,
        statements: Vec::new(),
        verify: Verify::Login,
    };
    rotate::rotate(target, &account, intent, answer_by).await?;
    Ok(account)
}
