//! Looks at what a server holds under the names that leases gave, and whose it is.

use super::MySql;
use super::failure::Failure;
use super::link::{Link, text};
use super::{quote, rights};
use crate::deadline::Deadline;
use leasehold_core::engine::{Cause, EngineError, Mark, naming};
use leasehold_core::ids::LeaseId;
use std::collections::HashMap;

/// What a server has under one name: an account for each host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) hosts: Vec<String>,
    /// All of them are locked.
    pub(super) is_locked: bool,
    marks: Vec<String>,
    /// What it may do everywhere, and which role it has from the login on.
    pub(super) rights: std::collections::BTreeSet<String>,
}

/// Looks up names, one round trip for all.
pub(super) async fn look(
    link: &mut Link,
    names: &[&str],
    deadline: Deadline,
) -> Result<HashMap<String, Found>, Failure> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let among = format!("User IN ({})", quote::literals(names.iter().copied()));
    accounts(link, &among, deadline).await
}

/// Returns the accounts that meet a condition, by name.
pub(super) async fn accounts(
    link: &mut Link,
    condition: &str,
    deadline: Deadline,
) -> Result<HashMap<String, Found>, Failure> {
    let sql = link.facts().flavor.select_accounts(condition);
    let mut found: HashMap<String, Found> = HashMap::new();
    for row in &link.ask(&sql, deadline).await? {
        let (Some(name), Some(host)) = (text(row, "name"), text(row, "host")) else { continue };
        let locked = text(row, "locked").as_deref() == Some("Y");
        let account =
            found.entry(name).or_insert_with(|| Found { is_locked: true, ..Found::default() });
        account.hosts.push(host);
        account.is_locked &= locked;
        account.marks.extend(text(row, "mark"));
        let access = text(row, "access").and_then(|access| access.parse().ok());
        account.rights.extend(rights::everywhere(access.unwrap_or_default()));
        account.rights.extend(text(row, "role"));
    }
    Ok(found)
}

/// Refuses to act on a name that does not bear the bits of its lease, or bears another's tag (law 9).
pub(super) fn is_ours(target: &MySql, name: &str, lease: LeaseId) -> Result<(), EngineError> {
    if !naming::carries_lease_bits(name, lease) {
        return Err(left_alone(&format!(
            "the user `{name}` does not bear the bits of lease `{lease}`, so it may be somebody else's"
        )));
    }
    if target.names.is_anothers(name, lease) {
        return Err(left_alone(&format!(
            "the user `{name}` bears the tag of another installation or target"
        )));
    }
    Ok(())
}

fn left_alone(why: &str) -> EngineError {
    EngineError::refused(
        Cause::NeedsOperator,
        format!("{why}, and was left alone. look at it, and remove it by hand if it is a leftover"),
    )
}

impl Found {
    /// Refuses to act on a user whose mark names another lease, or another installation (law 9). An attribute
    /// that is no mark proves nothing.
    pub(super) fn is_of(
        &self,
        target: &MySql,
        name: &str,
        lease: LeaseId,
    ) -> Result<(), EngineError> {
        let own = Mark { origin: target.origin, lease };
        let foreign = self.marks().into_iter().find(|mark| *mark != own);
        match foreign {
            Some(mark) => Err(left_alone(&format!(
                "the user `{name}` is marked as `{mark}`, which is not lease `{lease}` of this target"
            ))),
            None => Ok(()),
        }
    }

    /// Returns the marks of its accounts, where the server keeps them.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.marks.iter().filter_map(|mark| mark.parse().ok()).collect()
    }
}
