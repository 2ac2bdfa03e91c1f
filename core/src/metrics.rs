//! What is counted: plain values that their owner hands out, nothing global, and nothing locked while anybody waits.
//!
//! Counters and histograms are fed where things happen, with a few relaxed additions. What is stored is not counted
//! there but by walking the store's index now and then (see [`crate::broker`]): it then agrees with the store
//! whoever wrote, another node or an earlier process included, and costs nothing while a caller waits.

use crate::engine::rotation::Verify;
use crate::engine::{Cause as Failure, EngineError};
use crate::lease::Cause;
use crate::lease::death::Death;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds of a histogram of time, in microseconds: from half a millisecond to the longest that a target is waited for.
const TIMES_US: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];
/// Bounds of a histogram of sizes, up to the largest batch there is.
const SIZES: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
/// Microseconds of a second.
const SECOND_US: u64 = 1_000_000;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that is raised for as long as something lasts.
#[derive(Clone, Debug, Default)]
pub struct Level(Arc<AtomicU64>);

/// Keeps a level raised until it is dropped, however that comes about.
#[derive(Debug)]
pub struct Raised {
    level: Level,
    by: u64,
}

/// How often values fell into each of a few ranges.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// What is counted in, by what is told.
    scale: u64,
    /// One more than there are bounds: the last one is for what is beyond all of them.
    buckets: Box<[Counter]>,
    sum: Counter,
}

/// A histogram as it was at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The upper bound of each range, and how many values were at or below it.
    pub up_to: Vec<(f64, u64)>,
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

/// What a target is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// To create.
    Issue,
    /// To extend.
    Renew,
    /// To remove.
    Revoke,
}

/// How one target does.
#[derive(Debug, Default)]
pub struct TargetMeter {
    /// The path of the target's mount.
    pub mount: String,
    /// What operators call the target.
    pub target: String,
    verbs: [VerbMeter; 3],
}

/// How one target does with one verb.
#[derive(Debug)]
pub struct VerbMeter {
    /// Questions that were asked and not answered yet.
    pub open: Level,
    /// Those of them that the target is at work on.
    pub at_work: Level,
    /// How long batches took, tries within one included.
    pub times: Histogram,
    /// How many members they had.
    pub members: Histogram,
    answers: [Counter; 7],
}

/// What the broker counts.
#[derive(Debug, Default)]
pub struct Metrics {
    targets: RwLock<BTreeMap<(String, String), Arc<TargetMeter>>>,
    /// Leases that became durable.
    pub made: Counter,
    /// Leases whose credentials were seen to be gone.
    pub settled: Counter,
    /// How the deaths went that were to be proven: by a login, by the catalog, not at all.
    deaths: [Counter; 3],
    /// Rotations that succeeded, whoever asked, and tries that failed.
    pub rotated: Counter,
    /// See [`Metrics::rotated`].
    pub unrotated: Counter,
    /// Credentials that targets had forgotten and that were set again.
    pub put_back: Counter,
    /// Requests and revocations that no audit device recorded.
    pub unrecorded: Counter,
    begun: [Counter; 7],
    counted: Mutex<Arc<Counted>>,
}

/// What was in the store when it was last counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// When that was; zero if it was not counted yet.
    pub at: crate::time::Timestamp,
    /// Leases by the path of their mount and the name of their target.
    pub leases: BTreeMap<(String, String), Tally>,
    /// Tokens.
    pub tokens: u64,
}

/// The leases of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that are lent.
    pub held: u64,
    /// Those that are being revoked, by how many attempts have failed: none, one, up to nine, more.
    pub revoking: [u64; 4],
    /// Those that needed a look, or another attempt, and had not had it yet.
    pub due: u64,
    /// For how long the first of them had needed it.
    pub late: Duration,
    /// For how long the revocation that lasted longest had gone on.
    pub revoking_for: Duration,
}

impl Counter {
    /// Counts one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Counts several.
    pub fn add(&self, several: u64) {
        self.0.fetch_add(several, Ordering::Relaxed);
    }

    /// Returns how many there were.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Level {
    /// Raises it.
    pub fn raise(&self, by: usize) -> Raised {
        let by = u64::try_from(by).unwrap_or(u64::MAX);
        self.0.fetch_add(by, Ordering::Relaxed);
        Raised { level: self.clone(), by }
    }

