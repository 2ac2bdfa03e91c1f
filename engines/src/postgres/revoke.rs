//! Removes credentials in three steps, each a commit of its own: no new login, no open session, no role.
//!
//! In one transaction the first would not be visible yet when the second is done, and a client that
//! reconnects at once would survive both.

use super::failure::Failure;
use super::link::{Link, number};
use super::look::{self, Found};
use super::message::{self, Deadline};
use super::parts::in_parts;
use super::statement::{Reach, Statement, Values, statements};
use super::{Postgres, owned, quote, settle};
use leasehold_core::engine::{Cause, EngineError, Mark, Revocation};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

/// How many revocations are worked on together; see [`super::parts`].
const CHUNK: usize = 500;

/// How long a session that was told to end gets before it is looked for again; doubled each time.
const END_PAUSE: Duration = Duration::from_millis(1);
const END_PAUSE_MAX: Duration = Duration::from_millis(100);

/// One credential on its way out.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// Which answer is its own.
    pub(super) at: usize,
    pub(super) asked: &'a Revocation<Postgres>,
    pub(super) found: Found,
    /// Its role is gone, or is kept without a login by the operator's statements.
    removed: bool,
}

impl Member<'_> {
    pub(super) fn name(&self) -> &str {
        &self.asked.handle.name
    }

    /// Returns the operator's revocation statements: the role's as it is now, else the handle's.
    fn statements(&self) -> &[String] {
        match &self.asked.role {
            Some(role) => role.revocation(),
            None => &self.asked.handle.revocation,
        }
    }
}

/// The answers as they come in; what has none at the end was not reached in time.
#[derive(Debug)]
pub(super) struct Answers(Vec<Option<Result<(), EngineError>>>);

impl Answers {
    pub(super) fn set(&mut self, at: usize, answer: Result<(), EngineError>) {
        if let Some(place) = self.0.get_mut(at) {
            *place = Some(answer);
        }
    }

    pub(super) fn fail(&mut self, at: usize, doing: &str, failure: &Failure) {
        self.set(at, Err(failure.of_part(doing)));
    }
}

pub(super) async fn revoke(
    target: &Postgres,
    asked: &[Revocation<Postgres>],
) -> Vec<Result<(), EngineError>> {
    let mut answers = Answers(asked.iter().map(|_| None).collect());
    let numbered: Vec<_> = asked.iter().enumerate().collect();
    for chunk in numbered.chunks(CHUNK) {
        let now = target.links.now();
        // Those whose time is up are answered at once: they would take the others' time with them.
        let (in_time, late): (Vec<_>, Vec<_>) =
            chunk.iter().copied().partition(|(_, revocation)| revocation.answer_by > now);
        for (at, _) in late {
            let why = Failure::Expired.to_string();
            answers.set(at, Err(EngineError::refused(Cause::TooLate, why)));
        }
        let by = in_time.iter().map(|(_, revocation)| revocation.answer_by).min();
        let Some(by) = by else { continue };
        let deadline = Deadline::new(by, now);
        if let Err(failure) = revoke_chunk(target, &in_time, deadline, &mut answers).await {
            for (at, _) in &in_time {
                if answers.0.get(*at).is_some_and(Option::is_none) {
                    answers.fail(*at, "the revocation was stopped half-way", &failure);
                }
            }
        }
    }
    let missed =
        || EngineError::uncertain(Cause::TooLate, "the revocation was not finished in time");
    answers.0.into_iter().map(|answer| answer.unwrap_or_else(|| Err(missed()))).collect()
}

