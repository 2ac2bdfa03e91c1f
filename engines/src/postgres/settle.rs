//! Makes sure that an issue nobody answered for can no longer land.
//!
//! A name that is absent proves nothing as long as the transaction that creates it may still commit: its
//! server may be suspended, or its COMMIT may wait for a standby. The unique index on role names knows
//! better than any catalog query: creating the same name waits for that transaction, in whatever
//! database and by whichever administrator, and holds up nobody else. So after `issue_by`, when no new
//! message can create anything, the name is created and rolled back.

use super::failure::Failure;
use super::link::{Link, text};
use super::message::{self, Deadline};
use super::revoke::Answers;
use super::{Postgres, quote};
use leasehold_core::engine::{Cause, EngineError, Revocation};
use leasehold_core::time::Timestamp;
use std::fmt::Write as _;
use std::time::Duration;

/// How long one name may wait for a transaction that may be creating it.
const NAME_WAIT: Duration = Duration::from_secs(5);

/// The same where several names are tried together, of which one may hold up the others.
const NAMES_WAIT: Duration = Duration::from_millis(200);

/// How much past `issue_by` the server's clock must be: two measurements of its skew differ a little.
const MARGIN: Duration = Duration::from_secs(1);

/// How many names are tried in one transaction; each holds locks until the end.
const TOGETHER_MAX: usize = 500;

type Asked<'a> = (usize, &'a Revocation<Postgres>);

/// Answers for names that are absent.
pub(super) async fn settle(
    link: &mut Link,
    absent: Vec<Asked<'_>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let (unanswered, answered): (Vec<_>, Vec<_>) =
        absent.into_iter().partition(|(_, asked)| asked.unanswered.is_some());
    for (at, _) in answered {
        answers.set(at, Ok(()));
    }
    if unanswered.is_empty() {
        return Ok(());
    }
    let now = server_time(link, deadline).await?;
    let mut to_try = Vec::new();
    for (at, asked) in unanswered {
        let Some(unanswered) = asked.unanswered else { continue };
        // Where the name proves nothing, time is all there is.
        let by_name = asked.handle.begins_with_the_name;
        let until = if by_name { unanswered.issue_by } else { unanswered.settles_at };
        if now <= link.facts().skew.to_target(until).plus(MARGIN) {
            let why =
                "its issue was not answered and may land until its time is up; ask again then";
            answers.set(at, Err(EngineError::uncertain(Cause::Contended, why)));
        } else if by_name {
            to_try.push((at, asked));
        } else {
            answers.set(at, Ok(()));
        }
    }
    try_names(link, to_try, deadline, answers).await
}

async fn server_time(link: &mut Link, deadline: Deadline) -> Result<Timestamp, Failure> {
    let sql = format!(
        "{}SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint::text AS clock",
        deadline.limits(message::LOCK_WAIT)
    );
    let rows = link.say(sql, deadline.until).await?;
    let clock = rows.first().and_then(|row| text(row, "clock")?.parse().ok()).map(Timestamp);
    clock.ok_or_else(|| Failure::Lost("it does not tell the time".to_owned()))
}

/// Creates names and rolls back: all at once, and where one is in the way, in halves.
async fn try_names(
    link: &mut Link,
    names: Vec<Asked<'_>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    // Should this be cut off between BEGIN and ROLLBACK, nobody may find the transaction open.
    link.forget();
    let mut parts = vec![names];
    while let Some(mut part) = parts.pop() {
        if part.len() > TOGETHER_MAX {
            parts.push(part.split_off(TOGETHER_MAX));
        }
        let failure = match link.say(try_sql(&part, deadline), deadline.until).await {
            Ok(_) => {
                for (at, _) in part {
                    answers.set(at, Ok(()));
                }
                continue;
            }
            Err(failure) if !failure.leaves_the_connection() => return Err(failure),
            Err(failure) => failure,
        };
        link.say("ROLLBACK".to_owned(), deadline.until).await?;
        if part.len() > 1 && !failure.is_late() {
            let rest = part.split_off(part.len().div_ceil(2));
            parts.extend([rest, part]);
            continue;
        }
        for (at, _) in part {
            answers.set(at, Err(in_the_way(&failure)));
        }
    }
    Ok(())
}

fn try_sql(part: &[Asked<'_>], deadline: Deadline) -> String {
    let wait = if part.len() > 1 { NAMES_WAIT } else { NAME_WAIT };
    let mut sql = format!("BEGIN; {}", deadline.limits(wait.min(deadline.left().max(NAMES_WAIT))));
    for (_, asked) in part {
        let _ = write!(sql, "CREATE ROLE {}; ", quote::identifier(&asked.handle.name));
    }
    sql.push_str("ROLLBACK");
    sql
}

fn in_the_way(failure: &Failure) -> EngineError {
    if failure.is_taken() {
        let why =
            "its issue, not answered in time, has landed after all; ask again and it is removed";
        return EngineError::uncertain(Cause::Contended, why);
    }
    if failure.is_contended() {
        let why = "its issue is still being committed at the server; ask again later";
        return EngineError::uncertain(Cause::Contended, why);
    }
    failure.of_part("whether its issue can still land could not be found out")
}
