//! `rehearse`: whether a role works.

use super::{Format, FormatFlags, Session};
use crate::answer::{Answer, plain};
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  After a role was written, or its target changed:
    leasehold rehearse database/app

  In a pipeline that sets roles up (exit code 0: works, 2: does not):
    leasehold rehearse -format=json database/app | jq .data.steps";

/// Show whether a role works, from its issue to its death
///
/// Issues a credential by the role, logs in with it, looks for it in what the target lists, revokes it, and sees that
/// the target lets it in no more. It lives for seconds, on a lease like any other, and counts for no quota. Where a step
/// fails the reason is shown, and what the administrator of the target lacks. Exit code 0 if all went well, 2 if not.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Rehearse {
    /// Mount and name of the role: `database/app`
    #[arg(value_name = "MOUNT/ROLE")]
    role: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Rehearse {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let path = format!("sys/rehearse/{}", self.role);
        let answer = client
            .send(Request::put(&path, json!({})))
            .doing(|| format!("rehearsing {}", self.role))?;
        if format == Format::Table {
            show(&answer, &self.role, session);
        } else {
            answer.show(format, session.output);
        }
        let is_ok = answer.data().and_then(|data| data.get("ok")).and_then(Value::as_bool);
        Ok(if is_ok.unwrap_or_default() { Exit::Done } else { Exit::Server })
    }
}

/// Says what a step has shown.
fn shown(step: &str) -> &str {
    match step {
        "issue" => "a credential was issued",
        "log_in" => "it logs in",
        "list" => "the target lists it as ours",
        "revoke" => "it was revoked",
        "dead" => "it logs in no more",
        "gone" => "the target lists it no more",
        other => other,
    }
}

fn show(answer: &Answer, role: &str, session: &mut Session<'_>) {
    answer.warn(session.output);
    let Some(data) = answer.data() else { return };
    let list = |name: &str| data.get(name).and_then(Value::as_array).into_iter().flatten();
    let rows: Vec<Vec<String>> = list("steps")
        .map(|step| {
            let text = |name: &str| step.get(name).filter(|value| !value.is_null()).map(plain);
            let failed = text("failed");
            let outcome = if failed.is_some() { "FAILED" } else { "ok" };
            let name = text("step").unwrap_or_default();
            let told = failed.or_else(|| text("note")).unwrap_or_else(|| shown(&name).to_owned());
            let took = format!("{} ms", text("ms").unwrap_or_default());
            vec![name, outcome.to_owned(), took, told]
        })
        .collect();
    session.output.table(&["Step", "Outcome", "Took", "What was seen"], &rows);
    session.output.line("");
    let failed = data.get("failed").filter(|failed| !failed.is_null());
    if failed.is_none() {
        let is_dead = rows.iter().any(|row| row.first().is_some_and(|step| step == "dead"));
        let end = if is_dead { "die" } else { "are refused once they are revoked" };
        session.output.line(&format!("{role} works: its credentials live, and {end}."));
        return;
    }
    session.output.line(&format!(
        "{role} does NOT work. What there may be of it is on a lease until it is gone."
    ));
    for lack in list("lacks").map(plain) {
        session.output.line(&format!("* {lack}"));
    }
}
