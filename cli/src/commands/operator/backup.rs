//! `operator backup`: fetches a backup from a running server into a file.

use crate::client::{Fetched, RequestError};
use crate::commands::Session;
use crate::connection::ConnectionFlags;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::progress::{Progress, megabytes};
use leasehold_core::backup::Decoder;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  Every night, from cron:
    leasehold operator backup /backup/leasehold-$(date +%F)

  In the place of an earlier one:
    leasehold operator backup -force /backup/leasehold

  To another machine:
    leasehold operator backup - | ssh backup@store.example 'cat > leasehold-backup'";

/// Take a backup of a running server
///
/// Fetches everything in the store as it is at one moment, while the server goes on. What is secret in it stays
/// sealed: to restore it takes the root key as well, so keep that in another place. The file is there once it is
/// whole, and only its owner may read it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::commands) struct Backup {
    /// File to write; `-` for standard output
    file: PathBuf,
    /// Replace the file if there is one
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: ConnectionFlags,
}

/// Where the bytes go.
enum Sink {
    Output,
    File { file: File, part: PathBuf, path: PathBuf },
}

impl Backup {
    pub(in crate::commands) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let mut sink = Sink::open(&self.file, self.force)?;
        let outcome = self.fetch(&mut sink, session);
        let (records, bytes) = match outcome {
            Ok(done) => done,
            Err(failure) => {
                sink.discard();
                return Err(failure);
            }
        };
        let name = sink.finish().map_err(|error| cannot_write(&self.file, &error))?;
        let told =
            format!("Success! Backed up {records} records ({}) to: {name}", megabytes(bytes));
        match name.as_str() {
            "standard output" => session.output.remark(&told),
            _ => session.output.line(&told),
        }
        Ok(Exit::Done)
    }

    /// Fetches into the sink, and makes sure that the backup has come whole.
    fn fetch(&self, sink: &mut Sink, session: &mut Session<'_>) -> Result<(u64, u64), Failure> {
        let client = session.client(self.connection.clone())?;
        let mut progress = Progress::begin()?;
        let mut decoder = Decoder::new(None);
        let mut bytes = 0_u64;
        let output: &mut Output = session.output;
        let outcome = client.fetch("sys/storage/backup", |part| {
            decoder.feed(part).map_err(|error| Failure::Local(bad_backup(&error)))?;
            sink.write(part).map_err(|error| cannot_write(&self.file, &error))?;
            bytes = bytes.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
            progress.at(decoder.count(), bytes, output);
            Ok(())
        });
        progress.end(output);
        match outcome {
            Fetched::Whole => {}
            Fetched::Stopped(failure) => return Err(failure),
            Fetched::Failed(error) => return Err(request_failed(error)),
        }
        let (_, records) = decoder.end().map_err(|error| Failure::Local(bad_backup(&error)))?;
        Ok((records, bytes))
    }
}

fn request_failed(error: RequestError) -> Failure {
    Failure::Request { doing: "taking a backup".to_owned(), error }
}

fn bad_backup(error: &leasehold_core::backup::BackupFileError) -> String {
    format!("Error taking a backup: what the server sent is not a whole backup: {error}")
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Local(format!(
        "Error taking a backup: `{}` cannot be written: {error}",
        path.display()
    ))
}

impl Sink {
    fn open(path: &Path, force: bool) -> Result<Self, Failure> {
        if path == Path::new("-") {
            if io::stdout().is_terminal() {
                return Err(Failure::Local(
                    "A backup is not for reading: name a file, or send the output to another command"
                        .to_owned(),
                ));
            }
            return Ok(Self::Output);
        }
        if !force && path.exists() {
            return Err(Failure::Local(format!(
                "The file `{}` exists: name another one, or replace it with -force",
                path.display()
            )));
        }
        let part = beside(path);
        let opened = || -> io::Result<File> {
            match fs::remove_file(&part) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)
        };
        let file = opened().map_err(|error| cannot_write(&part, &error))?;
        Ok(Self::File { file, part, path: path.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Output => io::stdout().write_all(bytes),
            Self::File { file, .. } => file.write_all(bytes),
        }
    }

    /// Makes what was written durable and gives it its name; says where it went.
    fn finish(self) -> io::Result<String> {
        let Self::File { file, part, path } = self else {
            io::stdout().flush()?;
            return Ok("standard output".to_owned());
        };
        let named = || {
            file.sync_all()?;
            fs::rename(&part, &path)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        named().inspect_err(|_| drop(fs::remove_file(&part)))?;
        Ok(path.display().to_string())
    }

    /// Leaves nothing behind of a backup that is not whole.
    fn discard(self) {
        if let Self::File { part, .. } = self {
            // What cannot be removed is replaced by the next one.
            let _ = fs::remove_file(part);
        }
    }
}

/// Names the file while it is being written.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".part");
    name.into()
}
