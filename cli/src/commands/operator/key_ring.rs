//! `operator rotate` and `operator key-status`: the keys that seal what the server stores.

use crate::answer::plain;
use crate::client::Request;
use crate::commands::{Format, FormatFlags, Session};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Value, json};

const ROTATE_EXAMPLES: &str = "\
Examples:
  leasehold operator rotate

  Have it done by itself every 90 days:
    leasehold write sys/rotate/config interval=2160h";

/// Add a key to the key ring; from now on it seals what is stored
///
/// What earlier keys have sealed they open as before, so that nothing else changes. A server does
/// this by itself long before a key has sealed as much as is safe.
#[derive(clap::Args)]
#[command(after_help = ROTATE_EXAMPLES)]
pub(in crate::commands) struct Rotate {
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Rotate {
    pub(in crate::commands) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        client
            .send(Request::put("sys/rotate", json!({})))
            .doing(|| "rotating the key ring".to_owned())?;
        if format == Format::Table {
            session.output.line("Success! Rotated key\n");
        }
        show_status(&client, format, session)
    }
}

const STATUS_EXAMPLES: &str = "\
Examples:
  leasehold operator key-status";

/// Show the key that seals: which one it is, since when, and how much it has sealed at most
///
/// Only the newest key of the ring seals; the older ones open what they have sealed. The count is
/// an upper bound: a server counts in blocks, so that it never seals more than it has counted.
#[derive(clap::Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub(in crate::commands) struct KeyStatus {
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl KeyStatus {
    pub(in crate::commands) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        show_status(&client, format, session)
    }
}

fn show_status(
    client: &crate::client::Client,
    format: Format,
    session: &mut Session<'_>,
) -> Result<Exit, Failure> {
    let answer = client
        .send(Request::get("sys/key-status"))
        .doing(|| "reading the status of the key".to_owned())?;
    if format != Format::Table {
        answer.show(format, session.output);
        return Ok(Exit::Done);
    }
    let field = |key: &str| answer.data().and_then(|data| data.get(key)).cloned();
    let row = |name: &str, key: &str| {
        let value = field(key).unwrap_or(Value::Null);
        vec![name.to_owned(), plain(&value)]
    };
    let rows = [
        row("Key Term", "term"),
        row("Install Time", "install_time"),
        row("Encryption Count", "encryptions"),
    ];
    session.output.table(&["Key", "Value"], &rows);
    Ok(Exit::Done)
}
