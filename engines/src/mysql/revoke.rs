//! Removes credentials: no new login, no open session, no user. A session with a default role survives `DROP USER`,
//! and works on.

use super::failure::Failure;
use super::held;
use super::link::{Link, text};
use super::look::{self, Found};
use super::statement::{Reach, Values, reach, statements};
use super::{MySql, quote};
use crate::deadline::Deadline;
use leasehold_core::engine::{Cause, EngineError, Revocation};
use leasehold_core::time::Timestamp;
use std::collections::HashSet;
use std::time::Duration;

/// How many revocations are worked on together: enough to make a round trip cheap, and few enough for one message.
const CHUNK: usize = 200;

/// How many users one statement is for: others who change users wait until it is done.
const TOGETHER: usize = 50;

/// How long a session that was told to end gets before it is looked for again; doubled each time.
const END_PAUSE: Duration = Duration::from_millis(1);
const END_PAUSE_MAX: Duration = Duration::from_millis(100);

/// How much past `issue_by` the server's clock must be: two measurements of its skew differ a little.
const MARGIN: Duration = Duration::from_secs(1);

/// One credential on its way out.
#[derive(Debug)]
struct Member<'a> {
    /// Which answer is its own.
    at: usize,
    asked: &'a Revocation<MySql>,
    found: Found,
}

impl Member<'_> {
    fn name(&self) -> &str {
        &self.asked.handle.name
    }

    /// Returns the operator's revocation statements: the role's as it is now, else the handle's.
    fn statements(&self) -> &[String] {
        match &self.asked.role {
            Some(role) => role.revocation(),
            None => &self.asked.handle.revocation,
        }
    }

    fn accounts(&self) -> impl Iterator<Item = String> {
        self.found.hosts.iter().map(|host| quote::account(self.name(), host))
    }
}

/// The answers as they come in; what has none at the end was not reached in time.
#[derive(Debug)]
struct Answers(Vec<Option<Result<(), EngineError>>>);

impl Answers {
    fn set(&mut self, at: usize, answer: Result<(), EngineError>) {
        if let Some(place) = self.0.get_mut(at) {
            *place = Some(answer);
        }
    }

    fn fail(&mut self, at: usize, doing: &str, failure: &Failure) {
        self.set(at, Err(failure.of_part(doing)));
    }
}

type Asked<'a> = (usize, &'a Revocation<MySql>);

