//! How a target takes what it is asked.

use std::time::Duration;

/// What a target does with what it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Does it and answers, at once.
    #[default]
    Well,
    /// Cannot be reached.
    Down,
    /// Never answers, and does nothing.
    Hanging,
    /// Does it, and the answer is lost.
    LosingAnswers,
    /// Answers that it is uncertain, and does it this much later.
    Late(Duration),
    /// Does it and answers, after this much time.
    Slow(Duration),
    /// Refuses every batch of more than one.
    RefusingBatches,
    /// Refuses to remove anything.
    RefusingRevocations,
}
