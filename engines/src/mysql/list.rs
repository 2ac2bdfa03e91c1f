//! What bears our mark, which server this is, and what the administrator lacks.

use super::failure::Failure;
use super::flavor::Family;
use super::link::{Facts, Link, text};
use super::look;
use super::rights;
use super::role::Role;
use super::{Handle, MySql, quote};
use crate::deadline::Deadline;
use leasehold_core::engine::{EngineError, Identity, Marked};
use leasehold_core::time::Timestamp;
use std::time::Duration;

/// How long one of these questions may take: reconcile reads every account.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

fn deadline(target: &MySql) -> Deadline {
    let now = target.links.now();
    Deadline::new(now.plus(ANSWER_WITHIN), now)
}

/// Lists what bears this target's mark and may log in. What is locked is no credential any more, whoever keeps it.
pub(super) async fn list(target: &MySql) -> Result<Vec<Marked<MySql>>, EngineError> {
    let listed = marked(target, deadline(target)).await;
    listed.map_err(|failure| failure.refused())
}

async fn marked(target: &MySql, deadline: Deadline) -> Result<Vec<Marked<MySql>>, Failure> {
    let mut link = target.links.link(deadline.until).await?;
    let prefix = format!("leasehold:{}:{}:", target.origin.installation, target.origin.target);
    let flavor = link.facts().flavor;
    let condition = flavor.may_be_marked(&target.names.tag, &prefix);
    let mut found = look::accounts(&mut link, &condition, deadline).await?;
    rights::complete(&mut link, &mut found, &target.names.tag, deadline).await?;
    let marked =
        found.into_iter().filter(|(_, found)| !found.is_locked).filter_map(|(name, found)| {
            let lease = match flavor.family {
                Family::MariaDb => target.names.lease_in(&name)?,
                Family::MySql => {
                    found.marks().into_iter().find(|mark| mark.origin == target.origin)?.lease
                }
            };
            let handle = Handle { name, revocation: Vec::new() };
            let hosts = found.hosts.iter().map(|host| format!("logs in from {host}"));
            let rights = found.rights.into_iter().chain(hosts).collect();
            Some(Marked {
                lease,
                handle,
                lapses_at: None,
                may_log_in: true,
                rights,
                everywhere: true,
            })
        });
    Ok(marked.collect())
}

pub(super) async fn identity(target: &MySql) -> Result<Identity, EngineError> {
    let deadline = deadline(target);
    let mut link = target.links.link(deadline.until).await.map_err(|failure| failure.refused())?;
    let sql = "SELECT CAST(ROUND(UNIX_TIMESTAMP(SYSDATE(3)) * 1000) AS CHAR) AS clock";
    let rows = link.ask(sql, deadline).await.map_err(|failure| failure.refused())?;
    let clock = rows.first().and_then(|row| text(row, "clock")?.parse().ok()).map(Timestamp);
    let Some(clock) = clock else {
        return Err(Failure::Lost("it does not tell its time".to_owned()).refused());
    };
    let facts = link.facts();
    Ok(Identity { server: facts.server.clone(), clock, version: facts.version.clone(), run: None })
}

/// Says what the administrator lacks: each a sentence that ends in the statement to run.
pub(super) async fn lacks(target: &MySql, role: Option<&Role>) -> Result<Vec<String>, EngineError> {
    let deadline = deadline(target);
    let granted = role.map(Role::granted).unwrap_or_default();
    let missing = async {
        let mut link = target.links.link(deadline.until).await?;
        let fresh = link.privileges(deadline).await?;
        lacking(&mut link, &fresh, granted, deadline).await
    };
    missing.await.map_err(|failure: Failure| failure.refused())
}

/// Returns the administrator as a `GRANT` names it.
pub(super) fn administrator(facts: &Facts) -> String {
    let (user, host) = facts.administrator.rsplit_once('@').unwrap_or((&facts.administrator, "%"));
    quote::account(user, host)
}

async fn lacking(
    link: &mut Link,
    privileges: &std::collections::BTreeSet<String>,
    granted: &[String],
    deadline: Deadline,
) -> Result<Vec<String>, Failure> {
    let facts = link.facts().clone();
    let (flavor, me) = (facts.flavor, administrator(&facts));
    let mut missing = Vec::new();
    for (privilege, what) in flavor.needed() {
        if !privileges.iter().any(|held| flavor.includes(held, privilege)) {
            missing.push(format!(
                "the administrator {me} may not {what}; run `GRANT {privilege} ON *.* TO {me}`"
            ));
        }
    }
    let accounts = flavor.accounts();
    if !may(link, &format!("SELECT 1 FROM {accounts} LIMIT 0"), deadline).await? {
        missing.push(format!(
            "the administrator {me} may not see which users there are; run `GRANT SELECT ON {accounts} TO {me}`"
        ));
        return Ok(missing);
    }
    missing.extend(lacking_roles(link, &me, granted, deadline).await?);
    Ok(missing)
}

/// Tells whether a statement that changes nothing is allowed.
async fn may(link: &mut Link, sql: &str, deadline: Deadline) -> Result<bool, Failure> {
    match link.ask(sql, deadline).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.leaves_the_connection() => Ok(false),
        Err(failure) => Err(failure),
    }
}

async fn lacking_roles(
    link: &mut Link,
    me: &str,
    granted: &[String],
    deadline: Deadline,
) -> Result<Vec<String>, Failure> {
    let mut missing = Vec::new();
    if granted.is_empty() {
        return Ok(missing);
    }
    let flavor = link.facts().flavor;
    for role in granted {
        let quoted = quote::identifier(role);
        let sql = format!(
            "SELECT User AS name FROM {} WHERE User = {}",
            flavor.accounts(),
            quote::literal(role)
        );
        if link.ask(&sql, deadline).await?.is_empty() {
            missing.push(format!("there is no role {quoted}; run `CREATE ROLE {quoted}`"));
        }
    }
    let unset = "SET DEFAULT ROLE NONE FOR 'leasehold'@'no.such.host'";
    if flavor.family == Family::MariaDb {
        // It fails in either case: for want of a privilege, or of that user.
        let denied = link.ask(unset, deadline).await.err();
        if denied.and_then(|failure| failure.number()) == Some(1044) {
            missing.push(format!(
                "the administrator {me} may not make a role the default of a user; run `GRANT UPDATE ON mysql.* TO {me}`"
            ));
        }
        missing.extend(lacking_admin(link, me, granted, deadline).await?);
    }
    Ok(missing)
}

/// Says which roles the administrator may not grant. Whoever may write the table of accounts needs no leave for each.
async fn lacking_admin(
    link: &mut Link,
    me: &str,
    granted: &[String],
    deadline: Deadline,
) -> Result<Vec<String>, Failure> {
    let sql = "SELECT ROLE_NAME AS role FROM information_schema.APPLICABLE_ROLES WHERE IS_GRANTABLE = 'YES'";
    let rows = link.ask(sql, deadline).await?;
    let grantable: Vec<_> = rows.iter().filter_map(|row| text(row, "role")).collect();
    let lacking = granted.iter().filter(|role| !grantable.contains(role)).map(|role| {
        let role = quote::identifier(role);
        format!("the administrator {me} may not grant the role {role}; run `GRANT {role} TO {me} WITH ADMIN OPTION`")
    });
    Ok(lacking.collect())
}