async fn revoke_chunk(
    target: &Postgres,
    asked: &[(usize, &Revocation<Postgres>)],
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let mut link = target.links.link(deadline.until).await?;
    let names: Vec<_> =
        asked.iter().map(|(_, revocation)| revocation.handle.name.as_str()).collect();
    let mut there = look::look(target, &mut link, &names, deadline).await?;
    let (mut members, mut absent) = (Vec::new(), Vec::new());
    for &(at, asked) in asked {
        let name = asked.handle.name.as_str();
        if let Err(refused) = look::bears_its_bits(name, asked.lease) {
            answers.set(at, Err(refused));
            continue;
        }
        let Some(found) = there.remove(name) else {
            absent.push((at, asked));
            continue;
        };
        match found.is_of(target, name, asked.lease) {
            Ok(()) => members.push(Member { at, asked, found, removed: false }),
            Err(refused) => answers.set(at, Err(refused)),
        }
    }
    let members = forbid_logins(&mut link, members, deadline, answers).await;
    end_and_remove(target, &mut link, members, deadline, answers).await?;
    settle::settle(&mut link, absent, deadline, answers).await
}

/// Step one: no new login. A role that is gone by now is as good as one without a login.
async fn forbid_logins<'a>(
    link: &mut Link,
    members: Vec<Member<'a>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Vec<Member<'a>> {
    let (mut ready, to_do): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|member| !member.found.may_log_in);
    let (done, failed) = in_parts(link, to_do, message::LOCK_WAIT, deadline, |part| {
        by_owner(part, |sql, names| {
            for name in names {
                let _ = write!(sql, "ALTER ROLE {} NOLOGIN; ", quote::identifier(name));
            }
        })
    })
    .await;
    ready.extend(done);
    for (member, failure) in failed {
        if failure.is_missing() {
            ready.push(member);
        } else {
            let doing = undone(&member, link, &failure, "its login could not be forbidden");
            answers.fail(member.at, &doing, &failure);
        }
    }
    ready
}

/// Steps two and three, for each credential as soon as it is ready: one whose session does not end holds
/// up nobody else. A credential counts once no session was seen before *and* after it was removed.
async fn end_and_remove(
    target: &Postgres,
    link: &mut Link,
    mut waiting: Vec<Member<'_>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let mut pause = END_PAUSE;
    while !waiting.is_empty() {
        let (checked, failed) = end_sessions(link, waiting, deadline).await?;
        for (member, failure) in failed {
            answers.fail(member.at, &unended(&member, link, &failure), &failure);
        }
        let (busy, free): (Vec<_>, Vec<_>) = checked.into_iter().partition(|(_, busy)| *busy);
        let (gone, free): (Vec<_>, Vec<_>) =
            free.into_iter().map(|(member, _)| member).partition(|member| member.removed);
        confirm(target, link, gone, deadline, answers).await?;
        waiting = remove(target, link, free, deadline, answers).await?;
        if deadline.is_over() || busy.is_empty() {
            for (member, _) in &busy {
                let why = "it has open sessions that were told to end and have not ended yet";
                answers.set(member.at, Err(EngineError::uncertain(Cause::Contended, why)));
            }
            continue;
        }
        tokio::time::sleep(pause.min(deadline.left())).await;
        pause = pause.saturating_mul(2).min(END_PAUSE_MAX);
        waiting.extend(busy.into_iter().map(|(member, _)| member));
    }
    Ok(())
}

