//! `token`: create, look up, renew and revoke tokens, and tell what they may do.

mod capabilities;
mod create;

use super::{FieldFlags, FormatFlags, Session, text_of};
use crate::client::{Client, Request};
use crate::connection::ConnectionFlags;
use crate::duration::parse_seconds;
use crate::failure::{Doing, Exit, Failure};
use serde_json::json;

/// Create, look up, renew and revoke tokens, and tell what they may do
///
/// A token says who asks. What was borrowed with a token ends with it, and so do the tokens made
/// with it. `leasehold login` keeps a token for later commands.
#[derive(clap::Subcommand)]
pub(super) enum Token {
    Capabilities(capabilities::Capabilities),
    Create(create::Create),
    Lookup(Lookup),
    Renew(Renew),
    Revoke(Revoke),
}

impl Token {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Capabilities(capabilities) => capabilities.run(session),
            Self::Create(create) => create.run(session),
            Self::Lookup(lookup) => lookup.run(session),
            Self::Renew(renew) => renew.run(session),
            Self::Revoke(revoke) => revoke.run(session),
        }
    }
}

/// Which token a command is about.
enum Subject {
    /// The one that the command acts with.
    Own,
    /// This one.
    Token(String),
    /// The one that has this accessor.
    Accessor(String),
}

impl Subject {
    fn of(argument: Option<&str>, is_accessor: bool) -> Result<Self, Failure> {
        match (argument.map(text_of).transpose()?, is_accessor) {
            (Some(accessor), true) => Ok(Self::Accessor(accessor)),
            (Some(token), false) => Ok(Self::Token(token)),
            (None, false) => Ok(Self::Own),
            (None, true) => Err(Failure::Local(
                "-accessor wants an accessor as the argument\n\n`leasehold token lookup` shows the \
                 accessor of your own token, `leasehold list auth/token/accessors` those of all."
                    .to_owned(),
            )),
        }
    }
}

const LOOKUP_EXAMPLES: &str = "\
Examples:
  See what the own token may do, and until when:
    leasehold token lookup

  Look up another token without showing it to others on this machine:
    leasehold token lookup - < token.txt

  Look one up by its accessor, which cannot be used to act:
    leasehold token lookup -accessor 8609694a-cdbc-db9b-d345-e782dbb562ed";

/// Show a token: its policies, since when, until when
///
/// Without an argument it is the token that the command acts with. With -accessor the token itself
/// is not shown.
#[derive(clap::Args)]
#[command(after_help = LOOKUP_EXAMPLES)]
pub(super) struct Lookup {
    /// Token, `@FILE`, or `-` for standard input; with -accessor the accessor
    #[arg(value_name = "TOKEN")]
    subject: Option<String>,
    /// Take the argument for an accessor
    #[arg(long)]
    accessor: bool,
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Lookup {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let request = match Subject::of(self.subject.as_deref(), self.accessor)? {
            Subject::Own => Request::get("auth/token/lookup-self"),
            Subject::Token(token) => Request::post("auth/token/lookup", json!({ "token": token })),
            Subject::Accessor(accessor) => {
                Request::post("auth/token/lookup-accessor", json!({ "accessor": accessor }))
            }
        };
        let client = session.client(self.connection)?;
        let answer = client.send(request).doing(|| "looking up token".to_owned())?;
        self.field.show(&answer, session)?;
        Ok(Exit::Done)
    }
}

const RENEW_EXAMPLES: &str = "\
Examples:
  Renew the own token for the usual time:
    leasehold token renew

  Ask for two hours from now, for a token that only its accessor is known of:
    leasehold token renew -increment=2h -accessor 8609694a-cdbc-db9b-d345-e782dbb562ed";

