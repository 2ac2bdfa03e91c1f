//! Kills the real server again and again and judges what it leaves: `cargo xtask crash` runs this.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    reason = "a command for people; printing is what it is for"
)]

use clap::{Parser, ValueEnum};
use leasehold_integration_tests::crash::report::Report;
use leasehold_integration_tests::crash::{Plan, run};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask crash", bin_name = "cargo xtask crash")]
struct Arguments {
    /// How often to kill the server.
    #[arg(long, default_value_t = 500)]
    kills: usize,
    /// Draws the same blows as another run with this seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many callers there are.
    #[arg(long, default_value_t = 32)]
    callers: usize,
    /// How the summary is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How the summary is written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts: one object.
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan {
        kills: arguments.kills,
        seed: arguments.seed,
        callers: arguments.callers,
        longest: Duration::from_mins(1),
        strikes_target: true,
    };
    let report = run(&plan, progress).await;
    match arguments.format {
        Format::Text => println!("\n{report}"),
        Format::Json => println!("{:#}", report.json()),
    }
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Draws a bar at a terminal, and elsewhere writes a line now and then.
fn progress(report: &Report) {
    let (done, all) = (report.kills, report.plan.kills.max(1));
    let took = report.killing.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a guess at what is left")]
    let left = took / done.max(1) as f64 * (all - done.min(all)) as f64;
    let line = format!(
        "{done} of {all} kills, {took:.0} s, {left:.0} s left and then the end, {} issues, {} violations",
        report.count("issues acknowledged"),
        report.violations.len()
    );
    if std::io::stderr().is_terminal() {
        let full = done * 30 / all;
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(30 - full.min(30)));
        eprint!("\r\x1b[K{bar} {line}");
        let _ = std::io::stderr().flush();
        if done == all {
            eprintln!();
        }
    } else if done.is_multiple_of(25) || done == all {
        eprintln!("{line}");
    }
}
