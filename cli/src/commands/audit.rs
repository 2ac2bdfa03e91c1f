//! `audit`: what is done with the record of an audit device, away from the server.

use super::{Format, FormatFlags, Session};
use crate::answer::plain;
use crate::client::{Client, Request};
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use crate::progress::{Progress, megabytes};
use leasehold_core::audit::verify::{Report, Verifier};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line that is read whole, in bytes. No record has one nearly as long.
const LINE_MAX: u64 = 64 << 20;
/// Lines between two looks at the clock.
const LOOK_EVERY: u64 = 1024;

/// List audit devices, and check their records
///
/// What a server has recorded can be checked without it: lines are numbered, each names the hash of the one before,
/// and some are signed.
#[derive(clap::Subcommand)]
pub(super) enum Audit {
    List(List),
    Verify(Verify),
    PublicKey(PublicKey),
    RotateKeys(RotateKeys),
}

impl Audit {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::List(list) => list.run(session),
            Self::Verify(verify) => verify.run(session),
            Self::PublicKey(key) => key.run(session),
            Self::RotateKeys(rotate) => rotate.run(session),
        }
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  leasehold audit list

  With the numbers and keys of their records:
    leasehold audit list -format=json";

/// List the audit devices
///
/// They are declared in the configuration of the server. Needs `sudo` on sys/audit.
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
        let answer =
            client.send(Request::get("sys/audit")).doing(|| "listing audit devices".to_owned())?;
        if format != Format::Table {
            answer.show(format, session.output);
            return Ok(Exit::Done);
        }
        answer.warn(session.output);
        let devices =
            answer.data().and_then(Value::as_object).filter(|devices| !devices.is_empty());
        let Some(devices) = devices else {
            session.output.remark("No audit devices are enabled.");
            return Ok(Exit::Done);
        };
        let shown = |device: &Value, name: &str| device.get(name).map(plain).unwrap_or_default();
        let row = |(path, device): (&String, &Value)| {
            vec![path.clone(), shown(device, "type"), shown(device, "description")]
        };
        let rows: Vec<_> = devices.iter().map(row).collect();
        session.output.table(&["Path", "Type", "Description"], &rows);
        Ok(Exit::Done)
    }
}

const KEY_EXAMPLES: &str = "\
Examples:
  leasehold audit public-key

  Keep it where whoever can write to the record cannot:
    leasehold audit public-key main > audit.pub
    leasehold audit verify -public-key=@audit.pub audit.log";

/// Show the public keys that the records of audit devices are checked with
///
/// Of one device the key alone, for a file; of all devices each with its name. Needs `sudo` on sys/audit.
#[derive(clap::Args)]
#[command(after_help = KEY_EXAMPLES)]
pub(super) struct PublicKey {
    /// Name of the device; all of them without it
    name: Option<String>,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl PublicKey {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let mut keys = public_keys(&client)?;
        if let Some(name) = &self.name {
            keys.retain(|device, _| device == name);
            if keys.is_empty() {
                return Err(Failure::Local(format!(
                    "there is no audit device `{name}`; `leasehold read sys/audit` lists those there are"
                )));
            }
        }
        match format {
            Format::Table => {
                for (device, key) in &keys {
                    let alone = self.name.is_some();
                    session.output.line(&if alone {
                        key.clone()
                    } else {
                        format!("{device}  {key}")
                    });
                }
            }
            Format::Json | Format::Raw => session.output.json(&keys),
            Format::Yaml => session.output.yaml(&keys),
        }
        Ok(Exit::Done)
    }
}

/// Returns the public key of each audit device of a server.
pub(super) fn public_keys(client: &Client) -> Result<BTreeMap<String, String>, Failure> {
    let answer = client
        .send(Request::get("sys/audit"))
        .doing(|| "reading the public keys of the audit devices".to_owned())?;
    let devices = answer.data().and_then(Value::as_object).into_iter().flatten();
    let key = |(device, shown): (&String, &Value)| {
        let key = shown.get("public_key")?.as_str()?;
        Some((device.trim_end_matches('/').to_owned(), key.to_owned()))
    };
    Ok(devices.filter_map(key).collect())
}

const ROTATE_EXAMPLES: &str = "\
Examples:
  leasehold audit rotate-keys main

  Keep what checks the record, of all versions:
    leasehold read -format=json sys/audit | jq -r '.data[\"main/\"].public_keys[]'";