type Checked<'a> = (Vec<(Member<'a>, bool)>, Vec<(Member<'a>, Failure)>);

/// Tells every session of these roles to end, and says of each role whether it had one.
async fn end_sessions<'a>(
    link: &mut Link,
    members: Vec<Member<'a>>,
    deadline: Deadline,
) -> Result<Checked<'a>, Failure> {
    let (mut checked, mut failed) = (Vec::new(), Vec::new());
    let mut parts = vec![members];
    while let Some(mut part) = parts.pop() {
        let sql = format!(
            "{}SELECT usesysid::text AS oid, pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) \
             FROM pg_catalog.pg_stat_activity WHERE usesysid = ANY ({}) GROUP BY usesysid",
            deadline.limits(message::LOCK_WAIT),
            quote::oid_array(part.iter().map(|member| member.found.oid))
        );
        match link.say(sql, deadline.until).await {
            Ok(rows) => {
                let busy: HashSet<_> = rows.iter().filter_map(|row| number(row, "oid")).collect();
                checked.extend(part.into_iter().map(|member| {
                    let busy = busy.contains(&member.found.oid);
                    (member, busy)
                }));
            }
            Err(failure)
                if part.len() > 1 && failure.leaves_the_connection() && !failure.is_late() =>
            {
                let rest = part.split_off(part.len().div_ceil(2));
                parts.extend([rest, part]);
            }
            Err(failure) if failure.leaves_the_connection() => {
                failed.extend(part.into_iter().map(|member| (member, failure.clone())));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok((checked, failed))
}

/// Step three. Returns those that are removed, to be checked once more.
async fn remove<'a>(
    target: &Postgres,
    link: &mut Link,
    members: Vec<Member<'a>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<Vec<Member<'a>>, Failure> {
    if members.is_empty() {
        return Ok(members);
    }
    let (by_statements, by_default): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|member| !member.statements().is_empty());
    let mut removed = Vec::new();
    for member in by_statements {
        match run_statements(target, link, &member, deadline).await {
            Ok(()) => removed.push(member),
            Err(failure) => answers.fail(member.at, "its revocation statements failed", &failure),
        }
    }
    removed.extend(drop_roles(target, link, by_default, deadline, answers).await?);
    for member in &mut removed {
        member.removed = true;
    }
    Ok(removed)
}

/// Drops roles: those that own nothing together, the others after what they own was dealt with.
async fn drop_roles<'a>(
    target: &Postgres,
    link: &mut Link,
    members: Vec<Member<'a>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<Vec<Member<'a>>, Failure> {
    let owning =
        owned::who_owns(link, members.iter().map(|member| member.found.oid), deadline).await?;
    let (first_cleared, bare): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|member| owning.contains(&member.found.oid));
    let (mut dropped, failed) = in_parts(link, bare, message::LOCK_WAIT, deadline, drop_sql).await;
    let mut to_clear = first_cleared;
    for (member, failure) in failed {
        // 2BP01: something came to be owned, or granted, in between.
        if failure.code() == "2BP01" {
            to_clear.push(member);
        } else {
            let doing = undone(&member, link, &failure, "it could not be dropped");
            answers.fail(member.at, &doing, &failure);
        }
    }
    for member in owned::clear(target, link, to_clear, deadline, answers).await? {
        let (mut done, failed) =
            in_parts(link, vec![member], message::LOCK_WAIT, deadline, drop_sql).await;
        dropped.append(&mut done);
        for (member, failure) in failed {
            let why = owned::what_is_in_the_way(target, link, &member, deadline).await;
            answers.set(
                member.at,
                Err(why.unwrap_or_else(|| failure.of_part("it could not be dropped"))),
            );
        }
    }
    Ok(dropped)
}

