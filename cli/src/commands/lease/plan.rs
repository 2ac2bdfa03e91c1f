//! `lease revoke -plan`: what a revocation would take, and what that is in use for.

use super::job::text;
use crate::answer::{Answer, plain};
use crate::client::{Client, Request};
use crate::commands::{Format, Session};
use crate::duration::show_seconds;
use crate::failure::{Doing, Exit, Failure};
use crate::progress::Progress;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Rows of a table: more nobody reads.
const SHOWN_MAX: usize = 1000;
/// Reasons that are told why something is not known: after so many the rest is clear.
const REASONS_MAX: usize = 10;

/// What the pages of a plan come to.
#[derive(Debug, Default)]
struct Whole {
    /// Those that are shown: a plan may have far more of them than a terminal, or this process, has room for.
    leases: Vec<Value>,
    /// How many credentials are not known for a reason, by target and reason.
    not_known: BTreeMap<(String, String), u64>,
    totals: BTreeMap<String, u64>,
    warnings: BTreeSet<String>,
}

/// Shows what would be revoked, page by page as the server tells it, and how to do it.
pub(super) fn show(
    client: &Client,
    (named, name): (&str, &str),
    revoke: &str,
    format: Format,
    session: &mut Session<'_>,
) -> Result<Exit, Failure> {
    let (mut whole, mut progress) = (Whole::default(), Progress::begin()?);
    let shown_max = if format == Format::Table { SHOWN_MAX } else { usize::MAX };
    let mut asked = Map::from_iter([(named.to_owned(), json!(name))]);
    let last = loop {
        let page = client.send(Request::put("sys/revocations/plan", asked.clone().into()));
        if page.is_err() {
            progress.end(session.output);
        }
        let page = page.doing(|| format!("planning the revocation of {name}"))?;
        whole.add(&page, shown_max);
        let after = page.data().and_then(|data| data.get("after")).filter(|after| !after.is_null());
        let Some(after) = after.cloned() else { break page };
        asked.insert("after".to_owned(), after);
        let leases = whole.total("leases");
        progress.says(session.output, || format!("{leases} leases looked at"));
    };
    progress.end(session.output);
    let Whole { leases, totals, warnings, .. } = &whole;
    let warnings: Vec<_> = warnings.iter().cloned().collect();
    let answer = last.around(json!({ "leases": leases, "totals": totals }), &warnings);
    if format == Format::Table {
        answer.warn(session.output);
        whole.tell(name, revoke, session);
    } else {
        answer.show(format, session.output);
    }
    Ok(Exit::Done)
}

impl Whole {
    fn add(&mut self, page: &Answer, shown_max: usize) {
        let part = |name| page.data().and_then(|data| data.get(name));
        for lease in part("leases").and_then(Value::as_array).into_iter().flatten() {
            let error = text(lease, "error");
            if !error.is_empty() {
                let count = self.not_known.entry((text(lease, "target"), error)).or_default();
                *count = count.saturating_add(1);
            }
            if self.leases.len() < shown_max {
                self.leases.push(lease.clone());
            }
        }
        for (name, count) in part("totals").and_then(Value::as_object).into_iter().flatten() {
            let total = self.totals.entry(name.clone()).or_default();
            *total = total.saturating_add(count.as_u64().unwrap_or_default());
        }
        self.warnings.extend(page.warnings());
    }

    fn total(&self, name: &str) -> u64 {
        self.totals.get(name).copied().unwrap_or_default()
    }

    fn tell(&self, name: &str, revoke: &str, session: &mut Session<'_>) {
        let output = &mut *session.output;
        if self.leases.is_empty() {
            output.line(&format!("Nothing is lent: {name}"));
            return;
        }
        let rows: Vec<_> = self.leases.iter().map(row).collect();
        output.table(&["Credential", "Lease", "Lapses in", "Sessions", "Owns"], &rows);
        if self.total("leases") > rows.len().try_into().unwrap_or(u64::MAX) {
            output.remark(&format!(
                "These are the first {}; -format=json shows all of them.",
                rows.len()
            ));
        }
        output.line(&format!("\n{}", self.in_all()));
        for ((target, why), count) in self.not_known.iter().take(REASONS_MAX) {
            let of = counted(*count, "credential");
            output.line(&format!("{target} does not tell of {of}: {why}"));
        }
        output.line(&format!("\nNothing was revoked. To do it:\n    {revoke}"));
    }

    fn in_all(&self) -> String {
        let (in_use, owning) = (self.total("in_use"), self.total("owning"));
        let mut parts = vec![
            format!("{in_use} in use by {}", counted(self.total("sessions"), "session")),
            format!("{owning} owning {}", counted(self.total("owned"), "object")),
        ];
        for (name, told) in [
            ("sessions_unknown", "whose sessions the target does not tell"),
            ("missing", "not at the target"),
            ("unknown", "not known"),
        ] {
            let count = self.total(name);
            if count > 0 {
                parts.push(format!("{count} {told}"));
            }
        }
        format!("{}: {}.", counted(self.total("leases"), "credential"), parts.join(", "))
    }
}

fn row(lease: &Value) -> Vec<String> {
    let is_known = lease.get("error").is_none_or(Value::is_null);
    let left = match lease.get("ttl").and_then(Value::as_u64) {
        _ if text(lease, "state") == "revoking" => "being revoked".to_owned(),
        Some(seconds) => show_seconds(seconds),
        None => String::new(),
    };
    let unless_unknown = |told: String| if is_known { told } else { "not known".to_owned() };
    vec![
        text(lease, "username"),
        text(lease, "lease_id"),
        left,
        unless_unknown(text(lease, "sessions")),
        unless_unknown(owns(lease)),
    ]
}

fn owns(lease: &Value) -> String {
    if lease.get("exists") == Some(&Value::Bool(false)) {
        return "not at the target".to_owned();
    }
    let kinds = lease.get("owns").and_then(Value::as_array);
    let mut told: Vec<_> = kinds.into_iter().flatten().map(of_kind).collect();
    if told.is_empty() && kinds.is_some() {
        told.push("nothing".to_owned());
    }
    let used = text(lease, "last_used");
    if !used.is_empty() {
        told.push(format!("last used {used}"));
    }
    told.join("; ")
}

/// Tells things of one kind: `2 × table in app (public.books, public.notes)`.
fn of_kind(owned: &Value) -> String {
    let (count, kind, within) = (text(owned, "count"), text(owned, "kind"), text(owned, "in"));
    let names = owned.get("names").and_then(Value::as_array).into_iter().flatten();
    let mut names: Vec<_> = names.map(plain).collect();
    let are_all = u64::try_from(names.len()).ok() == owned.get("count").and_then(Value::as_u64);
    if !are_all && !names.is_empty() {
        names.push("…".to_owned());
    }
    let within = if within.is_empty() { within } else { format!(" in {within}") };
    let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    format!("{count} × {kind}{within}{names}")
}

fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
