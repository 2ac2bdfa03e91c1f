//! Looks at what a server holds under the names that leases gave, and whose it is.

use super::failure::Failure;
use super::link::{Link, number, text};
use super::message::{self, Deadline};
use super::{Postgres, owners, quote};
use leasehold_core::engine::{Cause, EngineError, Mark, naming};
use leasehold_core::ids::LeaseId;
use std::collections::HashMap;

/// A role as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) oid: u32,
    pub(super) may_log_in: bool,
    /// Which owner role has to be stepped into to alter it, if one created it.
    pub(super) owner: Option<String>,
    comment: String,
}

/// Looks up names, one round trip for all.
pub(super) async fn look(
    target: &Postgres,
    link: &mut Link,
    names: &[&str],
    deadline: Deadline,
) -> Result<HashMap<String, Found>, Failure> {
    let owner = if link.facts().joins_what_it_creates() {
        format!(
            "(SELECT o.rolname::text FROM pg_catalog.pg_auth_members m \
             JOIN pg_catalog.pg_roles o ON o.oid = m.member WHERE m.roleid = r.oid AND m.admin_option \
             AND pg_catalog.starts_with(o.rolname::text, {}) AND pg_catalog.pg_has_role(o.oid, 'SET') LIMIT 1)",
            quote::literal(&owners::prefix(&target.origin))
        )
    } else {
        "NULL::text".to_owned()
    };
    let sql = format!(
        "{}SELECT r.rolname::text AS name, r.oid::text AS oid, r.rolcanlogin::text AS login, \
         pg_catalog.shobj_description(r.oid, 'pg_authid') AS comment, {owner} AS owner \
         FROM pg_catalog.pg_roles r WHERE r.rolname = ANY ({})",
        deadline.limits(message::LOCK_WAIT),
        quote::text_array(names.iter().copied())
    );
    let rows = link.say(sql, deadline.until).await?;
    let found = rows.iter().filter_map(|row| {
        let found = Found {
            oid: number(row, "oid")?,
            may_log_in: text(row, "login")? == "true",
            owner: text(row, "owner"),
            comment: text(row, "comment").unwrap_or_default(),
        };
        Some((text(row, "name")?, found))
    });
    Ok(found.collect())
}

/// Refuses to act on a name that does not bear the bits of its lease (law 9).
pub(super) fn bears_its_bits(name: &str, lease: LeaseId) -> Result<(), EngineError> {
    if naming::carries_lease_bits(name, lease) {
        return Ok(());
    }
    Err(EngineError::refused(
        Cause::NeedsOperator,
        format!(
            "the role `{name}` does not bear the bits of lease `{lease}`, so it may be somebody \
             else's and was left alone. look at it, and remove it by hand if it is a leftover"
        ),
    ))
}

impl Found {
    /// Refuses to act on a role whose mark names another lease, or another installation (law 9). A
    /// comment that is no mark proves nothing: people write comments too.
    pub(super) fn is_of(
        &self,
        target: &Postgres,
        name: &str,
        lease: LeaseId,
    ) -> Result<(), EngineError> {
        match self.comment.parse::<Mark>() {
            Ok(mark) if mark != (Mark { origin: target.origin, lease }) => {
                Err(EngineError::refused(
                    Cause::NeedsOperator,
                    format!(
                        "the role `{name}` is marked as `{mark}`, which is not lease `{lease}` of this \
                     target, so it was left alone. look at it, and remove it by hand if it is a leftover"
                    ),
                ))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
