//! The environment variables a command reads, so that tests can say what they are.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// The environment variables, as they were at the start.
pub(crate) struct Environment(HashMap<OsString, OsString>);

/// A variable is set to something a command cannot use.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable `{0}` is not valid text")]
pub(crate) struct NotText(&'static str);

impl Environment {
    /// The environment of this process.
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// An environment with these variables and no others.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&'static str, &'static str)]) -> Self {
        Self(variables.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Returns the first of these variables that is set and not empty, with its name.
    ///
    /// The order is the precedence: `LEASEHOLD_…` goes before `VAULT_…`.
    pub(crate) fn first(
        &self,
        names: &[&'static str],
    ) -> Result<Option<(&'static str, String)>, NotText> {
        for name in names {
            let value = self.0.get(OsStr::new(name)).filter(|value| !value.is_empty());
            if let Some(value) = value {
                let text = value.to_str().ok_or(NotText(name))?;
                return Ok(Some((name, text.to_owned())));
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(..)")
    }
}
