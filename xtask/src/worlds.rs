//! `cargo xtask worlds`: seeded worlds by the thousand, until somebody believes in the laws or has broken one.

use crate::commands::{cargo, run as show_and_run};
use crate::failure::Failure;
use clap::{Args, ValueEnum};

/// What of worlds is run.
#[derive(Debug, Args)]
pub(crate) struct Worlds {
    /// How many worlds: 5,000,000 are a night.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// The seed of the first; the others follow it. With `--count 1` the story of the world is told.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A known flaw that the worlds are to have: it should be caught. A wrong name lists all there are.
    #[arg(long)]
    flaw: Option<String>,
    /// Only crowded worlds, of which there is otherwise one in a thousand.
    #[arg(long)]
    crowded: bool,
    /// How the summary is written: `text` for people, or `json` for scripts.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How a summary is written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts: one object.
    Json,
}

impl Format {
    /// Returns what it is called on a command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Builds for release and runs them on all cores.
pub(crate) fn run(wanted: &Worlds) -> Result<(), Failure> {
    let (count, seed) = (wanted.count.to_string(), wanted.seed.to_string());
    let mut arguments = vec!["run", "--release", "--locked", "--quiet"];
    arguments.extend(["--package", "leasehold-integration-tests", "--example", "worlds", "--"]);
    arguments.extend(["--count", &count, "--seed", &seed, "--format", wanted.format.name()]);
    if wanted.crowded {
        arguments.push("--crowded");
    }
    if let Some(flaw) = &wanted.flaw {
        arguments.extend(["--flaw", flaw]);
    }
    show_and_run(cargo(&arguments))
}
