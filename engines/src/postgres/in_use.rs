//! What credentials are in use for: their open sessions, and what they own in every database.
//!
//! The catalogs that all databases share tell how much a role owns, and where; what it is only its own database knows,
//! which is asked only if there is something. One that cannot be asked hides no number.

use super::failure::Failure;
use super::link::{Link, number, text};
use super::look::{self, Found};
use super::message::{self, Deadline};
use super::{Handle, Postgres, quote};
use leasehold_core::engine::EngineError;
use leasehold_core::engine::in_use::{InUse, NAMES_MAX, Owned};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// How many are looked at in one go.
const CHUNK: usize = 500;

/// What the database calls something of which only the number is known.
const SOMETHING: &str = "object";

pub(super) async fn in_use(
    target: &Postgres,
    asked: &[(LeaseId, Handle)],
    answer_by: Timestamp,
) -> Vec<Result<InUse, EngineError>> {
    let deadline = Deadline::new(answer_by, target.links.now());
    let mut answers = Vec::with_capacity(asked.len());
    for chunk in asked.chunks(CHUNK) {
        let seen = see(target, chunk, deadline).await;
        answers.extend(chunk.iter().map(|(lease, handle)| {
            let name = handle.name.as_str();
            look::bears_its_bits(name, *lease)?;
            let seen = seen.as_ref();
            let seen =
                seen.map_err(|failure| EngineError::refused(failure.cause(), failure.to_string()))?;
            seen.of(target, name, *lease)
        }));
    }
    answers
}

/// What was seen of some roles, by their oids.
#[derive(Debug)]
struct Seen {
    there: HashMap<String, Found>,
    sessions: HashMap<u32, u64>,
    owned: HashMap<u32, Vec<Owned>>,
    unseen: HashMap<u32, Vec<String>>,
}

impl Seen {
    fn of(&self, target: &Postgres, name: &str, lease: LeaseId) -> Result<InUse, EngineError> {
        let none = InUse { sessions: Some(0), owned: Some(Vec::new()), ..InUse::default() };
        let Some(found) = self.there.get(name) else {
            return Ok(InUse { is_there: Some(false), ..none });
        };
        found.is_of(target, name, lease)?;
        Ok(InUse {
            is_there: Some(true),
            sessions: Some(self.sessions.get(&found.oid).copied().unwrap_or_default()),
            owned: Some(self.owned.get(&found.oid).cloned().unwrap_or_default()),
            unseen: self.unseen.get(&found.oid).cloned().unwrap_or_default(),
            ..none
        })
    }
}

async fn see(
    target: &Postgres,
    asked: &[(LeaseId, Handle)],
    deadline: Deadline,
) -> Result<Seen, Failure> {
    let mut link = target.links.link(deadline.until).await?;
    let names: Vec<_> = asked.iter().map(|(_, handle)| handle.name.as_str()).collect();
    let there = look::look(target, &mut link, &names, deadline).await?;
    let oids: Vec<_> = there.values().map(|found| found.oid).collect();
    let sessions = sessions(&mut link, &oids, deadline).await?;
    let mut seen = Seen { there, sessions, owned: HashMap::new(), unseen: HashMap::new() };
    for (database, counts) in places(&mut link, &oids, deadline).await? {
        let oids: Vec<_> = counts.keys().copied().collect();
        let told = if link.facts().database == database {
            kinds(&mut link, &oids, deadline).await
        } else {
            match target.links.elsewhere(&database, deadline.until).await {
                Ok(mut other) => kinds(&mut other, &oids, deadline).await,
                Err(failure) => Err(failure),
            }
        };
        let mut told = match told {
            Ok(told) => told,
            Err(failure) => {
                let why = format!(
                    "of what credentials own in the database `{database}` only the number is known: {failure}"
                );
                for oid in &oids {
                    seen.unseen.entry(*oid).or_default().push(why.clone());
                }
                HashMap::new()
            }
        };
        for (oid, count) in counts {
            // What was dropped since it was counted is told by its number alone.
            let kinds = told.remove(&oid).unwrap_or_else(|| {
                let kind = SOMETHING.to_owned();
                vec![Owned { kind, within: None, count, names: Vec::new() }]
            });
            let within = Some(database.clone());
            let kinds = kinds.into_iter().map(|owned| Owned { within: within.clone(), ..owned });
            seen.owned.entry(oid).or_default().extend(kinds);
        }
    }
    Ok(seen)
}

