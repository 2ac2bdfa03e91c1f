//! What came of a run of the crash harness, as people read it.

use super::Plan;
use super::blow::{Aim, Blow, Tries};
use super::judge::Violation;
use super::told::Told;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// What happened, and what must not have.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was to be done.
    pub plan: Plan,
    /// How often the server was killed.
    pub kills: usize,
    /// How it was killed, and how often.
    pub blows: BTreeMap<&'static str, u64>,
    /// How each named point was struck.
    pub points: BTreeMap<String, Tries>,
    /// How often what happened.
    pub counts: BTreeMap<String, u64>,
    /// What was found to be wrong.
    pub violations: BTreeSet<Violation>,
    /// How long the kills took, without the end.
    pub killing: Duration,
    /// How long it took until nothing was left after the last kill.
    pub cleaning: Duration,
    /// How long all took.
    pub took: Duration,
}

impl Report {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            kills: 0,
            blows: BTreeMap::new(),
            points: BTreeMap::new(),
            counts: BTreeMap::new(),
            violations: BTreeSet::new(),
            killing: Duration::ZERO,
            cleaning: Duration::ZERO,
            took: Duration::ZERO,
        }
    }

    pub(super) fn strike(&mut self, blow: &Blow, landed: bool, killing: Duration) {
        self.kills += 1;
        let kind = if landed {
            blow.kind()
        } else {
            "from outside, where it was meant to not being reached"
        };
        *self.blows.entry(kind).or_default() += 1;
        self.killing = killing;
    }

    pub(super) fn take(&mut self, told: &Told, aim: &Aim) {
        self.points.clone_from(aim.points());
        self.counts.clone_from(&told.counts);
        self.violations.clone_from(&told.violations);
    }

    /// Returns how often something happened.
    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// Returns all of it as scripts read it.
    #[must_use]
    pub fn json(&self) -> Value {
        let points: BTreeMap<_, _> =
            self.points.iter().map(|(at, tries)| (at, tries.hits)).collect();
        let violations: Vec<_> = self.violations.iter().map(ToString::to_string).collect();
        json!({
            "kills": self.kills,
            "seed": self.plan.seed,
            "callers": self.plan.callers,
            "killing_s": self.killing.as_secs(),
            "cleaning_s": self.cleaning.as_secs(),
            "took_s": self.took.as_secs(),
            "blows": self.blows,
            "points": points,
            "counts": self.counts,
            "violations": violations,
        })
    }

    /// Returns the points at which the server never died.
    #[must_use]
    pub fn missed_points(&self) -> Vec<&str> {
        let missed = self.points.iter().filter(|(_, tries)| tries.hits == 0);
        missed.map(|(name, _)| name.as_str()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.killing / u32::try_from(self.kills).unwrap_or(u32::MAX).max(1);
        writeln!(
            f,
            "{} kills in {:.0} s ({:.2} s each), {} callers, seed {}; clean {:.0} s after the last",
            self.kills,
            self.killing.as_secs_f64(),
            each.as_secs_f64(),
            self.plan.callers,
            self.plan.seed,
            self.cleaning.as_secs_f64(),
        )?;
        for (kind, times) in &self.blows {
            writeln!(f, "{times:>9}  killed {kind}")?;
        }
        writeln!(f)?;
        for (what, times) in &self.counts {
            writeln!(f, "{times:>9}  {what}")?;
        }
        writeln!(f, "\n     hits  named point")?;
        for (name, tries) in &self.points {
            writeln!(f, "{:>9}  {name}", tries.hits)?;
        }
        let missed = self.missed_points();
        if !missed.is_empty() {
            writeln!(f, "\nnever died at {}", missed.join(", "))?;
        }
        writeln!(f)?;
        if self.violations.is_empty() {
            return writeln!(f, "no violation");
        }
        for violation in &self.violations {
            writeln!(f, "VIOLATION  {violation}")?;
        }
        Ok(())
    }
}
