//! Reads a key share from where its holder gives it: a prompt that hides it, standard input, a file, an argument.

use crate::commands::text_of;
use crate::failure::Failure;
use crate::prompt;

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
