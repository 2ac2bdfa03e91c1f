//! Why a task stopped.

use std::fmt;
use std::io;

/// A task cannot go on. The message says what to do.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// Makes a failure of what people are told.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says what was being done when the system refused.
pub(crate) trait During<T> {
    /// Turns the system's error into a failure that begins with `what`.
    fn during(self, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}
