//! The commands, what they have in common, and how one of them is found and run.

mod abandon;
mod audit;
mod auth;
mod lease;
mod login;
mod mounts;
mod operator;
mod path_help;
mod policy;
mod reconcile;
mod rehearse;
mod secrets;
mod serve;
mod shell;
mod status;
mod token;
mod unwrap;
mod values;
mod whois;

use crate::answer::Answer;
use crate::arguments;
use crate::client::Client;
use crate::connection::ConnectionFlags;
use crate::data;
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;

/// The list of commands, in groups, which the parser cannot make by itself.
const OVERVIEW: &str = "\
{about}

Usage: leasehold <command> [flags] [arguments]

Credentials and other values:
  read      Read a path; reading `database/creds/ROLE` creates a credential on a lease
  write     Write values to a path: configuration, roles
  list      List the keys under a path
  delete    Delete what is at a path
  unwrap    Take an answer out of its wrapping token, once

Leases:
  lease     Look up, list, renew and revoke leases

Tokens and policies:
  login     Log in by token, name and password, or role, and keep the token for later commands
  token     Create, look up, renew and revoke tokens, and tell what they may do
  policy    Read, write, explain and test what tokens may do

Setting up:
  secrets   Mount, tune, unmount and list secrets engines
  auth      Mount, tune, unmount and list auth methods
  operator  Initialize, back up and restore a server, see to its clock
  audit     List audit devices, and check their records
  reconcile Compare a target with the leases, and repair what differs
  abandon   Say that a target is gone for ever, and end its leases
  rehearse  Show whether a role works: issue, log in, revoke, and see that it is dead
  path-help Tell what a path of the server is for
  whois     Tell whose a user name, a lease or a token is

The server:
  server    Run a server; `leasehold server -dev` runs one to try things with
  status    Show whether the server is initialized and unsealed
  version   Show the version

This program:
  completions  Print what bash, zsh or fish needs to complete commands
  man          Write man pages

`leasehold <command> -help` explains a command and its flags and shows examples.

Environment (each VAULT_… variable is honored too; where both are set, LEASEHOLD_… wins):
  LEASEHOLD_ADDR   where the server listens [default: https://127.0.0.1:8200]
  LEASEHOLD_TOKEN  the token to act with [default: the content of ~/.leasehold-token, which
                   `leasehold login` writes, or else of ~/.vault-token]
  LEASEHOLD_FORMAT form of results: table, json, yaml or raw [default: table]
  NO_COLOR         show help and errors without colors
";

/// Leasehold lends credentials: made when asked for, renewed while needed, gone with the lease.
#[derive(Parser)]
#[command(
    name = "leasehold",
    bin_name = "leasehold",
    disable_version_flag = true,
    args_override_self = true,
    help_template = OVERVIEW,
    max_term_width = 100
)]
struct Cli {
    /// Show the version
    #[arg(short = 'v', short_alias = 'V', long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Read(values::Read),
    Write(values::Write),
    List(values::List),
    Delete(values::Delete),
    Unwrap(unwrap::Unwrap),
    #[command(subcommand)]
    Lease(lease::Lease),
    Login(login::Login),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    #[command(subcommand)]
    Auth(auth::Auth),
    #[command(subcommand)]
    Operator(operator::Operator),
    #[command(subcommand)]
    Audit(audit::Audit),
    Reconcile(reconcile::Reconcile),
    Abandon(abandon::Abandon),
    Rehearse(rehearse::Rehearse),
    PathHelp(path_help::PathHelp),
    Whois(whois::Whois),
    Server(serve::Server),
    Status(status::Status),
    /// Show the version
    Version,
    Completions(shell::Completions),
    Man(shell::ManPages),
}

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Columns, for people.
    Table,
    /// What the server said, for programs.
    Json,
    /// The same as YAML.
    Yaml,
    /// The body of the answer, letter for letter.
    Raw,
}

/// How a result is shown.
#[derive(clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct FormatFlags {
    /// Form of the result: table, json, yaml, or raw for the server's answer letter for letter
    /// [env: LEASEHOLD_FORMAT, VAULT_FORMAT] [default: table]
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    format: Option<Format>,
}

/// Shows one field of a result instead of all.
#[derive(clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct FieldFlags {
    /// Show only the value of this field, bare, and without a newline unless at a terminal
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
    #[command(flatten)]
    format: FormatFlags,
}

impl FormatFlags {
    fn resolve(&self, environment: &Environment) -> Result<Format, Failure> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let names = ["LEASEHOLD_FORMAT", "VAULT_FORMAT"];
        let set = environment.first(&names).map_err(|error| Failure::Local(error.to_string()))?;
        set.map_or(Ok(Format::Table), |(name, value)| {
            parse_format(&value).map_err(|error| Failure::Local(format!("`{name}`: {error}")))
        })
    }
}

impl FieldFlags {
    /// Shows an answer as the flags want it.
    fn show(self, answer: &Answer, session: &mut Session<'_>) -> Result<(), Failure> {
        let format = self.format.resolve(session.environment)?;
        if let Some(field) = self.field {
            return answer.show_field(&field, format, session.output);
        }
        answer.show(format, session.output);
        Ok(())
    }
}

