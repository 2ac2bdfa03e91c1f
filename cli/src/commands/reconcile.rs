//! `reconcile`: where a target and the leases differ.

use super::{Format, FormatFlags, Session};
use crate::answer::{Answer, plain};
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  Is everything at the database on a lease, and as its lease says?
    leasehold reconcile database/shop

  Remove the orphans that were shown, within ten minutes, and end the leases of what is not there:
    leasehold reconcile database/shop -plan=01jdx3m5k8v2q7t4w9y6z1b0ce

  Revoke those as well that somebody has given other rights:
    leasehold reconcile database/shop -plan=01jdx3m5k8v2q7t4w9y6z1b0ce -kinds=orphan,altered

  How far did all targets agree when they were compared last?
    leasehold reconcile

  Every hour, by the server itself, which then only reports:
    leasehold write database/config/shop reconcile_period=1h";

/// What each kind of difference is called in a table.
const KINDS: [(&str, &str); 6] = [
    ("orphan", "orphan"),
    ("abandoned", "abandoned"),
    ("look_alike", "look-alike"),
    ("missing", "missing"),
    ("altered", "altered"),
    ("stuck", "stuck"),
];

/// Compare a target with the leases, and repair what differs
///
/// Lists at the target what bears Leasehold's mark and looks up its leases: an `orphan` is on no lease, a `missing` one
/// is lent and not there, an `altered` one may do other things, or for longer, than those of its role, a `stuck` one is
/// being revoked for minutes and may log in all the same; the lease of an `abandoned` one was ended with its target. A `look-alike` bears the mark and was not made by this
/// installation; it is never touched.
///
/// What is shown can be repaired for ten minutes by the name of its plan. A repair compares once more and leaves alone
/// what has changed since. It removes more than a tenth of the credentials of a target only with -force. Exit code 0 if
/// target and leases agree, 2 if they differ.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Reconcile {
    /// Mount and name of the target: `database/shop`; without it, what was found last at all targets
    #[arg(value_name = "MOUNT/TARGET")]
    target: Option<String>,
    /// Carry out the plan that a comparison has shown
    #[arg(long, value_name = "ID", requires = "target")]
    plan: Option<String>,
    /// What of the plan: orphan, abandoned, missing, stuck, altered [default: all but altered]
    #[arg(long, value_name = "KINDS", value_delimiter = ',', requires = "plan")]
    kinds: Vec<String>,
    /// Carry it out also if it removes more than a tenth of the credentials at the target
    #[arg(long, requires = "plan")]
    force: bool,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Reconcile {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let Some(target) = self.target else {
            let answer = client
                .send(Request::get("sys/reconcile"))
                .doing(|| "reading the last comparisons".to_owned())?;
            return Ok(show(&answer, format, session, targets));
        };
        let path = format!("sys/reconcile/{target}");
        let Some(plan) = self.plan else {
            let answer = client
                .send(Request::put(&path, json!({})))
                .doing(|| format!("comparing {target}"))?;
            let differs = !listed(&answer, "differences").is_empty();
            show(&answer, format, session, differences);
            return Ok(if differs { Exit::Server } else { Exit::Done });
        };
        let mut body = json!({ "plan": plan, "force": self.force });
        if let (Some(body), false) = (body.as_object_mut(), self.kinds.is_empty()) {
            body.insert("kinds".to_owned(), json!(self.kinds));
        }
        let answer =
            client.send(Request::put(&path, body)).doing(|| format!("repairing {target}"))?;
        Ok(show(&answer, format, session, repaired))
    }
}

/// Shows an answer to people in its own way, and to programs as it is.
fn show(
    answer: &Answer,
    format: Format,
    session: &mut Session<'_>,
    to_people: fn(&Answer, &mut Session<'_>),
) -> Exit {
    if format == Format::Table {
        answer.warn(session.output);
        to_people(answer, session);
    } else {
        answer.show(format, session.output);
    }
    Exit::Done
}

fn listed<'a>(answer: &'a Answer, name: &str) -> Vec<&'a Value> {
    let list = answer.data().and_then(|data| data.get(name)).and_then(Value::as_array);
    list.into_iter().flatten().collect()
}

fn text(of: &Value, name: &str) -> String {
    of.get(name).filter(|value| !value.is_null()).map(plain).unwrap_or_default()
}

fn targets(answer: &Answer, session: &mut Session<'_>) {
    let rows: Vec<Vec<String>> = listed(answer, "targets")
        .into_iter()
        .map(|target| {
            let own = ["target", "compared_at", "credentials"].map(|name| text(target, name));
            own.into_iter().chain(KINDS.map(|(name, _)| text(target, name))).collect()
        })
        .collect();
    if rows.is_empty() {
        session.output.line(
            "No target was compared since the server was started. `leasehold reconcile MOUNT/TARGET` does it.",
        );
        return;
    }
    let mut heading = vec!["Target", "Compared", "Credentials"];
    heading.extend(["Orphans", "Abandoned", "Look-alikes", "Missing", "Altered", "Stuck"]);
    session.output.table(&heading, &rows);
}

fn differences(answer: &Answer, session: &mut Session<'_>) {
    let Some(data) = answer.data() else { return };
    let (target, credentials) = (text(data, "target"), text(data, "credentials"));
    let rows: Vec<Vec<String>> = listed(answer, "differences")
        .into_iter()
        .map(|one| {
            let kind = text(one, "kind");
            let kind = KINDS.iter().find(|(name, _)| *name == kind).map_or("", |(_, told)| told);
            let why = one.get("why").and_then(Value::as_array).into_iter().flatten();
            let why: Vec<_> = why.map(plain).collect();
            let role = text(one, "role");
            vec![kind.to_owned(), text(one, "username"), role, text(one, "lease"), why.join("; ")]
        })
        .collect();
    let young = text(data, "young");
    if young != "0" {
        session.output.remark(&format!(
            "{young} were issued within the last minute by somebody who has not stored their lease; compare again soon."
        ));
    }
    if rows.is_empty() {
        session.output.line(&format!("{target} and the leases agree: {credentials} credentials."));
        return;
    }
    session.output.table(&["Kind", "Username", "Role", "Lease", "Why"], &rows);
    if data.get("more").and_then(Value::as_bool).unwrap_or_default() {
        session.output.remark("There are more; these are the first of them.");
    }
    let count = |name: &str| data.get(name).and_then(Value::as_u64).unwrap_or_default();
    let counts = KINDS.iter().filter(|(name, _)| count(name) > 0);
    let counts: Vec<_> = counts.map(|(name, told)| format!("{} {told}", count(name))).collect();
    session.output.line("");
    session
        .output
        .line(&format!("Of {credentials} credentials at {target}: {}.", counts.join(", ")));
    if ["orphan", "abandoned", "missing", "stuck", "altered"].iter().any(|name| count(name) > 0) {
        let plan = text(data, "plan");
        session.output.line(&format!(
            "To repair, within ten minutes: leasehold reconcile {target} -plan={plan}"
        ));
    }
    if count("altered") > 0 {
        session.output.line("Those that were altered are lent: -kinds=altered revokes them.");
    }
}

fn repaired(answer: &Answer, session: &mut Session<'_>) {
    let Some(data) = answer.data() else { return };
    let count = |name: &str| text(data, name);
    session.output.line(&format!(
        "Success! {} credentials are being removed, {} leases of missing ones end, {} revocations are tried again.",
        count("removed"),
        count("ended"),
        count("tried")
    ));
    if count("changed") != "0" {
        session.output.line(&format!(
            "{} were no longer as they had been shown, and were left alone.",
            count("changed")
        ));
    }
}
