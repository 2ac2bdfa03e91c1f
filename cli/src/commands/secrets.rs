//! `secrets`: mount, tune, unmount and list secrets engines.

mod tune;

use super::{Format, FormatFlags, Session, text_of};
use crate::answer::{plain, sorted};
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::duration::{parse_seconds, show_seconds};
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Map, Value, json};

/// Mount, tune, unmount and list secrets engines
///
/// A secrets engine knows one kind of target. Mounted at a path, it answers every request under it.
#[derive(clap::Subcommand)]
pub(super) enum Secrets {
    List(List),
    Enable(Enable),
    Tune(tune::Tune),
    Disable(Disable),
}

impl Secrets {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::List(list) => list.run(session),
            Self::Enable(enable) => enable.run(session),
            Self::Tune(tune) => tune.run(session),
            Self::Disable(disable) => disable.run(session),
        }
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  leasehold secrets list

  With lease times and versions:
    leasehold secrets list -detailed";

/// List what is mounted where
///
/// Shows each mount's path, kind, accessor and description.
#[derive(clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct List {
    /// Show also lease times, options, id and version
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl List {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::get("sys/mounts"))
            .doing(|| "listing secrets engines".to_owned())?;
        let none = Map::new();
        let mounts = answer.data().and_then(Value::as_object).unwrap_or(&none);
        if format == Format::Table {
            answer.warn(session.output);
            let heading: &[&str] = if self.detailed { &DETAILED } else { &SIMPLE };
            let row = |(path, mount): (&String, &Value)| {
                if self.detailed { detailed_row(path, mount) } else { row(path, mount) }
            };
            session.output.table(heading, &sorted(mounts).map(row).collect::<Vec<_>>());
        } else {
            answer.show_part(mounts, format, session.output);
        }
        Ok(Exit::Done)
    }
}

const SIMPLE: [&str; 4] = ["Path", "Type", "Accessor", "Description"];
const DETAILED: [&str; 10] = [
    "Path",
    "Type",
    "Accessor",
    "Default TTL",
    "Max TTL",
    "Local",
    "Options",
    "Description",
    "UUID",
    "Version",
];

fn row(path: &str, mount: &Value) -> Vec<String> {
    vec![
        path.to_owned(),
        cell(mount.get("type")),
        cell(mount.get("accessor")),
        cell(mount.get("description")),
    ]
}

fn detailed_row(path: &str, mount: &Value) -> Vec<String> {
    let config = |key| mount.get("config").and_then(|config| config.get(key));
    // A mount without times of its own has 0 and follows the system's.
    let span = |key| match config(key).and_then(Value::as_u64) {
        Some(0) | None => "system".to_owned(),
        Some(seconds) => show_seconds(seconds),
    };
    vec![
        path.to_owned(),
        cell(mount.get("type")),
        cell(mount.get("accessor")),
        span("default_lease_ttl"),
        span("max_lease_ttl"),
        cell(mount.get("local")),
        cell(mount.get("options")),
        cell(mount.get("description")),
        cell(mount.get("uuid")),
        cell(mount.get("running_plugin_version")),
    ]
}

fn cell(value: Option<&Value>) -> String {
    let text = value.map(plain).unwrap_or_default();
    if text.is_empty() { "n/a".to_owned() } else { text }
}

const ENABLE_EXAMPLES: &str = "\
Examples:
  Mount the database engine at database/:
    leasehold secrets enable database

  Mount it once more, with shorter leases:
    leasehold secrets enable -path=reports -default-lease-ttl=15m -max-lease-ttl=8h database";

/// Mount a secrets engine
///
/// Mounts an engine of the given type at a path, at its type's name unless -path says otherwise.
/// Then write its configuration and roles under that path.
#[derive(clap::Args)]
#[command(after_help = ENABLE_EXAMPLES)]
pub(super) struct Enable {
    /// Kind of engine: database
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Where to mount it [default: TYPE]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// What it is for, for people; `@FILE` and `-` are read
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How long leases live if nobody says: seconds, or 90s, 15m, 1h30m, 7d [default: the system's]
    #[arg(long, value_name = "SPAN", value_parser = parse_seconds)]
    default_lease_ttl: Option<u64>,
    /// How long leases may live at most [default: the system's]
    #[arg(long, value_name = "SPAN", value_parser = parse_seconds)]
    max_lease_ttl: Option<u64>,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Enable {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let path = self.path.as_deref().unwrap_or(&self.kind).trim_matches('/').to_owned();
        let description = self.description.as_deref().map(text_of).transpose()?;
        let mut config = Map::new();
        for (key, seconds) in
            [("default_lease_ttl", self.default_lease_ttl), ("max_lease_ttl", self.max_lease_ttl)]
        {
            if let Some(seconds) = seconds {
                config.insert(key.to_owned(), Value::String(format!("{seconds}s")));
            }
        }
        let body = json!({
            "type": self.kind,
            "description": description.unwrap_or_default(),
            "config": config,
        });
        let answer = client
            .send(Request::post(format!("sys/mounts/{path}"), body))
            .doing(|| format!("enabling: {path}"))?;
        answer.warn(session.output);
        let text = format!("Success! Enabled the {} secrets engine at: {path}/", self.kind);
        session.success(format, &text);
        Ok(Exit::Done)
    }
}

const DISABLE_EXAMPLES: &str = "\
Examples:
  leasehold secrets disable reports";

/// Unmount a secrets engine and revoke its leases
///
/// The mount is closed at once and its configuration and roles are deleted. Its leases are revoked;
/// one whose target does not answer is tried again until it is gone.
#[derive(clap::Args)]
#[command(after_help = DISABLE_EXAMPLES)]
pub(super) struct Disable {
    /// Where it is mounted
    path: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Disable {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let path = self.path.trim_matches('/').to_owned();
        if path.is_empty() {
            return Err(Failure::Local("the path is empty".to_owned()));
        }
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::delete(format!("sys/mounts/{path}")))
            .doing(|| format!("disabling secrets engine at {path}/"))?;
        answer.warn(session.output);
        let text = format!("Success! Disabled the secrets engine (if it existed) at: {path}/");
        session.success(format, &text);
        Ok(Exit::Done)
    }
}