fn drop_sql(part: &[Member<'_>]) -> String {
    by_owner(part, |sql, names| {
        let _ = write!(sql, "DROP ROLE IF EXISTS {}; ", quote::identifiers(names.iter().copied()));
    })
}

/// Runs what was written for the roles of each owner, as that owner.
fn by_owner(part: &[Member<'_>], write_for: impl Fn(&mut String, &[&str])) -> String {
    let mut owners: Vec<_> = part.iter().map(|member| member.found.owner.as_deref()).collect();
    owners.sort_unstable();
    owners.dedup();
    let mut sql = String::new();
    for owner in owners {
        if let Some(owner) = owner {
            let _ = write!(sql, "SET LOCAL ROLE {}; ", quote::identifier(owner));
        }
        let mine = part.iter().filter(|member| member.found.owner.as_deref() == owner);
        write_for(&mut sql, &mine.map(Member::name).collect::<Vec<_>>());
    }
    sql.truncate(sql.trim_end_matches([';', ' ']).len());
    sql
}

/// Runs the operator's revocation statements for one credential. Those that may leave something behind
/// in their session get a connection of their own, outside the pool: waiting for a second one while
/// holding the first would lock up a pool whose every user does so.
async fn run_statements(
    target: &Postgres,
    link: &mut Link,
    member: &Member<'_>,
    deadline: Deadline,
) -> Result<(), Failure> {
    let denied = |why: String| Failure::Denied { code: "42601".to_owned(), message: why };
    let parsed = statements("revocation_statements", member.statements())
        .map_err(|error| denied(error.0))?;
    let reach = parsed.iter().map(Statement::reach).max().unwrap_or(Reach::Own);
    let values = Values { name: member.name(), password: "", expiration: "" };
    let rendered: Vec<_> = parsed.iter().map(|statement| statement.render(&values)).collect();
    owned::join(link, std::slice::from_ref(member), deadline).await?;
    let limits = deadline.limits(message::LOCK_WAIT);
    if reach < Reach::Session {
        link.say(format!("{limits}{}", rendered.join("; ")), deadline.until).await?;
        return Ok(());
    }
    let mut own = target.links.elsewhere(&link.facts().database, deadline.until).await?;
    if reach < Reach::Transactions {
        own.say(format!("{limits}{}", rendered.join("; ")), deadline.until).await?;
        return Ok(());
    }
    own.say(limits.replace("SET LOCAL", "SET"), deadline.until).await?;
    for sql in rendered.into_iter().chain(["COMMIT".to_owned()]) {
        own.say(sql, deadline.until).await?;
    }
    Ok(())
}

/// Looks once more: a credential counts if it is absent, or kept without a login by the operator's
/// statements. One that is kept loses its mark, so that it is never taken for a live one.
async fn confirm(
    target: &Postgres,
    link: &mut Link,
    members: Vec<Member<'_>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<(), Failure> {
    if members.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = members.iter().map(Member::name).collect();
    let there = look::look(target, link, &names, deadline).await?;
    let mut kept = Vec::new();
    for member in members {
        match there.get(member.name()) {
            None => answers.set(member.at, Ok(())),
            Some(found) if !found.may_log_in && !member.statements().is_empty() => {
                kept.push(member);
            }
            Some(_) => {
                let why = "it is still there, and may log in, after its revocation statements ran";
                answers.set(member.at, Err(EngineError::uncertain(Cause::NeedsOperator, why)));
            }
        }
    }
    let (done, failed) = in_parts(link, kept, message::LOCK_WAIT, deadline, |part| {
        part.iter().map(|member| unmark(target, member)).collect::<Vec<_>>().join("; ")
    })
    .await;
    for member in &done {
        answers.set(member.at, Ok(()));
    }
    for (member, failure) in &failed {
        answers.fail(member.at, "its mark could not be taken off", failure);
    }
    Ok(())
}

fn unmark(target: &Postgres, member: &Member<'_>) -> String {
    let mark = Mark { origin: target.origin, lease: member.asked.lease };
    let comment = format!("revoked, and kept by its revocation statements; was {mark}");
    format!("COMMENT ON ROLE {} IS {}", quote::identifier(member.name()), quote::literal(&comment))
}

/// Says what could not be done; where permission is lacking, with the statement that gives it.
fn undone(member: &Member<'_>, link: &Link, failure: &Failure, doing: &str) -> String {
    let name = member.name();
    let still = format!("the role `{name}` is still there: {doing}");
    if failure.code() != "42501" {
        return still;
    }
    let administrator = quote::identifier(&link.facts().administrator);
    let grant = format!("GRANT {} TO {administrator} WITH ADMIN OPTION", quote::identifier(name));
    format!("{still}. where the administrator is no superuser it needs CREATEROLE, and `{grant}`")
}

fn unended(member: &Member<'_>, link: &Link, failure: &Failure) -> String {
    let sessions = format!("the sessions of `{}` could not be ended", member.name());
    if failure.code() != "42501" {
        return sessions;
    }
    let administrator = quote::identifier(&link.facts().administrator);
    format!("{sessions}; run `GRANT pg_signal_backend TO {administrator}`")
}
