//! Creates credentials: one round trip and one transaction for a whole batch.
//!
//! Several statements in one simple query are one implicit transaction, and an error leaves the session
//! as it was. The batch ends with a look at the server's clock: a message that was held up on its way,
//! or a server that was suspended, creates nothing after `issue_by`.

use super::failure::Failure;
use super::link::Link;
use super::message::{self, Deadline};
use super::role::Recipe;
use super::statement::{Reach, Statement, Values};
use super::{Postgres, owners, quote};
use leasehold_core::engine::{Cause, EngineError, Issue, Mark};
use leasehold_core::secret::{Field, Secret, SecretText};
use leasehold_core::time::Timestamp;
use std::fmt::Write as _;

type Asked<'a> = [&'a Issue<Postgres>];
type Answers = Vec<Result<Secret, EngineError>>;

pub(super) async fn issue(target: &Postgres, asked: &[Issue<Postgres>]) -> Answers {
    // Those whose time is up are left out: they would take the others' time with them.
    let now = target.links.now();
    let in_time = |issue: &&Issue<Postgres>| issue.issue_by > now;
    let fresh: Vec<_> = asked.iter().filter(in_time).collect();
    let mut answers = issue_in_time(target, &fresh, now).await.into_iter();
    let late = || Err(Failure::Expired.of_issue());
    let own = |issue| if in_time(&issue) { answers.next() } else { None };
    asked.iter().map(own).map(|answer| answer.unwrap_or_else(late)).collect()
}

async fn issue_in_time(target: &Postgres, asked: &Asked<'_>, now: Timestamp) -> Answers {
    let Some(first) = asked.first() else { return Vec::new() };
    let by = asked.iter().map(|issue| issue.issue_by).min().unwrap_or(first.issue_by);
    let deadline = Deadline::new(by, now);
    let recipe = match first.role.recipe() {
        Ok(recipe) => recipe,
        Err(refused) => {
            let error = EngineError::refused(Cause::Rejected, refused.to_string());
            return asked.iter().map(|_| Err(error.clone())).collect();
        }
    };
    if let (Recipe::Own(statements), Reach::Transactions) = (&recipe, recipe.reach()) {
        let mut answers = Vec::with_capacity(asked.len());
        for issue in asked {
            answers.push(step_by_step(target, issue, statements, deadline).await);
        }
        return answers;
    }
    together(target, asked, &recipe, deadline).await
}

/// Issues a batch as one transaction, sent once. What may be sent again is decided where batches are formed.
async fn together(
    target: &Postgres,
    asked: &Asked<'_>,
    recipe: &Recipe<'_>,
    deadline: Deadline,
) -> Answers {
    let failure = match try_once(target, asked, recipe, deadline).await {
        Ok(()) => return asked.iter().map(|issue| Ok(secret(issue))).collect(),
        Err(failure) => failure,
    };
    let secrets = asked.iter().flat_map(|issue| issue.draft.0.secrets());
    let failure = failure.without(secrets.map(SecretText::reveal));
    let error = if asked.len() > 1 { failure.of_batch() } else { failure.of_issue() };
    asked.iter().map(|_| Err(error.clone())).collect()
}

async fn try_once(
    target: &Postgres,
    asked: &Asked<'_>,
    recipe: &Recipe<'_>,
    deadline: Deadline,
) -> Result<(), Failure> {
    if deadline.is_over() {
        return Err(Failure::Expired);
    }
    let mut link = target.links.link(deadline.until).await?;
    let mut owners_known = None;
    let sql = match recipe {
        Recipe::Granting(granted) => {
            let joins = link.facts().joins_what_it_creates();
            if joins {
                owners_known = Some(owners::ready(target, &mut link, granted, deadline).await?);
            }
            granting(target, &link, asked, granted, joins)
        }
        Recipe::Own(statements) => {
            if recipe.reach() > Reach::Shared {
                link.forget();
            }
            own(target, &link, asked, statements)
        }
    };
    // The wait for a connection counts too, so what is left is reckoned only now.
    if deadline.is_over() {
        return Err(Failure::Expired);
    }
    let skew = link.facts().skew;
    let lateness = deadline.check(skew);
    let sql = format!("{}{sql}; {lateness}", deadline.limits(message::LOCK_WAIT));
    let said = link.say(sql, deadline.until).await.map(|_| ());
    said.map_err(|failure| match owners_known {
        Some(known) => owners::blamed(target, known, failure),
        None => failure,
    })
}

