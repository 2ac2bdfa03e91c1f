//! Creates credentials: one round trip for a whole batch, of which every statement commits alone.
//!
//! The message begins with guards ([`held`]) and the server stops at the first statement that fails, so how far it got
//! says what there is: before that statement everybody is answered for, after it nothing was begun.

use super::config::Authentication;
use super::failure::Failure;
use super::flavor::NewAccount;
use super::held::{self, Guard};
use super::link::{Facts, Link};
use super::role::Recipe;
use super::statement::{Reach, Statement, Values};
use super::{MySql, quote};
use crate::deadline::{Deadline, expiration};
use leasehold_core::engine::{Cause, EngineError, Issue, Mark};
use leasehold_core::ids::LeaseId;
use leasehold_core::secret::{Field, Secret, SecretText};
use leasehold_core::time::Timestamp;
use std::collections::VecDeque;

type Answer = Result<Secret, EngineError>;

pub(super) async fn issue(target: &MySql, asked: &[Issue<MySql>]) -> Vec<Answer> {
    // Those whose time is up are left out: they would take the others' time with them.
    let now = target.links.now();
    let in_time = |issue: &&Issue<MySql>| issue.issue_by > now;
    let fresh: Vec<_> = asked.iter().filter(in_time).collect();
    let mut answers = issue_in_time(target, &fresh, now).await.into_iter();
    let late = || Err(Failure::Expired.refused());
    let own = |issue| if in_time(&issue) { answers.next() } else { None };
    asked.iter().map(own).map(|answer| answer.unwrap_or_else(late)).collect()
}

async fn issue_in_time(target: &MySql, asked: &[&Issue<MySql>], now: Timestamp) -> Vec<Answer> {
    let Some(first) = asked.first() else { return Vec::new() };
    let by = asked.iter().map(|issue| issue.issue_by).min().unwrap_or(first.issue_by);
    let deadline = Deadline::new(by, now);
    let recipe = match first.role.recipe() {
        Ok(recipe) => recipe,
        Err(refused) => {
            return all(asked, &EngineError::refused(Cause::Rejected, refused.to_string()));
        }
    };
    let mut link = match target.links.link(deadline.until).await {
        Ok(link) => link,
        Err(failure) => return all(asked, &failure.refused()),
    };
    if let Some(long) = too_long(link.facts(), asked) {
        return all(asked, &long);
    }
    match recipe {
        Recipe::Granting(roles) => granting(target, &mut link, asked, roles, deadline).await,
        Recipe::Own(statements) if recipe_reach(&statements) == Reach::Own => {
            one_after_the_other(target, &mut link, asked, &statements, deadline).await
        }
        Recipe::Own(statements) => {
            let mut answers = Vec::with_capacity(asked.len());
            for issue in asked {
                link.forget();
                answers.push(step_by_step(target, &mut link, issue, &statements, deadline).await);
            }
            answers
        }
    }
}

fn recipe_reach(statements: &[Statement]) -> Reach {
    super::statement::reach(statements)
}

/// A name is made before anybody knows the server, if it was never reached since the start.
fn too_long(facts: &Facts, asked: &[&Issue<MySql>]) -> Option<EngineError> {
    let most = facts.flavor.name_chars_max();
    let long = asked.iter().find(|issue| issue.handle.name.chars().count() > most)?;
    let why = format!(
        "the name `{}` was made before the server was known, which takes {most} characters; ask again",
        long.handle.name
    );
    Some(EngineError::refused(Cause::Contended, why))
}

fn all(asked: &[&Issue<MySql>], error: &EngineError) -> Vec<Answer> {
    asked.iter().map(|_| Err(error.clone())).collect()
}

/// Returns what every message that creates begins with.
fn guards(link: &Link, asked: &[&Issue<MySql>], deadline: Deadline) -> Vec<String> {
    let facts = link.facts();
    let names = asked.iter().map(|issue| issue.handle.name.as_str());
    let guard = |guard| match guard {
        Guard::Locks => held::take(&leases(asked)),
        Guard::Time => held::before(deadline.by, facts.skew),
        Guard::Absence => held::absent(facts.flavor.accounts(), names.clone()),
    };
    Guard::all().into_iter().map(guard).collect()
}

fn leases(asked: &[&Issue<MySql>]) -> Vec<LeaseId> {
    asked.iter().map(|issue| issue.lease).collect()
}

/// Returns the guard at which a message stopped, if it did not come further.
fn stopping(done: usize, failure: &Failure) -> Option<Guard> {
    Guard::all().get(done).copied().filter(|_| failure.leaves_the_connection())
}

