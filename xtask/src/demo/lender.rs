//! A throwaway Leasehold, talked to through its own command line.

use super::database::{free_port, log};
use super::narration::Narration;
use crate::commands::{output, quoted, target};
use crate::failure::{During, Failure};
use crate::scratch::{Scratch, wait_for};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How `leasehold status` ends, as Vault's does.
const UNSEALED: i32 = 0;
const SEALED: i32 = 2;

/// The server, and whom its commands are sent as.
pub(crate) struct Lender {
    binary: PathBuf,
    folder: PathBuf,
    pub(crate) address: String,
    pub(crate) root_token: String,
}

impl Lender {
    /// Starts a server with an embedded store and an audit file, and initializes it.
    pub(crate) fn start(scratch: &mut Scratch, narration: &mut Narration) -> Result<Self, Failure> {
        let folder = scratch.folder().join("leasehold");
        std::fs::create_dir(&folder).during(format_args!("making {}", folder.display()))?;
        let port = free_port()?;
        let config = folder.join("config.hcl");
        std::fs::write(&config, configuration(&folder.display().to_string(), port))
            .during(format_args!("writing {}", config.display()))?;
        let mut lender = Self {
            binary: target().join("debug/leasehold"),
            address: format!("http://127.0.0.1:{port}"),
            root_token: String::new(),
            folder,
        };
        let mut server = Command::new(&lender.binary);
        server.arg("server").arg(format!("-config={}", config.display()));
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log(&lender.folder.join("log"))?);
        narration.show_command(&server);
        scratch.start(&mut server)?;
        lender.wait_for_status(scratch, SEALED)?;
        let init = ["operator", "init", "-format=json"];
        narration.show_command(&lender.command("", &init));
        lender.root_token = text(&lender.ask("", &init)?, "root_token")?;
        narration.introduce(&lender.root_token, "operator");
        narration.say(
            "The root token it shows, once, is the operator's; the others get tokens of their own.",
        );
        lender.wait_for_status(scratch, UNSEALED)?;
        Ok(lender)
    }

    fn wait_for_status(&self, scratch: &mut Scratch, wanted: i32) -> Result<(), Failure> {
        wait_for("Leasehold is not ready", Duration::from_secs(20), || {
            scratch.all_running()?;
            let status = self.try_to("", &["status"])?.status;
            Ok((status.code() == Some(wanted)).then_some(()))
        })
        .map_err(|failure| self.with_log(&failure))
    }

    /// Makes a command of the client, sent with a token.
    pub(crate) fn command(&self, token: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("VAULT_") || name.starts_with("LEASEHOLD_") {
                command.env_remove(&*name);
            }
        }
        // A home of its own, so that no token or setting of the user is read or written.
        command.args(arguments).current_dir(&self.folder);
        command.env("HOME", &self.folder).env("VAULT_ADDR", &self.address);
        if !token.is_empty() {
            command.env("VAULT_TOKEN", token);
        }
        command
    }

    /// Writes a file into the folder that commands are run in.
    pub(crate) fn write_file(&self, name: &str, text: &str) -> Result<(), Failure> {
        std::fs::write(self.folder.join(name), text).during(format_args!("writing {name}"))
    }

    /// Sends a command and returns what it wrote.
    pub(crate) fn ask(&self, token: &str, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.try_to(token, arguments)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let words: Vec<_> = arguments.iter().map(|word| quoted(word)).collect();
        let failure = format!("`leasehold {}`: {}\n{complaint}", words.join(" "), output.status);
        Err(self.with_log(&Failure::new(failure)))
    }

    fn try_to(&self, token: &str, arguments: &[&str]) -> Result<Output, Failure> {
        output(self.command(token, arguments).stdin(Stdio::null()))
    }

    fn with_log(&self, failure: &Failure) -> Failure {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        let lines: Vec<_> = lines.into_iter().rev().collect();
        Failure::new(format!("{failure}\nthe end of the server's log:\n{}", lines.join("\n")))
    }
}

fn configuration(folder: &str, port: u16) -> String {
    format!(
        r#"storage "embedded" {{
  path = "{folder}/store"
}}

seal "file" {{
  path = "{folder}/root.key"
}}

listener "tcp" {{
  address     = "127.0.0.1:{port}"
  tls_disable = true
}}

audit "file" "demo" {{
  options {{
    file_path = "{folder}/audit.log"
  }}
}}
"#
    )
}

/// Returns the text or number of a field, at whatever depth of a JSON text; of a list the first.
pub(crate) fn text(json: &str, field: &str) -> Result<String, Failure> {
    let missing = || Failure::new(format!("the answer has no `{field}`"));
    let (_, after) = json.split_once(&format!("\"{field}\":")).ok_or_else(missing)?;
    let value = after.trim_start().trim_start_matches('[').trim_start();
    let text = match value.strip_prefix('"') {
        Some(text) => text.split('"').next(),
        None => value.split([',', '}', '\n']).next(),
    };
    Ok(text.ok_or_else(missing)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_at_any_depth_and_in_any_layout() {
        let json = r#"{"a": 1, "data": {"username": "v-x", "ttl":30},
            "keys": [ "k1", "k2" ]}"#;
        for (field, value) in [("username", "v-x"), ("ttl", "30"), ("keys", "k1"), ("a", "1")] {
            assert_eq!(text(json, field).unwrap(), value);
        }
        assert!(text(json, "password").is_err());
    }
}
