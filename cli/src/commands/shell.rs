//! `completions` and `man`: what a shell and a manual know, from the definitions of the commands.

use super::{Cli, Session};
use crate::failure::{Exit, Failure};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::io;
use std::path::{Path, PathBuf};

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  For bash, in ~/.bashrc:
    source <(leasehold completions bash)

  For zsh, into a folder of $fpath:
    leasehold completions zsh > ~/.zfunc/_leasehold

  For fish:
    leasehold completions fish > ~/.config/fish/completions/leasehold.fish";

/// Shells that completions are written for.
#[derive(Clone, Copy, clap::ValueEnum)]
enum KnownShell {
    Bash,
    Zsh,
    Fish,
}

/// Print what a shell needs to complete commands and flags
///
/// Completed flags have two dashes, which mean the same as one.
#[derive(clap::Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(super) struct Completions {
    /// Shell to complete in: bash, zsh or fish
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: KnownShell,
}

impl Completions {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Exit {
        let shell = match self.shell {
            KnownShell::Bash => Shell::Bash,
            KnownShell::Zsh => Shell::Zsh,
            KnownShell::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "leasehold", &mut script);
        session.output.text(&String::from_utf8_lossy(&script));
        Exit::Done
    }
}

const MAN_EXAMPLES: &str = "\
Examples:
  leasehold man /usr/local/share/man/man1
  man leasehold-lease-renew";

/// Write man pages, one for each command
///
/// For packagers: the pages say what -help says.
#[derive(clap::Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(super) struct ManPages {
    /// Folder to write to; made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl ManPages {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        let written = std::fs::create_dir_all(&self.folder)
            .and_then(|()| write_pages(&root, &self.folder))
            .map_err(|error| {
                let folder = self.folder.display();
                Failure::Local(format!("the folder `{folder}` cannot be written to: {error}"))
            })?;
        let folder = self.folder.display();
        session.output.line(&format!("Success! Wrote {written} man pages to: {folder}"));
        Ok(Exit::Done)
    }
}

/// Writes the page of a command and those of its subcommands, and returns how many.
fn write_pages(command: &Command, folder: &Path) -> io::Result<usize> {
    let mut written: usize = 1;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    std::fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    for subcommand in command.get_subcommands().filter(|known| !known.is_hide_set()) {
        written = written.saturating_add(write_pages(subcommand, folder)?);
    }
    Ok(written)
}

fn page(command: &Command) -> io::Result<String> {
    let examples = command.get_after_help().map(ToString::to_string);
    // The generator would fill the lines of the examples, so they are left to us.
    let bare = command.clone().after_help(None::<&str>);
    let source = concat!("Leasehold ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(bare).source(source).manual("Leasehold");
    let mut text = Vec::new();
    man.render(&mut text)?;
    if let Some(examples) = examples {
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        for line in examples.trim_start_matches("Examples:").trim_matches('\n').lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.to_writer(&mut text)?;
    }
    Ok(with_single_dashes(&String::from_utf8_lossy(&text)))
}

/// Writes flags as the help does: with one dash, which the format of man pages escapes.
fn with_single_dashes(text: &str) -> String {
    let mut single = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\-\\-") {
        single.push_str(before);
        let flag = after.starts_with(|c: char| c.is_ascii_lowercase());
        single.push_str(if flag { "\\-" } else { "\\-\\-" });
        rest = after;
    }
    single.push_str(rest);
    single
}
