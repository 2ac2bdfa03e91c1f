//! Tells the server the new ends of credentials.

use super::failure::Failure;
use super::link::Link;
use super::look::{self, Found};
use super::message::{self, Deadline};
use super::parts::in_parts;
use super::statement::{Reach, Statement, Values, statements};
use super::{Postgres, quote};
use leasehold_core::engine::{Cause, EngineError, Renewal, Renewed};
use std::fmt::Write as _;

type Answers = Vec<Option<Result<Renewed, EngineError>>>;

struct Member<'a> {
    at: usize,
    asked: &'a Renewal<Postgres>,
    found: Found,
}

pub(super) async fn renew(
    target: &Postgres,
    asked: &[Renewal<Postgres>],
) -> Vec<Result<Renewed, EngineError>> {
    let now = target.links.now();
    // Those whose time is up are answered at once: they would take the others' time with them.
    let late = || Err(EngineError::refused(Cause::TooLate, Failure::Expired.to_string()));
    let mut answers: Answers =
        asked.iter().map(|renewal| (renewal.answer_by <= now).then(late)).collect();
    let in_time = asked.iter().enumerate().filter(|(_, renewal)| renewal.answer_by > now);
    let in_time: Vec<_> = in_time.collect();
    let by = in_time.iter().map(|(_, renewal)| renewal.answer_by).min();
    let stopped = match by {
        Some(by) => renew_all(target, &in_time, Deadline::new(by, now), &mut answers).await.err(),
        None => None,
    };
    let missed = || match &stopped {
        Some(failure) => failure.of_part("the new end may not be known to the server"),
        None => EngineError::uncertain(Cause::TooLate, "the renewal was not finished in time"),
    };
    answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(missed()))).collect()
}

async fn renew_all(
    target: &Postgres,
    asked: &[(usize, &Renewal<Postgres>)],
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let mut link = target.links.link(deadline.until).await?;
    let names: Vec<_> = asked.iter().map(|(_, renewal)| renewal.handle.name.as_str()).collect();
    let mut there = look::look(target, &mut link, &names, deadline).await?;
    let mut members = Vec::new();
    for &(at, asked) in asked {
        let name = asked.handle.name.as_str();
        let allowed = look::bears_its_bits(name, asked.lease).and_then(|()| {
            let found = there.remove(name);
            found.as_ref().map_or(Ok(()), |found| found.is_of(target, name, asked.lease))?;
            Ok(found)
        });
        match allowed {
            Ok(Some(found)) => members.push(Member { at, asked, found }),
            Ok(None) => set(answers, at, Ok(Renewed::Gone)),
            Err(refused) => set(answers, at, Err(refused)),
        }
    }
    let (by_default, by_statements): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|member| member.asked.role.renewal().is_empty());
    let skew = link.facts().skew;
    let (done, failed) = in_parts(&mut link, by_default, message::LOCK_WAIT, deadline, |part| {
        let mut sql = Vec::new();
        for member in part {
            if let Some(owner) = &member.found.owner {
                sql.push(format!("SET LOCAL ROLE {}", quote::identifier(owner)));
            }
            let end = quote::literal(&message::end(skew.to_target(member.asked.lapses_at)));
            let name = quote::identifier(&member.asked.handle.name);
            sql.push(format!("ALTER ROLE {name} VALID UNTIL {end}"));
        }
        // One that arrives late must not replace an end that was told since.
        sql.push(deadline.check(skew));
        sql.join("; ")
    })
    .await;
    for member in done {
        set(answers, member.at, Ok(Renewed::Extended));
    }
    for (member, failure) in failed {
        set(answers, member.at, gone_or(&failure));
    }
    for member in by_statements {
        let ran = run_statements(target, &mut link, member.asked, deadline).await;
        set(
            answers,
            member.at,
            ran.map(|()| Renewed::Extended).or_else(|failure| gone_or(&failure)),
        );
    }
    Ok(())
}

/// A role that was there a moment ago and is not now was removed by somebody in between.
fn gone_or(failure: &Failure) -> Result<Renewed, EngineError> {
    if failure.is_missing() {
        return Ok(Renewed::Gone);
    }
    Err(match failure {
        Failure::Denied { .. } | Failure::Unreached(_) | Failure::Expired | Failure::Unready => {
            EngineError::refused(failure.cause(), failure.to_string())
        }
        Failure::Lost(_) | Failure::TimedOut => {
            EngineError::uncertain(failure.cause(), failure.to_string())
        }
    })
}

async fn run_statements(
    target: &Postgres,
    link: &mut Link,
    asked: &Renewal<Postgres>,
    deadline: Deadline,
) -> Result<(), Failure> {
    let denied = |why: String| Failure::Denied { code: "42601".to_owned(), message: why };
    let parsed =
        statements("renew_statements", asked.role.renewal()).map_err(|error| denied(error.0))?;
    let reach = parsed.iter().map(Statement::reach).max().unwrap_or(Reach::Own);
    let expiration = message::expiration(link.facts().skew.to_target(asked.lapses_at));
    let values = Values { name: &asked.handle.name, password: "", expiration: &expiration };
    let mut sql = deadline.limits(message::LOCK_WAIT);
    for (at, statement) in parsed.iter().enumerate() {
        let _ = write!(sql, "{}{}", if at > 0 { "; " } else { "" }, statement.render(&values));
    }
    if reach < Reach::Session {
        let _ = write!(sql, "; {}", deadline.check(link.facts().skew));
        return link.say(sql, deadline.until).await.map(|_| ());
    }
    // These may commit in between, so the look at the time comes first.
    let sql = format!("{}; {sql}", deadline.check(link.facts().skew));
    let mut own = target.links.elsewhere(&link.facts().database, deadline.until).await?;
    own.say(sql, deadline.until).await.map(|_| ())
}

fn set(answers: &mut Answers, at: usize, answer: Result<Renewed, EngineError>) {
    if let Some(place) = answers.get_mut(at) {
        *place = Some(answer);
    }
}
