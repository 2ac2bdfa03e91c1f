//! What users are in use for: their keys, and when one was last used. AWS tells of no sessions: each call is signed by
//! itself; and a session that STS gave is known to nobody but its holder.

use super::client::call;
use super::failure::Failure;
use super::{Aws, Handle};
use crate::deadline::Deadline;
use futures_util::future::join_all;
use leasehold_core::engine::in_use::{InUse, NAMES_MAX, Owned};
use leasehold_core::engine::naming::carries_lease_bits;
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;

/// How many users are looked at at once.
const AT_ONCE: usize = 8;

/// What an administrator is told who may not ask when a key was used; AWS's own words name each user.
const FORBIDDEN: &str =
    "when keys were last used is not known; allow the administrator `iam:GetAccessKeyLastUsed`";

pub(super) async fn in_use(
    target: &Aws,
    asked: &[(LeaseId, Handle)],
    answer_by: Timestamp,
) -> Vec<Result<InUse, EngineError>> {
    let deadline = Deadline::new(answer_by, target.clock.now());
    let mut answers = Vec::with_capacity(asked.len());
    for some in asked.chunks(AT_ONCE) {
        let looks = some.iter().map(|(lease, handle)| see(target, *lease, handle, deadline));
        answers.extend(join_all(looks).await);
    }
    answers
}

async fn see(
    target: &Aws,
    lease: LeaseId,
    handle: &Handle,
    deadline: Deadline,
) -> Result<InUse, EngineError> {
    let Handle::IamUser { name } = handle else { return Ok(InUse::default()) };
    if !carries_lease_bits(name, lease) {
        let why = format!("the name `{name}` does not carry the bits of its lease");
        return Err(EngineError::refused(Cause::NeedsOperator, why));
    }
    let iam = &target.clients.iam;
    let keys = match call(deadline, iam.list_access_keys().user_name(name).send()).await {
        Ok(keys) => keys.access_key_metadata,
        Err(failure) if failure.is_gone() => {
            let owned = Some(Vec::new());
            return Ok(InUse { is_there: Some(false), owned, ..InUse::default() });
        }
        Err(failure) => return Err(failure.refused()),
    };
    let ids: Vec<_> = keys.iter().filter_map(|key| key.access_key_id()).collect();
    let (mut last_used_at, mut unseen) = (None, Vec::new());
    for id in &ids {
        match last_used(target, id, deadline).await {
            Ok(at) => last_used_at = last_used_at.max(at),
            Err(failure) if failure.is_forbidden() => {
                unseen = vec![FORBIDDEN.to_owned()];
            }
            Err(failure) => {
                unseen.push(format!("when a key was last used is not known: {failure}"));
            }
        }
    }
    let keys = Owned {
        kind: "access key".to_owned(),
        within: None,
        count: u64::try_from(ids.len()).unwrap_or(u64::MAX),
        names: ids.iter().take(NAMES_MAX).map(ToString::to_string).collect(),
    };
    let owned = Some(if ids.is_empty() { Vec::new() } else { vec![keys] });
    Ok(InUse { is_there: Some(true), sessions: None, owned, last_used_at, unseen })
}

async fn last_used(
    target: &Aws,
    id: &str,
    deadline: Deadline,
) -> Result<Option<Timestamp>, Failure> {
    let asked = target.clients.iam.get_access_key_last_used().access_key_id(id);
    let told = call(deadline, asked.send()).await?.access_key_last_used;
    let at = told.and_then(|told| told.last_used_date);
    Ok(at.and_then(|at| at.to_millis().ok()).and_then(|ms| u64::try_from(ms).ok()).map(Timestamp))
}
