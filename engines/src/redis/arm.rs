//! Gives a leased user the password by which its death is proven, at every node.
//!
//! `ACL SETUSER` sets also what is not there. Who may send it, and until when, is in the handle before that, so that
//! whoever revokes the user can see to it that nothing of it lands any more.

use super::put_back::MAKERS_MAX;
use super::{Handle, Redis, rotate};
use leasehold_core::engine::rotation::{Account, Intent, Verify};
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Who may give a user another password, and until when that may be sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Armed {
    /// What the connections of that engine are called.
    pub(super) by: String,
    pub(super) until: Timestamp,
}

/// Returns the handle with this engine as the one that may arm.
pub(super) fn armed_as(target: &Redis, handle: &Handle, until: Timestamp) -> Handle {
    let mut handle = handle.clone();
    handle.armed.retain(|armed| armed.by != target.own);
    // The processes of those that are left out died long ago.
    if handle.armed.len() >= MAKERS_MAX {
        handle.armed.remove(0);
    }
    handle.armed.push(Armed { by: target.own.clone(), until });
    handle
}

pub(super) async fn arm(
    target: &Redis,
    lease: LeaseId,
    handle: &Handle,
    intent: &Intent,
    answer_by: Timestamp,
) -> Result<Account, EngineError> {
    target.tag.check(&handle.name, lease)?;
    let Some(armed) = handle.armed.iter().find(|armed| armed.by == target.own) else {
        let why = "its handle does not say that it may be armed from here";
        return Err(EngineError::refused(Cause::Contended, why));
    };
    let account = Account {
        name: handle.name.clone(),
        administers: false,
        statements: Vec::new(),
        verify: Verify::Login,
    };
    rotate::rotate(target, &account, intent, answer_by.min(armed.until)).await?;
    Ok(account)
}