/// Renew a token, so that it lives longer
///
/// Without an argument it is the token that the command acts with. The increment counts from now.
/// The server may grant less, and says what it granted. A periodic token gets its period.
#[derive(clap::Args)]
#[command(after_help = RENEW_EXAMPLES)]
pub(super) struct Renew {
    /// Token, `@FILE`, or `-` for standard input; with -accessor the accessor
    #[arg(value_name = "TOKEN")]
    subject: Option<String>,
    /// Take the argument for an accessor
    #[arg(long)]
    accessor: bool,
    /// How long the token should live from now: seconds, or 90s, 15m, 1h30m, 7d
    /// [default: as long as it did at first]
    #[arg(short, long, value_name = "SPAN", value_parser = parse_seconds)]
    increment: Option<u64>,
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Renew {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        // Vault's client always sends an increment, and 0 for none.
        let increment = self.increment.unwrap_or(0);
        let request = match Subject::of(self.subject.as_deref(), self.accessor)? {
            Subject::Own => {
                Request::put("auth/token/renew-self", json!({ "increment": increment }))
            }
            Subject::Token(token) => {
                Request::put("auth/token/renew", json!({ "token": token, "increment": increment }))
            }
            Subject::Accessor(accessor) => Request::post(
                "auth/token/renew-accessor",
                json!({ "accessor": accessor, "increment": increment }),
            ),
        };
        let client = session.client(self.connection)?;
        let answer = client.send(request).doing(|| "renewing token".to_owned())?;
        self.field.show(&answer, session)?;
        Ok(Exit::Done)
    }
}

const REVOKE_EXAMPLES: &str = "\
Examples:
  End a token, with everything borrowed with it and every token made with it:
    leasehold token revoke - < token.txt

  End the own token, at the end of a job:
    leasehold token revoke -self

  End a token by its accessor, which cannot be used to act:
    leasehold token revoke -accessor 8609694a-cdbc-db9b-d345-e782dbb562ed

  End a token and what was borrowed with it, but let the tokens made with it live on:
    leasehold token revoke -mode=orphan - < token.txt";

/// How much ends with a token.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Only the token and its leases; the tokens made with it live on
    Orphan,
    /// Every token made by a login under this path
    Path,
}

/// Revoke a token, its leases, and the tokens made with it
///
/// The credentials borrowed with the token are removed from their targets. The own token is revoked
/// only with -self, never because an argument is missing.
#[derive(clap::Args)]
#[command(after_help = REVOKE_EXAMPLES)]
pub(super) struct Revoke {
    /// Token, `@FILE`, or `-` for standard input; with -accessor the accessor, with -mode=path a
    /// path
    #[arg(value_name = "TOKEN")]
    subject: Option<String>,
    /// Take the argument for an accessor
    #[arg(long)]
    accessor: bool,
    /// Revoke the token that the command acts with
    #[arg(long = "self")]
    own: bool,
    /// What else ends: orphan (only the leases) or path (every token of a login path)
    /// [default: leases and the tokens made with it]
    #[arg(long, value_name = "MODE", hide_possible_values = true)]
    mode: Option<Mode>,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Revoke {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let request = self.request()?;
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        revoke(&client, request, session)?;
        session.success(format, "Success! Revoked token (if it existed)");
        Ok(Exit::Done)
    }

    fn request(&self) -> Result<Request, Failure> {
        let refuse = |reason: &str| Err(Failure::Local(reason.to_owned()));
        if self.own {
            if self.subject.is_some() {
                return refuse("Too many arguments with -self (expected 0, got 1)");
            }
            if self.accessor || self.mode.is_some() {
                return refuse("Cannot use -self with -accessor or -mode");
            }
            return Ok(Request::put_nothing("auth/token/revoke-self"));
        }
        if self.accessor && self.mode == Some(Mode::Path) {
            return refuse("Cannot use -accessor with -mode=path");
        }
        let token = |name: &str, token: String| json!({ name: token });
        match (Subject::of(self.subject.as_deref(), self.accessor)?, self.mode) {
            // The own token is ended only when that is said, never because an argument is missing.
            (Subject::Own, _) => refuse("Too few arguments (expected 1 or -self, got 0)"),
            (Subject::Token(id), None) => Ok(Request::put("auth/token/revoke", token("token", id))),
            (Subject::Token(id), Some(Mode::Orphan)) => {
                Ok(Request::put("auth/token/revoke-orphan", token("token", id)))
            }
            (Subject::Token(path), Some(Mode::Path)) => {
                let path = path.trim_start_matches('/');
                Ok(Request::put_nothing(format!("sys/leases/revoke-prefix/{path}")))
            }
            (Subject::Accessor(id), None) => {
                Ok(Request::post("auth/token/revoke-accessor", token("accessor", id)))
            }
            (Subject::Accessor(_), Some(_)) => refuse(
                "Cannot use -accessor with -mode\n\nAn accessor ends the whole tree of its token.",
            ),
        }
    }
}

fn revoke(client: &Client, request: Request, session: &mut Session<'_>) -> Result<(), Failure> {
    let answer = client.send(request).doing(|| "revoking token".to_owned())?;
    answer.warn(session.output);
    Ok(())
}
