//! Shows at a terminal how far something long has come, once it has taken a while.

use crate::failure::Failure;
use crate::output::Output;
use leasehold_core::time::{Clock, Timestamp};
use leasehold_server::time::SystemClock;
use std::io::IsTerminal;
use std::time::Duration;

/// What takes no longer than this is not worth a line.
const SHOWN_AFTER: Duration = Duration::from_secs(2);
/// How often the line is written anew: often enough to see that it goes on.
const SHOWN_EVERY: Duration = Duration::from_millis(250);

/// How far something has come: a backup, a restore, a mass revocation.
#[derive(Debug)]
pub(crate) struct Progress {
    clock: SystemClock,
    next: Timestamp,
    at_terminal: bool,
    shown: bool,
}

impl Progress {
    /// Begins now; nothing is shown yet.
    pub(crate) fn begin() -> Result<Self, Failure> {
        let clock = SystemClock::start().map_err(|error| Failure::Local(error.to_string()))?;
        let next = clock.now().plus(SHOWN_AFTER);
        let at_terminal = std::io::stderr().is_terminal();
        Ok(Self { clock, next, at_terminal, shown: false })
    }

    /// So much has been done.
    pub(crate) fn at(&mut self, records: u64, bytes: u64, output: &mut Output) {
        self.says(output, || format!("{records} records, {}", megabytes(bytes)));
    }

    /// It has come as far as this says.
    pub(crate) fn says(&mut self, output: &mut Output, text: impl FnOnce() -> String) {
        let now = self.clock.now();
        if self.at_terminal && now >= self.next {
            self.next = now.plus(SHOWN_EVERY);
            self.shown = true;
            output.progress(&text());
        }
    }

    /// All is done, or it broke off: whatever comes next begins on a line of its own.
    pub(crate) fn end(&self, output: &mut Output) {
        if self.shown {
            output.progress("");
        }
    }
}

/// Writes a size as people do.
pub(crate) fn megabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_add(50_000).checked_div(100_000).unwrap_or_default();
    let (whole, rest) = (tenths.checked_div(10), tenths.checked_rem(10));
    format!("{}.{} MB", whole.unwrap_or_default(), rest.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_a_tenth_of_a_megabyte() {
        for (bytes, expected) in [(0, "0.0 MB"), (49_999, "0.0 MB"), (1_250_000, "1.3 MB")] {
            assert_eq!(megabytes(bytes), expected);
        }
    }
}
