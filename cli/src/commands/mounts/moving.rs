//! `secrets move` and `auth move`: give a mount another path.

use super::Side;
use crate::client::Request;
use crate::commands::{Format, FormatFlags, Session};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::json;

/// What is to be moved where.
#[derive(clap::Args)]
pub(in crate::commands) struct MoveFlags {
    /// Where it is mounted
    source: String,
    /// Where it is to be
    destination: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Side {
    /// Moves a mount. The server has moved it by the time it answers.
    pub(in crate::commands) fn move_mount(
        self,
        flags: MoveFlags,
        session: &mut Session<'_>,
    ) -> Result<Exit, Failure> {
        let format = flags.format.resolve(session.environment)?;
        let from = self.full(&flags.source)?;
        let to = self.full(&flags.destination)?;
        let answer = session
            .client(flags.connection)?
            .send(Request::post("sys/remount".to_owned(), json!({ "from": from, "to": to })))
            .doing(|| format!("moving {} {from} to {to}", self.one()))?;
        if format == Format::Table {
            answer.warn(session.output);
            let text = format!("Success! Moved the {} {from} to: {to}", self.one());
            session.output.line(&text);
        } else {
            answer.show(format, session.output);
        }
        Ok(Exit::Done)
    }

    /// Returns the path by which the server knows a mount of this side among all.
    fn full(self, path: &str) -> Result<String, Failure> {
        let path = path.trim_matches('/');
        if path.is_empty() {
            return Err(Failure::Local("the path is empty".to_owned()));
        }
        Ok(match self {
            Self::Engines => format!("{path}/"),
            Self::Methods => format!("auth/{}/", path.trim_start_matches("auth/")),
        })
    }
}
