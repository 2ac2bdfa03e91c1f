//! `lease`: look up, list, renew and revoke.

mod job;
mod plan;

use super::values::show_keys;
use super::{FieldFlags, FormatFlags, Session};
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::duration::parse_seconds;
use crate::failure::{Doing, Exit, Failure};
use serde_json::json;

/// Look up, list, renew and revoke leases
///
/// A lease is the promise to remove a credential. Its id comes with the credential, as `lease_id`.
#[derive(clap::Subcommand)]
pub(super) enum Lease {
    Lookup(Lookup),
    List(List),
    Renew(Renew),
    Revoke(Revoke),
    #[command(subcommand)]
    Job(job::Job),
}

impl Lease {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Lookup(lookup) => lookup.run(session),
            Self::List(list) => list.run(session),
            Self::Renew(renew) => renew.run(session),
            Self::Revoke(revoke) => revoke.run(session),
            Self::Job(job) => job.run(session),
        }
    }
}

const LOOKUP_EXAMPLES: &str = "\
Examples:
  leasehold lease lookup database/creds/app/01jdx3m5k8v2q7t4w9y6z1b0ce

  Only how long it has still to live, in seconds:
    leasehold lease lookup -field=ttl database/creds/app/01jdx3m5k8v2q7t4w9y6z1b0ce";

/// Show a lease: since when, until when, renewable or not
///
/// The credential itself is not shown: it was shown once, to whoever asked for it. If a revocation
/// was tried and failed, the reason is shown; it is tried again until it succeeds.
#[derive(clap::Args)]
#[command(after_help = LOOKUP_EXAMPLES)]
pub(super) struct Lookup {
    /// Id of the lease
    id: String,
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Lookup {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let client = session.client(self.connection)?;
        let answer = client
            .send(Request::put("sys/leases/lookup", json!({ "lease_id": self.id })))
            .doing(|| format!("looking up lease {}", self.id))?;
        self.field.show(&answer, session)?;
        Ok(Exit::Done)
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  See which roles of a mount have leases:
    leasehold lease list database/creds

  See the leases of one role:
    leasehold lease list database/creds/app";

/// List leases under a prefix, one level at a time
///
/// Shows the next part of the ids that begin with the prefix; a part that ends in `/` has more
/// under it. Without a prefix it begins at the top. Exit code 2 if there are none.
#[derive(clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct List {
    /// Beginning of the ids: a mount, or a mount and a role
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl List {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let prefix = self.prefix.trim_matches('/');
        let none = || Failure::Nothing {
            what: match prefix {
                "" => "No leases found".to_owned(),
                prefix => format!("No leases found under {prefix}"),
            },
            said: Vec::new(),
            hint: None,
        };
        match client.send(Request::list(format!("sys/leases/lookup/{prefix}"))) {
            Ok(answer) => show_keys(&answer, format, session, none),
            Err(error) if error.not_found().is_some_and(<[String]>::is_empty) => Err(none()),
            Err(error) => Err(error).doing(|| format!("listing leases under {prefix}")),
        }
    }
}

const RENEW_EXAMPLES: &str = "\
Examples:
  Renew for the usual time:
    leasehold lease renew database/creds/app/01jdx3m5k8v2q7t4w9y6z1b0ce

  Ask for two hours from now:
    leasehold lease renew -increment=2h database/creds/app/01jdx3m5k8v2q7t4w9y6z1b0ce";

/// Renew a lease, so that its credential lives longer
///
/// The increment counts from now, not from the end of the lease. The server may grant less, never
/// past the lease's ceiling, and says what it granted. A lease that has lapsed cannot be renewed.
#[derive(clap::Args)]
#[command(after_help = RENEW_EXAMPLES)]
pub(super) struct Renew {
    /// Id of the lease
    id: String,
    /// How long the lease should live from now: seconds, or 90s, 15m, 1h30m, 7d
    /// [default: as long as its role says]
    #[arg(short, long, value_name = "SPAN", value_parser = parse_seconds)]
    increment: Option<u64>,
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Renew {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let client = session.client(self.connection)?;
        // Vault's client always sends an increment, and 0 for none.
        let body = json!({ "lease_id": self.id, "increment": self.increment.unwrap_or(0) });
        let answer = client
            .send(Request::put("sys/leases/renew", body))
            .doing(|| format!("renewing {}", self.id))?;
        self.field.show(&answer, session)?;
        Ok(Exit::Done)
    }
}

const REVOKE_EXAMPLES: &str = "\
Examples:
  End one lease and wait until the credential is gone:
    leasehold lease revoke -sync database/creds/app/01jdx3m5k8v2q7t4w9y6z1b0ce

