//! Sees that a leased user is there, before it is revoked: AWS draws its keys, so none can be set to prove its death by.

use super::look::{Seen, look};
use super::{Aws, Handle};
use crate::deadline::Deadline;
use leasehold_core::engine::rotation::{Account, Verify};
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;

pub(super) async fn arm(
    target: &Aws,
    lease: LeaseId,
    handle: &Handle,
    answer_by: Timestamp,
) -> Result<Account, EngineError> {
    let Handle::IamUser { name } = handle else {
        let why = "AWS ends no session before its time, so that its end cannot be proven";
        return Err(EngineError::refused(Cause::Rejected, why));
    };
    let deadline = Deadline::new(answer_by, target.clock.now());
    match look(target, name, lease, deadline).await? {
        Seen::Ours => Ok(Account {
            name: name.to_owned(),
            administers: false,
            statements: Vec::new(),
            verify: Verify::Catalog,
        }),
        Seen::Nothing => {
            let why = format!("AWS knows of no user `{name}`");
            Err(EngineError::refused(Cause::Rejected, why))
        }
    }
}