/// Draw other keys for an audit device
///
/// One key hides texts in its record, one signs it. Others take over when the server starts next, or its store is
/// unsealed: from then on the same text has another hash, and lines name the next version. `audit verify` takes the
/// public keys of all versions that a record has, each as a -public-key.
#[derive(clap::Args)]
#[command(after_help = ROTATE_EXAMPLES)]
pub(super) struct RotateKeys {
    /// Name of the device
    name: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl RotateKeys {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let client = session.client(self.connection)?;
        let path = format!("sys/audit-keys/{}", self.name);
        let answer = client
            .send(Request::put(&path, json!({})))
            .doing(|| format!("drawing keys for the audit device {}", self.name))?;
        if format != Format::Table {
            answer.show(format, session.output);
            return Ok(Exit::Done);
        }
        let shown = |name: &str| {
            answer.data().and_then(|data| data.get(name)).map(plain).unwrap_or_default()
        };
        let (version, key) = (shown("version"), shown("public_key"));
        session.output.line(&format!(
            "Success! Version {version} of the keys takes over when the store is opened next."
        ));
        session.output.line(&format!("Its public key is {key}"));
        Ok(Exit::Done)
    }
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  Check a record with what was moved away from it, oldest first:
    leasehold audit verify -public-key=@audit.pub audit.log.2 audit.log.1 audit.log

  See whether the end is still there, by what the server has kept of it:
    leasehold read -format=json sys/audit | jq -r '.data[\"main/\"].chain | \"\\(.number):\\(.hash)\"'
    leasehold audit verify -public-key=@audit.pub -reaches=48213:1f0c… audit.log

  Go on where the last check ended, as it has told:
    leasehold audit verify -public-key=@audit.pub -after=48213:1f0c… audit.log

  For a script (exit code 0: sound, 2: not):
    leasehold audit verify -format=json -public-key=@audit.pub audit.log | jq .findings";

/// Find lines of a record that were removed, changed, added or moved
///
/// Needs nothing but the files and the public key of the device, which the server logs when it starts and shows at
/// sys/audit: keep the key where who can write to the record cannot. Give files that were moved away together, in
/// their order: a record whose beginning is not given is a fault, unless -after says what was checked before. Faults are
/// what somebody must have had a hand in; lines that the device itself has missed, and lines that a crash cut off, are
/// told apart from them. A record is sound up to the last line that is signed: one is each second in which some are
/// written. Later ones could be anybody's, and more of them than a server writes in that time are a fault. Lines that
/// were cut off at the end leave no trace: they are missed only with -reaches. Exit code 0 if there is no fault, 2 if
/// there is, 1 if a file cannot be read.
#[derive(clap::Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub(super) struct Verify {
    /// Files of the record, oldest first; `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Public key of the device, as it stands or as `@file` with what `audit public-key` shows; several times if it has changed
    #[arg(long, required = true, value_name = "KEY")]
    public_key: Vec<String>,
    /// Line that the record must reach: `NUMBER:HASH`, or the number alone of one that is signed by now
    #[arg(long, value_name = "LINE")]
    reaches: Option<String>,
    /// Last line that was checked before, if the record does not begin with its first: `NUMBER:HASH`, or its number
    #[arg(long, value_name = "LINE")]
    after: Option<String>,
    #[command(flatten)]
    format: FormatFlags,
}

impl Verify {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let texts = self.public_key.iter().map(|key| super::text_of(key));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let keys = keys_of_one_device(&texts)?;
        let local = |error: &dyn std::fmt::Display| Failure::Local(error.to_string());
        let mut verifier = Verifier::new(keys).map_err(|error| local(&error))?;
        if let Some(end) = &self.reaches {
            verifier.reaches(end).map_err(|error| local(&error))?;
        }
        if let Some(last) = &self.after {
            verifier.follows(last).map_err(|error| local(&error))?;
        }
        let mut progress = Progress::begin()?;
        let mut bytes = 0_u64;
        for path in &self.files {
            let read = read(path, &mut verifier, |lines, more| {
                progress.at(lines, more.saturating_add(bytes), session.output);
            });
            let read = read.map_err(|error| {
                Failure::Local(format!("cannot read `{}`: {error}", path.display()))
            });
            if read.is_err() {
                progress.end(session.output);
            }
            bytes = bytes.saturating_add(read?);
        }
        progress.end(session.output);
        let report = verifier.finish();
        match format {
            Format::Table => show(&report, bytes, self.reaches.is_some(), session),
            Format::Json | Format::Raw => session.output.json(&report),
            Format::Yaml => session.output.yaml(&report),
        }
        Ok(if report.is_sound() { Exit::Done } else { Exit::Server })
    }
}

