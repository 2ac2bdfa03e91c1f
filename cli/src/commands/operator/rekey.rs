//! `operator rekey`: the holders of key shares split their key anew.

use super::share;
use crate::answer::{Answer, plain};
use crate::client::Request;
use crate::commands::{Format, FormatFlags, Session};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Map, Value, json};

const EXAMPLES: &str = "\
Examples:
  Begin, with a token that may, or with your own share (`-` reads it from standard input):
    leasehold operator rekey -init -key-shares=5 -key-threshold=3

  Each of enough holders shows their old share; the last one is shown the new ones:
    leasehold operator rekey

  Where the new shares are to be shown before the old ones have no force (-init -verify):
    leasehold operator rekey -verify

  Make a recovery key for a store that opens by itself and has none:
    leasehold operator rekey -target=recovery -init";

/// Split the key of the store anew, among others or into another number of shares
///
/// The old shares stay good until enough of the new ones were shown: with -verify, or by unsealing the
/// server with them. To begin and to cancel takes a token that may, or a share.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, as Vault has them")]
pub(in crate::commands) struct Rekey {
    /// Begin
    #[arg(long, conflicts_with_all = ["cancel", "status"])]
    init: bool,
    /// Give up what was begun
    #[arg(long, conflicts_with = "status")]
    cancel: bool,
    /// Only show how far it is
    #[arg(long)]
    status: bool,
    /// With -init: the new shares are to be shown. Else: show one of the new shares
    #[arg(long)]
    verify: bool,
    /// Which key: barrier, the one that opens the store, or recovery
    #[arg(long, value_name = "KEY", default_value = "barrier", hide_default_value = true,
          value_parser = ["barrier", "recovery"])]
    target: String,
    /// With -init: into how many shares [default: 5]
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER",
        default_value_t = 5,
        hide_default_value = true
    )]
    key_shares: u16,
    /// With -init: how many of them are needed [default: 3]
    #[arg(
        short = 't',
        long,
        value_name = "NUMBER",
        default_value_t = 3,
        hide_default_value = true
    )]
    key_threshold: u16,
    /// Which rekeying the share is for [default: the one that has begun]
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

impl Rekey {
    pub(in crate::commands) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let base = if self.target == "recovery" { "sys/rekey-recovery-key" } else { "sys/rekey" };
        let (init, step) = (format!("{base}/init"), if self.verify { "verify" } else { "update" });
        let client = session.client(self.connection)?;
        let own = || self.key.as_deref().map(|key| share::read(Some(key))).transpose();
        let answer = if self.status {
            client.send(Request::get(init)).doing(|| "reading the rekeying".to_owned())?
        } else if self.init {
            let mut body = Map::from_iter([
                ("secret_shares".to_owned(), json!(self.key_shares)),
                ("secret_threshold".to_owned(), json!(self.key_threshold)),
                ("require_verification".to_owned(), json!(self.verify)),
            ]);
            body.extend(own()?.map(|key| ("key".to_owned(), Value::from(key))));
            let asked = Request::put(init, Value::Object(body));
            client.send(asked).doing(|| "beginning to rekey".to_owned())?
        } else if self.cancel {
            let body = own()?.map_or_else(|| json!({}), |key| json!({ "key": key }));
            let asked = Request::delete_by(init, body);
            client.send(asked).doing(|| "canceling the rekeying".to_owned())?;
            session.success(format, "Success! Canceled rekeying (if it was started)");
            return Ok(Exit::Done);
        } else {
            let nonce = share::nonce(&client, &init, self.nonce.clone(), "rekeying")?;
            let key = share::read(self.key.as_deref())?;
            let asked =
                Request::put(format!("{base}/{step}"), json!({ "key": key, "nonce": nonce }));
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
    let field = |key: &str| answer.data().and_then(|data| data.get(key));
    let text = |key: &str| field(key).map(plain).unwrap_or_default();
    if field("complete").and_then(Value::as_bool).unwrap_or(false) {
        let keys = field("keys_base64").and_then(Value::as_array);
        for (number, key) in (1..).zip(keys.into_iter().flatten()) {
            session.output.line(&format!("Key {number}: {}", plain(key)));
        }
        session.output.line(&match (keys, field("verification_nonce").map(plain)) {
            (None, _) => "Success! The new shares were shown, and the old ones have no force any more.".to_owned(),
            (Some(_), Some(nonce)) => format!(
                "\nGive each to another person. They are to be shown now, and until then the old ones stay good:\n    \
                 leasehold operator rekey -verify -nonce={nonce}"
            ),
            (Some(_), None) => "\nGive each to another person. The old ones stay good until enough of these were shown."
                .to_owned(),
        });
        return;
    }
    let rows = [
        ("Nonce", text("nonce")),
        ("Started", text("started")),
        ("Rekey Progress", format!("{}/{}", text("progress"), text("required"))),
        ("New Shares", text("n")),
        ("New Threshold", text("t")),
        ("Verification Required", text("verification_required")),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    session.output.table(&["Key", "Value"], &rows);
}