/// Counts the sessions of roles. What works for one of them in parallel is none of its own, where the administrator is
/// shown which that is: a superuser, or who has `pg_read_all_stats`.
async fn sessions(
    link: &mut Link,
    oids: &[u32],
    deadline: Deadline,
) -> Result<HashMap<u32, u64>, Failure> {
    let sql = format!(
        "{}SELECT usesysid::text AS oid, pg_catalog.count(*)::text AS count FROM pg_catalog.pg_stat_activity \
         WHERE usesysid = ANY ({}) AND backend_type IS DISTINCT FROM 'parallel worker' GROUP BY usesysid",
        deadline.limits(message::LOCK_WAIT),
        quote::oid_array(oids.iter().copied())
    );
    let rows = link.say(sql, deadline.until).await?;
    let counted = rows.iter().filter_map(|row| {
        let count = text(row, "count")?.parse().ok()?;
        Some((number(row, "oid")?, count))
    });
    Ok(counted.collect())
}

/// Returns how many things roles own in which databases. What all databases share is told with the one that is at hand.
async fn places(
    link: &mut Link,
    oids: &[u32],
    deadline: Deadline,
) -> Result<BTreeMap<String, BTreeMap<u32, u64>>, Failure> {
    let sql = format!(
        "{}SELECT d.refobjid::text AS oid, coalesce(b.datname::text, pg_catalog.current_database()::text) AS database, \
         pg_catalog.count(*)::text AS count FROM pg_catalog.pg_shdepend d \
         LEFT JOIN pg_catalog.pg_database b ON b.oid = d.dbid \
         WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.deptype = 'o' AND d.refobjid = ANY ({}) \
         GROUP BY 1, 2",
        deadline.limits(message::LOCK_WAIT),
        quote::oid_array(oids.iter().copied())
    );
    let mut places: BTreeMap<String, BTreeMap<u32, u64>> = BTreeMap::new();
    for row in &link.say(sql, deadline.until).await? {
        let count = text(row, "count").and_then(|count| count.parse().ok());
        if let (Some(oid), Some(database), Some(count)) =
            (number(row, "oid"), text(row, "database"), count)
        {
            places.entry(database).or_default().insert(oid, count);
        }
    }
    Ok(places)
}

/// Returns what roles own in the database at hand, by kind, with the first names of each.
async fn kinds(
    link: &mut Link,
    oids: &[u32],
    deadline: Deadline,
) -> Result<HashMap<u32, Vec<Owned>>, Failure> {
    let sql = format!(
        "{}SELECT oid::text AS oid, kind, pg_catalog.count(*)::text AS count, \
         pg_catalog.to_jsonb((pg_catalog.array_agg(name ORDER BY name))[1:{NAMES_MAX}])::text AS names FROM ( \
         SELECT d.refobjid AS oid, i.type AS kind, i.identity AS name FROM pg_catalog.pg_shdepend d, \
         pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) AS i \
         WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.deptype = 'o' AND d.refobjid = ANY ({}) \
         AND d.dbid IN (0, (SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname = pg_catalog.current_database())) \
         ) AS owned WHERE kind IS NOT NULL GROUP BY oid, kind ORDER BY kind",
        deadline.limits(message::LOCK_WAIT),
        quote::oid_array(oids.iter().copied())
    );
    let mut found: HashMap<u32, Vec<Owned>> = HashMap::new();
    for row in &link.say(sql, deadline.until).await? {
        let count = text(row, "count").and_then(|count| count.parse().ok());
        let (Some(oid), Some(kind), Some(count)) = (number(row, "oid"), text(row, "kind"), count)
        else {
            continue;
        };
        let names = text(row, "names");
        let names = names.and_then(|names| serde_json::from_str(&names).ok()).unwrap_or_default();
        found.entry(oid).or_default().push(Owned { kind, within: None, count, names });
    }
    Ok(found)
}
