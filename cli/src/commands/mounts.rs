//! What `secrets` and `auth` have in common: what is mounted where is listed, mounted and unmounted in one way.

mod moving;
mod tune;

pub(super) use moving::MoveFlags;
pub(super) use tune::TuneFlags;

use super::{Format, FormatFlags, Session, text_of};
use crate::answer::{plain, sorted};
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::duration::{parse_seconds, show_seconds};
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Map, Value, json};

/// What is mounted, in the words of Vault's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Secrets engines.
    Engines,
    /// Auth methods.
    Methods,
}

/// What both commands ask for a list by.
#[derive(clap::Args)]
pub(super) struct ListFlags {
    /// Show also lease times, options, id and version
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

/// What is mounted is given beside its type.
#[derive(clap::Args)]
pub(super) struct EnableFlags {
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

/// What is to be unmounted.
#[derive(clap::Args)]
pub(super) struct DisableFlags {
    /// Where it is mounted
    path: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Side {
    /// Returns where the server keeps them.
    pub(super) fn at(self) -> &'static str {
        match self {
            Self::Engines => "sys/mounts",
            Self::Methods => "sys/auth",
        }
    }

    /// Returns what one of them is called.
    pub(super) fn one(self) -> &'static str {
        match self {
            Self::Engines => "secrets engine",
            Self::Methods => "auth method",
        }
    }

    /// Lists what is mounted where.
    pub(super) fn list(self, flags: ListFlags, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = flags.format.resolve(session.environment)?;
        let client = session.client(flags.connection)?;
        let answer =
            client.send(Request::get(self.at())).doing(|| format!("listing {}s", self.one()))?;
        let none = Map::new();
        let mounts = answer.data().and_then(Value::as_object).unwrap_or(&none);
        if format == Format::Table {
            answer.warn(session.output);
            let heading: &[&str] = if flags.detailed { &DETAILED } else { &SIMPLE };
            let row = |(path, mount): (&String, &Value)| {
                if flags.detailed { detailed_row(path, mount) } else { row(path, mount) }
            };
            session.output.table(heading, &sorted(mounts).map(row).collect::<Vec<_>>());
        } else {
            answer.show_part(mounts, format, session.output);
        }
        Ok(Exit::Done)
    }

    /// Mounts one.
    pub(super) fn enable(
        self,
        kind: &str,
        flags: EnableFlags,
        mut config: Map<String, Value>,
        session: &mut Session<'_>,
    ) -> Result<Exit, Failure> {
        let format = flags.format.resolve(session.environment)?;
        let client = session.client(flags.connection)?;
        let path = flags.path.as_deref().unwrap_or(kind).trim_matches('/').to_owned();
        let description = flags.description.as_deref().map(text_of).transpose()?;
        for (key, seconds) in
            [("default_lease_ttl", flags.default_lease_ttl), ("max_lease_ttl", flags.max_lease_ttl)]
        {
            if let Some(seconds) = seconds {
                config.insert(key.to_owned(), Value::String(format!("{seconds}s")));
            }
        }
        let body = json!({
            "type": kind,
            "description": description.unwrap_or_default(),
            "config": config,
        });
        let answer = client
            .send(Request::post(format!("{}/{path}", self.at()), body))
            .doing(|| format!("enabling: {path}"))?;
        answer.warn(session.output);
        let text = match self {
            Self::Engines => format!("Success! Enabled the {kind} secrets engine at: {path}/"),
            Self::Methods => format!("Success! Enabled {kind} auth method at: {path}/"),
        };
        session.success(format, &text);
        Ok(Exit::Done)
    }

    /// Unmounts one.
    pub(super) fn disable(
        self,
        flags: DisableFlags,
        session: &mut Session<'_>,
    ) -> Result<Exit, Failure> {
        let format = flags.format.resolve(session.environment)?;
        let path = flags.path.trim_matches('/').to_owned();
        if path.is_empty() {
            return Err(Failure::Local("the path is empty".to_owned()));
        }
        let client = session.client(flags.connection)?;
        let answer = client
            .send(Request::delete(format!("{}/{path}", self.at())))
            .doing(|| format!("disabling {} at {path}/", self.one()))?;
        answer.warn(session.output);
        let text = format!("Success! Disabled the {} (if it existed) at: {path}/", self.one());
        session.success(format, &text);
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
