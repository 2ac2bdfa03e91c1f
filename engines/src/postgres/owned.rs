//! What a credential leaves behind: objects it made go to the administrator, grants to it are dropped.
//!
//! Both work on one database at a time, and take locks on the tables they touch, so they are done for
//! one credential after the other, with little patience, and again after a pause.

use super::failure::Failure;
use super::link::{Link, number, text};
use super::message::{self, Deadline};
use super::revoke::{Answers, Member};
use super::{Postgres, quote};
use leasehold_core::engine::{Cause, EngineError};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

/// How long to stay away from tables that others hold; doubled each time.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Says which of these roles own something or were granted something.
pub(super) async fn who_owns(
    link: &mut Link,
    oids: impl Iterator<Item = u32>,
    deadline: Deadline,
) -> Result<HashSet<u32>, Failure> {
    let sql = format!(
        "{}SELECT DISTINCT refobjid::text AS oid FROM pg_catalog.pg_shdepend \
         WHERE refclassid = 'pg_catalog.pg_authid'::regclass AND refobjid = ANY ({})",
        deadline.limits(message::LOCK_WAIT),
        quote::oid_array(oids)
    );
    let rows = link.say(sql, deadline.until).await?;
    Ok(rows.iter().filter_map(|row| number(row, "oid")).collect())
}

/// Makes the administrator a member of these roles where it is no superuser: only then may it dispose
/// of what is theirs. The memberships go with the roles.
pub(super) async fn join(
    link: &mut Link,
    members: &[Member<'_>],
    deadline: Deadline,
) -> Result<(), Failure> {
    if link.facts().superuser || members.is_empty() {
        return Ok(());
    }
    let administrator = quote::identifier(&link.facts().administrator);
    let with = if link.facts().version >= 160_000 { " WITH ADMIN TRUE, INHERIT TRUE" } else { "" };
    let mut sql = deadline.limits(message::LOCK_WAIT);
    for member in members {
        let owner = member.found.owner.as_deref().unwrap_or(&link.facts().administrator);
        let (owner, name) = (quote::identifier(owner), quote::identifier(member.name()));
        let _ = write!(sql, "SET LOCAL ROLE {owner}; GRANT {name} TO {administrator}{with}; ");
    }
    sql.push_str("RESET ROLE");
    link.say(sql, deadline.until).await.map(|_| ())
}

/// Empties these roles in every database, and returns those that are empty.
pub(super) async fn clear<'a>(
    target: &Postgres,
    link: &mut Link,
    members: Vec<Member<'a>>,
    deadline: Deadline,
    answers: &mut Answers,
) -> Result<Vec<Member<'a>>, Failure> {
    if members.is_empty() {
        return Ok(members);
    }
    let mut cleared = Vec::new();
    for member in members {
        match join(link, std::slice::from_ref(&member), deadline).await {
            Ok(()) => cleared.push(member),
            Err(failure) => {
                answers.fail(member.at, "the administrator could not join its role", &failure);
            }
        }
    }
    let places = places(link, cleared.iter().map(|member| member.found.oid), deadline).await?;
    for (database, oids) in places {
        let here = link.facts().database == database;
        let mut other =
            if here { None } else { Some(target.links.elsewhere(&database, deadline.until).await) };
        let (to_do, mut rest): (Vec<_>, Vec<_>) =
            cleared.into_iter().partition(|member| oids.contains(&member.found.oid));
        for member in to_do {
            let emptied = match &mut other {
                None => empty(link, member.name(), deadline).await,
                Some(Ok(other)) => empty(other, member.name(), deadline).await,
                Some(Err(failure)) => Err(failure.clone()),
            };
            match emptied {
                Ok(()) => rest.push(member),
                Err(failure) => {
                    let doing = format!(
                        "what it owns in the database `{database}` could not be reassigned"
                    );
                    answers.fail(member.at, &doing, &failure);
                }
            }
        }
        cleared = rest;
    }
    Ok(cleared)
}

