//! How the story is put on the terminal.

use crate::commands::{output, quiet, shown};
use crate::failure::Failure;
use crate::terminal::{bold, dim, green, indented};
use std::process::Command;

/// Numbers the steps, shows commands and what they wrote, and stops at the first claim that is false.
#[derive(Debug, Default)]
pub(crate) struct Narration {
    steps: u32,
    /// What is not to be seen on the terminal.
    secrets: Vec<String>,
    /// Whose commands come with which token.
    callers: Vec<(String, &'static str)>,
}

impl Narration {
    /// Begins the next step.
    pub(crate) fn step(&mut self, title: &str) {
        self.steps = self.steps.saturating_add(1);
        println!("\n{}", bold(&format!("{}. {title}", self.steps)));
    }

    /// Says something.
    pub(crate) fn say(&self, text: &str) {
        println!("{}", indented(&self.masked(text)));
    }

    /// From here on this is shown as dots.
    pub(crate) fn hide(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// From here on commands that come with this token are those of somebody with a name. The token is shown as dots.
    pub(crate) fn introduce(&mut self, token: &str, name: &'static str) {
        self.hide(token);
        self.callers.push((token.to_owned(), name));
    }

    /// Shows a command as it would be typed, and by whom.
    pub(crate) fn show_command(&self, command: &Command) {
        let typed = shown(command).replace("psql -X ", "psql ");
        let prompt = format!("{}$", self.caller(command));
        println!("  {} {}", green(&prompt), bold(&self.masked(&typed)));
    }

    fn caller(&self, command: &Command) -> String {
        let token = command.get_envs().find(|(name, _)| *name == "VAULT_TOKEN");
        let token = token.and_then(|(_, token)| token?.to_str());
        let caller = self.callers.iter().find(|(known, _)| Some(known.as_str()) == token);
        caller.map(|(_, name)| format!("{name} ")).unwrap_or_default()
    }

    /// Shows what a command wrote.
    pub(crate) fn show_output(&self, written: &str) {
        if !written.trim().is_empty() {
            println!("{}", dim(&indented(&self.masked(written))));
        }
    }

    /// Shows a command, runs it, shows and returns what it wrote.
    pub(crate) fn run(&self, command: &mut Command) -> Result<String, Failure> {
        self.show_command(command);
        let written = quiet(command)?;
        self.show_output(&written);
        Ok(written)
    }

    /// Shows a command and that it fails, with what it complains of.
    pub(crate) fn run_in_vain(&self, command: &mut Command) -> Result<String, Failure> {
        self.show_command(command);
        let output = output(command)?;
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        self.show_output(&complaint);
        if output.status.success() {
            return Err(Failure::new("this should have failed, and did not"));
        }
        Ok(complaint)
    }

    /// Claims something that was checked.
    pub(crate) fn claim(&self, holds: bool, claim: &str) -> Result<(), Failure> {
        if !holds {
            return Err(Failure::new(format!("this does not hold: {}", self.masked(claim))));
        }
        println!("  {} {}", green("✓"), self.masked(claim));
        Ok(())
    }

    fn masked(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "••••••••"))
    }
}