pub(super) async fn revoke(
    target: &MySql,
    asked: &[Revocation<MySql>],
) -> Vec<Result<(), EngineError>> {
    let mut answers = Answers(asked.iter().map(|_| None).collect());
    let numbered: Vec<_> = asked.iter().enumerate().collect();
    for chunk in numbered.chunks(CHUNK) {
        let now = target.links.now();
        // Those whose time is up are answered at once: they would take the others' time with them.
        let (in_time, late): (Vec<_>, Vec<_>) =
            chunk.iter().copied().partition(|(_, revocation)| revocation.answer_by > now);
        for (at, _) in late {
            answers.set(at, Err(Failure::Expired.refused()));
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
    target: &MySql,
    asked: &[Asked<'_>],
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let mut ours = Vec::with_capacity(asked.len());
    for &(at, revocation) in asked {
        match look::is_ours(target, &revocation.handle.name, revocation.lease) {
            Ok(()) => ours.push((at, revocation)),
            Err(refused) => answers.set(at, Err(refused)),
        }
    }
    if ours.is_empty() {
        return Ok(());
    }
    let mut link = target.links.link(deadline.until).await?;
    let ours = settled(&mut link, ours, deadline, answers).await?;
    let names: Vec<_> = ours.iter().map(|(_, asked)| asked.handle.name.as_str()).collect();
    let mut there = look::look(&mut link, &names, deadline).await?;
    let (mut members, mut absent) = (Vec::new(), Vec::new());
    for (at, asked) in ours {
        let Some(found) = there.remove(&asked.handle.name) else {
            absent.push((at, asked));
            continue;
        };
        match found.is_of(target, &asked.handle.name, asked.lease) {
            Ok(()) => members.push(Member { at, asked, found }),
            Err(refused) => answers.set(at, Err(refused)),
        }
    }
    answer_for_the_absent(&mut link, absent, deadline, answers).await?;
    let members = lock_accounts(&mut link, members, deadline, answers).await?;
    let members = end_sessions(&mut link, members, deadline, answers).await?;
    let members = remove(&mut link, members, deadline, answers).await?;
    let members = end_sessions(&mut link, members, deadline, answers).await?;
    confirm(&mut link, members, deadline, answers).await
}

/// Sees to it that no issue of these is at work any more; what is looked up afterwards is what there will be.
async fn settled<'a>(
    link: &mut Link,
    asked: Vec<Asked<'a>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<Vec<Asked<'a>>, Failure> {
    let unanswered = asked.iter().filter(|(_, asked)| asked.unanswered.is_some());
    let leases: Vec<_> = unanswered.map(|(_, asked)| asked.lease).collect();
    if leases.is_empty() {
        return Ok(asked);
    }
    // Its end gives the locks back: until then nothing of these can begin.
    link.forget();
    let mut had = held::seize(link, &leases, deadline).await?.into_iter();
    let mut settled = Vec::with_capacity(asked.len());
    for (at, asked) in asked {
        let answer = if asked.unanswered.is_some() { had.next() } else { None };
        match answer {
            Some(Err(error)) => answers.set(at, Err(error)),
            Some(Ok(())) | None => settled.push((at, asked)),
        }
    }
    Ok(settled)
}

/// Answers for names that are absent. An issue that was not answered may still be on its way until `issue_by`; where
/// several servers share their accounts it may be at work at another, and time is all there is.
async fn answer_for_the_absent(
    link: &mut Link,
    absent: Vec<Asked<'_>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let mut now = None;
    for (at, asked) in absent {
        let Some(unanswered) = asked.unanswered else {
            answers.set(at, Ok(()));
            continue;
        };
        let now = match now {
            Some(now) => now,
            None => *now.insert(server_time(link, deadline).await?),
        };
        let several = link.facts().is_one_of_several;
        let until = if several { unanswered.settles_at } else { unanswered.issue_by };
        if now > link.facts().skew.to_target(until).plus(MARGIN) {
            answers.set(at, Ok(()));
        } else {
            let why =
                "its issue was not answered and may land until its time is up; ask again then";
            answers.set(at, Err(EngineError::uncertain(Cause::Contended, why)));
        }
    }
    Ok(())
}

async fn server_time(link: &mut Link, deadline: Deadline) -> Result<Timestamp, Failure> {
    let sql = "SELECT CAST(ROUND(UNIX_TIMESTAMP(SYSDATE(3)) * 1000) AS CHAR) AS clock";
    let rows = link.ask(sql, deadline).await?;
    let clock = rows.first().and_then(|row| text(row, "clock")?.parse().ok()).map(Timestamp);
    clock.ok_or_else(|| Failure::Lost("it does not tell the time".to_owned()))
}

/// Step one: no new login.
async fn lock_accounts<'a>(
    link: &mut Link,
    members: Vec<Member<'a>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<Vec<Member<'a>>, Failure> {
    let (mut ready, to_do): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|member| member.found.is_locked);
    let lock = |accounts: &str| format!("ALTER USER IF EXISTS {accounts} ACCOUNT LOCK");
    let doing = "the user could not be locked";
    ready.extend(in_parts(link, to_do, deadline, answers, doing, lock).await?);
    Ok(ready)
}

/// Does one statement for many accounts; where that is refused, for each half, and so on down to the one at fault.
/// Right for what may be done twice.
async fn in_parts<'a>(
    link: &mut Link,
    mut all: Vec<Member<'a>>,
    deadline: Deadline,
    answers: &mut Answers,
    doing: &str,
    sql: impl Fn(&str) -> String,
) -> Result<Vec<Member<'a>>, Failure> {
    let mut done = Vec::new();
    let mut parts = Vec::new();
    while !all.is_empty() {
        parts.push(all.split_off(all.len().saturating_sub(TOGETHER)));
    }
    while let Some(mut part) = parts.pop() {
        let accounts: Vec<_> = part.iter().flat_map(Member::accounts).collect();
        match link.ask(&sql(&accounts.join(", ")), deadline).await {
            Ok(_) => done.append(&mut part),
            Err(failure)
                if part.len() > 1 && failure.leaves_the_connection() && !failure.is_late() =>
            {
                let rest = part.split_off(part.len().div_ceil(2));
                parts.extend([rest, part]);
            }
            Err(failure) if failure.leaves_the_connection() => {
                for member in part {
                    answers.fail(member.at, &format!("{doing} `{}`", member.name()), &failure);
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(done)
}

/// Step two: tells every session of these users to end until none is left. Logins that were under way when the accounts
/// were locked are waited for, because a server looks at the lock when a login begins.
async fn end_sessions<'a>(
    link: &mut Link,
    members: Vec<Member<'a>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<Vec<Member<'a>>, Failure> {
    if members.is_empty() {
        return Ok(members);
    }
    if !link.facts().privileges.contains("PROCESS") {
        // What is granted now counts in a new session only.
        link.forget();
        let why = format!(
            "the administrator does not see the sessions of others; run `GRANT PROCESS ON *.* TO {}`",
            super::list::administrator(link.facts())
        );
        for member in members {
            answers.set(member.at, Err(EngineError::uncertain(Cause::NeedsOperator, why.as_str())));
        }
        return Ok(Vec::new());
    }
    let mut arriving: Option<HashSet<String>> = None;
    let mut pause = END_PAUSE;
    loop {
        let sessions = sessions(link, &members, deadline).await?;
        let (logins, own): (Vec<_>, Vec<_>) =
            sessions.into_iter().partition(|(_, user)| user == ARRIVING);
        for (id, name) in &own {
            match held::kill(link, id, deadline).await {
                Err(failure) if !failure.leaves_the_connection() => return Err(failure),
                Err(failure) => return Ok(unended(link, members, name, &failure, answers)),
                Ok(()) => {}
            }
        }
        let logins: HashSet<_> = logins.into_iter().map(|(id, _)| id).collect();
        let arriving = arriving.get_or_insert_with(|| logins.clone());
        arriving.retain(|id| logins.contains(id));
        if own.is_empty() && arriving.is_empty() {
            return Ok(members);
        }
        if deadline.is_over() {
            return Err(Failure::Expired);
        }
        tokio::time::sleep(pause.min(deadline.left())).await;
        pause = pause.saturating_mul(2).min(END_PAUSE_MAX);
    }
}

/// What the server calls the user of a login that is under way.
const ARRIVING: &str = "unauthenticated user";

/// Returns the sessions of these users and the logins under way, by id and user.
async fn sessions(
    link: &mut Link,
    members: &[Member<'_>],
    deadline: Deadline,
) -> Result<Vec<(String, String)>, Failure> {
    let names = members.iter().map(Member::name).chain([ARRIVING]);
    let sql = format!(
        "SELECT CAST(ID AS CHAR) AS id, USER AS user FROM {} WHERE USER IN ({})",
        link.facts().sessions(),
        quote::literals(names)
    );
    let rows = link.ask(&sql, deadline).await?;
    Ok(rows.iter().filter_map(|row| Some((text(row, "id")?, text(row, "user")?))).collect())
}

/// Answers for those of whom one has a session that cannot be ended; the others are left to the next try.
fn unended<'a>(
    link: &mut Link,
    members: Vec<Member<'a>>,
    name: &str,
    failure: &Failure,
    answers: &mut Answers,
) -> Vec<Member<'a>> {
    link.forget();
    let administrator = super::list::administrator(link.facts());
    let privilege = link.facts().flavor.ends_sessions();
    for member in members {
        let doing = format!(
            "a session of `{name}` could not be ended; run `GRANT {privilege} ON *.* TO {administrator}`"
        );
        answers.fail(member.at, &doing, failure);
    }
    Vec::new()
}

/// Step three: the user of every host, or the operator's statements.
async fn remove<'a>(
    link: &mut Link,
    members: Vec<Member<'a>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<Vec<Member<'a>>, Failure> {
    let (by_statements, by_default): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|member| !member.statements().is_empty());
    let drop = |accounts: &str| format!("DROP USER IF EXISTS {accounts}");
    let doing = "it could not be dropped, the user";
    let mut removed = in_parts(link, by_default, deadline, answers, doing, drop).await?;
    for member in by_statements {
        match run_statements(link, &member, deadline).await {
            Ok(()) => removed.push(member),
            Err(failure) => answers.fail(member.at, "its revocation statements failed", &failure),
        }
    }
    Ok(removed)
}

/// Runs the operator's revocation statements for one credential. Those that may leave something behind in their
/// session cost the connection.
async fn run_statements(
    link: &mut Link,
    member: &Member<'_>,
    deadline: Deadline,
) -> Result<(), Failure> {
    let denied = |why: String| Failure::Denied { number: 1064, message: why };
    let parsed = statements("revocation_statements", member.statements())
        .map_err(|error| denied(error.0))?;
    if reach(&parsed) > Reach::Own {
        link.forget();
    }
    let values = Values { name: member.name(), password: "", identified: "''", expiration: "" };
    for statement in &parsed {
        link.ask(&statement.render(&values), deadline).await?;
    }
    Ok(())
}

/// Looks once more: a credential counts if it is absent for every host, or kept and locked by the operator's
/// statements.
async fn confirm(
    link: &mut Link,
    members: Vec<Member<'_>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let names: Vec<_> = members.iter().map(Member::name).collect();
    let there = look::look(link, &names, deadline).await?;
    for member in &members {
        match there.get(member.name()) {
            None => answers.set(member.at, Ok(())),
            Some(found) if found.is_locked && !member.statements().is_empty() => {
                answers.set(member.at, Ok(()));
            }
            Some(_) => {
                let why = "it is still there, and may log in, after it was revoked";
                answers.set(member.at, Err(EngineError::uncertain(Cause::NeedsOperator, why)));
            }
        }
    }
    Ok(())
}
