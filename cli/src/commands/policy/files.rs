//! Policies in files, and `policy fmt`, which writes them as they are usually written.

use crate::commands::Session;
use crate::data;
use crate::failure::{Exit, Failure};
use leasehold_core::access::policy::{Policy, PolicyName, format};
use std::path::Path;

/// Reads a file, or standard input.
pub(super) fn text(file: &str) -> Result<String, Failure> {
    data::whole(file, &mut std::io::stdin().lock())
        .map_err(|error| Failure::Local(error.to_string()))
}

/// Reads a policy from its text.
pub(super) fn parsed(name: &str, text: &str) -> Result<Policy, Failure> {
    let name = PolicyName::parse(name).map_err(|error| Failure::Local(error.to_string()))?;
    Policy::parse(name.clone(), text).map_err(|bad| {
        let faults = bad.0.iter().map(|fault| format!("{name}:{}: {}", fault.line, fault.message));
        Failure::Local(faults.collect::<Vec<_>>().join("\n"))
    })
}

/// Reads policies from files. Each is called as its file is, without what follows the last dot.
pub(super) fn policies(files: &[String]) -> Result<Vec<Policy>, Failure> {
    let mut policies = Vec::with_capacity(files.len());
    for file in files {
        let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let policy = parsed(stem, &text(file)?);
        policies.push(policy.map_err(|failure| Failure::Local(format!("{file}: {failure}")))?);
    }
    Ok(policies)
}

const FMT_EXAMPLES: &str = "\
Examples:
  leasehold policy fmt app.hcl ops.hcl

  For a repository's checks, change nothing and fail if anything would be changed:
    leasehold policy fmt -check policies/*.hcl";

/// Write policies as they are usually written
///
/// Indents, breaks lines, and keeps comments; what the policies say stays the same. A file that is
/// no policy is refused, with all that is wrong with it. No server is asked.
#[derive(clap::Args)]
#[command(after_help = FMT_EXAMPLES)]
pub(in crate::commands) struct Fmt {
    /// The files; `-` reads standard input and writes to standard output
    #[arg(required = true, allow_hyphen_values = true)]
    files: Vec<String>,
    /// Change nothing, and tell which files would be changed, with exit code 1 if there are any
    #[arg(long)]
    check: bool,
}

impl Fmt {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        for file in &self.files {
            let was = text(file)?;
            let bad = |reason: String| Failure::Local(format!("{file}: {reason}"));
            parsed("policy", &was).map_err(|failure| bad(failure.to_string()))?;
            let usual = format(&was).map_err(|fault| bad(fault.to_string()))?;
            match file.as_str() {
                "-" if !self.check => session.output.text(&usual),
                _ if usual == was => {}
                _ if self.check => {
                    session.output.line(file);
                    exit = Exit::Local;
                }
                _ => {
                    std::fs::write(file, usual)
                        .map_err(|error| bad(format!("the file cannot be written: {error}")))?;
                    session.output.line(&format!("Success! Formatted the policy: {file}"));
                }
            }
        }
        Ok(exit)
    }
}