/// Returns the recipe without SQL: a role that may log in until its end, and its memberships, which
/// are granted once for all. Direct grants would grow each table's `relacl` past its row at about
/// 2,400 roles.
fn granting(
    target: &Postgres,
    link: &Link,
    asked: &Asked<'_>,
    granted: &[String],
    by_owners: bool,
) -> String {
    let granted = quote::identifiers(granted.iter().map(String::as_str));
    let mut slots: Vec<_> = asked.iter().map(|issue| issue.handle.owner).collect();
    slots.sort_unstable();
    slots.dedup();
    let mut sql = String::new();
    if !by_owners {
        create(target, link, &mut sql, asked.iter().copied());
        let names = quote::identifiers(asked.iter().map(|issue| issue.handle.name.as_str()));
        let _ = write!(sql, "GRANT {granted} TO {names}");
        return sql;
    }
    for slot in slots {
        let mine = || asked.iter().copied().filter(|issue| issue.handle.owner == slot);
        let owner = quote::identifier(&owners::name(&target.origin, slot));
        let _ = write!(sql, "SET LOCAL ROLE {owner}; ");
        create(target, link, &mut sql, mine());
        let names = quote::identifiers(mine().map(|issue| issue.handle.name.as_str()));
        let _ = write!(sql, "GRANT {granted} TO {names}; ");
    }
    trimmed(sql)
}

fn create<'a>(
    target: &Postgres,
    link: &Link,
    sql: &mut String,
    asked: impl Iterator<Item = &'a Issue<Postgres>>,
) {
    let skew = link.facts().skew;
    for issue in asked {
        let name = quote::identifier(&issue.handle.name);
        let _ = write!(
            sql,
            "CREATE ROLE {name} LOGIN PASSWORD {} VALID UNTIL {}; COMMENT ON ROLE {name} IS {}; ",
            quote::literal(issue.draft.0.told().reveal()),
            quote::literal(&message::end(skew.to_target(issue.lapses_at))),
            quote::literal(&mark(target, issue)),
        );
    }
}

/// Returns the operator's own statements, filled in, each credential followed by its mark.
fn own(target: &Postgres, link: &Link, asked: &Asked<'_>, statements: &[Statement]) -> String {
    let mut sql = String::new();
    for issue in asked {
        for statement in filled(link, issue, statements) {
            let _ = write!(sql, "{statement}; ");
        }
        let name = quote::identifier(&issue.handle.name);
        let _ = write!(sql, "COMMENT ON ROLE {name} IS {}; ", quote::literal(&mark(target, issue)));
    }
    trimmed(sql)
}

/// Takes off the last `;`, which would be followed by another.
fn trimmed(mut sql: String) -> String {
    sql.truncate(sql.trim_end_matches([';', ' ']).len());
    sql
}

fn filled(link: &Link, issue: &Issue<Postgres>, statements: &[Statement]) -> Vec<String> {
    let expiration = message::expiration(link.facts().skew.to_target(issue.lapses_at));
    let password = issue.draft.0.told().reveal();
    let values = Values { name: &issue.handle.name, password, expiration: &expiration };
    statements.iter().map(|statement| statement.render(&values)).collect()
}

/// Issues by statements that refuse to share a transaction, or make their own. What went before a
/// failure stays, so nothing but the first message can be refused for certain.
async fn step_by_step(
    target: &Postgres,
    issue: &Issue<Postgres>,
    statements: &[Statement],
    deadline: Deadline,
) -> Result<Secret, EngineError> {
    let mut link = target.links.link(deadline.until).await.map_err(|failure| failure.of_issue())?;
    link.forget();
    let limits = deadline.limits(message::LOCK_WAIT).replace("SET LOCAL", "SET");
    link.say(limits, deadline.until).await.map_err(|failure| failure.of_issue())?;
    let mut messages = filled(&link, issue, statements);
    // Ends what the statements may have left open; without effect if they left nothing.
    messages.push("COMMIT".to_owned());
    let name = quote::identifier(&issue.handle.name);
    messages.push(format!("COMMENT ON ROLE {name} IS {}", quote::literal(&mark(target, issue))));
    for (at, sql) in messages.into_iter().enumerate() {
        let check = deadline.check(link.facts().skew);
        let failure = match link.say(check, deadline.until).await {
            Ok(_) => link.say(sql, deadline.until).await.err(),
            Err(failure) if at == 0 => return Err(failure.of_issue()),
            Err(failure) => Some(failure),
        };
        if let Some(failure) = failure {
            let failure = failure.without(issue.draft.0.secrets().map(SecretText::reveal));
            return Err(failure.of_part("the creation statements were stopped half-way"));
        }
    }
    Ok(secret(issue))
}

fn mark(target: &Postgres, issue: &Issue<Postgres>) -> String {
    Mark { origin: target.origin, lease: issue.lease }.to_string()
}

fn secret(issue: &Issue<Postgres>) -> Secret {
    let password = SecretText::new(issue.draft.0.password().reveal().to_owned());
    Secret::new(vec![
        ("password", Field::Hidden(password)),
        ("username", Field::Open(issue.handle.name.clone())),
    ])
}
