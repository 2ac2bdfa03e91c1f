//! `path-help`: what a path of the server is for.

use super::{Format, FormatFlags, Session};
use crate::answer::plain;
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  leasehold path-help database/creds/app";

/// Tell what a path of the server is for, and which methods it answers to
///
/// The mount that the path goes to has to be there; what it names need not.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PathHelp {
    /// Path to ask about
    path: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl PathHelp {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let path = self.path.trim_start_matches('/');
        let asked = Request::get(path).query(vec![("help".to_owned(), "1".to_owned())]);
        let answer = client.send(asked).doing(|| format!("retrieving help of {path}"))?;
        match answer.data().and_then(|data| data.get("help")) {
            Some(help) if format == Format::Table => {
                session.output.line(plain(help).trim_end());
            }
            _ => answer.show(format, session.output),
        }
        Ok(Exit::Done)
    }
}