    /// Returns how high it is.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.level.0.fetch_sub(self.by, Ordering::Relaxed);
    }
}

impl Histogram {
    /// Counts spans of time; told in seconds.
    #[must_use]
    pub fn of_times() -> Self {
        Self::new(&TIMES_US, SECOND_US)
    }

    /// Counts sizes.
    #[must_use]
    pub fn of_sizes() -> Self {
        Self::new(&SIZES, 1)
    }

    fn new(bounds: &'static [u64], scale: u64) -> Self {
        let buckets = std::iter::repeat_with(Counter::default).take(bounds.len().saturating_add(1));
        Self { bounds, scale, buckets: buckets.collect(), sum: Counter::default() }
    }

    /// Notes a span of time.
    pub fn time(&self, took: Duration) {
        self.note(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Notes a size.
    pub fn size(&self, size: usize) {
        self.note(u64::try_from(size).unwrap_or(u64::MAX));
    }

    fn note(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.one();
        }
        self.sum.add(value);
    }

    /// Returns what was noted so far. The count is that of the buckets, so that the shape is never at odds with itself.
    pub fn shape(&self) -> Shape {
        let told = |value: u64| float(value) / float(self.scale);
        let mut count = 0_u64;
        let up_to = self.bounds.iter().zip(&self.buckets).map(|(bound, bucket)| {
            count = count.saturating_add(bucket.value());
            (told(*bound), count)
        });
        let up_to = up_to.collect();
        let beyond = self.buckets.last().map_or(0, Counter::value);
        Shape { up_to, count: count.saturating_add(beyond), sum: told(self.sum.value()) }
    }
}

/// Returns a count as a fraction; beyond 2^53 it is off by less than any graph shows.
#[expect(clippy::cast_precision_loss, reason = "a graph shows no sixteenth digit")]
pub fn float(count: u64) -> f64 {
    count as f64
}

impl Verb {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Issue, Self::Renew, Self::Revoke];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
        }
    }
}

impl TargetMeter {
    /// Starts at zero.
    #[must_use]
    pub fn new(mount: String, target: String) -> Self {
        Self { mount, target, ..Self::default() }
    }

    /// Returns what is counted of a verb.
    pub fn of(&self, verb: Verb) -> &VerbMeter {
        let [issue, renew, revoke] = &self.verbs;
        match verb {
            Verb::Issue => issue,
            Verb::Renew => renew,
            Verb::Revoke => revoke,
        }
    }
}

impl Default for VerbMeter {
    fn default() -> Self {
        Self {
            open: Level::default(),
            at_work: Level::default(),
            times: Histogram::of_times(),
            members: Histogram::of_sizes(),
            answers: Default::default(),
        }
    }
}

impl VerbMeter {
    /// Notes what was answered to whoever asked.
    pub fn answered<A>(&self, answer: &Result<A, EngineError>) {
        let [ok, unreachable, contended, rejected, needs_operator, too_late, lives] = &self.answers;
        let counter = match answer.as_ref().map_err(|error| error.reason().cause) {
            Ok(_) => ok,
            Err(Failure::Unreachable) => unreachable,
            Err(Failure::Contended) => contended,
            Err(Failure::Rejected) => rejected,
            Err(Failure::NeedsOperator) => needs_operator,
            Err(Failure::TooLate) => too_late,
            Err(Failure::Lives(_)) => lives,
        };
        counter.one();
    }

    /// Notes a batch that was answered.
    pub fn batch(&self, members: usize, took: Duration) {
        self.members.size(members);
        self.times.time(took);
    }

    /// Returns how many answers there were of each kind.
    pub fn answers(&self) -> [(&'static str, u64); 7] {
        let [ok, unreachable, contended, rejected, needs_operator, too_late, lives] = &self.answers;
        [
            ("ok", ok.value()),
            ("unreachable", unreachable.value()),
            ("contended", contended.value()),
            ("rejected", rejected.value()),
            ("needs_operator", needs_operator.value()),
            ("too_late", too_late.value()),
            ("lives", lives.value()),
        ]
    }
}

impl Metrics {
    /// Returns the meter of a target, by the path of its mount and its name. A target that is deleted and made again
    /// goes on with the same.
    pub fn target(&self, mount: &str, target: &str) -> Arc<TargetMeter> {
        let key = (mount.to_owned(), target.to_owned());
        if let Some(meter) = self.targets.read().get(&key) {
            return Arc::clone(meter);
        }
        let mut targets = self.targets.write();
        let meter = targets.entry(key).or_insert_with_key(|(mount, target)| {
            Arc::new(TargetMeter::new(mount.clone(), target.clone()))
        });
        Arc::clone(meter)
    }

