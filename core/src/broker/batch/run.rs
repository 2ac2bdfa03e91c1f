//! Asks the target for a batch, and tries again what may be tried again.

use super::waiting::Job;
use super::{Asked, Inner, LinePorts};
use crate::engine::{Cause, Engine, EngineError, Issue};
use crate::limits::{CONTENDED_TRIES, CONTENDED_WAIT};
use crate::metrics::{Raised, TargetMeter, Verb};
use crate::secret::Secret;
use crate::time::Timestamp;
use std::time::Duration;
use tracing::Instrument;

type Answers<A> = Vec<Result<A, EngineError>>;

/// A batch that the target is at work on.
struct Asking<'a> {
    ports: &'a LinePorts,
    verb: Verb,
    members: usize,
    began: Timestamp,
    at_work: Raised,
}

impl<'a> Asking<'a> {
    fn begin(ports: &'a LinePorts, verb: Verb, members: usize) -> Self {
        let at_work = ports.meter.of(verb).at_work.raise(members);
        Self { ports, verb, members, began: ports.clock.now(), at_work }
    }

    /// The target has answered: counted before anybody is told, so that whoever has an answer finds it counted.
    /// Returns how long it took.
    fn over(self) -> Duration {
        let took = self.ports.clock.now().since(self.began);
        drop(self.at_work);
        self.ports.meter.of(self.verb).batch(self.members, took);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(took_ms, "the target has answered");
        took
    }
}

impl<E: Engine> Inner<E> {
    /// Asks the target for a batch and gives every member its answer.
    pub(super) async fn run(&self, job: Job<E>) {
        let (verb, members) = job.asks();
        let TargetMeter { mount, target, .. } = &*self.ports.meter;
        let verb_name = verb.name();
        let span = tracing::debug_span!("batch", mount, at = target, verb = verb_name, members);
        let asking = Asking::begin(&self.ports, verb, members);
        self.ask_target(job, asking).instrument(span).await;
    }

    async fn ask_target(&self, job: Job<E>, asking: Asking<'_>) {
        match job {
            Job::Issue { members, .. } => {
                let (asked, answers) = split(members);
                let outcome = self.issue_batch(&asked, asking.began).await;
                let took = asking.over();
                if let Some(first) = asked.first() {
                    self.waiting.lock().note_issue(&first.role, asked.len(), took);
                }
                tell(answers, outcome);
            }
            Job::Renew(members) => {
                let (asked, answers) = split(members);
                let outcome = self.engine.renew(&asked).await;
                asking.over();
                tell(answers, outcome);
            }
            Job::Revoke(members) => {
                let (asked, answers) = split(members);
                let outcome = self.engine.revoke(&asked).await;
                let took = asking.over();
                self.waiting.lock().note_revoke(asked.len(), took);
                tell(answers, outcome);
            }
        }
    }

    /// Issues a batch. Only one that was refused as a whole, before any commit, is tried again, under the
    /// same `issue_by`: whole where others were in the way, one by one where one member may be to blame.
    async fn issue_batch(&self, asked: &[Issue<E>], now: Timestamp) -> Answers<Secret> {
        let issue_by = asked.iter().map(|issue| issue.issue_by).min().unwrap_or(now);
        let outcome = self.issue_uncontended(asked, issue_by).await;
        match common_refusal(&outcome) {
            Some(Cause::Rejected) if asked.len() > 1 => {
                let mut outcome = Vec::with_capacity(asked.len());
                for one in asked.chunks(1) {
                    outcome.append(&mut self.issue_uncontended(one, issue_by).await);
                }
                outcome
            }
            Some(_) | None => outcome,
        }
    }

    async fn issue_uncontended(&self, asked: &[Issue<E>], issue_by: Timestamp) -> Answers<Secret> {
        for attempt in 1_u32.. {
            let now = self.ports.clock.now();
            if now >= issue_by {
                return all(
                    asked.len(),
                    &EngineError::refused(
                        Cause::TooLate,
                        "time was up before the target was asked",
                    ),
                );
            }
            let outcome = self.engine.issue(asked).await;
            if outcome.len() != asked.len() {
                return all(asked.len(), &wrong_length());
            }
            if common_refusal(&outcome) != Some(Cause::Contended) || attempt >= CONTENDED_TRIES {
                return outcome;
            }
            let wait_ms = self.ports.chance.below(CONTENDED_WAIT.saturating_mul(attempt.min(8)));
            let now = self.ports.clock.now();
            self.ports.tasks.sleep_until(now.plus(Duration::from_millis(wait_ms.into()))).await;
        }
        Vec::new()
    }
}

/// Returns why all members were refused, if all were, and for the same cause.
fn common_refusal<A>(outcome: &[Result<A, EngineError>]) -> Option<Cause> {
    let refusal = |answer: &Result<A, EngineError>| match answer {
        Err(EngineError::Refused(reason)) => Some(reason.cause),
        Ok(_) | Err(EngineError::Uncertain(_)) => None,
    };
    let first = refusal(outcome.first()?)?;
    outcome.iter().all(|answer| refusal(answer) == Some(first)).then_some(first)
}

fn split<Q, A>(
    members: Vec<Asked<Q, A>>,
) -> (Vec<Q>, Vec<futures_channel::oneshot::Sender<Result<A, EngineError>>>) {
    members.into_iter().unzip()
}

/// Gives every member its answer. One that no longer waits is found by the sweep.
fn tell<A>(to: Vec<futures_channel::oneshot::Sender<Result<A, EngineError>>>, answers: Answers<A>) {
    if to.len() == answers.len() {
        for (to, answer) in to.into_iter().zip(answers) {
            let _ = to.send(answer);
        }
    } else {
        for to in to {
            let _ = to.send(Err(wrong_length()));
        }
    }
}

fn all<A>(members: usize, error: &EngineError) -> Answers<A> {
    (0..members).map(|_| Err(error.clone())).collect()
}

fn wrong_length() -> EngineError {
    EngineError::uncertain(
        Cause::Rejected,
        "the engine answered for another number of credentials than it was asked for",
    )
}
