//! Compares what is stored and what is at the target with what callers were told.

use super::lives::Due;
use super::told::{Fate, MARGIN, Told};
use leasehold_core::time::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A role is at the target, and no lease names it.
    Orphan(String),
    /// A caller was shown a lease that is not stored, and its end is not due.
    LostLease(String),
    /// A credential does not work although its term is not over.
    EarlyDeath(String),
    /// A credential works, or is there, although a caller was told that it is gone.
    LivesOn(String),
    /// A credential may live longer than its ceiling.
    PastCeiling(String),
    /// Something was done and is not on record.
    Unrecorded(String),
    /// The server was wrong in another way.
    Broken(String),
    /// Its term is over for longer than anything explains, and something is left.
    LeftBehind(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphan(what) => write!(f, "orphan: {what}"),
            Self::LostLease(what) => write!(f, "lost lease: {what}"),
            Self::EarlyDeath(what) => write!(f, "early death: {what}"),
            Self::LivesOn(what) => write!(f, "lives on: {what}"),
            Self::PastCeiling(what) => write!(f, "past its ceiling: {what}"),
            Self::Unrecorded(what) => write!(f, "not on record: {what}"),
            Self::Broken(what) => write!(f, "broken: {what}"),
            Self::LeftBehind(what) => write!(f, "left behind: {what}"),
        }
    }
}

/// What was seen while nobody asked for anything: first the leases, then the target.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The ids of the stored leases.
    pub leases: BTreeSet<String>,
    /// The roles at the target, by the lease that their names carry.
    pub roles: BTreeMap<String, RoleSeen>,
    /// The leases with an open session.
    pub sessions: BTreeSet<String>,
    /// The leases of which a session that was kept open answers, after all that.
    pub answering: BTreeSet<String>,
    /// When all had been seen.
    pub at: Timestamp,
}

/// A role at the target.
#[derive(Clone, Debug)]
pub struct RoleSeen {
    /// Its name.
    pub name: String,
    /// Whether it may log in.
    pub may_log_in: bool,
    /// When the target itself forbids it to; none if never.
    pub valid_until: Option<Timestamp>,
    /// The longest term of the Vault role that it was made by.
    pub longest: Duration,
}

/// Returns the lease that a role's name carries.
#[must_use]
pub fn lease_in(name: &str) -> String {
    name.rsplit('-').nth(1).unwrap_or(name).to_owned()
}

/// Judges what was seen by what callers were told.
#[must_use]
pub fn judge(told: &Told, seen: &Seen) -> Vec<Violation> {
    let mut found = Vec::new();
    for (lease, role) in &seen.roles {
        if !seen.leases.contains(lease) {
            found.push(Violation::Orphan(format!("role `{}`", role.name)));
        }
        let due = due(told, lease, role, seen.at);
        let ceiling = told.leases.get(lease).map_or(due.end, |lent| lent.ceiling);
        match role.valid_until {
            None => found.push(Violation::PastCeiling(format!("role `{}` has no end", role.name))),
            Some(ends) if ends > ceiling => {
                found.push(Violation::PastCeiling(format!("role `{}`", role.name)));
            }
            Some(_) => {}
        }
        if told.lives.is_overdue(due, seen.at) {
            found.push(Violation::LeftBehind(format!("role `{}`", role.name)));
        }
    }
    found.extend(judge_sessions(told, seen));
    for (id, lent) in &told.leases {
        let role = seen.roles.get(id);
        match lent.fate {
            Fate::Held if seen.at < lent.lives_until => {
                if !seen.leases.contains(id) {
                    found.push(Violation::LostLease(lent.lease.clone()));
                }
                if !role.is_some_and(|role| role.may_log_in) {
                    let how = if role.is_some() { "may not log in" } else { "is gone" };
                    found.push(Violation::EarlyDeath(format!("role of `{}` {how}", lent.lease)));
                }
                let ends = role.and_then(|role| role.valid_until);
                if ends.is_some_and(|ends| ends.plus(MARGIN) < lent.lives_until) {
                    let what = format!("the target ends `{}` before its term", lent.lease);
                    found.push(Violation::EarlyDeath(what));
                }
            }
            Fate::Dead => {
                if let Some(role) = role {
                    found.push(Violation::LivesOn(format!("role `{}`", role.name)));
                }
                if seen.leases.contains(id) {
                    found.push(Violation::LivesOn(format!("lease `{}`", lent.lease)));
                }
                if seen.sessions.contains(id) {
                    found.push(Violation::LivesOn(format!("a session of `{}`", lent.lease)));
                }
            }
            Fate::Held | Fate::Doomed => {}
        }
    }
    found
}

/// Returns when a role at the target has to go at the latest. Of one that nobody was told of it is known that its
/// lease is no younger than the role.
fn due(told: &Told, lease: &str, role: &RoleSeen, at: Timestamp) -> Due {
    let first_seen = told.first_seen.get(lease).copied().unwrap_or(at);
    let Some(lent) = told.leases.get(lease) else {
        let end = first_seen.plus(role.longest).plus(MARGIN);
        let since = first_seen.minus(role.longest);
        return Due { since, hidden_until: first_seen, end };
    };
    // One whose end was asked for may have been attempted at any time.
    let since = match lent.fate {
        Fate::Held => lent.lives_until,
        Fate::Doomed | Fate::Dead => lent.ceiling.minus(role.longest.saturating_add(MARGIN)),
    };
    Due { since, hidden_until: Timestamp(0), end: lent.ends_by }
}

/// Judges the sessions that are still open: none outlives its credential, or its ceiling.
fn judge_sessions(told: &Told, seen: &Seen) -> Vec<Violation> {
    let mut found = Vec::new();
    for id in &seen.answering {
        match seen.roles.get(id).filter(|_| seen.leases.contains(id)) {
            None => {
                let what = format!("a session of `{id}`, which is gone");
                found.push(Violation::LivesOn(what));
            }
            Some(role) if told.lives.is_overdue(due(told, id, role, seen.at), seen.at) => {
                found.push(Violation::PastCeiling(format!("a session of `{id}`")));
            }
            Some(_) => {}
        }
    }
    found
}

/// Judges the audit record once all is over: each of `issued` was told with a record, and the end of each of
/// `existed` is on record.
#[must_use]
pub fn judge_record(
    record: &str,
    issued: &BTreeSet<String>,
    existed: &BTreeSet<String>,
) -> Vec<Violation> {
    let (mut told, mut ended) = (BTreeSet::new(), BTreeSet::new());
    let mut torn = 0_u64;
    for line in record.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            torn = torn.saturating_add(1);
            continue;
        };
        if line["type"] != "response" || !line["error"].is_null() {
            continue;
        }
        let last = |text: &Value| text.as_str()?.rsplit('/').next().map(str::to_owned);
        if line["request"]["operation"] == "revoke" {
            ended.extend(last(&line["request"]["path"]));
        } else {
            told.extend(last(&line["response"]["secret"]["lease_id"]));
        }
    }
    let missing_issue = issued.difference(&told).map(|id| format!("the issue of `{id}`"));
    let missing_end = existed.difference(&ended).map(|id| format!("the end of `{id}`"));
    let mut found: Vec<_> = missing_issue.chain(missing_end).map(Violation::Unrecorded).collect();
    if torn > 0 {
        found.push(Violation::Broken(format!("{torn} lines of the record cannot be read")));
    }
    found
}
