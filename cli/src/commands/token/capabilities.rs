//! `token capabilities`: what a token may do at a path.

use crate::answer::plain;
use crate::client::Request;
use crate::commands::{Format, FormatFlags, Session, text_of};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  See what the own token may do with a role:
    leasehold token capabilities database/creds/app

  The same of another token, without showing it to others on this machine:
    leasehold token capabilities - database/creds/app < token.txt

  The same of one that only its accessor is known of:
    leasehold token capabilities -accessor 8609694a-cdbc-db9b-d345-e782dbb562ed database/creds/app

  Which rule of which policy decides tells `leasehold policy explain`.";

/// Tell what a token may do at a path
///
/// With one argument it is the token that the command acts with. With -accessor the token is told by its accessor.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::commands) struct Capabilities {
    /// Token, `@FILE`, or `-` for standard input, unless it is the own one; with -accessor the accessor; then the path
    #[arg(value_name = "[TOKEN] PATH", required = true, num_args = 1..=2)]
    arguments: Vec<String>,
    /// Take the first argument for an accessor
    #[arg(long)]
    accessor: bool,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Capabilities {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let request = self.request()?;
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let answer = client.send(request).doing(|| "listing capabilities".to_owned())?;
        if format != Format::Table {
            answer.show(format, session.output);
            return Ok(Exit::Done);
        }
        let granted = answer.data().and_then(|data| data.get("capabilities"));
        let mut words: Vec<_> =
            granted.and_then(Value::as_array).into_iter().flatten().map(plain).collect();
        words.sort();
        session.output.line(&words.join(", "));
        Ok(Exit::Done)
    }

    fn request(&self) -> Result<Request, Failure> {
        match (self.arguments.as_slice(), self.accessor) {
            ([path], false) => {
                Ok(Request::post("sys/capabilities-self", json!({ "paths": [path] })))
            }
            ([token, path], false) => {
                let body = json!({ "token": text_of(token)?, "paths": [path] });
                Ok(Request::post("sys/capabilities", body))
            }
            ([accessor, path], true) => {
                let body = json!({ "accessor": text_of(accessor)?, "paths": [path] });
                Ok(Request::post("sys/capabilities-accessor", body))
            }
            _ => Err(Failure::Local(
                "-accessor wants an accessor and a path as the arguments".to_owned(),
            )),
        }
    }
}
