//! The named lock that an issue holds for its lease while it creates.
//!
//! A name that is absent proves nothing as long as the statement that creates it may still run: a `CREATE USER` that
//! waits comes through after its client has gone, and after its session was told to end. So every issue begins by
//! taking a lock with the name of its lease, then looks at the clock, and gives the lock back as its last statement.
//! The server frees it only when the statement is over or the session has ended. Whoever holds that lock after
//! `issue_by` knows that no issue of this lease is at work, and that one which is still on its way will find the lock
//! taken or its time passed. It needs to know nothing of the process that asked.

use super::failure::Failure;
use super::link::{Link, text};
use super::quote;
use crate::deadline::Deadline;
use crate::skew::Skew;
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use std::time::Duration;

/// A statement that fails if it is reached: the only way to stop a message half-way.
const STOP: &str = "(SELECT 1 UNION SELECT 2)";

/// What a message that creates begins with, in the order of [`Guard::all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// The locks are had.
    Locks,
    /// There is time.
    Time,
    /// No such name is there.
    Absence,
}

impl Guard {
    /// Returns the guards in the order in which they are sent.
    pub(super) fn all() -> [Self; 3] {
        [Self::Locks, Self::Time, Self::Absence]
    }

    /// Says why nothing was created, if this one stopped the message.
    pub(super) fn stopped(self, failure: &Failure) -> EngineError {
        // 1242 is the stop itself; whatever else is the server's own trouble.
        if failure.number() != Some(1242) {
            return failure.of_one();
        }
        match self {
            Self::Locks => EngineError::refused(
                Cause::Contended,
                "the lease is being revoked, or its issue is at work already",
            ),
            Self::Time => {
                EngineError::refused(Cause::TooLate, "time was up when the server was asked")
            }
            Self::Absence => EngineError::refused(
                Cause::Rejected,
                "a user by that name exists already, and is never taken over",
            ),
        }
    }
}

/// How long a session that was given up may take to let go of a lock, in seconds: a batch that was refused is tried one by
/// one right after it.
const LET_GO: u32 = 1;

/// Returns the statement that goes on only if all the locks are had.
pub(super) fn take(leases: &[LeaseId]) -> String {
    let locks: Vec<_> =
        leases.iter().map(|lease| format!("GET_LOCK({}, {LET_GO})", lock(*lease))).collect();
    format!("SELECT IF({} = {}, 1, {STOP})", locks.join(" + "), leases.len())
}

/// Returns the statement that goes on only before a time.
pub(super) fn before(by: Timestamp, skew: Skew) -> String {
    let by = skew.to_target(by).min(crate::deadline::LAST_END);
    let by = by.utc().format("%Y-%m-%d %H:%M:%S%.3f").to_string();
    format!("SELECT IF(SYSDATE(3) <= {}, 1, {STOP})", quote::literal(&by))
}

/// Returns the statement that goes on only if nobody has these names.
pub(super) fn absent<'a>(accounts: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    format!(
        "SELECT IF(EXISTS(SELECT 1 FROM {accounts} WHERE Host = '%' AND User IN ({})), {STOP}, 1)",
        quote::literals(names)
    )
}

/// Returns the statement that gives locks back.
pub(super) fn give_back(leases: &[LeaseId]) -> String {
    let locks: Vec<_> =
        leases.iter().map(|lease| format!("RELEASE_LOCK({})", lock(*lease))).collect();
    format!("DO {}", locks.join(", "))
}

fn lock(lease: LeaseId) -> String {
    quote::literal(&format!("leasehold:{lease}"))
}

/// How long a session that was told to end may take until its lock is free.
const FREE_WITHIN: Duration = Duration::from_secs(5);

/// Takes the locks of leases whose issue may be at work, and ends the sessions that hold them. The link must be
/// forgotten afterwards: its end gives them back. Returns for each whether it is had.
pub(super) async fn seize(
    link: &mut Link,
    leases: &[LeaseId],
    deadline: Deadline,
) -> Result<Vec<Result<(), EngineError>>, Failure> {
    let locks: Vec<_> =
        leases.iter().map(|lease| format!("COALESCE(GET_LOCK({}, 0), 0)", lock(*lease))).collect();
    let sql = format!("SELECT CONCAT_WS(',', {}) AS had", locks.join(", "));
    let rows = link.ask(&sql, deadline).await?;
    let had = rows.first().and_then(|row| text(row, "had")).unwrap_or_default();
    let mut answers = Vec::with_capacity(leases.len());
    for (lease, had) in leases.iter().zip(had.split(',')) {
        answers.push(if had == "1" { Ok(()) } else { wrest(link, *lease, deadline).await? });
    }
    Ok(answers)
}

/// Ends the session that holds a lock, if it is one of ours, and takes it.
async fn wrest(
    link: &mut Link,
    lease: LeaseId,
    deadline: Deadline,
) -> Result<Result<(), EngineError>, Failure> {
    let lock = lock(lease);
    let sessions = link.facts().sessions();
    let sql = format!(
        "SELECT CAST(ID AS CHAR) AS id, USER AS user FROM {sessions} WHERE ID = IS_USED_LOCK({lock})"
    );
    let rows = link.ask(&sql, deadline).await?;
    if let Some((id, user)) =
        rows.first().and_then(|row| Some((text(row, "id")?, text(row, "user")?)))
    {
        if user != link.facts().user() {
            let why = format!(
                "the lock {lock} is held by session {id} of the user `{user}`, which is not the administrator; run \
                 `KILL {id}` if it may be ended"
            );
            return Ok(Err(EngineError::uncertain(Cause::NeedsOperator, why)));
        }
        kill(link, &id, deadline).await?;
    }
    let wait = FREE_WITHIN.min(deadline.left()).as_secs();
    let rows = link.ask(&format!("SELECT GET_LOCK({lock}, {wait}) AS had"), deadline).await?;
    if rows.first().and_then(|row| text(row, "had")).as_deref() == Some("1") {
        return Ok(Ok(()));
    }
    let why = "its issue is still at work at the server, in a session that was told to end; ask again later";
    Ok(Err(EngineError::uncertain(Cause::Contended, why)))
}

/// Tells a session to end. One that has ended meanwhile is as good.
pub(super) async fn kill(link: &mut Link, id: &str, deadline: Deadline) -> Result<(), Failure> {
    match link.ask(&format!("KILL {id}"), deadline).await {
        Err(failure) if failure.number() == Some(super::failure::NO_SUCH_SESSION) => Ok(()),
        said => said.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_a_name_that_servers_take() {
        let lease = LeaseId::from_bytes([255; 16]);
        assert!(lock(lease).len() <= 64 + 2, "{}", lock(lease));
        assert_eq!(take(&[lease, lease]).matches("GET_LOCK").count(), 2);
        assert!(
            before(Timestamp(1_795_314_365_678), Skew::default())
                .contains("'2026-11-22 02:26:05.678'")
        );
    }
}
