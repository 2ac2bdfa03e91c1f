//! What refuses credentials that live on: those of roles with a `denied_at`.

use super::accounts::one;
use super::{Mood, Seen, SimulatedEngine, SimulatedTarget};
use leasehold_core::engine::denial::{Deniable, Denial, Denied, Standing};
use leasehold_core::engine::{Cause, EngineError};
use leasehold_core::ids::LeaseId;
use serde_json::{Map, Value};

/// A denial as it stands, and each that was written.
#[derive(Debug, Default)]
pub(super) struct Denying {
    stands: Option<Denial<LeaseId>>,
    writes: usize,
    /// How many names it has room for, if that is bounded.
    room: Option<usize>,
    /// Those by whom it may not be written.
    barred: Vec<LeaseId>,
}

impl SimulatedTarget {
    /// What stands there, with its names in order.
    pub fn denial(&self) -> Option<Denial<LeaseId>> {
        let mut denial = self.seen.lock().unwrap().denying.stands.clone()?;
        denial.names.sort();
        Some(denial)
    }

    /// Whether a credential is refused by its name.
    pub fn denies(&self, lease: LeaseId) -> bool {
        self.denial().is_some_and(|denial| denial.names.contains(&lease.to_string()))
    }

    /// How often a denial was written, or removed.
    pub fn denials_written(&self) -> usize {
        self.seen.lock().unwrap().denying.writes
    }

    /// Somebody else keeps only those names that are meant; the denial is removed with its last one.
    pub fn alter_denial(&self, keeps: impl Fn(&str) -> bool) {
        let stands = &mut self.seen.lock().unwrap().denying.stands;
        if let Some(denial) = stands {
            denial.names.retain(|name| keeps(name));
        }
        *stands = stands.take().filter(|denial| !denial.is_empty());
    }

    /// Lets nobody write a denial as the one whom a role names in `denied_by`.
    pub fn bar_writer(&self, denied_by: u8) {
        self.seen.lock().unwrap().denying.barred.push(way(denied_by));
    }

    /// Has room for so many names.
    pub fn room_for_names(&self, names: usize) {
        self.seen.lock().unwrap().denying.room = Some(names);
    }
}

impl SimulatedEngine {
    pub(super) async fn write_denial(
        &self,
        denial: &Denial<LeaseId>,
    ) -> Result<Denied, EngineError> {
        self.admitted()?;
        if self.target.seen.lock().unwrap().denying.barred.contains(&denial.reached_by) {
            let why = "whoever was named may not write it";
            return Err(EngineError::refused(Cause::NeedsOperator, why));
        }
        let denial = denial.clone();
        one(self.target.asked(1, move |seen| vec![seen.deny(&denial)]).await)
    }

    /// Reads what stands there; only a target that is down does not tell.
    pub(super) fn read_denial(&self) -> Result<Standing, EngineError> {
        self.admitted()?;
        let seen = self.target.seen.lock().unwrap();
        if seen.mood == Mood::Down {
            return Err(EngineError::refused(Cause::Unreachable, "the target is down"));
        }
        let Some(stands) = &seen.denying.stands else { return Ok(Standing::default()) };
        Ok(Standing { names: stands.names.clone(), older_than: stands.older_than })
    }
}

impl Seen {
    fn deny(&mut self, denial: &Denial<LeaseId>) -> Denied {
        let Denying { stands, writes, room, .. } = &mut self.denying;
        *writes += 1;
        if room.is_some_and(|room| denial.names.len() > room) {
            return Denied::Full("there is no room for its name".to_owned());
        }
        *stands = Some(denial.clone()).filter(|denial| !denial.is_empty());
        Denied::Written
    }
}

/// How a credential of a role could be refused, if at all.
pub(super) fn deniable(role: &Map<String, Value>, lease: LeaseId) -> Option<Deniable<LeaseId>> {
    let denial = role.get("denied_at")?.as_str()?.to_owned();
    let may_deny_older = role.contains_key("denies_older");
    let denied_by = role.get("denied_by").and_then(Value::as_u64).and_then(|by| by.try_into().ok());
    let reached_by = way(denied_by.unwrap_or_default());
    Some(Deniable { denial, reached_by, name: lease.to_string(), may_deny_older })
}

/// By whom a denial is written, in place of a handle.
fn way(denied_by: u8) -> LeaseId {
    LeaseId::from_bytes([denied_by; 16])
}
