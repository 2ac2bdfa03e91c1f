//! What is wrong with what targets are asked, and with what they are taken to have answered.

use super::{Flaw, MEMORY};
use crate::worlds::engine::Removal;
use crate::worlds::setting::Setting;
use leasehold_core::engine::rotation::Rotated;
use leasehold_core::engine::{Cause, EngineError, Unanswered};
use leasehold_core::secret::Secret;
use leasehold_core::time::Timestamp;
use std::time::Duration;

/// Where a target is asked that has no administrator: nobody moves the desk, which has one.
pub fn address(number: u64) -> u64 {
    MEMORY.with_borrow(|memory| memory.moved.get(&number).copied().unwrap_or(number))
}

/// A target was pointed elsewhere.
pub fn moved(setting: &Setting, from: u64, to: u64) {
    if setting.has(Flaw::AbsenceElsewhere) {
        MEMORY.with_borrow_mut(|memory| memory.moved.insert(from, to));
    }
}

/// What a handle says beside the name.
pub fn note_in_handle(setting: &Setting, password: &str) -> String {
    if setting.has(Flaw::SecretInTheHandle) { password.to_owned() } else { String::new() }
}

/// Which end a target is told.
pub fn end_to_tell(setting: &Setting, at: Timestamp) -> Timestamp {
    let rounded = Timestamp(at.0.div_ceil(600_000) * 600_000);
    let early = at.minus(Duration::from_mins(1));
    match setting.flaw {
        Some(Flaw::RenewalRoundsUp) => rounded,
        Some(Flaw::EndToldTooEarly) => early,
        Some(_) | None => at,
    }
}

/// Whether a server is told of renewals.
pub fn tells_renewals(setting: &Setting) -> bool {
    !setting.has(Flaw::RenewalNotTold)
}

/// Whether an extension is only begun while somebody waits for it.
pub fn extends_in_time(setting: &Setting) -> bool {
    !setting.has(Flaw::LateExtensionWins)
}

/// Whether an issue that was not answered is sent again.
pub fn sends_again(setting: &Setting) -> bool {
    setting.has(Flaw::UncertainSentAgain)
}

/// As many questions are at all servers together, if they share one queue: as many connections as one has.
const TURNS: usize = 4;

/// A turn in the one queue before all servers.
#[derive(Debug)]
pub struct Turn(());

impl Drop for Turn {
    fn drop(&mut self) {
        MEMORY.with_borrow_mut(|memory| memory.at_work = memory.at_work.saturating_sub(1));
    }
}

/// Waits for a turn, if all servers share one queue.
pub async fn turn(setting: &Setting) -> Option<Turn> {
    if !setting.has(Flaw::OneQueueForAll) {
        return None;
    }
    while MEMORY.with_borrow(|memory| memory.at_work >= TURNS) {
        setting.executor.sleep(Duration::from_millis(5)).await;
    }
    MEMORY.with_borrow_mut(|memory| memory.at_work += 1);
    Some(Turn(()))
}

/// What an issue is told to have come to.
pub fn issued(
    setting: &Setting,
    answers: Vec<Result<Secret, EngineError>>,
) -> Vec<Result<Secret, EngineError>> {
    if !setting.has(Flaw::UncertainTakenForRefused) {
        return answers;
    }
    let refused = |_| EngineError::refused(Cause::Unreachable, "nothing was heard");
    answers.into_iter().map(|answer| answer.map_err(refused)).collect()
}

/// What a revocation takes to be on its way.
pub fn what_may_land(setting: &Setting, unanswered: Option<Unanswered>) -> Option<Unanswered> {
    unanswered.filter(|_| !setting.has(Flaw::NoSettleSpan))
}

/// Whether a revocation ends sessions.
pub fn ends_sessions(setting: &Setting) -> bool {
    !setting.has(Flaw::SessionsLiveOn)
}

/// Whether an account is left alone whose mark is not ours.
pub fn minds_marks(setting: &Setting) -> bool {
    !setting.has(Flaw::SweepDropsForeign)
}

/// What is done before a batch is revoked.
pub(in crate::worlds) fn before_revoke(setting: &Setting, removals: &mut Vec<Removal>) {
    if setting.has(Flaw::BatchDropsItsTail) && setting.dice.happens(300) {
        removals.truncate(1);
    }
}

/// What a batch of revocations is told to have come to.
pub fn revoked(
    setting: &Setting,
    mut answers: Vec<Result<(), EngineError>>,
    members: usize,
) -> Vec<Result<(), EngineError>> {
    if setting.has(Flaw::BatchDropsItsTail) {
        answers.resize(members, Ok(()));
    }
    if setting.has(Flaw::FirstAttemptPutOff) && setting.dice.happens(200) {
        answers.fill(Err(EngineError::refused(Cause::NeedsOperator, "somebody has to look")));
    }
    if setting.has(Flaw::RevocationErrorSwallowed) {
        answers.fill(Ok(()));
    }
    answers
}

/// What a rotation is told to have come to.
pub fn rotated(
    setting: &Setting,
    answer: Result<Rotated, EngineError>,
) -> Result<Rotated, EngineError> {
    match (setting.flaw, answer) {
        (Some(Flaw::CandidateErased), Err(EngineError::Uncertain(_))) => {
            Err(EngineError::refused(Cause::Rejected, "nothing was heard"))
        }
        (Some(Flaw::ServedBeforeTested), Err(EngineError::Uncertain(_))) => Ok(Rotated::AsIntended),
        (_, answer) => answer,
    }
}

/// Whether a new secret is taken to be let in, and is not tried.
pub fn takes_for_tested(setting: &Setting) -> bool {
    setting.has(Flaw::ServedBeforeTested)
}
