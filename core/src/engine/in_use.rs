//! What a credential is in use for right now: what an operator is shown before it is revoked.

use crate::time::Timestamp;

/// How many names are told of each kind of thing that a credential owns: enough to know whose they are.
pub const NAMES_MAX: usize = 5;

/// What a target tells of one credential. What its kind cannot tell at all is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Whether it is there.
    pub is_there: Option<bool>,
    /// How many sessions of it are open.
    pub sessions: Option<u64>,
    /// What it owns, by kind and place.
    pub owned: Option<Vec<Owned>>,
    /// When it was last used, if it ever was and the target remembers.
    pub last_used_at: Option<Timestamp>,
    /// What could not be seen, each a sentence that says what to do about it: then there may be more than is told.
    pub unseen: Vec<String>,
}

/// Things of one kind in one place that a credential owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// What the target calls such a thing: `table`, `view`.
    pub kind: String,
    /// In which database or schema they are, where there are several.
    pub within: Option<String>,
    /// How many there are.
    pub count: u64,
    /// The first of them by name, [`NAMES_MAX`] at most.
    pub names: Vec<String>,
}

impl InUse {
    /// Returns how many things it owns.
    #[must_use]
    pub fn owned_count(&self) -> u64 {
        self.owned.iter().flatten().fold(0, |sum, owned| sum.saturating_add(owned.count))
    }
}
