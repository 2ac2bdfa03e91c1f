//! `operator clock` and `operator accept-clock`: the time that leases are kept by, and what an operator says of it.

use super::super::{FieldFlags, Format, FormatFlags, Session};
use crate::answer::plain;
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Map, Value, json};

const CLOCK_EXAMPLES: &str = "\
Examples:
  See whether the clock is in doubt (exit code 0: no, 2: yes):
    leasehold operator clock

  For a script that watches:
    leasehold operator clock -format=json";

/// Show the time that leases are kept by, and how far other clocks are off
///
/// Leases are kept by a time that goes on evenly, whatever is done to the system's clock. Where the
/// two differ by more than 30 seconds for 5 minutes, or a server starts with a clock behind a time it
/// has seen before, nothing is lent or renewed until the system's clock is right again or an operator
/// accepts it. Exit code 2 while it is so.
#[derive(clap::Args)]
#[command(after_help = CLOCK_EXAMPLES)]
pub(in super::super) struct Clock {
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Clock {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let answer =
            client.send(Request::get("sys/clock")).doing(|| "reading the clock".to_owned())?;
        let empty = Map::new();
        let clock = answer.data().and_then(Value::as_object).unwrap_or(&empty);
        if format == Format::Table {
            answer.warn(session.output);
            session.output.table(&["Key", "Value"], &rows(clock));
            if let Some(reason) = clock.get("reason").and_then(Value::as_str) {
                session.output.line(&format!("\n{reason}"));
            }
        } else {
            answer.show(format, session.output);
        }
        let refusing = clock.get("refusing").and_then(Value::as_bool).unwrap_or(true);
        Ok(if refusing { Exit::Server } else { Exit::Done })
    }
}

fn rows(clock: &Map<String, Value>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, key: &str, unit: &str| {
        if let Some(value) = clock.get(key).filter(|value| !value.is_null()) {
            rows.push(vec![name.to_owned(), format!("{}{unit}", plain(value))]);
        }
    };
    row("Time of Leases", "time", "");
    row("System's Clock", "system_time", "");
    row("System Ahead By", "system_ahead_ms", " ms");
    row("Accepted Ahead", "accepted_ahead", " s");
    row("Highest Time Seen", "highest_time", "");
    row("Off Since", "off_since", "");
    row("Refusing", "refusing", "");
    let targets = clock.get("targets").and_then(Value::as_array);
    for target in targets.into_iter().flatten() {
        let field = |key: &str| target.get(key).map(plain).unwrap_or_default();
        let too_far = target.get("too_far").and_then(Value::as_bool).unwrap_or(false);
        let shown = format!("{} ms{}", field("ahead_ms"), if too_far { ": too far" } else { "" });
        rows.push(vec![format!("{}{} Ahead By", field("mount"), field("name")), shown]);
    }
    rows
}

const ACCEPT_EXAMPLES: &str = "\
Examples:
  See how the clocks differ, then accept the system's:
    leasehold operator clock
    leasehold operator accept-clock";

/// Take the system's clock for right, so that credentials are lent again
///
/// If the system's clock is later, the time that leases are kept by becomes the same: leases whose
/// term is over by it are revoked at once. If it is earlier, the time stays ahead of it by as much,
/// for ever: it never goes back, so that no credential lives longer than was said. Set a wrong clock
/// right instead wherever that is possible; nothing needs to be accepted then.
#[derive(clap::Args)]
#[command(after_help = ACCEPT_EXAMPLES)]
pub(in super::super) struct AcceptClock {
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl AcceptClock {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::put("sys/clock/accept", json!({})))
            .doing(|| "accepting the clock".to_owned())?;
        self.field.show(&answer, session)?;
        Ok(Exit::Done)
    }
}
