//! `operator unseal` and `operator seal`: opens and closes the store of a server.

use super::share;
use crate::client::Request;
use crate::commands::status;
use crate::commands::{Format, FormatFlags, Session};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Map, Value, json};

const UNSEAL_EXAMPLES: &str = "\
Examples:
  Show your share; you are asked for it, and it is not shown:
    leasehold operator unseal

  From a password store, which leaves it out of the shell's history:
    pass show leasehold-share | leasehold operator unseal -

  Move the store to the seal that the configuration names now:
    leasehold operator unseal -migrate";

/// Show a share of the key that opens the server's store
///
/// After every start, enough holders of a share each run this from where they are; once enough
/// shares were shown, the server is unsealed. A wrong share is refused alone and disturbs nothing.
/// Needs no token.
#[derive(clap::Args)]
#[command(after_help = UNSEAL_EXAMPLES)]
pub(in crate::commands) struct Unseal {
    /// Your key share, `@FILE`, or `-` for standard input [default: it is asked for]
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// Forget the shares that were shown so far; whoever asks for it shows their own
    #[arg(long)]
    reset: bool,
    /// Move the store to the seal that the configuration names
    #[arg(long)]
    migrate: bool,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Unseal {
    pub(in crate::commands) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let key = share::read(self.key.as_deref())?;
        let mut body = Map::from_iter([("key".to_owned(), Value::from(key))]);
        if self.reset {
            body.insert("reset".to_owned(), json!(true));
        }
        if self.migrate {
            body.insert("migrate".to_owned(), json!(true));
        }
        let answer = client
            .send(Request::put("sys/unseal", Value::Object(body)))
            .doing(|| "unsealing".to_owned())?;
        if format == Format::Table {
            let empty = Map::new();
            let found = answer.data().and_then(Value::as_object).unwrap_or(&empty);
            session.output.table(&["Key", "Value"], &status::rows(found));
        } else {
            answer.show(format, session.output);
        }
        Ok(Exit::Done)
    }
}

const SEAL_EXAMPLES: &str = "\
Examples:
  Close a server at once, if something is wrong:
    leasehold operator seal";

/// Seal the server: nobody is served until it is unsealed
///
/// What has begun goes on to its end, and then the server forgets its keys. Leases stay as they are and
/// are not revoked while it is sealed; what lapses meanwhile is revoked once it is unsealed. A server
/// whose store opens by itself is unsealed by starting it again.
#[derive(clap::Args)]
#[command(after_help = SEAL_EXAMPLES)]
pub(in crate::commands) struct Seal {
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Seal {
    pub(in crate::commands) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let client = session.client(self.connection)?;
        client.send(Request::put("sys/seal", json!({}))).doing(|| "sealing".to_owned())?;
        session.output.line("Success! The server is sealed.");
        Ok(Exit::Done)
    }
}
