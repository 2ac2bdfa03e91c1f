//! What credentials are in use for: their open sessions, and what runs in their name.
//!
//! Here a user owns nothing, and nothing is lost with it; but a view, a routine, a trigger or an event that it defined
//! runs with its rights, and fails once it is gone.

use super::failure::Failure;
use super::link::{Link, text};
use super::look::{self, Found};
use super::{Handle, MySql, quote};
use crate::deadline::Deadline;
use leasehold_core::engine::EngineError;
use leasehold_core::engine::in_use::{InUse, NAMES_MAX, Owned};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// How many are looked at in one go: few enough for one message.
const CHUNK: usize = 200;

/// How many objects are read in one go. The server can count them only by going through all of them, as we do.
const OBJECTS_MAX: usize = 10_000;

/// What an administrator needs to see objects that others defined.
const SEES_OBJECTS: [&str; 4] = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];

pub(super) async fn in_use(
    target: &MySql,
    asked: &[(LeaseId, Handle)],
    answer_by: Timestamp,
) -> Vec<Result<InUse, EngineError>> {
    let deadline = Deadline::new(answer_by, target.links.now());
    let mut answers = Vec::with_capacity(asked.len());
    for chunk in asked.chunks(CHUNK) {
        let seen = see(target, chunk, deadline).await;
        answers.extend(chunk.iter().map(|(lease, handle)| {
            look::is_ours(target, &handle.name, *lease)?;
            let seen = seen.as_ref().map_err(Failure::refused)?;
            seen.of(target, &handle.name, *lease)
        }));
    }
    answers
}

/// What was seen of some users, by their names.
#[derive(Debug)]
struct Seen {
    there: HashMap<String, Found>,
    /// Where the administrator sees those of others.
    sessions: Option<HashMap<String, u64>>,
    objects: HashMap<String, Vec<Owned>>,
    unseen: Vec<String>,
}

impl Seen {
    fn of(&self, target: &MySql, name: &str, lease: LeaseId) -> Result<InUse, EngineError> {
        let found = self.there.get(name);
        found.map_or(Ok(()), |found| found.is_of(target, name, lease))?;
        let count = |open: &HashMap<_, _>| open.get(name).copied().unwrap_or_default();
        Ok(InUse {
            is_there: Some(found.is_some()),
            sessions: self.sessions.as_ref().map(count),
            owned: Some(self.objects.get(name).cloned().unwrap_or_default()),
            last_used_at: None,
            unseen: self.unseen.clone(),
        })
    }
}

async fn see(
    target: &MySql,
    asked: &[(LeaseId, Handle)],
    deadline: Deadline,
) -> Result<Seen, Failure> {
    let mut link = target.links.link(deadline.until).await?;
    let names: Vec<_> = asked.iter().map(|(_, handle)| handle.name.as_str()).collect();
    let there = look::look(&mut link, &names, deadline).await?;
    let me = super::list::administrator(link.facts());
    let holds = |privilege: &str| link.facts().privileges.contains(privilege);
    let (sees_sessions, sees_objects) =
        (holds("PROCESS"), SEES_OBJECTS.iter().all(|needed| holds(needed)));
    let mut unseen = Vec::new();
    let sessions = if sees_sessions {
        Some(sessions(&mut link, &names, deadline).await?)
    } else {
        unseen.push(format!(
            "the administrator does not see the sessions of others; run `GRANT PROCESS ON *.* TO {me}`"
        ));
        None
    };
    if !sees_objects {
        unseen.push(format!(
            "the administrator may not see all views, routines, triggers and events that credentials defined; run \
             `GRANT {} ON *.* TO {me}`",
            SEES_OBJECTS.join(", ")
        ));
    }
    let (objects, are_all) = objects(&mut link, &there, deadline).await?;
    if !are_all {
        unseen.push(format!(
            "credentials defined more than {OBJECTS_MAX} objects; only so many were looked at"
        ));
    }
    Ok(Seen { there, sessions, objects, unseen })
}

async fn sessions(
    link: &mut Link,
    names: &[&str],
    deadline: Deadline,
) -> Result<HashMap<String, u64>, Failure> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT USER AS user FROM {} WHERE USER IN ({})",
        link.facts().sessions(),
        quote::literals(names.iter().copied())
    );
    let mut counted: HashMap<String, u64> = HashMap::new();
    for row in &link.ask(&sql, deadline).await? {
        let Some(user) = text(row, "user") else { continue };
        let count = counted.entry(user).or_default();
        *count = count.saturating_add(1);
    }
    Ok(counted)
}

/// Returns what these users defined, as far as the administrator sees it, and whether that is all.
async fn objects(
    link: &mut Link,
    there: &HashMap<String, Found>,
    deadline: Deadline,
) -> Result<(HashMap<String, Vec<Owned>>, bool), Failure> {
    let definers = there.iter().flat_map(|(name, found)| {
        found.hosts.iter().map(move |host| (format!("{name}@{host}"), name.as_str()))
    });
    let definers: HashMap<String, &str> = definers.collect();
    if definers.is_empty() {
        return Ok((HashMap::new(), true));
    }
    let sql = objects_sql(&quote::literals(definers.keys().map(String::as_str)));
    let rows = link.ask(&sql, deadline).await?;
    let mut found: HashMap<String, BTreeMap<(String, String), Owned>> = HashMap::new();
    for row in &rows {
        let place = (text(row, "kind"), text(row, "place"), text(row, "name"));
        let (Some(kind), Some(place), Some(name)) = place else { continue };
        // Texts are compared there without regard to case.
        let user = text(row, "definer").and_then(|definer| definers.get(&definer).copied());
        let Some(user) = user else { continue };
        let of_user = found.entry(user.to_owned()).or_default();
        let owned = of_user.entry((kind.clone(), place.clone())).or_insert_with(|| Owned {
            kind,
            within: Some(place),
            count: 0,
            names: Vec::new(),
        });
        owned.count = owned.count.saturating_add(1);
        if owned.names.len() < NAMES_MAX {
            owned.names.push(name);
        }
    }
    let found = found.into_iter().map(|(user, owned)| (user, owned.into_values().collect()));
    Ok((found.collect(), rows.len() < OBJECTS_MAX))
}

/// Returns the question for all that some accounts defined.
fn objects_sql(definers: &str) -> String {
    let of = [
        ("'view'", "TABLE_SCHEMA", "TABLE_NAME", "VIEWS"),
        ("LOWER(ROUTINE_TYPE)", "ROUTINE_SCHEMA", "ROUTINE_NAME", "ROUTINES"),
        ("'trigger'", "TRIGGER_SCHEMA", "TRIGGER_NAME", "TRIGGERS"),
        ("'event'", "EVENT_SCHEMA", "EVENT_NAME", "EVENTS"),
    ];
    let each = of.map(|(kind, place, name, table)| {
        format!(
            "SELECT {kind} AS kind, {place} AS place, {name} AS name, DEFINER AS definer \
             FROM information_schema.{table} WHERE DEFINER IN ({definers})"
        )
    });
    format!("{} ORDER BY kind, place, name LIMIT {OBJECTS_MAX}", each.join(" UNION ALL "))
}
