//! Renews: a server knows no ends, so all there is to say is whether the user is there.

use super::Redis;
use super::failure::Failure;
use super::issue::{looking, present};
use leasehold_core::engine::{Cause, EngineError, Renewal, Renewed};
use std::time::Duration;

type Answers = Vec<Result<Renewed, EngineError>>;

/// A server tells for how many whole seconds it has run.
const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn renew(target: &Redis, asked: &[Renewal<Redis>]) -> Answers {
    let now = target.now();
    let checked = asked.iter().map(|renewal| {
        target.tag.check(&renewal.handle.name, renewal.lease)?;
        if renewal.answer_by <= now { Err(Failure::Expired.of_nothing()) } else { Ok(renewal) }
    });
    let checked: Vec<_> = checked.collect();
    let fresh: Vec<_> = checked.iter().filter_map(|one| one.as_ref().ok().copied()).collect();
    let mut answers = match look(target, &fresh).await {
        Ok(answers) => answers,
        Err(failure) => fresh.iter().map(|_| Err(failure.of_nothing())).collect(),
    }
    .into_iter();
    let missed = || Err(Failure::TimedOut.of_nothing());
    let told = checked.into_iter().map(|one| match one {
        Ok(_) => answers.next().unwrap_or_else(missed),
        Err(refused) => Err(refused),
    });
    told.collect()
}

async fn look(target: &Redis, asked: &[&Renewal<Redis>]) -> Result<Answers, Failure> {
    let Some(by) = asked.iter().map(|renewal| renewal.answer_by).min() else {
        return Ok(Vec::new());
    };
    let until = target.until(by);
    let members = target.nodes.now(until).await?;
    let primaries: Vec<_> = members.iter().filter(|member| member.is_primary).collect();
    let mut answers: Answers = asked.iter().map(|_| Ok(Renewed::Extended)).collect();
    for member in primaries {
        let mut link = member.node.link(until).await?;
        let names = asked.iter().map(|renewal| renewal.handle.name.as_str());
        let there = present(link.ask(&looking(names), until).await?)?;
        let started_at = link.facts().started_at.minus(SECOND);
        for ((answer, renewal), there) in answers.iter_mut().zip(asked).zip(there) {
            if !there {
                *answer = if renewal.lease.made_at() < started_at {
                    let why = "the server was restarted and has forgotten the user, which is put back within seconds; \
                               try again";
                    Err(EngineError::refused(Cause::Contended, why))
                } else {
                    Ok(Renewed::Gone)
                };
            }
        }
    }
    Ok(answers)
}
