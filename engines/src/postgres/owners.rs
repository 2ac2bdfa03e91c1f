//! The owner roles: who creates credentials where the administrator is no superuser, from version 16 on.
//!
//! There a creator becomes a member of every role it creates, and each later check of permissions walks
//! them all: 81 issues a second at 5,800 live credentials instead of 37,000. So the memberships are
//! spread over 64 roles that are nobody's session: the walk from the administrator ends at them, because
//! it inherits nothing from them and only steps into one at a time.

use super::failure::Failure;
use super::link::{Facts, Link, text};
use super::message::{self, Deadline};
use super::{Postgres, quote};
use leasehold_core::engine::Origin;
use leasehold_core::ids::LeaseId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// How many owner roles a target has.
const OWNERS: u8 = 64;

/// Which owner roles are known to be set up.
#[derive(Debug, Default)]
pub(super) struct Owners {
    may_grant: Mutex<BTreeSet<String>>,
}

impl Owners {
    fn lacking(&self, granted: &[String]) -> Vec<String> {
        let may_grant = self.may_grant.lock().unwrap_or_else(PoisonError::into_inner);
        granted.iter().filter(|role| !may_grant.contains(*role)).cloned().collect()
    }

    fn learn(&self, granted: Vec<String>) {
        self.may_grant.lock().unwrap_or_else(PoisonError::into_inner).extend(granted);
    }

    /// Sets them up anew before the next use: somebody changed them at the server.
    fn forget(&self) {
        self.may_grant.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Picks the owner of a lease by the bits of its id that change every 32 ms: what is issued together
/// shares an owner and so a batch, and two seconds of issues use them all.
pub(super) fn slot(lease: LeaseId) -> u8 {
    u8::try_from((lease.made_at().0 >> 5) & 63).unwrap_or_default()
}

/// Returns the name of an owner role.
pub(super) fn name(origin: &Origin, slot: u8) -> String {
    format!("{}{slot:02}", prefix(origin))
}

/// Returns how the names of all owner roles of a target begin. The target's id is in them, so they are
/// as much ours as what a lease names.
pub(super) fn prefix(origin: &Origin) -> String {
    format!("leasehold-owner-{}-", origin.target)
}

/// Whether what is known of the owner roles was seen just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// They were set up, or found as they should be, a moment ago.
    Afresh,
    /// They were so once.
    FromBefore,
}

/// Makes sure that the owner roles are there and may grant these roles.
pub(super) async fn ready(
    target: &Postgres,
    link: &mut Link,
    granted: &[String],
    deadline: Deadline,
) -> Result<Known, Failure> {
    let lacking = target.owners.lacking(granted);
    if lacking.is_empty() {
        return Ok(Known::FromBefore);
    }
    let names: Vec<_> = (0..OWNERS).map(|slot| name(&target.origin, slot)).collect();
    let names = quote::identifiers(names.iter().map(String::as_str));
    let roles = quote::identifiers(lacking.iter().map(String::as_str));
    // Another process may be setting them up as well; its work is as good as ours.
    let mut tries_left = 2_u32;
    loop {
        let there = existing(target, link, deadline).await?;
        let limits = deadline.limits(message::LOCK_WAIT);
        let missing = create_missing(target, link.facts(), &there);
        // A grant that is there already is granted again, which changes nothing.
        let grants = format!("GRANT {roles} TO {names} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE");
        tries_left = tries_left.saturating_sub(1);
        match link.say(format!("{limits}{missing}{grants}"), deadline.until).await {
            Err(failure) if failure.is_taken() && tries_left > 0 => {}
            Err(failure) => return Err(failure),
            Ok(_) => break,
        }
    }
    target.owners.learn(lacking);
    Ok(Known::Afresh)
}

/// Sees whether a failure may come from owner roles that are not as they were: dropped, or without what
/// was granted. Then they are set up anew, and where that was not done a moment ago, another try is
/// worth while.
pub(super) fn blamed(target: &Postgres, known: Known, failure: Failure) -> Failure {
    // SET ROLE says 22023 of a role that is not there, and GRANT 42704; the rest lacks permission.
    if !matches!(failure.code(), "22023" | "42704" | "42501") {
        return failure;
    }
    target.owners.forget();
    match known {
        Known::Afresh => failure,
        Known::FromBefore => Failure::Unready,
    }
}

/// Returns the owner roles that are there, and of each whether the administrator may step into it.
async fn existing(
    target: &Postgres,
    link: &mut Link,
    deadline: Deadline,
) -> Result<BTreeMap<String, bool>, Failure> {
    let sql = format!(
        "{}SELECT rolname::text AS name, pg_catalog.pg_has_role(oid, 'SET')::text AS ours \
         FROM pg_catalog.pg_roles WHERE pg_catalog.starts_with(rolname::text, {})",
        deadline.limits(message::LOCK_WAIT),
        quote::literal(&prefix(&target.origin))
    );
    let rows = link.say(sql, deadline.until).await?;
    let ours = |row| text(row, "ours").is_some_and(|said| said == "true");
    Ok(rows.iter().filter_map(|row| Some((text(row, "name")?, ours(row)))).collect())
}

fn create_missing(target: &Postgres, facts: &Facts, there: &BTreeMap<String, bool>) -> String {
    let administrator = quote::identifier(&facts.administrator);
    let mark = format!("leasehold-owner:{}:{}", target.origin.installation, target.origin.target);
    let mut sql = String::new();
    for owner in (0..OWNERS).map(|slot| name(&target.origin, slot)) {
        let found = there.get(&owner);
        let owner = quote::identifier(&owner);
        if found.is_none() {
            let _ = write!(
                sql,
                "CREATE ROLE {owner} CREATEROLE NOLOGIN; COMMENT ON ROLE {owner} IS {}; ",
                quote::literal(&mark)
            );
        }
        if found != Some(&true) {
            let _ = write!(sql, "GRANT {owner} TO {administrator} WITH SET TRUE, INHERIT FALSE; ");
        }
    }
    sql
}
