//! `policy`: what tokens may do; read, write, explain and test it.

mod explain;
mod files;
mod test;

use super::{Format, FormatFlags, Session};
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use serde_json::{Value, json};

/// Read, write, explain and test policies
///
/// A policy is a text of rules, in HCL or JSON: which paths may be read, written, listed. A token
/// carries the names of its policies, and may do what they grant together.
#[derive(clap::Subcommand)]
pub(super) enum Policy {
    List(List),
    Read(Read),
    Write(Write),
    Delete(Delete),
    Fmt(files::Fmt),
    Explain(explain::Explain),
    Test(test::Test),
}

impl Policy {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::List(list) => list.run(session),
            Self::Read(read) => read.run(session),
            Self::Write(write) => write.run(session),
            Self::Delete(delete) => delete.run(session),
            Self::Fmt(fmt) => fmt.run(session),
            Self::Explain(explain) => explain.run(session),
            Self::Test(test) => test.run(session),
        }
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  leasehold policy list";

/// List the policies there are
///
/// Shows their names, one in each line.
#[derive(clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct List {
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
            .send(Request::list("sys/policies/acl"))
            .doing(|| "listing policies".to_owned())?;
        let keys = answer.data().and_then(|data| data.get("keys")).cloned().unwrap_or_default();
        if format == Format::Table {
            answer.warn(session.output);
            for name in keys.as_array().into_iter().flatten().filter_map(Value::as_str) {
                session.output.line(name);
            }
        } else {
            answer.show_part(&keys, format, session.output);
        }
        Ok(Exit::Done)
    }
}

const READ_EXAMPLES: &str = "\
Examples:
  leasehold policy read app";

/// Show the text of a policy
///
/// Shows it as it was written.
#[derive(clap::Args)]
#[command(after_help = READ_EXAMPLES)]
pub(super) struct Read {
    /// What the policy is called
    name: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Read {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::get(path_of(&self.name)?))
            .doing(|| format!("reading the policy {}", self.name))?;
        if format == Format::Table {
            answer.warn(session.output);
            let text = answer.data().and_then(|data| data.get("policy")).and_then(Value::as_str);
            let text = text.unwrap_or_default();
            let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
            session.output.text(&format!("{text}{end}"));
        } else {
            answer.show(format, session.output);
        }
        Ok(Exit::Done)
    }
}

const WRITE_EXAMPLES: &str = "\
Examples:
  leasehold policy write app app.hcl

  From standard input:
    leasehold policy write app - <<END
    path \"database/creds/app\" {
      capabilities = [\"read\"]
    }
    END";

/// Write a policy
///
/// Takes the place of a policy of the same name. It counts at once, for every token that carries it.
#[derive(clap::Args)]
#[command(after_help = WRITE_EXAMPLES)]
pub(super) struct Write {
    /// What the policy is called
    name: String,
    /// The file with its text, or `-` for standard input
    #[arg(allow_hyphen_values = true)]
    file: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Write {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let path = path_of(&self.name)?;
        let text = files::text(&self.file)?;
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::post(path, json!({ "policy": text })))
            .doing(|| format!("writing the policy {}", self.name))?;
        answer.warn(session.output);
        session.success(format, &format!("Success! Wrote the policy: {}", self.name));
        Ok(Exit::Done)
    }
}

const DELETE_EXAMPLES: &str = "\
Examples:
  leasehold policy delete app";

/// Delete a policy
///
/// Tokens that carry it may do no more by it; they carry its name on, and a policy that is written
/// under it again counts for them.
#[derive(clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub(super) struct Delete {
    /// What the policy is called
    name: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Delete {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let path = path_of(&self.name)?;
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::delete(path))
            .doing(|| format!("deleting the policy {}", self.name))?;
        answer.warn(session.output);
        let text = format!("Success! Deleted the policy (if it existed): {}", self.name);
        session.success(format, &text);
        Ok(Exit::Done)
    }
}

/// Returns the path of a policy.
fn path_of(name: &str) -> Result<String, Failure> {
    let name = leasehold_core::access::policy::PolicyName::parse(name);
    name.map(|name| format!("sys/policies/acl/{name}"))
        .map_err(|error| Failure::Local(error.to_string()))
}
