//! `read`, `write`, `list` and `delete`: the four verbs that every path understands.

use super::{FieldFlags, Format, FormatFlags, Session};
use crate::answer::{Answer, plain};
use crate::client::{Request, RequestError};
use crate::connection::ConnectionFlags;
use crate::data;
use crate::failure::{Doing, Exit, Failure};
use serde_json::Value;

const READ_EXAMPLES: &str = "\
Examples:
  Borrow a credential and see its lease:
    leasehold read database/creds/app

  Take only the password, for a script:
    PASSWORD=$(leasehold read -field=password database/creds/app)

  See how a role is defined, as JSON:
    leasehold read -format=json database/roles/app";

/// Read a path; reading `database/creds/ROLE` creates a credential on a lease
///
/// Sends GET to the path and shows what comes back. Some paths create what they show: a credential
/// under `…/creds/…` is made for this one request, is shown this once, and lives as long as its
/// lease. Such a request is never repeated by itself. Exit code 2 if nothing is there.
#[derive(clap::Args)]
#[command(after_help = READ_EXAMPLES)]
pub(super) struct Read {
    /// Path to read, without `/v1`: database/creds/app
    path: String,
    /// Parameters of the request, for paths that take some; written like the values of `write`
    #[arg(value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Read {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let query = data::parse_query(&self.parameters, &mut std::io::stdin().lock())
            .map_err(|error| Failure::Local(error.to_string()))?;
        let client = session.client(self.connection)?;
        let answer = client.send(Request::get(&self.path).query(query));
        let answer = found(answer, &self.path, || format!("reading {}", self.path))?;
        if answer.is_empty() {
            return Err(nothing(&self.path, &[]));
        }
        self.field.show(&answer, session)?;
        Ok(Exit::Done)
    }
}

const WRITE_EXAMPLES: &str = "\
Examples:
  Describe a role; `@` takes a value from a file:
    leasehold write database/roles/app db_name=shop default_ttl=1h max_ttl=24h \\
        creation_statements=@app.sql

  Keep a password out of the shell's history; `-` takes a value from standard input:
    pass show shop | leasehold write database/config/shop password=- \\
        plugin_name=postgresql-database-plugin username=leasehold \\
        connection_url='postgresql://{{username}}:{{password}}@db:5432/shop'

  Write a whole JSON object:
    leasehold write database/roles/app @app.json

  Write to a path that wants no values:
    leasehold write -force database/rotate-root/shop";

/// Write values to a path: configuration, roles
///
/// Sends PUT with the values as a JSON object. A value is text as it stands, `@FILE` for the
/// content of a file, or `-` for standard input; a value that begins with `@` is written `\@…`. A
/// key given several times becomes a list. `@FILE` or `-` without a key takes a whole JSON object.
#[derive(clap::Args)]
#[command(after_help = WRITE_EXAMPLES)]
pub(super) struct Write {
    /// Path to write to, without `/v1`: database/roles/app
    path: String,
    /// Values to write: key=value, key=@file, key=-, @file or -
    #[arg(value_name = "KEY=VALUE")]
    data: Vec<String>,
    /// Write although there are no values
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Write {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        if self.data.is_empty() && !self.force {
            return Err(Failure::Local(
                "Must supply data or use -force\n\nWrite data as key=value, key=@file, key=- or \
                 @file."
                    .to_owned(),
            ));
        }
        let data = data::parse(&self.data, &mut std::io::stdin().lock())
            .map_err(|error| Failure::Local(format!("Failed to parse K=V data: {error}")))?;
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::put(&self.path, Value::Object(data)))
            .doing(|| format!("writing data to {}", self.path))?;
        if answer.is_empty() && self.field.field.is_none() {
            let format = self.field.format.resolve(session.environment)?;
            session.success(format, &format!("Success! Data written to: {}", self.path));
        } else {
            self.field.show(&answer, session)?;
        }
        Ok(Exit::Done)
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  See which roles there are:
    leasehold list database/roles

  As JSON, for a script:
    leasehold list -format=json database/roles";

/// List the keys under a path
///
/// Sends GET with `?list=true`, which every proxy lets pass. A key that ends in `/` has more keys
/// under it. Exit code 2 if nothing is there.
#[derive(clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct List {
    /// Path to list, without `/v1`: database/roles
    path: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl List {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let answer = client.send(Request::list(&self.path));
        let answer = found(answer, &self.path, || format!("listing {}", self.path))?;
        show_keys(&answer, format, session, || nothing(&self.path, &[]))
    }
}

const DELETE_EXAMPLES: &str = "\
Examples:
  Delete a role; leases issued with it keep their term:
    leasehold delete database/roles/app";

/// Delete what is at a path
///
/// Sends DELETE. Deleting what is not there is a success. Leases are ended with `leasehold lease
/// revoke`, not with this.
#[derive(clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub(super) struct Delete {
    /// Path to delete, without `/v1`: database/roles/app
    path: String,
    /// Parameters of the request, for paths that take some; written like the values of `write`
    #[arg(value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Delete {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let query = data::parse_query(&self.parameters, &mut std::io::stdin().lock())
            .map_err(|error| Failure::Local(error.to_string()))?;
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::delete(&self.path).query(query))
            .doing(|| format!("deleting {}", self.path))?;
        if answer.is_empty() && self.field.field.is_none() {
            let format = self.field.format.resolve(session.environment)?;
            let text = format!("Success! Data deleted (if it existed) at: {}", self.path);
            session.success(format, &text);
        } else {
            self.field.show(&answer, session)?;
        }
        Ok(Exit::Done)
    }
}

/// Shows the keys of a list; one without keys is the failure that `empty` makes.
pub(super) fn show_keys(
    answer: &Answer,
    format: Format,
    session: &mut Session<'_>,
    empty: impl FnOnce() -> Failure,
) -> Result<Exit, Failure> {
    let Some(keys) = answer.keys().filter(|keys| !keys.is_empty()) else {
        return Err(empty());
    };
    if format == Format::Table {
        answer.warn(session.output);
        let rows: Vec<_> = keys.iter().map(|key| vec![plain(key)]).collect();
        session.output.table(&["Keys"], &rows);
    } else {
        answer.show_part(keys, format, session.output);
    }
    Ok(Exit::Done)
}

/// Turns the answer that nothing is there into the failure that says so.
fn found(
    answer: Result<Answer, RequestError>,
    path: &str,
    deed: impl FnOnce() -> String,
) -> Result<Answer, Failure> {
    match answer {
        Err(error) => match error.not_found() {
            Some(said) => Err(nothing(path, said)),
            None => Err(error).doing(deed),
        },
        Ok(answer) => Ok(answer),
    }
}

fn nothing(path: &str, said: &[String]) -> Failure {
    let hint = "`leasehold secrets list` shows what is mounted where.";
    Failure::Nothing {
        what: format!("No value found at {path}"),
        said: said.to_vec(),
        hint: (!said.is_empty()).then(|| hint.to_owned()),
    }
}
