//! How a target takes what it is asked.

use super::{Seen, SimulatedTarget};
use leasehold_core::engine::{Cause, EngineError};
use std::sync::Arc;
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

impl SimulatedTarget {
    /// Does what a batch asks, as the mood has it.
    pub(super) async fn asked<A>(
        self: &Arc<Self>,
        members: usize,
        each: impl Fn(&mut Seen) -> Vec<A> + Send + 'static,
    ) -> Vec<Result<A, EngineError>>
    where
        A: Send + 'static,
    {
        let mood = {
            let mut seen = self.seen.lock().unwrap();
            seen.batches.push(members);
            seen.asked += 1;
            seen.at_work += 1;
            seen.at_work_most = seen.at_work_most.max(seen.at_work);
            seen.mood
        };
        let outcome = self.in_mood(mood, members, each).await;
        self.seen.lock().unwrap().at_work -= 1;
        outcome
    }

    async fn in_mood<A>(
        self: &Arc<Self>,
        mood: Mood,
        members: usize,
        each: impl Fn(&mut Seen) -> Vec<A> + Send + 'static,
    ) -> Vec<Result<A, EngineError>>
    where
        A: Send + 'static,
    {
        let all = |error: EngineError| (0..members).map(|_| Err(error.clone())).collect();
        let lost = || EngineError::uncertain(Cause::TooLate, "the answer was lost");
        match mood {
            Mood::Well => each(&mut self.seen.lock().unwrap()).into_iter().map(Ok).collect(),
            Mood::Down => all(EngineError::refused(Cause::Unreachable, "the target is down")),
            Mood::Hanging => {
                tokio::time::sleep(Duration::from_mins(2)).await;
                all(lost())
            }
            Mood::LosingAnswers => {
                each(&mut self.seen.lock().unwrap());
                all(lost())
            }
            Mood::Late(by) => {
                let target = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    each(&mut target.seen.lock().unwrap());
                });
                all(lost())
            }
            Mood::Slow(by) => {
                let target = Arc::clone(self);
                // It is done whether or not whoever asked still lives.
                let work = tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    each(&mut target.seen.lock().unwrap())
                });
                work.await.unwrap().into_iter().map(Ok).collect()
            }
            Mood::RefusingBatches if members > 1 => {
                all(EngineError::refused(Cause::Rejected, "too many"))
            }
            Mood::RefusingBatches | Mood::RefusingRevocations => {
                each(&mut self.seen.lock().unwrap()).into_iter().map(Ok).collect()
            }
        }
    }
}
