//! Kills the real server again and again and judges what it leaves: `cargo xtask crash` runs this.

#![expect(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    reason = "a command for people; printing is what it is for"
)]

use leasehold_integration_tests::crash::report::Report;
use leasehold_integration_tests::crash::{Plan, run};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

#[tokio::main]
async fn main() -> ExitCode {
    let plan = Plan {
        kills: setting("KILLS", 500),
        seed: setting("SEED", 1),
        callers: setting("CALLERS", 32),
        longest: Duration::from_mins(1),
        strikes_target: true,
    };
    let report = run(&plan, progress).await;
    println!("\n\n{report}");
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads a number from the environment, where the task that runs this puts it.
fn setting<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    let found = std::env::var(format!("LEASEHOLD_CRASH_{name}"));
    found.ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Draws a bar at a terminal, and elsewhere writes a line now and then.
fn progress(report: &Report) {
    let (done, all) = (report.kills, report.plan.kills.max(1));
    let line = format!(
        "{done}/{all} kills, {:.0} s, {} issues acknowledged, {} violations",
        report.killing.as_secs_f64(),
        report.count("issues acknowledged"),
        report.violations.len()
    );
    if std::io::stdout().is_terminal() {
        let full = done * 30 / all;
        print!("\r[{:-<30}] {line} ", "#".repeat(full));
        let _ = std::io::stdout().flush();
    } else if done.is_multiple_of(25) || done == all {
        println!("{line}");
    }
}
