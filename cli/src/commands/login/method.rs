//! `login -method`: what each method is sent, and what is asked for where it is not given.

use super::Login;
use crate::answer::Answer;
use crate::client::Request;
use crate::commands::Session;
use crate::connection::ConnectionFlags;
use crate::failure::{Doing, Failure};
use crate::{data, prompt};
use serde_json::{Map, Value};

impl Login {
    /// Proves who somebody is by a method of the server's, and returns the answer with the token in it.
    pub(super) fn log_in(&self, session: &mut Session<'_>) -> Result<(Answer, String), Failure> {
        let mut given = data::parse(&self.subjects, &mut std::io::stdin().lock())
            .map_err(|error| Failure::Local(error.to_string()))?;
        for value in given.values_mut() {
            // What comes from a file or a pipe ends with a line, which is no part of it.
            if let Value::String(text) = value {
                text.truncate(text.trim_end_matches(['\r', '\n']).len());
            }
        }
        let at = self.path.as_deref().unwrap_or(&self.method).trim_matches('/').to_owned();
        let path = match self.method.as_str() {
            "userpass" => {
                let name = take(&mut given, "username")?;
                ask_for(&mut given, "password", "Password (will be hidden): ")?;
                format!("auth/{at}/login/{name}")
            }
            "approle" => {
                if !given.contains_key("role_id") {
                    return Err(missing("role_id"));
                }
                format!("auth/{at}/login")
            }
            other => {
                return Err(Failure::Local(format!(
                    "Unknown auth method: {other}\n\n`leasehold login` knows the methods `token`, \
                     `userpass` and `approle`. For others: `leasehold write auth/…/login …`, then \
                     `leasehold login` with the token that comes back."
                )));
            }
        };
        let connection = self.connection.clone();
        // Whoever logs in needs no token; one that is over must not get in the way.
        let flags = ConnectionFlags { token: Some(String::new()), ..connection };
        let answer = session
            .client(flags)?
            .send(Request::put(path.clone(), Value::Object(given)))
            .doing(|| format!("authenticating: logging in at {path}"))?;
        let token = answer.token().ok_or_else(|| {
            Failure::Local("the answer to the login has no token in it".to_owned())
        })?;
        Ok((answer, token))
    }
}

/// Takes what must be given, and is part of the path.
fn take(given: &mut Map<String, Value>, key: &str) -> Result<String, Failure> {
    let value = given.remove(key);
    let text = value.as_ref().and_then(Value::as_str).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| missing(key))?;
    if text.contains('/') {
        return Err(Failure::Local(format!("`{key}` holds a `/`")));
    }
    Ok(text.to_owned())
}

fn missing(key: &str) -> Failure {
    Failure::Local(format!("`{key}={}` is missing", key.to_ascii_uppercase()))
}

/// Asks at the terminal for what was not given.
fn ask_for(given: &mut Map<String, Value>, key: &str, question: &str) -> Result<(), Failure> {
    if given.contains_key(key) {
        return Ok(());
    }
    if !prompt::can_ask() {
        return Err(Failure::Local(format!(
            "there is no terminal to ask for the {key}\n\nGive it as `{key}=@FILE`, or as `{key}=-` on \
             standard input."
        )));
    }
    let answer = prompt::hidden(question)
        .map_err(|error| Failure::Local(format!("the {key} cannot be asked for: {error}")))?;
    // Spaces may belong to it; the end of the line does not.
    let text = answer.trim_end_matches(['\r', '\n']).to_owned();
    given.insert(key.to_owned(), Value::String(text));
    Ok(())
}
