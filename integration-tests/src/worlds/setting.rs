//! What everything in a world shares: its machine, its chance, how much goes wrong, and what was seen.

use super::calls::Calls;
use super::counters::{Counter, Counters};
use super::dice::Dice;
use super::executor::Executor;
use super::flaws::Flaw;
use leasehold_core::ids::{InstallationId, LeaseId};
use leasehold_core::time::Timestamp;
use parking_lot::Mutex;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// When worlds begin: 2026-11-22.
const BEGINNING: Timestamp = Timestamp(1_795_300_000_000);

/// What everything in a world shares.
#[derive(Debug)]
pub struct Setting {
    /// Who runs next, and when.
    pub executor: Executor,
    /// Where its chance comes from.
    pub dice: Arc<Dice>,
    /// How much goes wrong while it does.
    pub weather: Weather,
    /// What is known to be wrong in this world, if anything is.
    pub flaw: Option<Flaw>,
    /// Which installation the world is about: the others are copies of it.
    pub original: OnceLock<InstallationId>,
    /// What happened, in numbers.
    pub counters: Counters,
    /// What processes wait for.
    pub calls: Calls,
    /// Whether nothing ever goes wrong here by chance, so that everything has to be in time.
    pub fair: bool,
    /// Whether older backups are restored.
    pub restores: bool,
    calm: AtomicBool,
    /// Until when something is out of order that somebody put so, or when it was for the last time.
    disturbed: AtomicU64,
    requests: AtomicU64,
    violations: Mutex<Vec<Violation>>,
    story: Option<Mutex<Vec<Event>>>,
}

/// How often something goes wrong, in a thousand cases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// A read or a commit is refused.
    pub store_refuses: u32,
    /// A commit is not answered: it may have been applied, or be applied later.
    pub store_uncertain: u32,
    /// An audit device refuses a line, or never answers.
    pub audit_fails: u32,
    /// A target does not do what it is asked, or nobody is told that it has.
    pub target_fails: u32,
    /// Something takes seconds instead of milliseconds.
    pub slow: u32,
    /// A stranger takes the very name that a lease of ours has or is to get.
    pub strangers: u32,
}

/// A law was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which; 3 of "exactly one secret" as well.
    pub law: u8,
    /// What was seen.
    pub what: String,
    /// When, in milliseconds since the world began.
    pub at: u64,
    /// With which lease.
    pub lease: Option<LeaseId>,
}

/// Something that happened.
#[derive(Clone, Debug)]
struct Event {
    at: u64,
    lease: Option<LeaseId>,
    what: String,
}

impl Setting {
    /// A world with this seed and shape; it writes its story down if asked to.
    pub(super) fn new(seed: u64, shape: &super::Shape, flaw: Option<Flaw>, tells: bool) -> Self {
        let dice = Arc::new(Dice::new(seed));
        Self {
            executor: Executor::new(Arc::new(Dice::new(seed.rotate_left(32) ^ 0x5eed))),
            dice,
            weather: shape.weather,
            flaw,
            original: OnceLock::new(),
            counters: Counters::default(),
            calls: Calls::default(),
            fair: shape.fair,
            restores: shape.restores.is_some(),
            calm: AtomicBool::new(true),
            disturbed: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            violations: Mutex::default(),
            story: tells.then(Mutex::default),
        }
    }

    /// Returns what time it truly is.
    pub fn now(&self) -> Timestamp {
        Timestamp(BEGINNING.0 + self.executor.now())
    }

    /// Turns a point in time into one of the machine's.
    pub fn machine_time(at: Timestamp) -> u64 {
        at.0.saturating_sub(BEGINNING.0)
    }

    /// From now on nothing goes wrong by chance, or it does.
    pub fn calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::Relaxed);
        self.disturb(Duration::ZERO);
    }

    /// Something is out of order from now on for a span.
    pub fn disturb(&self, span: Duration) {
        let until = self.now().plus(span);
        self.disturbed.fetch_max(until.0, Ordering::Relaxed);
    }

    /// For how long nothing has been out of order; nothing where things go wrong by chance.
    pub fn undisturbed_for(&self) -> Duration {
        let since = Timestamp(self.disturbed.load(Ordering::Relaxed));
        if self.calm.load(Ordering::Relaxed) { self.now().since(since) } else { Duration::ZERO }
    }

    /// Whether something goes wrong that does so in this many of a thousand cases while the weather is bad.
    pub fn fails(&self, per_mille: u32) -> bool {
        !self.calm.load(Ordering::Relaxed) && self.dice.happens(per_mille)
    }

    /// How often a store has not done what it was asked, or not said so.
    pub fn store_troubles(&self) -> u64 {
        let Counters { commits_refused, commits_uncertain, reads_refused, conflicts, .. } =
            &self.counters;
        [commits_refused, commits_uncertain, reads_refused, conflicts]
            .map(Counter::count)
            .iter()
            .sum()
    }

    /// Whether this world has that flaw.
    pub fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Names a request as no other is named.
    pub fn next_request(&self) -> String {
        format!("request-{}", self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes what happened. The words are only made up where somebody wants the story.
    pub fn note(&self, lease: impl Into<Option<LeaseId>>, what: impl FnOnce() -> String) {
        if let Some(story) = &self.story {
            let event = Event { at: self.executor.now(), lease: lease.into(), what: what() };
            story.lock().push(event);
        }
    }

    /// A law was broken.
    pub fn broken(&self, law: u8, lease: impl Into<Option<LeaseId>>, what: impl Into<String>) {
        let (lease, what, at) = (lease.into(), what.into(), self.executor.now());
        self.note(lease, || format!("LAW {law} BROKEN: {what}"));
        self.violations.lock().push(Violation { law, what, at, lease });
    }

    /// Whether no law was broken so far.
    pub fn is_lawful(&self) -> bool {
        self.violations.lock().is_empty()
    }

    /// The first that was.
    pub fn violation(&self) -> Option<Violation> {
        self.violations.lock().first().cloned()
    }

    /// What happened to a lease, and what happened to all of them, as lines in the order of time.
    pub fn story_of(&self, lease: Option<LeaseId>) -> String {
        let Some(story) = &self.story else { return String::new() };
        let mut lines = String::new();
        for event in story.lock().iter() {
            let concerns = event.lease.is_none() || lease.is_none() || event.lease == lease;
            if concerns {
                let name = event.lease.map_or_else(String::new, |id| format!("[{}] ", short(id)));
                let _ = writeln!(lines, "{:>12}  {name}{}", clock(event.at), event.what);
            }
        }
        lines
    }
}

/// The end of a lease's name: what tells it from others of the same time.
pub fn short(lease: LeaseId) -> String {
    let text = lease.to_string();
    text.chars().skip(text.len() - 6).collect()
}

/// Hours, minutes, seconds and milliseconds since the world began.
pub fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, ms % 1000)
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "law {} broken at {}", self.law, clock(self.at))?;
        if let Some(lease) = self.lease {
            write!(f, " by lease {}", short(lease))?;
        }
        write!(f, ": {}", self.what)
    }
}
