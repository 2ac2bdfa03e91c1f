//! `unwrap`: takes an answer out of its wrapping token.

use super::{FieldFlags, Session, text_of};
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  Wrap a credential for somebody else, and take it out there:
    leasehold read -wrap-ttl=5m -field=wrapping_token database/creds/app
    leasehold unwrap hvs.…

  Take only the password, and keep the token out of the shell's history:
    leasehold unwrap -field=password - < wrapping-token.txt";

/// Take an answer out of its wrapping token, once
///
/// Shows what the command that was given -wrap-ttl would have shown. The wrapping token is good for
/// this one use: where it has been used already, somebody else has seen what it held. What nobody
/// takes out in time is revoked.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Unwrap {
    /// Wrapping token, `@FILE`, or `-` for standard input [default: the token to act with]
    #[arg(value_name = "TOKEN")]
    wrapping: Option<String>,
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Unwrap {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let request = match self.wrapping.as_deref().map(text_of).transpose()? {
            Some(token) => Request::put("sys/wrapping/unwrap", json!({ "token": token.trim() })),
            None => Request::put_nothing("sys/wrapping/unwrap"),
        };
        let client = session.client(self.connection)?;
        let answer = client.send(request).doing(|| "unwrapping".to_owned())?;
        self.field.show(&answer, session)?;
        Ok(Exit::Done)
    }
}