  End all leases of a role, in the background:
    leasehold lease revoke -prefix database/creds/app

  End all leases of a mount:
    leasehold lease revoke -prefix database

  End all leases at a target as a job, and see how it gets on; it goes on if this command ends:
    leasehold lease revoke -target -job database/shop

  See first which credentials that would be, who is connected by them, and what they own:
    leasehold lease revoke -target -plan database/shop";

/// Revoke a lease, or all under a prefix: their credentials are removed and their sessions ended
///
/// Without -sync the revocation is queued and goes on in the background; with it the command waits
/// until the target has confirmed. A target that does not answer is asked again until it does.
///
/// With -job a server marks the leases little by little: that can be watched, paused and resumed (`leasehold lease job`),
/// and goes on after a restart. The command waits until all is gone, and tells what is in the way; what is issued after it
/// was started is not meant.
///
/// With -plan nothing is revoked: each credential is shown with its open sessions and with what it owns at the target right
/// now. One whose target does not answer is shown as not known.
#[derive(clap::Args)]
#[command(after_help = REVOKE_EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Revoke {
    /// Id of the lease, or with -prefix the beginning of the ids
    id: String,
    /// Wait until the credentials are gone
    #[arg(long)]
    sync: bool,
    /// Revoke every lease whose id begins with ID
    #[arg(long)]
    prefix: bool,
    /// Revoke every lease at the target MOUNT/NAME that ID is; with -job or -plan
    #[arg(long, conflicts_with = "prefix", requires = "how")]
    target: bool,
    /// With -prefix or -target: as a job of the server, which can be paused and survives a restart
    #[arg(long, conflicts_with_all = ["sync", "force"], group = "how")]
    job: bool,
    /// Revoke nothing: show what would be, and what it is in use for
    #[arg(long, conflicts_with_all = ["sync", "force", "detach"], group = "how")]
    plan: bool,
    /// With -job: do not wait until all is gone, only name the job
    #[arg(long, requires = "job")]
    detach: bool,
    /// With -prefix: go on when a target refuses; no lease is forgotten, it is tried again
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Revoke {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        if self.force && !self.prefix {
            return Err(Failure::Local(
                "Specifying -force requires also specifying -prefix".to_owned(),
            ));
        }
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let id = self.id.trim_start_matches('/');
        if self.plan {
            let (named, flags) = match (self.prefix, self.target) {
                (true, _) => ("prefix", "-prefix -job "),
                (false, true) => ("target", "-target -job "),
                (false, false) => ("lease_id", ""),
            };
            let revoke = format!("leasehold lease revoke {flags}{id}");
            return plan::show(&client, (named, id), &revoke, format, session);
        }
        if self.job {
            let meant = match (self.prefix, self.target) {
                (true, _) => json!({ "prefix": id }),
                (false, true) => json!({ "target": id }),
                (false, false) => {
                    let message = "Specifying -job requires also specifying -prefix or -target";
                    return Err(Failure::Local(message.to_owned()));
                }
            };
            return job::begin(&client, meant, self.detach, format, session);
        }
        let sync = json!({ "sync": self.sync });
        // As with Vault's client, the id goes into the path, and with -force there is no body.
        let (request, doing, done) = match (self.force, self.prefix) {
            (true, _) => (
                Request::put_nothing(format!("sys/leases/revoke-force/{id}")),
                "force revoking leases with prefix",
                "Force revoked any leases with prefix",
            ),
            (false, true) => (
                Request::put(format!("sys/leases/revoke-prefix/{id}"), sync),
                "revoking leases with prefix",
                "Revoked any leases with prefix",
            ),
            (false, false) => (
                Request::put(format!("sys/leases/revoke/{id}"), sync),
                "revoking lease",
                "Revoked lease",
            ),
        };
        let answer = client.send(request).doing(|| format!("{doing} {id}"))?;
        answer.warn(session.output);
        let said = if answer.is_queued() || !(self.sync || self.force) {
            "All revocation operations queued successfully!".to_owned()
        } else if answer.warnings().next().is_some() {
            format!("{done}, but for what the warnings tell: {id}")
        } else {
            format!("Success! {done}: {id}")
        };
        session.success(format, &said);
        Ok(Exit::Done)
    }
}