fn parse_format(text: &str) -> Result<Format, String> {
    match text.to_ascii_lowercase().as_str() {
        "table" => Ok(Format::Table),
        "json" => Ok(Format::Json),
        "yaml" | "yml" => Ok(Format::Yaml),
        "raw" => Ok(Format::Raw),
        "pretty" => Err("the format `pretty` is not offered; take `json`".to_owned()),
        _ => Err("a format is `table`, `json`, `yaml` or `raw`".to_owned()),
    }
}

/// Reads a value that an argument gives: as it stands, `@file`, or `-` for standard input.
fn text_of(argument: &str) -> Result<String, Failure> {
    data::parse_text(argument, &mut std::io::stdin().lock())
        .map_err(|error| Failure::Local(error.to_string()))
}

/// What a running command has at hand.
pub(crate) struct Session<'a> {
    environment: &'a Environment,
    output: &'a mut Output,
}

impl Session<'_> {
    fn client(&self, flags: ConnectionFlags) -> Result<Client, Failure> {
        let connection =
            flags.resolve(self.environment).map_err(|error| Failure::Local(error.to_string()))?;
        Client::new(connection).map_err(|error| Failure::Local(error.to_string()))
    }

    /// Says that something was done, which programs learn from the exit code.
    fn success(&mut self, format: Format, text: &str) {
        if format == Format::Table {
            self.output.line(text);
        }
    }
}

/// Runs the command that the arguments name and returns how it ended.
pub(crate) fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    output: &mut Output,
) -> Exit {
    let mut root = Cli::command();
    root.build();
    let arguments = arguments::normalize(&root, arguments);
    let parsed = root.try_get_matches_from_mut(arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return explain(&error, output),
    };
    let mut session = Session { environment, output };
    let result = match cli.command {
        None if cli.version => Ok(version(session.output)),
        None => {
            session.output.help(&root.render_help(), true);
            return Exit::Local;
        }
        Some(command) => command.run(&mut session),
    };
    result.unwrap_or_else(|failure| {
        output.remark(&failure.to_string());
        failure.exit()
    })
}

impl Command {
    fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Read(read) => read.run(session),
            Self::Write(write) => write.run(session),
            Self::List(list) => list.run(session),
            Self::Delete(delete) => delete.run(session),
            Self::Unwrap(unwrap) => unwrap.run(session),
            Self::Lease(lease) => lease.run(session),
            Self::Login(login) => login.run(session),
            Self::Token(token) => token.run(session),
            Self::Policy(policy) => policy.run(session),
            Self::Secrets(secrets) => secrets.run(session),
            Self::Auth(auth) => auth.run(session),
            Self::Operator(operator) => operator.run(session),
            Self::Audit(audit) => audit.run(session),
            Self::Reconcile(reconcile) => reconcile.run(session),
            Self::Abandon(abandon) => abandon.run(session),
            Self::Rehearse(rehearse) => rehearse.run(session),
            Self::PathHelp(help) => help.run(session),
            Self::Whois(whois) => whois.run(session),
            Self::Server(server) => server.run(session),
            Self::Status(status) => status.run(session),
            Self::Version => Ok(version(session.output)),
            Self::Completions(completions) => Ok(completions.run(session)),
            Self::Man(pages) => pages.run(session),
        }
    }
}

/// Shows a help that was asked for, or says what is wrong with the arguments.
fn explain(error: &clap::Error, output: &mut Output) -> Exit {
    let kind = error.kind();
    let asked_for = matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let missing = matches!(kind, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    output.help(&error.render(), asked_for || missing);
    if asked_for { Exit::Done } else { Exit::Local }
}

fn version(output: &mut Output) -> Exit {
    output.line(concat!("Leasehold v", env!("CARGO_PKG_VERSION")));
    Exit::Done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_of_the_commands_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_usage_names_the_command_as_it_is_known_and_not_the_path_it_was_called_by() {
        let typed = ["/tmp/another-name", "server", "--nope"];
        let refused = Cli::command().try_get_matches_from(typed).unwrap_err().to_string();
        assert!(refused.contains("Usage: leasehold server"), "{refused}");
    }

    #[test]
    fn the_overview_names_every_command() {
        for command in Cli::command().get_subcommands() {
            let line = format!("\n  {} ", command.get_name());
            assert!(OVERVIEW.contains(&line), "{}", command.get_name());
        }
    }

    #[test]
    fn every_command_teaches_with_a_paragraph_and_examples() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            if command.has_subcommands() {
                command.get_subcommands().for_each(check);
            } else if command.get_name() != "version" {
                assert!(command.get_long_about().is_some(), "{}", command.get_name());
                let examples = command.get_after_help().map(ToString::to_string);
                assert!(
                    examples.unwrap_or_default().contains("Examples:"),
                    "{}",
                    command.get_name()
                );
            }
        }
        Cli::command().get_subcommands().for_each(check);
    }
}