/// Says what it means that a guard stopped the message. A name that is taken may be our own, made by a message whose
/// answer was lost, so where it is the only one this proves nothing.
fn stopped(guard: Guard, failure: &Failure, members: usize) -> EngineError {
    match (guard, guard.stopped(failure)) {
        (Guard::Absence, EngineError::Refused(reason))
            if members == 1 && failure.number() == Some(1242) =>
        {
            EngineError::Uncertain(reason)
        }
        (_, error) => error,
    }
}

/// Creates by the recipe without SQL: users of every host, who are members of these roles from the login on.
async fn granting(
    target: &MySql,
    link: &mut Link,
    asked: &[&Issue<MySql>],
    roles: &[String],
    deadline: Deadline,
) -> Vec<Answer> {
    let flavor = link.facts().flavor;
    let marks: Vec<_> = asked.iter().map(|issue| mark(target, issue)).collect();
    let told: Vec<_> = asked.iter().map(|issue| identified(target, link.facts(), issue)).collect();
    let accounts = asked.iter().zip(&told).zip(&marks).map(|((issue, identified), mark)| {
        NewAccount { name: &issue.handle.name, identified: identified.reveal(), mark }
    });
    let mut statements = guards(link, asked, deadline);
    let before = statements.len();
    statements.extend(flavor.create(&accounts.collect::<Vec<_>>()));
    let names: Vec<_> = asked.iter().map(|issue| issue.handle.name.as_str()).collect();
    statements.extend(flavor.grant(roles, &names));
    let needed = statements.len();
    statements.push(held::give_back(&leases(asked)));
    let said = link.run(&statements, deadline).await;
    let Some(failure) = said.failure else {
        return asked.iter().map(|issue| Ok(secret(issue))).collect();
    };
    // Locks may still be held.
    link.forget();
    if said.done >= needed {
        return asked.iter().map(|issue| Ok(secret(issue))).collect();
    }
    let failure = without_secrets(failure, asked);
    if let Some(guard) = stopping(said.done, &failure) {
        return all(asked, &stopped(guard, &failure, asked.len()));
    }
    let nothing = said.done == before && failure.proves_nothing_was_created();
    let error = match failure {
        Failure::Unreached(_) | Failure::Expired => failure.refused(),
        Failure::Denied { .. } if nothing => failure.refused(),
        Failure::Denied { .. } | Failure::Lost(_) | Failure::TimedOut => {
            failure.of_part("the users may have been created, and not all of their roles granted")
        }
    };
    all(asked, &error)
}

/// Issues by an operator's own statements, credential by credential in one message. After one that failed the others,
/// which were provably not begun, are sent again without it.
async fn one_after_the_other(
    target: &MySql,
    link: &mut Link,
    asked: &[&Issue<MySql>],
    statements: &[Statement],
    deadline: Deadline,
) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(asked.len());
    let mut rest: VecDeque<&Issue<MySql>> = asked.iter().copied().collect();
    while !rest.is_empty() {
        let part = rest.make_contiguous();
        let (mut done, failed) = send_all(target, link, part, statements, deadline).await;
        let answered = done.len();
        answers.append(&mut done);
        rest.drain(..answered);
        let Some((error, others)) = failed else { continue };
        let not_begun = EngineError::Refused(error.reason().clone());
        match others {
            Rest::Again => {
                rest.pop_front();
                answers.push(Err(error));
                if link.ask(&held::give_back(&leases(asked)), deadline).await.is_err() {
                    link.forget();
                }
            }
            Rest::NotBegun => {
                link.forget();
                rest.pop_front();
                answers.push(Err(error));
                answers.extend(rest.drain(..).map(|_| Err(not_begun.clone())));
            }
            Rest::Same => answers.extend(rest.drain(..).map(|_| Err(error.clone()))),
        }
    }
    answers
}

/// What becomes of the credentials after one that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// They were not begun, and may be sent again.
    Again,
    /// They were not begun, and would fare no better.
    NotBegun,
    /// It is theirs as well.
    Same,
}

