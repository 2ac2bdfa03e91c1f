//! `abandon`: that a target is gone for ever.

use super::{Format, FormatFlags, Session};
use crate::answer::{Answer, plain};
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  What is left of a database that is gone? (Its configuration was deleted: leasehold delete database/config/shop)
    leasehold abandon database/shop

  End its leases without asking it:
    leasehold abandon -yes -reason='scrapped with its rack, ticket 4711' database/shop

  The name has moved on to another server; end the leases of the one before:
    leasehold abandon -yes -reason='...' -generation=01jdx3m5k8v2q7t4w9y6z1b0ce-1 database/shop";

/// Say that a target is gone for ever, and end its leases without asking it
///
/// Without -yes it only shows how many leases there are to end. A target that is unreachable is not gone: its
/// credentials would live on where nobody looks after them, and its leases are tried for as long as it takes. So this is
/// only for a target whose configuration was deleted, or for an earlier server of one that was pointed elsewhere. What
/// ends so is told by `leasehold whois` for ever; should the server come back and be configured under the same name,
/// `leasehold reconcile` shows what is there as `abandoned`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Abandon {
    /// Mount and name of the target: `database/shop`
    #[arg(value_name = "MOUNT/TARGET")]
    target: String,
    /// Why it is gone; kept with what is decided
    #[arg(long, value_name = "TEXT", required_if_eq("yes", "true"))]
    reason: Option<String>,
    /// Which of several servers that had the name
    #[arg(long, value_name = "ID")]
    generation: Option<String>,
    /// Do it
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Abandon {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let path = format!("sys/abandon/{}", self.target);
        let request = if self.yes {
            Request::put(&path, json!({ "reason": self.reason, "generation": self.generation }))
        } else {
            Request::get(&path)
        };
        let answer = client.send(request).doing(|| format!("abandoning {}", self.target))?;
        if format != Format::Table {
            answer.show(format, session.output);
            return Ok(Exit::Done);
        }
        answer.warn(session.output);
        if self.yes {
            done(&answer, &self.target, session);
        } else {
            show(&answer, &self.target, session);
        }
        Ok(Exit::Done)
    }
}

fn show(answer: &Answer, target: &str, session: &mut Session<'_>) {
    let Some(data) = answer.data() else { return };
    let generations = data.get("generations").and_then(Value::as_array);
    let generations = || generations.into_iter().flatten();
    let rows: Vec<Vec<String>> = generations()
        .map(|one| {
            let text = |value: Option<&Value>| {
                value.filter(|value| !value.is_null()).map(plain).unwrap_or_default()
            };
            let said = |name: &str| text(one.get("abandoned").and_then(|said| said.get(name)));
            let own = [text(one.get("generation")), text(one.get("leases"))];
            own.into_iter().chain(["at", "by", "reason"].map(said)).collect()
        })
        .collect();
    session.output.table(&["Generation", "Leases", "Abandoned", "By", "Because"], &rows);
    let is_open = |one: &Value| one.get("abandoned").is_none_or(Value::is_null);
    if generations().any(is_open) {
        session.output.line("");
        session.output.line(
            "Nothing was changed. These leases end, and their credentials are left where they are, by:",
        );
        session.output.line(&format!("leasehold abandon -yes -reason=... {target}"));
    }
}

fn done(answer: &Answer, target: &str, session: &mut Session<'_>) {
    let leases = answer.data().and_then(|data| data.get("leases")).map(plain).unwrap_or_default();
    session.output.line(&format!(
        "Success! {target} is abandoned: the {leases} leases that it has left end without asking it."
    ));
}
