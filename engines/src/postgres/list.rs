//! What bears our mark, which server this is, and what the administrator lacks.

use super::failure::Failure;
use super::link::{Facts, Link, text};
use super::message::{self, Deadline};
use super::role::Role;
use super::{Handle, Postgres, owners, quote};
use leasehold_core::engine::{EngineError, Identity, Mark, Marked};
use leasehold_core::time::Timestamp;
use std::time::Duration;

/// How long one of these questions may take: reconcile reads every marked role.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What one role may do, as the catalogs that all databases share tell it, in a JSON array: its attributes, that it has
/// no end of its own, the roles it is a member of, its settings, and how many objects of each kind grant it something in
/// each database. Which privileges an object grants only its own database knows.
const RIGHTS: &str = "SELECT pg_catalog.to_jsonb(pg_catalog.array_agg(said ORDER BY said)) FROM ( \
    SELECT pg_catalog.lower(pg_catalog.substr(said, 4)) AS said FROM (VALUES ('rolSUPERUSER', r.rolsuper), \
    ('rolCREATEROLE', r.rolcreaterole), ('rolCREATEDB', r.rolcreatedb), ('rolREPLICATION', r.rolreplication), \
    ('rolBYPASSRLS', r.rolbypassrls), \
    ('rolHAS NO END', NOT COALESCE(pg_catalog.isfinite(r.rolvaliduntil), false))) AS attribute (said, is_set) WHERE is_set \
    UNION ALL SELECT 'member of ' || g.rolname || CASE WHEN m.admin_option THEN ' with admin option' ELSE '' END \
    FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid \
    UNION ALL SELECT 'sets ' || pg_catalog.split_part(setting, '=', 1) || ' to #' || \
    pg_catalog.left(pg_catalog.md5(setting), 8) FROM pg_catalog.pg_db_role_setting s, \
    pg_catalog.unnest(s.setconfig) AS setting WHERE s.setrole = r.oid \
    UNION ALL SELECT pg_catalog.format('granted on %s objects of %s in %s', pg_catalog.count(*), \
    h.classid::regclass, COALESCE(b.datname, 'the cluster')) FROM pg_catalog.pg_shdepend h \
    LEFT JOIN pg_catalog.pg_database b ON b.oid = h.dbid WHERE h.refclassid = 'pg_catalog.pg_authid'::regclass \
    AND h.refobjid = r.oid AND h.deptype = 'a' GROUP BY h.classid, b.datname) AS rights";

/// Reads what [`RIGHTS`] answers; a role without any has none.
fn rights(said: &str) -> Vec<String> {
    serde_json::from_str(said).unwrap_or_default()
}

fn deadline(target: &Postgres) -> Deadline {
    let now = target.links.now();
    Deadline::new(now.plus(ANSWER_WITHIN), now)
}

fn refused(failure: &Failure) -> EngineError {
    EngineError::refused(failure.cause(), failure.to_string())
}

pub(super) async fn list(target: &Postgres) -> Result<Vec<Marked<Postgres>>, EngineError> {
    let deadline = deadline(target);
    let mut link = target.links.link(deadline.until).await.map_err(|failure| refused(&failure))?;
    let ours = format!("leasehold:{}:{}:", target.origin.installation, target.origin.target);
    let sql = format!(
        "{}SELECT r.rolname::text AS name, d.description AS mark, r.rolcanlogin::text AS may_log_in, \
         CASE WHEN pg_catalog.isfinite(r.rolvaliduntil) \
         THEN (extract(epoch FROM r.rolvaliduntil) * 1000)::bigint::text END AS ends, ({RIGHTS})::text AS rights \
         FROM pg_catalog.pg_shdescription d JOIN pg_catalog.pg_roles r ON r.oid = d.objoid \
         WHERE d.classoid = 'pg_catalog.pg_authid'::regclass AND pg_catalog.starts_with(d.description, {})",
        deadline.limits(message::LOCK_WAIT),
        quote::literal(&ours)
    );
    let rows = link.say(sql, deadline.until).await.map_err(|failure| refused(&failure))?;
    let skew = link.facts().skew;
    let marked = rows.iter().filter_map(|row| {
        // A comment that only begins like a mark is somebody's prose.
        let mark: Mark = text(row, "mark")?.parse().ok()?;
        let ends = text(row, "ends").and_then(|ends| ends.parse().ok()).map(Timestamp);
        Some(Marked {
            lease: mark.lease,
            handle: Handle {
                name: text(row, "name")?,
                owner: owners::slot(mark.lease),
                begins_with_the_name: true,
                revocation: Vec::new(),
            },
            lapses_at: ends.map(|ends| skew.to_ours(ends)),
            may_log_in: text(row, "may_log_in").is_some_and(|said| said == "true"),
            rights: text(row, "rights").as_deref().map(rights).unwrap_or_default(),
            everywhere: true,
        })
    });
    Ok(marked.collect())
}