    /// Returns the meters of all targets.
    pub fn targets(&self) -> Vec<Arc<TargetMeter>> {
        self.targets.read().values().map(Arc::clone).collect()
    }

    /// Forgets targets that are no more: what nobody can see any more must not grow for ever.
    pub fn keep_targets(&self, is_there: impl Fn(&str, &str) -> bool) {
        self.targets.write().retain(|(mount, target), _| is_there(mount, target));
    }

    /// Notes that a lease was taken from its holder.
    pub fn begun(&self, cause: Cause) {
        let [lapsed, asked, token_ended, issue_failed, missing, superseded, abandoned] =
            &self.begun;
        let counter = match cause {
            Cause::Lapsed => lapsed,
            Cause::Asked => asked,
            Cause::TokenEnded => token_ended,
            Cause::IssueFailed | Cause::NeverMade => issue_failed,
            Cause::Missing => missing,
            Cause::Superseded => superseded,
            Cause::Abandoned => abandoned,
        };
        counter.one();
    }

    /// Returns how many leases were taken from their holders, and for what.
    pub fn begun_by_cause(&self) -> [(&'static str, u64); 7] {
        let [lapsed, asked, token_ended, issue_failed, missing, superseded, abandoned] =
            &self.begun;
        [
            ("lapsed", lapsed.value()),
            ("asked", asked.value()),
            ("token_ended", token_ended.value()),
            ("issue_failed", issue_failed.value()),
            ("missing", missing.value()),
            ("superseded", superseded.value()),
            ("abandoned", abandoned.value()),
        ]
    }

    /// Notes how a death was proven.
    pub fn death(&self, death: &Death) {
        let [login, catalog, not_proven] = &self.deaths;
        let counter = match death {
            Death::Proven { by: Verify::Login, .. } => login,
            Death::Proven { by: Verify::Catalog, .. } => catalog,
            Death::NotProven { .. } => not_proven,
        };
        counter.one();
    }

    /// Returns how many deaths were proven, and how.
    pub fn deaths_by_proof(&self) -> [(&'static str, u64); 3] {
        let [login, catalog, not_proven] = &self.deaths;
        [("login", login.value()), ("catalog", catalog.value()), ("not_proven", not_proven.value())]
    }

    /// Keeps what was counted in the store.
    pub fn note_counted(&self, counted: Counted) {
        *self.counted.lock() = Arc::new(counted);
    }

    /// Returns what was last counted in the store.
    pub fn counted(&self) -> Arc<Counted> {
        Arc::clone(&self.counted.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_value_in_every_range_that_holds_it() {
        let sizes = Histogram::of_sizes();
        for size in [1, 2, 3, 64, 5_000] {
            sizes.size(size);
        }
        let shape = sizes.shape();
        let counts: Vec<_> = shape.up_to.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4]);
        assert_eq!((shape.count, shape.sum), (5, 5_070.0));
        let times = Histogram::of_times();
        times.time(Duration::from_millis(1));
        times.time(Duration::from_millis(1500));
        let shape = times.shape();
        assert_eq!((shape.up_to[1], shape.sum), ((0.001, 1), 1.501));
    }

    #[test]
    fn a_level_falls_when_what_raised_it_is_over() {
        let level = Level::default();
        let raised = level.raise(3);
        let other = level.raise(1);
        assert_eq!(level.value(), 4);
        drop(raised);
        assert_eq!(level.value(), 1);
        drop(other);
        assert_eq!(level.value(), 0);
    }

    #[test]
    fn a_target_that_is_no_more_is_forgotten_and_one_made_again_goes_on() {
        let metrics = Metrics::default();
        metrics.target("database/", "a").of(Verb::Issue).answered(&Ok(()));
        metrics.target("database/", "b");
        metrics.keep_targets(|_, target| target == "a");
        let names: Vec<_> = metrics.targets().iter().map(|meter| meter.target.clone()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(metrics.target("database/", "a").of(Verb::Issue).answers()[0], ("ok", 1));
    }
}
