//! What is told of a record that was checked.

use crate::audit::chain::Head;
use serde::Serialize;

/// A line of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line in it; the first is 1.
    pub line: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Lines of the record.
    pub lines: u64,
    /// The number of the first.
    pub first: Option<u64>,
    /// The last one.
    pub last: Option<Head>,
    /// The last one that is signed, or is before one that is. Later ones could be written by anybody.
    pub signed_to: u64,
    /// The last one that is known to be the device's: it is signed, or was named with its hash. The record is sound up
    /// to here, if it has no fault, and this is what to compare with the next time.
    pub proven_to: Option<Head>,
    /// How many lines, there or before, are linked and lead to none that is, or to no other than one by which a process
    /// began, which found them there.
    pub unsigned: u64,
    /// How many faults there are.
    pub faults: u64,
    /// What was found, in the order in which it was noticed; not all, if it is very much.
    pub findings: Vec<Finding>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// Whether somebody must have had a hand in it.
    pub fault: bool,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// In words.
    pub message: String,
}

/// What is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Lines are not there.
    Removed,
    /// A line is not the one that the next one names.
    Changed,
    /// A line stands behind others that were written later.
    Moved,
    /// A line is there twice, or was never written.
    Added,
    /// A signature is not one of the device.
    Forged,
    /// Lines are not signed that a server would have signed.
    Unsigned,
    /// The end was cut off.
    Cut,
    /// The record was exchanged for another while the server was stopped.
    Exchanged,
    /// The device missed lines, and said so.
    Gap,
    /// A line was cut off by a crash or a full disk.
    Torn,
    /// The record begins, or ends, within its chain.
    Partial,
    /// The beginning is not there.
    Headless,
}

impl Report {
    /// Whether all is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults == 0
    }
}
