//! What people and CI run: `cargo xtask demo` and `cargo xtask test`.
//!
//! Whatever these need is installed by them, after saying so; nothing else is asked of a newcomer than
//! a Rust toolchain and a C compiler.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are commands for people; printing is what they are for"
)]

mod bench;
mod commands;
mod crash;
mod demo;
mod failure;
mod packages;
mod scratch;
mod terminal;
mod test;
mod worlds;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Work on Leasehold.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show what Leasehold does, on a PostgreSQL server of its own that is gone afterwards.
    Demo {
        /// Leave everything running at the end, and say how to talk to it and how to stop it.
        #[arg(long)]
        keep: bool,
    },
    /// Measure issues and revocations through the release binary, beside the same SQL in a bare loop.
    Bench,
    /// Kill the real server under load, again and again, and judge what it leaves by what callers were told.
    Crash(crash::Crash),
    /// Run seeded worlds in which everything goes wrong that can, and judge them by the laws.
    Worlds(worlds::Worlds),
    /// Install what the tests need and run all of them; with CI=true the checks of CI as well.
    Test,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Demo { keep } => demo::run(keep),
        Task::Bench => bench::run(),
        Task::Crash(wanted) => crash::run(&wanted),
        Task::Worlds(wanted) => worlds::run(&wanted),
        Task::Test => test::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{} {failure}", terminal::red("failed:"));
            ExitCode::FAILURE
        }
    }
}
