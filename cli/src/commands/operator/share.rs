//! Reads a key share from where its holder gives it: a prompt that hides it, standard input, a file, an argument.

use crate::client::{Client, Request};
use crate::commands::text_of;
use crate::failure::{Doing, Failure};
use crate::prompt;
use serde_json::Value;

/// Reads a share. Without an argument somebody at the terminal is asked.
pub(super) fn read(argument: Option<&str>) -> Result<String, Failure> {
    let share = match argument {
        Some(argument) => text_of(argument)?.trim().to_owned(),
        None if prompt::can_ask() => prompt::hidden("Key share (will be hidden): ")
            .map_err(|error| Failure::Local(format!("the key share cannot be asked for: {error}")))?
            .trim()
            .to_owned(),
        None => {
            return Err(Failure::Local(
                "there is no terminal to ask for the key share\n\nGive it to standard input, with \
                 `-` as the key."
                    .to_owned(),
            ));
        }
    };
    if share.is_empty() {
        return Err(Failure::Local("the key share is empty: nothing was sent".to_owned()));
    }
    Ok(share)
}

/// Returns which of what the holders do a share is for: what is named, or else what has begun at this path.
pub(super) fn nonce(
    client: &Client,
    path: &str,
    named: Option<String>,
    what: &str,
) -> Result<String, Failure> {
    if let Some(nonce) = named {
        return Ok(nonce);
    }
    let begun = client.send(Request::get(path)).doing(|| format!("reading the {what}"))?;
    let nonce = begun.data().and_then(|data| data.get("nonce")).and_then(Value::as_str);
    nonce.filter(|nonce| !nonce.is_empty()).map(str::to_owned).ok_or_else(|| {
        Failure::Local(format!(
            "no {what} has begun\n\nBegin with -init, and then show the shares."
        ))
    })
}
