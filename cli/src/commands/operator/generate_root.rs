//! `operator generate-root`: the holders of key shares make a root token.

use super::share;
use crate::answer::{Answer, plain};
use crate::client::Request;
use crate::commands::{Format, FormatFlags, Session};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use leasehold_core::broker::decoded_root_token;
use serde_json::{Map, Value};

const ATTEMPT: &str = "sys/generate-root/attempt";

const EXAMPLES: &str = "\
Examples:
  Begin, with a token that may, or with your own share (`-` reads it from standard input); the
  one-time password is shown to you alone:
    leasehold operator generate-root -init

  Each of enough holders shows their share:
    leasehold operator generate-root

  Whoever began makes the token of what the last one was shown:
    leasehold operator generate-root -decode=ENCODED_TOKEN -otp=OTP

  Give it up:
    leasehold operator generate-root -cancel";

/// Make a root token, with enough holders of key shares
///
/// For a server whose root tokens are all revoked. Whoever begins gets a one-time password; each
/// holder shows a share of the key that opens the store, or of the recovery key; the last one is shown
/// the token, encoded, and only the one-time password decodes it. To begin and to cancel takes a
/// token that may, or a share.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::commands) struct GenerateRoot {
    /// Begin
    #[arg(long, conflicts_with_all = ["cancel", "status", "decode"])]
    init: bool,
    /// Give up what was begun
    #[arg(long, conflicts_with_all = ["status", "decode"])]
    cancel: bool,
    /// Only show how far it is
    #[arg(long, conflicts_with = "decode")]
    status: bool,
    /// Decode this token, with the one-time password in -otp; no server is asked
    #[arg(long, value_name = "ENCODED_TOKEN", requires = "otp")]
    decode: Option<String>,
    /// The one-time password: to decode with, or to begin with in place of one that is drawn
    #[arg(long, value_name = "OTP")]
    otp: Option<String>,
    /// Which attempt the share is for [default: the one that has begun]
    #[arg(long, value_name = "NONCE")]
    nonce: Option<String>,
    /// Your key share, `@FILE`, or `-` for standard input [default: it is asked for; with -init and
    /// -cancel the token says who you are]
    #[arg(value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl GenerateRoot {
    pub(in crate::commands) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        if let (Some(encoded), Some(otp)) = (&self.decode, &self.otp) {
            let token = decoded_root_token(encoded.trim(), otp.trim()).ok_or_else(|| {
                Failure::Local("the encoded token and the one-time password do not fit".to_owned())
            })?;
            session.output.value(token.reveal());
            return Ok(Exit::Done);
        }
        let client = session.client(self.connection)?;
        let mut body = Map::new();
        let mut add = |name: &str, value: Option<String>| {
            body.extend(value.map(|value| (name.to_owned(), Value::from(value))));
        };
        let answer = if self.status {
            client.send(Request::get(ATTEMPT)).doing(|| "reading the attempt".to_owned())?
        } else if self.init {
            add("otp", self.otp);
            add("key", self.key.as_deref().map(|key| share::read(Some(key))).transpose()?);
            let asked = Request::put(ATTEMPT, Value::Object(body));
            client.send(asked).doing(|| "beginning a root generation".to_owned())?
        } else if self.cancel {
            add("key", self.key.as_deref().map(|key| share::read(Some(key))).transpose()?);
            let asked = Request::delete_by(ATTEMPT, Value::Object(body));
            client.send(asked).doing(|| "canceling the root generation".to_owned())?;
            session.success(format, "Success! Root token generation canceled (if it was started)");
            return Ok(Exit::Done);
        } else {
            let nonce = share::nonce(&client, ATTEMPT, self.nonce, "root generation")?;
            add("nonce", Some(nonce));
            add("key", Some(share::read(self.key.as_deref())?));
            let asked = Request::put("sys/generate-root/update", Value::Object(body));
            client.send(asked).doing(|| "showing a key share".to_owned())?
        };
        show(&answer, format, session);
        Ok(Exit::Done)
    }
}

fn show(answer: &Answer, format: Format, session: &mut Session<'_>) {
    if format != Format::Table {
        return answer.show(format, session.output);
    }
    let field = |key: &str| answer.data().and_then(|data| data.get(key)).map(plain);
    let text = |key: &str| field(key).unwrap_or_default();
    let mut rows = vec![
        vec!["Nonce".to_owned(), text("nonce")],
        vec!["Started".to_owned(), text("started")],
        vec!["Progress".to_owned(), format!("{}/{}", text("progress"), text("required"))],
        vec!["Complete".to_owned(), text("complete")],
    ];
    let shown = [("Encoded Token", "encoded_token"), ("OTP", "otp")];
    for (name, key) in shown.into_iter().filter(|(_, key)| !text(key).is_empty()) {
        rows.push(vec![name.to_owned(), text(key)]);
    }
    session.output.table(&["Key", "Value"], &rows);
    if !text("encoded_token").is_empty() {
        session.output.line(
            "\nWhoever began decodes it:\n    leasehold operator generate-root -decode=ENCODED_TOKEN -otp=OTP",
        );
    }
}
