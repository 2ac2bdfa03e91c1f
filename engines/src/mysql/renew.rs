//! Extends credentials. The server knows no ends, so there is nothing to tell it, unless an operator wrote something.

use super::MySql;
use super::failure::Failure;
use super::link::Link;
use super::look;
use super::statement::{Reach, Values, reach, statements};
use crate::deadline::{Deadline, expiration};
use leasehold_core::engine::{EngineError, Renewal, Renewed};

type Answer = Result<Renewed, EngineError>;

pub(super) async fn renew(target: &MySql, asked: &[Renewal<MySql>]) -> Vec<Answer> {
    let now = target.links.now();
    let in_time = asked.iter().filter(|renewal| renewal.answer_by > now);
    let by = in_time.map(|renewal| renewal.answer_by).min();
    let late = || Err(Failure::Expired.refused());
    let Some(by) = by else { return asked.iter().map(|_| late()).collect() };
    let deadline = Deadline::new(by, now);
    let found = async {
        let mut link = target.links.link(deadline.until).await?;
        let names: Vec<_> = asked.iter().map(|renewal| renewal.handle.name.as_str()).collect();
        let there = look::look(&mut link, &names, deadline).await?;
        Ok::<_, Failure>((link, there))
    };
    let (mut link, there) = match found.await {
        Ok(found) => found,
        Err(failure) => return asked.iter().map(|_| Err(failure.refused())).collect(),
    };
    let mut answers = Vec::with_capacity(asked.len());
    for renewal in asked {
        // Those whose time is up are answered so; the others' time is their own.
        let answer = if renewal.answer_by <= now {
            late()
        } else {
            renew_one(target, &mut link, renewal, there.get(&renewal.handle.name), deadline).await
        };
        answers.push(answer);
    }
    answers
}

async fn renew_one(
    target: &MySql,
    link: &mut Link,
    renewal: &Renewal<MySql>,
    found: Option<&look::Found>,
    deadline: Deadline,
) -> Answer {
    look::is_ours(target, &renewal.handle.name, renewal.lease)?;
    let Some(found) = found else { return Ok(Renewed::Gone) };
    found.is_of(target, &renewal.handle.name, renewal.lease)?;
    let parsed = statements("renew_statements", renewal.role.renewal())
        .map_err(|error| EngineError::refused(leasehold_core::engine::Cause::Rejected, error.0))?;
    if parsed.is_empty() {
        return Ok(Renewed::Extended);
    }
    if reach(&parsed) > Reach::Own {
        link.forget();
    }
    let expiration = expiration(link.facts().skew.to_target(renewal.lapses_at));
    let name = &renewal.handle.name;
    let values = Values { name, password: "", identified: "''", expiration: &expiration };
    // What arrives late must not replace an end that was told since.
    let mut sql = vec![super::held::before(renewal.answer_by, link.facts().skew)];
    sql.extend(parsed.iter().map(|statement| statement.render(&values)));
    let said = link.run(&sql, deadline).await;
    match said.failure {
        None => Ok(Renewed::Extended),
        Some(failure) if said.done == 0 => Err(super::held::Guard::Time.stopped(&failure)),
        Some(failure) if said.done == 1 => Err(failure.of_one()),
        Some(failure) => Err(failure.of_part("the renewal statements were stopped half-way")),
    }
}