/// Sends all of these; returns the answers of those that were done, and what became of the next and of the rest.
async fn send_all(
    target: &MySql,
    link: &mut Link,
    asked: &[&Issue<MySql>],
    statements: &[Statement],
    deadline: Deadline,
) -> (Vec<Answer>, Option<(EngineError, Rest)>) {
    let mut message = guards(link, asked, deadline);
    let before = message.len();
    let mut each = 0;
    for issue in asked {
        let own = rendered(target, link.facts(), issue, statements);
        each = own.len().max(1);
        message.extend(own);
    }
    message.push(held::give_back(&leases(asked)));
    let said = link.run(&message, deadline).await;
    let created = said.done.saturating_sub(before);
    let members = created.checked_div(each).unwrap_or(0).min(asked.len());
    let done: Vec<_> = asked.iter().take(members).map(|issue| Ok(secret(issue))).collect();
    let Some(failure) = said.failure.filter(|_| members < asked.len()) else {
        if members < asked.len() {
            return (done, Some((unexplained(), Rest::Same)));
        }
        return (done, None);
    };
    let failure = without_secrets(failure, asked);
    if !failure.leaves_the_connection() {
        return (done, Some((lost(&failure), Rest::Same)));
    }
    if let Some(guard) = stopping(said.done, &failure) {
        link.forget();
        return (done, Some((stopped(guard, &failure, asked.len()), Rest::Same)));
    }
    let begun = created.saturating_sub(members.saturating_mul(each));
    let names_it = statements.first().is_some_and(Statement::creates_the_user);
    let error = if begun == 0 && names_it && failure.proves_nothing_was_created() {
        failure.refused()
    } else {
        failure.of_part("the creation statements were stopped half-way")
    };
    // Whoever stands in the way of one stands in the way of the next.
    let blocked = failure.is_contended() || failure.is_late();
    (done, Some((error, if blocked { Rest::NotBegun } else { Rest::Again })))
}

fn unexplained() -> EngineError {
    EngineError::uncertain(
        Cause::Rejected,
        "the server answered for fewer statements than it was sent",
    )
}

fn lost(failure: &Failure) -> EngineError {
    match failure {
        Failure::Unreached(_) | Failure::Expired => failure.refused(),
        Failure::Denied { .. } | Failure::Lost(_) | Failure::TimedOut => {
            failure.of_part("the creation statements may still be at work")
        }
    }
}

/// Issues by statements that may leave something behind in their session, or are answered in several pieces: one
/// message each. What went before a failure stays, so nothing but a guard can refuse for certain.
async fn step_by_step(
    target: &MySql,
    link: &mut Link,
    issue: &Issue<MySql>,
    statements: &[Statement],
    deadline: Deadline,
) -> Answer {
    let said = link.run(&guards(link, &[issue], deadline), deadline).await;
    if let Some(failure) = said.failure {
        let guard = stopping(said.done, &failure);
        return Err(guard.map_or_else(|| lost(&failure), |guard| stopped(guard, &failure, 1)));
    }
    for sql in rendered(target, link.facts(), issue, statements) {
        if let Err(failure) = link.ask(&sql, deadline).await {
            let failure = without_secrets(failure, &[issue]);
            return Err(failure.of_part("the creation statements were stopped half-way"));
        }
    }
    Ok(secret(issue))
}

/// Returns the operator's statements filled in, and the one that marks what they made, where the name does not.
fn rendered(
    target: &MySql,
    facts: &Facts,
    issue: &Issue<MySql>,
    statements: &[Statement],
) -> Vec<String> {
    let expiration = expiration(facts.skew.to_target(issue.lapses_at));
    let identified = identified(target, facts, issue);
    let values = Values {
        name: &issue.handle.name,
        password: issue.draft.0.password.reveal(),
        identified: identified.reveal(),
        expiration: &expiration,
    };
    let hosts: Vec<_> = statements.iter().flat_map(Statement::hosts).map(String::clone).collect();
    let mark = facts.flavor.mark(&issue.handle.name, &hosts, &mark(target, issue));
    statements.iter().map(|statement| statement.render(&values)).chain(mark).collect()
}

/// Returns what goes after `IDENTIFIED BY`: the hash where the server takes one.
fn identified(target: &MySql, facts: &Facts, issue: &Issue<MySql>) -> SecretText {
    let draft = &issue.draft.0;
    let hashed = target.authentication == Authentication::Hash && facts.flavor.takes_hashes();
    SecretText::new(if hashed {
        format!("PASSWORD {}", quote::literal(draft.hash.reveal()))
    } else {
        quote::literal(draft.password.reveal())
    })
}

fn without_secrets(failure: Failure, asked: &[&Issue<MySql>]) -> Failure {
    failure.without(asked.iter().flat_map(|issue| issue.draft.0.secrets()))
}

fn mark(target: &MySql, issue: &Issue<MySql>) -> String {
    Mark { origin: target.origin, lease: issue.lease }.to_string()
}

fn secret(issue: &Issue<MySql>) -> Secret {
    let password = SecretText::new(issue.draft.0.password.reveal().to_owned());
    Secret::new(vec![
        ("password", Field::Hidden(password)),
        ("username", Field::Open(issue.handle.name.clone())),
    ])
}
