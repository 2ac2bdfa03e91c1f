//! `operator`: what is done once, when a server is set up, and what only its operator can decide.

mod backup;
mod clock;
mod generate_root;
mod held;
mod key_ring;
mod rekey;
mod restore;
mod seal;
mod share;

use super::{Format, FormatFlags, Session};
use crate::answer::{Answer, plain};
use crate::client::{Client, Request};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Map, Value};

/// Initialize, unseal, back up and restore a server, see to its clock and its keys
///
/// What only the operator of a server does.
#[derive(clap::Subcommand)]
pub(super) enum Operator {
    Init(Init),
    Unseal(seal::Unseal),
    Seal(seal::Seal),
    Clock(clock::Clock),
    AcceptClock(clock::AcceptClock),
    Backup(backup::Backup),
    Restore(restore::Restore),
    RestoreStatus(held::RestoreStatus),
    TakeOver(held::TakeOver),
    Rotate(key_ring::Rotate),
    KeyStatus(key_ring::KeyStatus),
    GenerateRoot(generate_root::GenerateRoot),
    Rekey(rekey::Rekey),
}

impl Operator {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Init(init) => init.run(session),
            Self::Unseal(unseal) => unseal.run(session),
            Self::Seal(seal) => seal.run(session),
            Self::Clock(clock) => clock.run(session),
            Self::AcceptClock(accept) => accept.run(session),
            Self::Backup(backup) => backup.run(session),
            Self::Restore(restore) => restore.run(session),
            Self::RestoreStatus(status) => status.run(session),
            Self::TakeOver(take_over) => take_over.run(session),
            Self::Rotate(rotate) => rotate.run(session),
            Self::KeyStatus(status) => status.run(session),
            Self::GenerateRoot(generate) => generate.run(session),
            Self::Rekey(rekey) => rekey.run(session),
        }
    }
}

const INIT_EXAMPLES: &str = "\
Examples:
  Set up a new server:
    leasehold operator init

  Only ask whether that was done (exit code 0: yes, 2: no):
    leasehold operator init -status

  Keep the answer for a script, readable by nobody else:
    (umask 077; leasehold operator init -format=json > init.json)";

/// Initialize a new server and show its root token, once
///
/// Prepares the storage of a server that was started for the first time. The root token that comes
/// back may do everything; it is shown this once and kept nowhere. So are the key shares: of the key
/// that opens the store, or, where that opens by itself, of a recovery key, whose holders together can
/// make a root token and move the store to another seal.
#[derive(clap::Args)]
#[command(after_help = INIT_EXAMPLES)]
pub(super) struct Init {
    /// Change nothing; say whether the server is initialized (exit code 0: yes, 2: no)
    #[arg(long)]
    status: bool,
    /// Into how many unseal keys to split the key of the store, where people unseal it [default: 5]
    #[arg(short = 'n', long, value_name = "NUMBER")]
    key_shares: Option<u16>,
    /// How many of those keys unseal the server [default: 3]
    #[arg(short = 't', long, value_name = "NUMBER")]
    key_threshold: Option<u16>,
    /// Into how many recovery keys to split the recovery key, where the store opens by itself; 0 for none [default: 5]
    #[arg(long, value_name = "NUMBER")]
    recovery_shares: Option<u16>,
    /// How many of those keys are needed [default: 3]
    #[arg(long, value_name = "NUMBER")]
    recovery_threshold: Option<u16>,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Init {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let said = [
            ("secret_shares", self.key_shares),
            ("secret_threshold", self.key_threshold),
            ("recovery_shares", self.recovery_shares),
            ("recovery_threshold", self.recovery_threshold),
        ];
        let client = session.client(self.connection)?;
        if self.status {
            let answer = client
                .send(Request::get("sys/init"))
                .doing(|| "checking initialization status".to_owned());
            return match answer {
                Ok(answer) => Ok(show_status(&answer, format, session)),
                Err(failure) => {
                    // 2 means that it is not initialized, so that a failure must be something else.
                    session.output.remark(&failure.to_string());
                    Ok(Exit::Local)
                }
            };
        }
        let body = split(said, &client)?;
        let answer = client
            .send(Request::put("sys/init", Value::Object(body)))
            .doing(|| "initializing".to_owned())?;
        if format == Format::Table {
            show_keys(&answer, session);
        } else {
            answer.show(format, session.output);
        }
        Ok(Exit::Done)
    }
}

