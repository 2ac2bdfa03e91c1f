//! `login`: proves who somebody is, and keeps their token for later commands.

mod method;

use super::{FieldFlags, Session, text_of};
use crate::answer::Answer;
use crate::client::Request;
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Exit, Failure};
use crate::{prompt, token_file};
use serde_json::{Map, Value, json};
use std::path::Path;

const EXAMPLES: &str = "\
Examples:
  Be asked for the token, which is not shown:
    leasehold login

  Take it from a password store, and leave it out of the shell's history:
    pass show leasehold | leasehold login -

  Log in by name, and be asked for the password:
    leasehold login -method=userpass username=ann

  Log in as an application, and let only a script see the token:
    leasehold login -method=approle -token-only role_id=$ROLE_ID secret_id=@secret-id.txt

  Only check a token, and keep it nowhere:
    leasehold login -no-store - < token.txt";

/// Log in and keep the token for later commands
///
/// Without -method it takes a token and asks the server whose it is; with one it proves who you are
/// and gets a token. Writes it to ~/.leasehold-token, which only its owner can
/// read. Later commands find it there, before ~/.vault-token, which is never written: a login here
/// takes nothing away from work on a Vault. A -token flag, LEASEHOLD_TOKEN and VAULT_TOKEN win over
/// both files. `leasehold token revoke -self` ends the token itself.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Login {
    /// Token, token=TOKEN, `@FILE`, or `-` for standard input [default: it is asked for]; with a
    /// method what it takes: username=NAME password=PASSWORD, or role_id=ID secret_id=ID
    #[arg(value_name = "TOKEN | KEY=VALUE")]
    subjects: Vec<String>,
    /// How to log in: token, userpass or approle
    #[arg(long, value_name = "METHOD", default_value = "token", hide_default_value = true)]
    method: String,
    /// Where the method is mounted [default: its name]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Do not keep the token
    #[arg(long)]
    no_store: bool,
    /// Do not show the token
    #[arg(long)]
    no_print: bool,
    /// Show only the token, bare, and do not keep it
    #[arg(long)]
    token_only: bool,
    #[command(flatten)]
    field: FieldFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Login {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<Exit, Failure> {
        let format = self.field.format.resolve(session.environment)?;
        let (answer, token) = match self.method.as_str() {
            "token" => self.check_token(session)?,
            _ => self.log_in(session)?,
        };
        let kept = if self.no_store || self.token_only {
            None
        } else {
            let path = token_file::store(session.environment, &token)
                .map_err(|error| Failure::Local(format!("Error storing token: {error}")))?;
            warn_of_variables(session)?;
            Some(path)
        };
        if self.token_only {
            answer.show_field("token", format, session.output)?;
        } else if !self.no_print {
            if self.field.field.is_none() {
                session.success(format, &told(kept.as_deref()));
            }
            self.field.show(&answer, session)?;
        }
        Ok(Exit::Done)
    }

    /// Asks the server whose token it is.
    fn check_token(&self, session: &mut Session<'_>) -> Result<(Answer, String), Failure> {
        if self.subjects.len() > 1 {
            return Err(Failure::Local("a login by token takes one token".to_owned()));
        }
        let token = login_token(self.subjects.first().map(String::as_str))?;
        let connection = self.connection.clone();
        let flags = ConnectionFlags { token: Some(token.clone()), ..connection };
        let found = session
            .client(flags)?
            .send(Request::get("auth/token/lookup-self"))
            .doing(|| "authenticating: looking up the token".to_owned())?;
        found.warn(session.output);
        Ok((as_login(&found, &token), token))
    }
}

fn told(kept: Option<&Path>) -> String {
    kept.map_or_else(
        || "The token is good. It was not stored; pass it with each command.\n".to_owned(),
        |path| {
            format!(
                "Success! You are now authenticated. The token is stored in {}:\nlater commands \
                 find it there.\n",
                path.display()
            )
        },
    )
}

fn login_token(argument: Option<&str>) -> Result<String, Failure> {
    let token = match argument {
        Some(argument) => text_of(argument.strip_prefix("token=").unwrap_or(argument))?,
        None if prompt::can_ask() => prompt::hidden("Token (will be hidden): ")
            .map_err(|error| Failure::Local(format!("the token cannot be asked for: {error}")))?
            .trim()
            .to_owned(),
        None => {
            return Err(Failure::Local(
                "there is no terminal to ask for the token\n\nGive it to standard input: \
                 `leasehold login - < FILE`."
                    .to_owned(),
            ));
        }
    };
    if token.is_empty() {
        return Err(Failure::Local("the token is empty: nothing was checked or stored".to_owned()));
    }
    Ok(token)
}

/// Says that a variable will win over what was just stored.
fn warn_of_variables(session: &mut Session<'_>) -> Result<(), Failure> {
    let set = session.environment.first(&["LEASEHOLD_TOKEN", "VAULT_TOKEN"]);
    if let Some((name, _)) = set.map_err(|error| Failure::Local(error.to_string()))? {
        session.output.remark(&format!(
            "WARNING! {name} is set and wins over the stored token; `unset {name}` to use the \
             stored one.\n"
        ));
    }
    Ok(())
}

/// Turns what a lookup told into what a login would have, as Vault's client does.
fn as_login(found: &Answer, token: &str) -> Answer {
    let none = Map::new();
    let data = found.data().and_then(Value::as_object).unwrap_or(&none);
    let field = |key| data.get(key).cloned().unwrap_or(Value::Null);
    let identity = data.get("identity_policies").cloned().unwrap_or_else(|| json!([]));
    let mut all = Vec::new();
    for list in [data.get("policies"), Some(&identity)] {
        all.extend(list.and_then(Value::as_array).into_iter().flatten().cloned());
    }
    let body = json!({
        "request_id": "", "lease_id": "", "lease_duration": 0, "renewable": false,
        "data": null, "warnings": null,
        "auth": {
            "client_token": token, "accessor": field("accessor"),
            "token_policies": field("policies"), "identity_policies": identity, "policies": all,
            "metadata": field("meta"), "lease_duration": field("ttl"),
            "renewable": data.get("renewable").cloned().unwrap_or(Value::Bool(false)),
        },
    });
    let raw = body.to_string();
    Answer::new(body).raw(raw.as_bytes())
}
