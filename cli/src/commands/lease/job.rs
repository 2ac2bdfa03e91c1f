//! `lease job`: mass revocations, as jobs of the server.

use crate::answer::{Answer, plain};
use crate::client::{Client, Request};
use crate::commands::{Format, FormatFlags, Session};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use crate::progress::Progress;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often a server is asked how far a job has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Watch, pause and resume mass revocations
///
/// `leasehold lease revoke -prefix -job PREFIX` begins one.
#[derive(clap::Subcommand)]
pub(in crate::commands) enum Job {
    List(List),
    Show(Show),
    Follow(Follow),
    Pause(Pause),
    Resume(Resume),
}

impl Job {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::List(list) => list.run(session),
            Self::Show(Show { named }) => named.ask(session, Request::get),
            Self::Follow(Follow { named }) => {
                let format = named.format.resolve(session.environment)?;
                let client = session.client(named.connection)?;
                follow(&client, &named.id, format, session)
            }
            Self::Pause(Pause { named }) => {
                named.ask(session, |job| Request::put(format!("{job}/pause"), json!({})))
            }
            Self::Resume(Resume { named }) => {
                named.ask(session, |job| Request::put(format!("{job}/resume"), json!({})))
            }
        }
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  leasehold lease job list

  For a script:
    leasehold lease job list -format=json";

/// List the mass revocations that go on, and those that were done within a day
///
/// Shows what each is of, who began it when, and how many of its leases are marked.
#[derive(clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(in crate::commands) struct List {
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
            .send(Request::list("sys/revocations"))
            .doing(|| "listing mass revocations".to_owned())?;
        if format != Format::Table {
            answer.show(format, session.output);
            return Ok(Exit::Done);
        }
        let jobs = answer.data().and_then(|data| data.get("key_info")).and_then(Value::as_object);
        let rows: Vec<_> = jobs.into_iter().flatten().map(|(_, job)| row(job)).collect();
        if rows.is_empty() {
            session.output.line("No mass revocation goes on, and none was done within a day.");
        } else {
            session.output.table(&["Id", "Of", "State", "Begun", "By", "Leases", "Marked"], &rows);
        }
        Ok(Exit::Done)
    }
}

fn row(job: &Value) -> Vec<String> {
    let mut row = vec![text(job, "id"), of(job)];
    row.extend(["state", "asked_at", "asked_by", "leases", "marked"].map(|name| text(job, name)));
    row
}

/// Which job is meant.
#[derive(clap::Args)]
struct Named {
    /// Id of the mass revocation, as `leasehold lease job list` shows it
    id: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Named {
    fn ask(
        self,
        session: &mut Session<'_>,
        request: impl FnOnce(String) -> Request,
    ) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let answer = client
            .send(request(format!("sys/revocations/{}", self.id)))
            .doing(|| format!("asking for the mass revocation {}", self.id))?;
        show(&answer, format, session);
        Ok(Exit::Done)
    }
}

const SHOW_EXAMPLES: &str = "\
Examples:
  leasehold lease job show 01jdx3m5k8v2q7t4w9y6z1b0ce";

/// Show how far a mass revocation has come
///
/// Tells how many leases it is for, how many of their credentials are gone, how many are marked and still tried, how many
/// wait to be marked, and for each target that is in the way the first error.
#[derive(clap::Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(in crate::commands) struct Show {
    #[command(flatten)]
    named: Named,
}

const PAUSE_EXAMPLES: &str = "\
Examples:
  leasehold lease job pause 01jdx3m5k8v2q7t4w9y6z1b0ce";

/// Pause a mass revocation: no further lease is marked until it is resumed
///
/// Those that are marked go on being revoked: they have been taken from their holders.
#[derive(clap::Args)]
#[command(after_help = PAUSE_EXAMPLES)]
pub(in crate::commands) struct Pause {
    #[command(flatten)]
    named: Named,
}

const RESUME_EXAMPLES: &str = "\
Examples:
  leasehold lease job resume 01jdx3m5k8v2q7t4w9y6z1b0ce";

/// Let a mass revocation go on that was paused
///
/// It goes on where it was. What was issued since it was begun is not meant.
#[derive(clap::Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(in crate::commands) struct Resume {
    #[command(flatten)]
    named: Named,
}

