//! What users may do, as far as the administrator may look: what was granted to them beside what the table of accounts tells.

use super::failure::Failure;
use super::flavor::Family;
use super::link::{Link, text};
use super::look::Found;
use super::quote;
use crate::deadline::Deadline;
use std::collections::HashMap;

/// What `leave` adds to a right that may be given away.
const LEAVE: &str = "with leave to give it away";

/// What MariaDB's table of accounts says by the bits of one number, the lowest first (`sql/privilege.h`), as `SHOW GRANTS`
/// calls it. What is above these is another privilege in one version than in the next.
const EVERYWHERE: [&str; 39] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "RELOAD",
    "SHUTDOWN",
    "PROCESS",
    "FILE",
    "GRANT OPTION",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "SHOW DATABASES",
    "SUPER",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EXECUTE",
    "REPLICATION SLAVE",
    "BINLOG MONITOR",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "CREATE USER",
    "EVENT",
    "TRIGGER",
    "CREATE TABLESPACE",
    "DELETE HISTORY",
    "SET USER",
    "FEDERATED ADMIN",
    "CONNECTION ADMIN",
    "READ_ONLY ADMIN",
    "REPLICATION SLAVE ADMIN",
    "REPLICATION MASTER ADMIN",
    "BINLOG ADMIN",
    "BINLOG REPLAY",
    "SLAVE MONITOR",
];

/// Returns what the `access` of an account lets it do everywhere.
pub(super) fn everywhere(access: u64) -> impl Iterator<Item = String> {
    (0..u64::BITS).filter(move |bit| access >> bit & 1 == 1).map(|bit| {
        let name = usize::try_from(bit).ok().and_then(|bit| EVERYWHERE.get(bit));
        let name = name.map_or_else(|| format!("privilege {bit}"), |&name| name.to_owned());
        format!("{name} everywhere")
    })
}

/// Adds to what was found what was granted in databases, on tables, columns and routines, and by roles. A server shows
/// whoever may not read `mysql.*` none of it, or refuses: then nothing is told for anybody.
pub(super) async fn complete(
    link: &mut Link,
    found: &mut HashMap<String, Found>,
    tag: &str,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mut told = Vec::new();
    for sql in questions(link.facts().flavor.family, tag) {
        match link.ask(&sql, deadline).await {
            Ok(rows) => told.extend(rows),
            Err(failure) if failure.leaves_the_connection() && !failure.is_late() => return Ok(()),
            Err(failure) => return Err(failure),
        }
    }
    // A grantee is written without escapes, so that it is compared and not read.
    let mut rights: HashMap<String, Vec<String>> = HashMap::new();
    for row in &told {
        if let (Some(grantee), Some(said)) = (text(row, "grantee"), text(row, "said")) {
            rights.entry(grantee).or_default().push(said);
        }
    }
    for (name, found) in found {
        for host in &found.hosts {
            let own = rights.remove(&format!("'{name}'@'{host}'")).unwrap_or_default();
            // What is the credential's alone bears its name: no two would be alike.
            found.rights.extend(own.into_iter().map(|said| said.replace(name, "{{name}}")));
        }
    }
    Ok(())
}

/// Returns the questions, each with rows of a grantee and of what it may do.
fn questions(family: Family, tag: &str) -> Vec<String> {
    let leave = |column: &str, yes: &str| format!("IF({column} = '{yes}', ' {LEAVE}', '')");
    let schema = |what: &str, table: &str| {
        let leave = leave("IS_GRANTABLE", "YES");
        format!(
            "GRANTEE AS grantee, CONCAT(PRIVILEGE_TYPE, {what}, {leave}) AS said FROM information_schema.{table}"
        )
    };
    let own = |what: &str, table: &str| {
        format!(
            "CONCAT('\\'', User, '\\'@\\'', Host, '\\'') AS grantee, CONCAT({what}) AS said FROM mysql.{table}"
        )
    };
    let mut all = vec![
        own("LOWER(Routine_type), ' ', Db, '.', Routine_name, ': ', Proc_priv", "procs_priv"),
        own("'stands for ', Proxied_user, '@', Proxied_host", "proxies_priv"),
        schema("' in ', TABLE_SCHEMA", "SCHEMA_PRIVILEGES"),
        schema("' on ', TABLE_SCHEMA, '.', TABLE_NAME", "TABLE_PRIVILEGES"),
        schema("' on ', TABLE_SCHEMA, '.', TABLE_NAME, '.', COLUMN_NAME", "COLUMN_PRIVILEGES"),
    ];
    all.push(match family {
        Family::MariaDb => {
            let leave = leave("Admin_option", "Y");
            own(&format!("'member of ', Role, {leave}"), "roles_mapping")
        }
        Family::MySql => {
            let leave = leave("WITH_ADMIN_OPTION", "Y");
            format!(
                "CONCAT('\\'', TO_USER, '\\'@\\'', TO_HOST, '\\'') AS grantee, \
                 CONCAT('member of ', FROM_USER, {leave}) AS said FROM mysql.role_edges"
            )
        }
    });
    if family == Family::MySql {
        all.push(schema("' everywhere'", "USER_PRIVILEGES"));
    }
    let some = match family {
        Family::MariaDb => {
            format!(" HAVING grantee LIKE {}", quote::literal(&format!("%-{tag}'@'%")))
        }
        Family::MySql => String::new(),
    };
    all.into_iter().map(|what| format!("SELECT {what}{some}")).collect()
}