/// Says into how many shares to split which key. Where nothing is said it is Vault's five, of which three are needed;
/// the server knows which key that is about.
fn split(said: [(&str, Option<u16>); 4], client: &Client) -> Result<Map<String, Value>, Failure> {
    let said = said.into_iter();
    let mut body: Map<_, _> =
        said.filter_map(|(name, number)| Some((name.to_owned(), Value::from(number?)))).collect();
    let status =
        client.send(Request::get("sys/seal-status")).doing(|| "initializing".to_owned())?;
    let kind = status.data().and_then(|data| data.get("type")).map(plain);
    let key = if kind.as_deref() == Some("shamir") { "secret" } else { "recovery" };
    let (shares, threshold) = (format!("{key}_shares"), format!("{key}_threshold"));
    if body.get(&shares).is_none_or(|shares| shares != 0) {
        body.entry(shares).or_insert(Value::from(5));
        body.entry(threshold).or_insert(Value::from(3));
    }
    Ok(body)
}

fn show_status(answer: &Answer, format: Format, session: &mut Session<'_>) -> Exit {
    let initialized = answer.data().and_then(|data| data.get("initialized"));
    let initialized = initialized.and_then(Value::as_bool).unwrap_or(false);
    match (format, initialized) {
        (Format::Json | Format::Yaml | Format::Raw, _) => answer.show(format, session.output),
        (Format::Table, true) => session.output.line("The server is initialized."),
        (Format::Table, false) => session
            .output
            .line("The server is not initialized. `leasehold operator init` initializes it."),
    }
    if initialized { Exit::Done } else { Exit::Server }
}

fn show_keys(answer: &Answer, session: &mut Session<'_>) {
    answer.warn(session.output);
    let field = |key| answer.data().and_then(|data| data.get(key));
    let list = |key| field(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (keys, recovery) = (list("keys_base64"), list("recovery_keys_base64"));
    for (name, keys) in [("Unseal", &keys), ("Recovery", &recovery)] {
        for (number, key) in (1..).zip(keys) {
            session.output.line(&format!("{name} Key {number}: {}", plain(key)));
        }
        if !keys.is_empty() {
            session.output.line("");
        }
    }
    if let Some(token) = field("root_token") {
        session.output.line(&format!("Initial Root Token: {}", plain(token)));
    }
    let public_keys =
        field("audit_public_keys").and_then(Value::as_object).cloned().unwrap_or_default();
    if !public_keys.is_empty() {
        session.output.line("");
    }
    for (device, key) in &public_keys {
        session.output.line(&format!("Public Key of Audit Device {device}: {}", plain(key)));
    }
    session.output.line(
        "\nThe server is initialized. What stands above is shown this once and kept nowhere.\n\
         The root token may do everything: keep it where only you can read it, and revoke it once\n\
         there are policies and other tokens to work with.",
    );
    if !keys.is_empty() {
        session.output.line(
            "Give each unseal key to another person: without enough of them the server stays\n\
             sealed after every start.",
        );
    }
    if !recovery.is_empty() {
        session.output.line(
            "Give each recovery key to another person: enough of them together can make a root token.",
        );
    }
    if !public_keys.is_empty() {
        session.output.line(
            "Keep the public key of each audit device where nobody who can write to its record can change it:\n\
             `leasehold audit verify` checks the record with it.",
        );
    }
    let unseal = if keys.is_empty() { "" } else { "    leasehold operator unseal\n" };
    let ask =
        "    leasehold audit public-key    (keep what it shows: it checks what is recorded)\n";
    let ask = if public_keys.is_empty() { ask } else { "" };
    session.output.line(&format!(
        "\nNext:\n{unseal}    export LEASEHOLD_TOKEN=<the root token>\n    leasehold status\n{ask}    \
         leasehold secrets enable database",
    ));
}
