//! `status`: is the server there, initialized, unsealed?

use super::{Format, FormatFlags, Session};
use crate::answer::{Answer, plain};
use crate::client::{Client, Request};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Map, Value};

const EXAMPLES: &str = "\
Examples:
  leasehold status

  Wait in a script until the server is unsealed:
    until leasehold status > /dev/null 2>&1; do sleep 1; done";

/// Show whether the server is initialized and unsealed
///
/// Asks without needing a token. Exit code 0: unsealed; 2: sealed; 1: the server did not say.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Status {
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Status {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let (answer, status) = match seal_status(&client) {
            Ok(told) => told,
            Err(failure) => {
                // 2 means sealed, so that a server which does not say must be something else.
                session.output.remark(&failure.to_string());
                return Ok(Exit::Local);
            }
        };
        if format == Format::Table {
            session.output.table(&["Key", "Value"], &rows(&status));
        } else {
            answer.show_part(&status, format, session.output);
        }
        let sealed = status.get("sealed").and_then(Value::as_bool).unwrap_or(true);
        Ok(if sealed { Exit::Server } else { Exit::Done })
    }
}

/// Asks for the state of the seal and, if the server will say, who leads.
fn seal_status(client: &Client) -> Result<(Answer, Map<String, Value>), Failure> {
    let deed = || "checking seal status".to_owned();
    let answer = client.send(Request::get("sys/seal-status")).doing(deed)?;
    let status = answer.data().and_then(Value::as_object).cloned();
    let mut status = status.ok_or_else(|| {
        Failure::Local("Error checking seal status: the answer is not an object".to_owned())
    })?;
    // A server that is sealed or alone may not know of leaders, which is no failure.
    if let Ok(led) = client.send(Request::get("sys/leader"))
        && let Some(Value::Object(leader)) = led.data()
    {
        for (key, value) in leader {
            status.entry(key).or_insert_with(|| value.clone());
        }
    }
    Ok((answer, status))
}

/// Returns what is known of a seal, as rows of a table.
pub(super) fn rows(status: &Map<String, Value>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, key: &str| {
        let value = status.get(key).map(plain).filter(|text| !text.is_empty());
        if let Some(value) = value {
            rows.push(vec![name.to_owned(), value]);
        }
    };
    let number = |key| status.get(key).and_then(Value::as_u64).unwrap_or(0);
    row("Seal Type", "type");
    row("Initialized", "initialized");
    row("Sealed", "sealed");
    if status.get("migration").and_then(Value::as_bool).unwrap_or(false) {
        row("Seal Migration", "migration");
    }
    if number("n") > 0 {
        let of_recovery = status.get("recovery_seal").and_then(Value::as_bool).unwrap_or(false);
        row(if of_recovery { "Total Recovery Shares" } else { "Total Shares" }, "n");
        row("Threshold", "t");
    }
    if number("progress") > 0 {
        row("Unseal Progress", "progress");
        row("Unseal Nonce", "nonce");
    }
    row("Version", "version");
    row("Build Date", "build_date");
    row("Storage Type", "storage_type");
    row("Cluster Name", "cluster_name");
    row("Cluster ID", "cluster_id");
    row("HA Enabled", "ha_enabled");
    row("HA Cluster", "leader_cluster_address");
    row("Active Node Address", "leader_address");
    rows
}
