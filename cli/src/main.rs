//! `leasehold`: the server and the commands that talk to it, in one binary.
//!
//! The commands speak as Vault's do, flag for flag where both have them, so that fingers and
//! scripts need not learn anew. A command is parsed (`arguments`, `commands`), finds its server
//! (`connection`), asks it (`client`), and shows the answer (`answer`, `output`) or says what went
//! wrong and what to try (`failure`).

#![expect(
    clippy::doc_markdown,
    reason = "the flags' comments are the help that people read at a terminal"
)]

mod answer;
mod arguments;
mod client;
mod commands;
mod connection;
mod data;
mod duration;
mod environment;
mod failure;
mod output;
mod progress;
mod prompt;
mod token_file;
mod yaml;

use environment::Environment;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Whoever opens a TLS connection first would otherwise choose for all.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut output = Output::of_process();
    let exit = commands::run(std::env::args_os(), &Environment::of_process(), &mut output);
    ExitCode::from(output.finish(exit))
}
