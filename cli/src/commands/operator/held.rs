//! `operator restore-status` and `operator take-over`: what a restore has left to do.

use crate::client::Request;
use crate::commands::{Format, FormatFlags, Session};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::Value;

const STATUS_EXAMPLES: &str = "\
Examples:
  After a restore, or on a copy:
    leasehold operator restore-status

  For a script that waits until all is done:
    leasehold operator restore-status -format=json | jq '.data.targets | length'";

/// Show which targets a restore has left something to do at
///
/// A target that is `to compare` is asked by the server itself, again and again, until it has answered; until then
/// none of its leases lapses. One whose `credential` is `older than target` was given another password for its
/// administrator after the backup: nothing is issued there until its configuration is written with it. A target that is `of the original` belongs to the installation that this one was copied
/// from, and nothing is asked of it until it is taken over.
#[derive(clap::Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub(in crate::commands) struct RestoreStatus {
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl RestoreStatus {
    pub(in crate::commands) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::get("sys/storage/restore-status"))
            .doing(|| "reading what a restore has left to do".to_owned())?;
        if format != Format::Table {
            answer.show(format, session.output);
            return Ok(Exit::Done);
        }
        let targets = answer.data().and_then(|data| data.get("targets")).and_then(Value::as_array);
        let rows: Vec<_> = targets.into_iter().flatten().map(row).collect();
        if rows.is_empty() {
            session.output.line("No target waits: nothing is left to do of any restore.");
        } else {
            let heading = ["Target", "State", "Since", "Next try", "Why not yet"];
            session.output.table(&heading, &rows);
        }
        Ok(Exit::Done)
    }
}

fn row(target: &Value) -> Vec<String> {
    let field = |name: &str| target.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_older = target.get("credential_older_than_target") == Some(&Value::Bool(true));
    let state = match field("state") {
        "compare" if is_older => "credential older than target",
        "compare" => "to compare",
        "copied" => "of the original",
        other => other,
    };
    [field("target"), state, field("since"), field("next_attempt"), field("error")]
        .map(str::to_owned)
        .to_vec()
}

const TAKE_OVER_EXAMPLES: &str = "\
Examples:
  In a copy for staging, point the target at the staging server first:
    leasehold write database/config/shop connection_url=… username=… password=@password
    leasehold operator take-over database/shop";

/// Let a copy use a target
///
/// A copy asks nothing of the targets of its original. From this command on it does: check first with `leasehold read
/// MOUNT/config/TARGET` that the target is the one this copy is meant to use. What the original lent there stays
/// untouched.
#[derive(clap::Args)]
#[command(after_help = TAKE_OVER_EXAMPLES)]
pub(in crate::commands) struct TakeOver {
    /// Mount and name of the target: `database/shop`
    #[arg(value_name = "MOUNT/TARGET")]
    target: String,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl TakeOver {
    pub(in crate::commands) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let client = session.client(self.connection)?;
        client
            .send(Request::put_nothing(format!("sys/storage/take-over/{}", self.target)))
            .doing(|| format!("taking over {}", self.target))?;
        session.output.line(&format!("Success! Took over: {}", self.target));
        Ok(Exit::Done)
    }
}