/// Returns in which databases these roles have something. What is shared by all databases can be dealt
/// with in any.
async fn places(
    link: &mut Link,
    oids: impl Iterator<Item = u32>,
    deadline: Deadline,
) -> Result<BTreeMap<String, BTreeSet<u32>>, Failure> {
    let sql = format!(
        "{}SELECT DISTINCT d.refobjid::text AS oid, coalesce(b.datname::text, pg_catalog.current_database()::text) \
         AS database FROM pg_catalog.pg_shdepend d LEFT JOIN pg_catalog.pg_database b ON b.oid = d.dbid \
         WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = ANY ({})",
        deadline.limits(message::LOCK_WAIT),
        quote::oid_array(oids)
    );
    let mut places: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for row in &link.say(sql, deadline.until).await? {
        if let (Some(oid), Some(database)) = (number(row, "oid"), text(row, "database")) {
            places.entry(database).or_default().insert(oid);
        }
    }
    Ok(places)
}

/// Empties one role in one database, as often as it takes to get its locks.
async fn empty(link: &mut Link, name: &str, deadline: Deadline) -> Result<(), Failure> {
    let name = quote::identifier(name);
    let mut pause = PAUSE;
    loop {
        let sql = format!(
            "{}REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}",
            deadline.limits(message::TABLE_LOCK_WAIT)
        );
        let Err(failure) = link.say(sql, deadline.until).await else { return Ok(()) };
        // A try that cannot outlast one wait for a lock would only tell of its own end.
        let next = pause.saturating_add(message::TABLE_LOCK_WAIT);
        if !failure.is_contended() || deadline.left() < next {
            return Err(failure);
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
}

/// Says what keeps a role from being dropped, who granted it, and what to run; `None` if it is not
/// something of that kind. Without superuser, `DROP OWNED` merely warns about what others granted.
pub(super) async fn what_is_in_the_way(
    target: &Postgres,
    link: &mut Link,
    member: &Member<'_>,
    deadline: Deadline,
) -> Option<EngineError> {
    let places = places(link, std::iter::once(member.found.oid), deadline).await.ok()?;
    for database in places.into_keys() {
        let sql = in_the_way_sql(member.found.oid);
        let rows = if link.facts().database == database {
            link.say(sql, deadline.until).await
        } else {
            target
                .links
                .elsewhere(&database, deadline.until)
                .await
                .ok()?
                .say(sql, deadline.until)
                .await
        };
        let Some(row) = rows.ok()?.into_iter().next() else { continue };
        let object = text(&row, "object").unwrap_or_else(|| "something".to_owned());
        let grantor = text(&row, "grantor").map(|grantor| format!(", granted by `{grantor}`"));
        return Some(EngineError::uncertain(
            Cause::NeedsOperator,
            format!(
                "the role `{name}` can no longer log in and has no session, but it cannot be dropped: it has \
                 {object} in the database `{database}`{grantor}, which only the grantor or a superuser can \
                 take away. as one of them run in that database `DROP OWNED BY {quoted}`",
                name = member.name(),
                grantor = grantor.unwrap_or_default(),
                quoted = quote::identifier(member.name()),
            ),
        ));
    }
    None
}

fn in_the_way_sql(oid: u32) -> String {
    format!(
        "SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS object, \
         (SELECT pg_catalog.string_agg(DISTINCT g.rolname::text, ', ') FROM pg_catalog.aclexplode(CASE d.classid \
         WHEN 'pg_catalog.pg_class'::regclass THEN (SELECT relacl FROM pg_catalog.pg_class WHERE oid = d.objid) \
         WHEN 'pg_catalog.pg_namespace'::regclass THEN (SELECT nspacl FROM pg_catalog.pg_namespace WHERE oid = d.objid) \
         WHEN 'pg_catalog.pg_proc'::regclass THEN (SELECT proacl FROM pg_catalog.pg_proc WHERE oid = d.objid) \
         WHEN 'pg_catalog.pg_type'::regclass THEN (SELECT typacl FROM pg_catalog.pg_type WHERE oid = d.objid) \
         WHEN 'pg_catalog.pg_database'::regclass THEN (SELECT datacl FROM pg_catalog.pg_database WHERE oid = d.objid) \
         END) a JOIN pg_catalog.pg_roles g ON g.oid = a.grantor WHERE a.grantee = {oid}) AS grantor \
         FROM pg_catalog.pg_shdepend d WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = {oid} \
         AND d.dbid IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())) \
         ORDER BY 2 NULLS LAST LIMIT 1"
    )
}
