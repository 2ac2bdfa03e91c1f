//! `policy test`: puts written cases to policies in files.

use super::files;
use crate::commands::{Format, FormatFlags, Session};
use crate::failure::{Exit, Failure};
use leasehold_core::access::policy::{Case, Policy, PolicyName, Tested};
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  leasehold policy test cases.hcl policies/app.hcl policies/ops.hcl

  A file of cases:
    case \"the application reads its role\" {
      policies   = [\"app\"]               # all that are given, if it names none
      path       = \"database/creds/app\"
      capability = \"read\"                # create, read, update, delete, list or patch
      allowed    = true
    }
    case \"nobody else's role\" {
      path       = \"database/creds/ops\"
      capability = \"read\"
      allowed    = false
    }

  A case may also say `sudo = true`, what the request is sent with
  (`parameters = { \"ttl\" = \"1h\" }`), and what is known of the caller
  (`facts = { \"identity.entity.name\" = \"ann\" }`).";

/// Put written cases to policies, for a repository's checks
///
/// Each case says what is to be allowed or refused. The policies are read from files, each called as
/// its file is without its ending, and decide as the server does. No server is asked. The exit code
/// is 1 if a case fails.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::commands) struct Test {
    /// The file of cases, in HCL or JSON; `-` for standard input
    #[arg(allow_hyphen_values = true)]
    cases: String,
    /// The files of the policies
    #[arg(required = true)]
    policies: Vec<String>,
    #[command(flatten)]
    format: FormatFlags,
}

impl Test {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.format.resolve(session.environment)?;
        let policies = files::policies(&self.policies)?;
        let cases = Case::parse(&files::text(&self.cases)?).map_err(|bad| {
            let faults = bad
                .0
                .iter()
                .map(|fault| format!("{}:{}: {}", self.cases, fault.line, fault.message));
            Failure::Local(faults.collect::<Vec<_>>().join("\n"))
        })?;
        if cases.is_empty() {
            return Err(Failure::Local(format!("{}: there is no case", self.cases)));
        }
        let mut results = Vec::with_capacity(cases.len());
        for case in &cases {
            results.push((case, case.test(meant(case, &policies, &self.cases)?)));
        }
        let failed = results.iter().filter(|(_, tested)| !tested.passed).count();
        show(session, format, &self.cases, &results, failed);
        Ok(if failed == 0 { Exit::Done } else { Exit::Local })
    }
}

/// Returns the policies that a case is about. One that it names must be there, else a misspelt name would refuse
/// everything, and the case pass for that.
fn meant<'p>(case: &Case, policies: &'p [Policy], file: &str) -> Result<Vec<&'p Policy>, Failure> {
    let Some(names) = &case.policies else { return Ok(policies.iter().collect()) };
    let find = |name: &PolicyName| policies.iter().find(|policy| policy.name == *name);
    let found = names.iter().map(|name| {
        let message = format!("{file}:{}: no file of the policy `{name}` is given", case.line);
        find(name).ok_or(Failure::Local(message))
    });
    found.collect()
}

fn show(
    session: &mut Session<'_>,
    format: Format,
    file: &str,
    results: &[(&Case, Tested)],
    failed: usize,
) {
    let told = || {
        let cases = results.iter().map(|(case, tested)| {
            json!({
                "name": case.name,
                "line": case.line,
                "passed": tested.passed,
                "decided": tested.decided,
            })
        });
        json!({ "cases": cases.collect::<Vec<_>>(), "failed": failed })
    };
    match format {
        Format::Table => {
            for (case, tested) in results {
                let word = if tested.passed { "ok  " } else { "FAIL" };
                session.output.line(&format!("{word}  {}", case.name));
                if !tested.passed {
                    session.output.line(&format!("      {file}:{}: {}", case.line, tested.decided));
                }
            }
            session.output.line(&format!("\n{} cases, {failed} failed", results.len()));
        }
        Format::Yaml => session.output.yaml(&told()),
        Format::Json | Format::Raw => session.output.json(&told()),
    }
}
