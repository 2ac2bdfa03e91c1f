//! Credentials that end by themselves, and that nothing ends before: those of roles with a `lives`, in seconds.

use super::SimulatedEngine;
use leasehold_core::engine::own_end::{Choice, OwnEnd};
use leasehold_core::engine::{Cause, EngineError, Revocation};
use leasehold_core::time::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// The shortest that they live.
const LIVES_MIN: Duration = Duration::from_mins(15);

/// Whether a role's credentials end by themselves.
pub(super) fn is_passing(role: &Map<String, Value>) -> bool {
    role.contains_key("lives")
}

/// Whoever asks may say another `ttl`.
pub(super) fn choose(
    role: &Map<String, Value>,
    said: &Map<String, Value>,
) -> Option<Choice<SimulatedEngine>> {
    let lives = role.get("lives")?.as_u64()?;
    let after = Duration::from_secs(said.get("ttl").and_then(Value::as_u64).unwrap_or(lives));
    let own_end = OwnEnd { after, after_min: LIVES_MIN, can_be_ended: false };
    Some(Choice { role: role.clone(), own_end })
}

/// Says that a credential lives, if it does whoever revokes it.
pub(super) fn lives(asked: &Revocation<SimulatedEngine>, now: Timestamp) -> Option<EngineError> {
    let is_passing = asked.role.as_ref().is_some_and(|role| is_passing(role));
    (is_passing && now < asked.lapses_at)
        .then(|| EngineError::refused(Cause::Lives(asked.lapses_at), "it lives until its own end"))
}
