//! `operator restore`: makes a store of a backup, while no server uses it.

use super::share;
use crate::commands::Session;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;
use leasehold_core::seal::shares::Share;
use leasehold_server::restore::{Options, Restored, restore};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  After the disk was replaced; the server is stopped, the configuration and the root key are back:
    leasehold operator restore -config=/etc/leasehold/leasehold.hcl /backup/leasehold-2026-11-22

  In the place of a store that is there, which is kept under another name:
    leasehold operator restore -config=/etc/leasehold/leasehold.hcl -force /backup/leasehold

  A copy for staging, which can touch nothing of the original:
    leasehold operator restore -config=staging.hcl -as-copy /backup/leasehold";

/// Restore a backup, on the machine of the server, while it is stopped
///
/// Makes the store that the configuration names of a backup. It takes the root key that belonged to the backup. When
/// the server starts it compares every target with the store by itself: what was lent since the backup is found, and
/// what was renewed since lives on. Tokens that were good then get one more term; one that was revoked since is good
/// again until it is revoked again. With -as-copy the store becomes another installation, without leases, with one new
/// token, and asks nothing of any target until `leasehold operator take-over`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::commands) struct Restore {
    /// The backup
    file: PathBuf,
    /// File or folder with the configuration of the server; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
    /// Take the place of a store that is there; it is kept under another name
    #[arg(long)]
    force: bool,
    /// Make another installation: no leases, no tokens but one, no target asked until it is taken over
    #[arg(long)]
    as_copy: bool,
    /// Where people hold the key of the store: a share of it, or `@FILE`; give it as often as shares are needed
    /// [default: they are asked for]
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
}

impl Restore {
    pub(in crate::commands) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let options = Options {
            config: self.config,
            backup: self.file,
            force: self.force,
            as_copy: self.as_copy,
        };
        let mut given = self.keys.into_iter();
        let mut ask = || {
            let text =
                share::read(given.next().as_deref()).map_err(|failure| failure.to_string())?;
            Share::parse(&text).map_err(|error| error.to_string())
        };
        let mut progress = Progress::begin()?;
        let output = &mut *session.output;
        let mut told = |records, bytes| progress.at(records, bytes, output);
        let outcome = restore(&options, &mut ask, &mut told);
        progress.end(session.output);
        let restored = outcome.map_err(|error| {
            Failure::Local(format!("Error restoring, the store is as it was: {error}"))
        })?;
        show(&restored, session);
        Ok(Exit::Done)
    }
}

fn show(restored: &Restored, session: &mut Session<'_>) {
    let Restored { installation, records, prepared, .. } = restored;
    let taken_at = restored.taken_at.rfc3339();
    session.output.line(&format!(
        "Success! Restored {records} records of {taken_at}, installation {installation}"
    ));
    if let Some(before) = &restored.before {
        session.output.line(&format!(
            "The store that was there is kept as: {}\nRemove it once all is well.",
            before.display()
        ));
    }
    if let Some(root) = &restored.root {
        session.output.line(&format!("\nInitial Root Token: {}", root.reveal()));
        session.output.line(&format!(
            "\nThis copy is an installation of its own. The token above is shown this once and kept nowhere; no other\n\
             is good here. Nothing is asked of its {} until you have pointed each where it belongs and run\n    \
             leasehold operator take-over MOUNT/TARGET",
            counted(prepared.targets, "target")
        ));
        return;
    }
    session.output.line(&format!(
        "\n{} compared with the store when the server starts: until then nothing lapses there.\n\
         {} one more term. Tokens that were revoked after the backup are good again.\n\n\
         Next:\n    leasehold server -config=…\n    leasehold operator restore-status",
        agreeing(prepared.targets, "target", ["is", "are"]),
        agreeing(prepared.tokens, "token", ["has", "have"])
    ));
}

/// Writes how many there are: `1 target`, `2 targets`.
fn counted(number: usize, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

/// The same with a verb that goes with one, or with another number.
fn agreeing(number: usize, what: &str, [one, more]: [&str; 2]) -> String {
    let verb = if number == 1 { one } else { more };
    format!("{} {verb}", counted(number, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_as_one() {
        for (number, told) in [(0, "0 targets are"), (1, "1 target is"), (2, "2 targets are")] {
            assert_eq!(agreeing(number, "target", ["is", "are"]), told);
        }
    }
}
