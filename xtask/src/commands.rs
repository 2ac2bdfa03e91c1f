//! Runs other programs, and says so.

use crate::failure::{During, Failure};
use crate::terminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Returns the folder that holds the whole project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Returns the folder that builds go to.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Makes a command for the cargo that runs this.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Shows a command beside what it writes, and runs it at the terminal.
pub(crate) fn run(mut command: Command) -> Result<(), Failure> {
    let shown = shown(&command);
    eprintln!("{} {}", terminal::green("$"), terminal::bold(&shown));
    let status = command.status().during(format_args!("`{shown}` did not start"))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{shown}` ended with {status}")))
}

/// Runs a command out of sight and returns what it wrote; fails with what it complained of.
pub(crate) fn quiet(command: &mut Command) -> Result<String, Failure> {
    let output = output(command)?;
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(written);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let (shown, status) = (shown(command), output.status);
    Err(Failure::new(format!("`{shown}` ended with {status}\n{written}{complaint}")))
}

/// Runs a command out of sight, however it ends.
pub(crate) fn output(command: &mut Command) -> Result<Output, Failure> {
    let shown = shown(command);
    command.output().during(format_args!("`{shown}` did not start"))
}

/// Writes a command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// Quotes a word for a shell, where it needs that.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Finds a program on the PATH.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_could_be_typed() {
        let mut command = Command::new("/usr/bin/psql");
        command.args(["-c", "SELECT 'a'", "x=1", ""]);
        assert_eq!(shown(&command), r"psql -c 'SELECT '\''a'\''' x=1 ''");
    }
}
