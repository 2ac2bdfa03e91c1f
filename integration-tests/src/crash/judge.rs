//! Compares what is stored and what is at the target with what callers were told.

use super::told::{Fate, MARGIN, Told};
use leasehold_core::time::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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
    /// Long after the last term is over, something is left.
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
        if role.valid_until.is_none() {
            found.push(Violation::PastCeiling(format!("role `{}` has no end", role.name)));
        }
    }
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
        let ends = role.and_then(|role| role.valid_until);
        if ends.is_some_and(|ends| ends > lent.ceiling) {
            found.push(Violation::PastCeiling(lent.lease.clone()));
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
