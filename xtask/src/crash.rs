//! `cargo xtask crash`: kills the real server again and again and judges what it leaves.

use crate::commands::{cargo, run as show_and_run};
use crate::failure::Failure;
use crate::packages;
use crate::worlds::Format;
use clap::Args;

/// How it is killed.
#[derive(Debug, Args)]
pub(crate) struct Crash {
    /// How often to kill it: 500 take about ten minutes, 20,000 a night.
    #[arg(long, default_value_t = 500)]
    kills: u32,
    /// Draws the same blows as another run with this seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many callers there are.
    #[arg(long, default_value_t = 32)]
    callers: u32,
    /// How the summary is written: `text` for people, or `json` for scripts.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Builds both builds of the server and the harness, and lets it strike.
pub(crate) fn run(wanted: &Crash) -> Result<(), Failure> {
    packages::postgres()?;
    let Crash { kills, seed, callers, format } = wanted;
    let (kills, seed, callers) = (kills.to_string(), seed.to_string(), callers.to_string());
    let mut harness =
        vec!["run", "--locked", "--quiet", "--package", "leasehold-integration-tests"];
    harness.extend(["--example", "crash", "--", "--kills", &kills, "--seed", &seed]);
    harness.extend(["--callers", &callers, "--format", format.name()]);
    show_and_run(cargo(&harness))
}