/// Reads public keys, each on a line, alone or behind the name of its device. Those of two devices are refused: the record
/// of one would pass for that of the other.
fn keys_of_one_device(texts: &[String]) -> Result<Vec<&str>, Failure> {
    let lines = texts.iter().flat_map(|text| text.lines()).map(str::trim);
    let mut keys = Vec::new();
    let mut devices = BTreeSet::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (device, key) = line.rsplit_once(char::is_whitespace).unwrap_or(("", line));
        if !device.is_empty() {
            devices.insert(device.trim_end());
        }
        keys.push(key);
    }
    if devices.len() > 1 {
        let devices = devices.into_iter().collect::<Vec<_>>().join("`, `");
        return Err(Failure::Local(format!(
            "these are public keys of several devices, `{devices}`: give that of the record's own, as \
             `leasehold audit public-key NAME` shows it"
        )));
    }
    Ok(keys)
}

/// Gives all lines of a file to the verifier; returns its length.
fn read(path: &Path, verifier: &mut Verifier, mut so_far: impl FnMut(u64, u64)) -> io::Result<u64> {
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut source = BufReader::with_capacity(1 << 20, source);
    verifier.file(&path.display().to_string());
    let (mut bytes, mut lines, mut torn) = (0_u64, 0_u64, false);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = source.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
        if length == 0 {
            if torn {
                verifier.ends_torn();
            }
            return Ok(bytes);
        }
        torn = line.pop_if(|last| *last == b'\n').is_none();
        verifier.line(&line);
        bytes = bytes.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        lines = lines.saturating_add(1);
        if lines.is_multiple_of(LOOK_EVERY) {
            so_far(lines, bytes);
        }
    }
}

fn show(report: &Report, bytes: u64, knows_end: bool, session: &mut Session<'_>) {
    let Report { lines, first, last, signed_to, proven_to, unsigned, faults, findings } = report;
    let output = &mut *session.output;
    for finding in findings {
        let kind = serde_json::to_value(finding.kind).unwrap_or_default();
        let kind = kind.as_str().unwrap_or_default();
        let weight = if finding.fault { "FAULT " } else { "notice" };
        let (file, line) = (&finding.place.file, finding.place.line);
        output.line(&format!("{weight}  {file}:{line}: {kind}: {}", finding.message));
    }
    let size = megabytes(bytes);
    if let (Some(first), Some(last)) = (first, last) {
        let number = last.number;
        output.line(&format!(
            "{lines} lines ({size}), numbered {first} to {number}; signed up to {signed_to}."
        ));
    } else {
        output.line(&format!("{lines} lines ({size}), and none of them is of a chain."));
    }
    if let Some(proven) = proven_to {
        let which = if proven.number == *signed_to { "signed" } else { "known by its hash" };
        let (number, hash) = (proven.number, proven.hash.text());
        output.line(&format!("The last one that is {which}: {number}:{hash}"));
    }
    let sound = proven_to.map(|proven| format!("The record is sound up to line {}", proven.number));
    output.line(&match (faults, sound) {
        (0, None) => "There is nothing to check.".to_owned(),
        (0, Some(sound)) if knows_end => format!("{sound}, and reaches as far as it must."),
        (0, Some(sound)) => format!(
            "{sound}. Whether it went on is not known: lines that are cut off at the end leave no trace in it. \
             -reaches=NUMBER:HASH finds out, with what the server has kept of its end: `chain` of \
             `leasehold read sys/audit`."
        ),
        (1, _) => "The record is NOT sound: there is 1 fault.".to_owned(),
        (more, _) => format!("The record is NOT sound: there are {more} faults."),
    });
    if *faults == 0 && *unsigned > 0 {
        output.line(&format!(
            "That is not said of {unsigned} lines that nothing signs: see the notices."
        ));
    }
}
