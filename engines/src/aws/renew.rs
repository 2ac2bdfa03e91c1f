//! AWS knows no ends of users: a renewal only looks whether the user is still there.

use super::look::{self, Seen};
use super::{Aws, Handle};
use crate::deadline::Deadline;
use futures_util::future::join_all;
use leasehold_core::engine::{Cause, EngineError, Renewal, Renewed};

pub(super) async fn renew(
    target: &Aws,
    asked: &[Renewal<Aws>],
) -> Vec<Result<Renewed, EngineError>> {
    join_all(asked.iter().map(|renewal| renew_one(target, renewal))).await
}

async fn renew_one(target: &Aws, asked: &Renewal<Aws>) -> Result<Renewed, EngineError> {
    if !matches!(asked.handle, Handle::IamUser { .. }) {
        return Err(EngineError::refused(Cause::Rejected, "a session lives until its own end"));
    }
    let now = target.clock.now();
    let deadline = Deadline::new(asked.answer_by, now);
    match look::look(target, asked.handle.name(), asked.lease, deadline).await? {
        Seen::Ours => Ok(Renewed::Extended),
        Seen::Nothing => look::may_be_unknown(asked.lease, now).map(|()| Renewed::Gone),
    }
}
