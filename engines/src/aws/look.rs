//! Looks whose a user is before anything is altered.

use super::client::call;
use super::failure::Failure;
use super::{Aws, MARK_TAG};
use crate::deadline::Deadline;
use aws_sdk_iam::types::Tag;
use leasehold_core::engine::naming::carries_lease_bits;
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use std::time::Duration;

/// How long what AWS was told may be unknown to some of it. It promises no number; seconds are usual, and this is longer
/// than anybody has told of.
const KNOWN_WITHIN: Duration = Duration::from_mins(2);

/// What is there by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The user of the lease.
    Ours,
    /// No user.
    Nothing,
}

/// Looks for the user of a lease. Whatever else there is by that name is left alone.
pub(super) async fn look(
    target: &Aws,
    name: &str,
    lease: LeaseId,
    deadline: Deadline,
) -> Result<Seen, EngineError> {
    if !carries_lease_bits(name, lease) {
        let message = format!(
            "the name `{name}` does not carry the bits of its lease, so nothing of that name is altered"
        );
        return Err(EngineError::refused(Cause::NeedsOperator, message));
    }
    let answer = call(deadline, target.clients.iam.get_user().user_name(name).send()).await;
    let user = match answer {
        Ok(found) => found.user.ok_or_else(|| Failure::Odd("it told of no user").refused())?,
        Err(failure) if failure.is_gone() => return Ok(Seen::Nothing),
        Err(failure) => return Err(failure.refused()),
    };
    if marked(user.tags()) == Some(&target.mark(lease)) {
        return Ok(Seen::Ours);
    }
    let message = format!(
        "the user `{name}` does not have the tag `{MARK_TAG}` of its lease, so it is somebody else's and is not altered; \
         if it is not, remove it by hand"
    );
    Err(EngineError::refused(Cause::NeedsOperator, message))
}

/// Returns what the mark among these tags says.
pub(super) fn marked(tags: &[Tag]) -> Option<&str> {
    tags.iter().find(|tag| tag.key() == MARK_TAG).map(Tag::value)
}

/// Whether what is not there may be there, because not all of AWS knows of it yet.
pub(super) fn may_be_unknown(lease: LeaseId, now: Timestamp) -> Result<(), EngineError> {
    if now.since(lease.made_at()) >= KNOWN_WITHIN {
        return Ok(());
    }
    let message = "AWS knows of no such user, but it may not know of it everywhere yet: it is looked for again";
    Err(EngineError::refused(Cause::Contended, message))
}