const FOLLOW_EXAMPLES: &str = "\
Examples:
  leasehold lease job follow 01jdx3m5k8v2q7t4w9y6z1b0ce";

/// Wait until all of a mass revocation is gone, and show how it gets on
///
/// Exit code 0 once all is gone, 2 if it is paused. It goes on if this command ends.
#[derive(clap::Args)]
#[command(after_help = FOLLOW_EXAMPLES)]
pub(in crate::commands) struct Follow {
    #[command(flatten)]
    named: Named,
}

/// Begins one, and follows it unless it is only to be named.
pub(super) fn begin(
    client: &Client,
    meant: Value,
    detach: bool,
    format: Format,
    session: &mut Session<'_>,
) -> Result<Exit, Failure> {
    let answer = client
        .send(Request::put("sys/revocations", meant))
        .doing(|| "beginning a mass revocation".to_owned())?;
    if detach {
        show(&answer, format, session);
        return Ok(Exit::Done);
    }
    let begun = answer.data().unwrap_or(&Value::Null);
    let id = text(begun, "id");
    session.output.remark(&format!(
        "Mass revocation {id} of {} goes on without this command: leasehold lease job follow {id}",
        of(begun)
    ));
    follow(client, &id, format, session)
}

/// Waits until it is done or paused.
fn follow(
    client: &Client,
    id: &str,
    format: Format,
    session: &mut Session<'_>,
) -> Result<Exit, Failure> {
    let mut progress = Progress::begin()?;
    let mut told = BTreeSet::new();
    loop {
        let answer = client.send(Request::get(format!("sys/revocations/{id}")));
        if answer.is_err() {
            progress.end(session.output);
        }
        let answer =
            answer.doing(|| format!("following the mass revocation {id}, which goes on"))?;
        let seen = answer.data().unwrap_or(&Value::Null);
        let state = text(seen, "state");
        if state != "running" {
            progress.end(session.output);
            show(&answer, format, session);
            return Ok(if state == "done" { Exit::Done } else { Exit::Server });
        }
        for (target, why) in troubles(seen) {
            if told.insert(target.clone()) {
                progress.end(session.output);
                let remark = format!("{target}: {why}; it is tried again until it succeeds");
                session.output.remark(&remark);
            }
        }
        progress.says(session.output, || so_far(seen));
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Shows an answer to people in few words, and to programs as it is.
fn show(answer: &Answer, format: Format, session: &mut Session<'_>) {
    if format != Format::Table {
        answer.show(format, session.output);
        return;
    }
    answer.warn(session.output);
    let Some(seen) = answer.data() else { return };
    let (id, state, of) = (text(seen, "id"), text(seen, "state"), of(seen));
    if state == "done" {
        let leases = text(seen, "leases");
        session.output.line(&format!("Success! The credentials of {leases} leases are gone: {of}"));
        return;
    }
    session.output.line(&format!("Mass revocation {id} of {of} is {state}.\n{}", so_far(seen)));
    for (target, why) in troubles(seen) {
        session.output.line(&format!("{target}: {why}"));
    }
    let next = if state == "paused" { "resume" } else { "follow" };
    session.output.line(&format!("\nNext:\n    leasehold lease job {next} {id}"));
}

fn so_far(seen: &Value) -> String {
    match seen.get("leases").filter(|leases| !leases.is_null()) {
        None => "The leases are being counted.".to_owned(),
        Some(leases) => format!(
            "{} of {} gone, {} marked and still tried, {} not marked yet",
            text(seen, "gone"),
            plain(leases),
            text(seen, "tried"),
            text(seen, "waiting")
        ),
    }
}

fn troubles(seen: &Value) -> Vec<(String, String)> {
    let errors = seen.get("errors").and_then(Value::as_array).into_iter().flatten();
    errors.map(|one| (text(one, "target"), text(one, "error"))).collect()
}

/// Names what a mass revocation is of.
fn of(job: &Value) -> String {
    match job.get("target") {
        Some(target) => format!("the target {}", plain(target)),
        None => text(job, "prefix"),
    }
}

pub(super) fn text(of: &Value, name: &str) -> String {
    of.get(name).filter(|value| !value.is_null()).map(plain).unwrap_or_default()
}