pub(super) async fn identity(target: &Postgres) -> Result<Identity, EngineError> {
    let deadline = deadline(target);
    let mut link = target.links.link(deadline.until).await.map_err(|failure| refused(&failure))?;
    let system = "SELECT system_identifier::text AS server FROM pg_catalog.pg_control_system()";
    let server = match link.say(system.to_owned(), deadline.until).await {
        Ok(rows) => rows.first().and_then(|row| text(row, "server")),
        // Everybody may call it unless an operator took that away. Its address is no answer: a server that
        // was replaced behind it would pass for the same one.
        Err(failure) if failure.leaves_the_connection() => None,
        Err(failure) => return Err(refused(&failure)),
    };
    let sql = "SELECT pg_catalog.current_setting('server_version') AS version, \
        (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint::text AS clock";
    let rows =
        link.say(sql.to_owned(), deadline.until).await.map_err(|failure| refused(&failure))?;
    let row = rows.first();
    let clock = row.and_then(|row| text(row, "clock")?.parse().ok()).map(Timestamp);
    match (clock, row.and_then(|row| text(row, "version"))) {
        (Some(clock), Some(version)) => Ok(Identity { server, clock, version, run: None }),
        _ => Err(refused(&Failure::Lost("it does not tell its time and version".to_owned()))),
    }
}

/// Says what the administrator lacks: each a sentence that ends in the statement to run.
pub(super) async fn lacks(
    target: &Postgres,
    role: Option<&Role>,
) -> Result<Vec<String>, EngineError> {
    let deadline = deadline(target);
    let mut link = target.links.link(deadline.until).await.map_err(|failure| refused(&failure))?;
    let facts = link.facts().clone();
    let granted = role.map(Role::granted).unwrap_or_default();
    let missing = lacking(&mut link, &facts, granted, deadline).await;
    missing.map_err(|failure| refused(&failure))
}

async fn lacking(
    link: &mut Link,
    facts: &Facts,
    granted: &[String],
    deadline: Deadline,
) -> Result<Vec<String>, Failure> {
    let mut missing = Vec::new();
    let me = quote::identifier(&facts.administrator);
    let sql = "SELECT r.rolcreaterole::text AS creates, \
        pg_catalog.pg_has_role(r.rolname, 'pg_signal_backend', 'USAGE')::text AS signals \
        FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
    let rows = link.say(sql.to_owned(), deadline.until).await?;
    let says =
        |column| rows.first().and_then(|row| text(row, column)).is_some_and(|said| said == "true");
    if !facts.superuser && !says("creates") {
        missing.push(format!(
            "the administrator {me} may not create roles; run `ALTER ROLE {me} CREATEROLE`"
        ));
    }
    if !facts.superuser && !says("signals") {
        missing.push(format!(
            "the administrator {me} may not end the sessions of a credential; run `GRANT pg_signal_backend TO {me}`"
        ));
    }
    let sql = "SELECT datname::text AS name FROM pg_catalog.pg_database WHERE datallowconn \
        AND NOT pg_catalog.has_database_privilege(current_user, oid, 'CONNECT')";
    for row in &link.say(sql.to_owned(), deadline.until).await? {
        let database = quote::identifier(&text(row, "name").unwrap_or_default());
        missing.push(format!(
            "the administrator {me} may not connect to the database {database}, where a credential may come \
             to own something; run `GRANT CONNECT ON DATABASE {database} TO {me}`"
        ));
    }
    missing.extend(lacking_grants(link, facts, granted, deadline).await?);
    Ok(missing)
}

async fn lacking_grants(
    link: &mut Link,
    facts: &Facts,
    granted: &[String],
    deadline: Deadline,
) -> Result<Vec<String>, Failure> {
    if granted.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT r.rolname::text AS name, r.rolsuper::text AS super, \
         pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION')::text AS admin \
         FROM pg_catalog.pg_roles r WHERE r.rolname = ANY ({})",
        quote::text_array(granted.iter().map(String::as_str))
    );
    let rows = link.say(sql, deadline.until).await?;
    let me = quote::identifier(&facts.administrator);
    let mut missing = Vec::new();
    for role in granted {
        let quoted = quote::identifier(role);
        let row = rows.iter().find(|row| text(row, "name").as_deref() == Some(role));
        let says =
            |column| row.and_then(|row| text(row, column)).is_some_and(|said| said == "true");
        // Before 16, CREATEROLE may grant every role but a superuser's.
        let may_grant =
            facts.superuser || says("admin") || (facts.version < 160_000 && !says("super"));
        if row.is_none() {
            missing.push(format!("there is no role {quoted}; run `CREATE ROLE {quoted} NOLOGIN`"));
        } else if !may_grant {
            missing.push(format!(
                "the administrator {me} may not grant the role {quoted}; run `GRANT {quoted} TO {me} WITH ADMIN OPTION`"
            ));
        }
    }
    Ok(missing)
}
