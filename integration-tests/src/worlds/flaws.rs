//! Known-wrong variants: each breaks one thing that a law rests on, at the port where the mistake would show.
//!
//! The tests of the laws are tested with them: a world with a flaw must break a law within a fixed number of
//! seeds, or the judge would not notice the mistake either.

use super::engine::Removal;
use super::judge::CANARY;
use super::setting::Setting;
use leasehold_core::engine::{Cause, EngineError, Unanswered};
use leasehold_core::ids::LeaseId;
use leasehold_core::secret::Secret;
use leasehold_core::store::{Batch, Key, Revision, Value};
use leasehold_core::time::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::time::Duration;

macro_rules! flaws {
    ($($(#[doc = $doc:literal])* $flaw:ident = $name:literal,)*) => {
        /// What is wrong with a world.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Flaw {
            $($(#[doc = $doc])* $flaw,)*
        }

        impl Flaw {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$flaw,)*];

            /// What people call it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$flaw => $name,)*
                }
            }
        }
    };
}

flaws! {
    /// The target is asked before the lease is durable.
    StoredAfterTheIssue = "stored-after-the-issue",
    /// A revocation that failed counts.
    RevocationErrorSwallowed = "revocation-error-swallowed",
    /// A revocation counts although the issue may still land.
    NoSettleSpan = "no-settle-span",
    /// An issue that may have landed is taken for one that did not.
    UncertainTakenForRefused = "uncertain-taken-for-refused",
    /// The clock is read now and then and kept.
    ClockNotReadAgain = "clock-not-read-again",
    /// The end that the target is told is rounded up, past the ceiling.
    RenewalRoundsUp = "renewal-rounds-up",
    /// After six attempts nobody looks again.
    BackOffStops = "back-off-stops",
    /// If one member of a batch fails, those after it are dropped and counted as done.
    BatchDropsItsTail = "batch-drops-its-tail",
    /// What is due just at the horizon is in neither part of the queue.
    RefillLosesTheHorizon = "refill-loses-the-horizon",
    /// A renewal's old entry in the queue revokes the lease.
    LazyDeletionRevokesRenewed = "lazy-deletion-revokes-renewed",
    /// Revoking everything under `app` reaches `app2`.
    PrefixReachesFurther = "prefix-reaches-further",
    /// Nothing leads from a token to those it made.
    ChildOutlivesParent = "child-outlives-parent",
    /// An issue's commit does not look whether its token still lives.
    TokenEndsMeanwhile = "token-ends-meanwhile",
    /// A batch that was not answered is sent again.
    UncertainSentAgain = "uncertain-sent-again",
    /// A sweep drops what it did not create.
    SweepDropsForeign = "sweep-drops-foreign",
    /// A re-pointed target is asked for what lives at its old address.
    AbsenceElsewhere = "absence-elsewhere",
    /// A renewal is committed whatever became of the lease meanwhile.
    RenewalWhileLapseIsAsked = "renewal-while-lapse-is-asked",
    /// A lease is removed before its revocation is recorded.
    RemovedBeforeItsRecord = "removed-before-its-record",
    /// Requests are recorded after they took effect.
    AuditAfterTheEffect = "audit-after-the-effect",
    /// A credential is dropped and its sessions live on.
    SessionsLiveOn = "sessions-live-on",
    /// The handle holds the secret.
    SecretInTheHandle = "secret-in-the-handle",
    /// A renewal leaves the lease where no sweep finds it.
    RenewalLosesItsPlace = "renewal-loses-its-place",
    /// Nobody remembers which requests were made before a restart.
    RepeatsForgotten = "repeats-forgotten",
    /// Whoever has the key of a request is given its answer.
    RepeatsServeAnybody = "repeats-serve-anybody",
    /// A renewal is acknowledged and never stored.
    RenewalNotStored = "renewal-not-stored",
    /// The first attempt to revoke is put off as if a person had to clear the way.
    FirstAttemptPutOff = "first-attempt-put-off",
    /// Tokens that lapse are found ten minutes later.
    TokensFoundLate = "tokens-found-late",
    /// The end of a token leaves behind what led to it.
    AccessorLeft = "accessor-left",
    /// Nothing is kept of a lease that is settled.
    HistoryNotKept = "history-not-kept",
    /// A revocation whose record was asked for before is not recorded again.
    RecordedOnceForEver = "recorded-once-for-ever",
    /// A renewal is answered and never told to the target.
    RenewalNotTold = "renewal-not-told",
    /// A renewal is done and not recorded.
    RenewalNotRecorded = "renewal-not-recorded",
    /// The end of a lease is acknowledged and, one time in five, not stored.
    EndNotStored = "end-not-stored",
    /// The end of a token is acknowledged and, one time in five, not stored.
    TokenEndNotStored = "token-end-not-stored",
    /// A lease whose issue has failed is left to its term.
    FailedIssueLeftHeld = "failed-issue-left-held",
    /// The target is told an end before that of the lease.
    EndToldTooEarly = "end-told-too-early",
    /// A revocation of everything of a role misses what was made in the last ten minutes.
    PrefixMissesTheNewest = "prefix-misses-the-newest",
    /// A token is admitted for ten minutes after its term.
    LapsedTokenAdmitted = "lapsed-token-admitted",
    /// What answers a repetition is stored beside it, secret and all, until its lease is gone.
    SecretInTheRepeat = "secret-in-the-repeat",
    /// A renewal is said to be refused, and is stored all the same.
    RefusedRenewalStored = "refused-renewal-stored",
    /// An extension that comes late is done all the same, over one that was asked for later.
    LateExtensionWins = "late-extension-wins",
    /// A batch is torn: its first half is applied.
    BatchTorn = "batch-torn",
    /// A target is abandoned, and nothing is kept of that.
    AbandonmentNotKept = "abandonment-not-kept",
    /// All targets share one queue: whoever waits for a dead one is in everybody's way.
    OneQueueForAll = "one-queue-for-all",
}

impl Flaw {
    /// Whether only a crowd feels it: its worlds are crowded ones.
    pub fn needs_a_crowd(self) -> bool {
        self == Self::OneQueueForAll
    }
}

impl std::str::FromStr for Flaw {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.iter().map(|flaw| flaw.name()).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().copied().find(|flaw| flaw.name() == name);
        found.ok_or_else(|| format!("no flaw is called `{name}`; known are: {}", known()))
    }
}

/// As many questions are at all servers together, if they share one queue: as many connections as one has.
const TURNS: usize = 4;

/// What a flaw remembers of the world on this thread.
#[derive(Debug, Default)]
struct Memory {
    first_seen: BTreeMap<Key, Value>,
    looks: BTreeMap<Vec<u8>, u32>,
    moved: BTreeMap<u64, u64>,
    clock: Option<Timestamp>,
    has_read_token: bool,
    shown: BTreeMap<u32, LeaseId>,
    at_work: usize,
    recorded: BTreeSet<String>,
    stored: BTreeMap<Key, Timestamp>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::default());
}

/// A new world begins.
pub fn forget() {
    MEMORY.with_borrow_mut(|memory| *memory = Memory::default());
}

/// What a process reads.
pub fn on_get(
    setting: &Setting,
    key: &Key,
    found: Option<(Value, Revision)>,
) -> Option<(Value, Revision)> {
    if !setting.has(Flaw::LazyDeletionRevokesRenewed) || !key.0.starts_with(b"lease/") {
        return found;
    }
    let (value, revision) = found?;
    MEMORY.with_borrow_mut(|memory| {
        let first = memory.first_seen.entry(key.clone()).or_insert(value);
        Some((first.clone(), revision))
    })
}

/// A process has read a record. Where all is well a lapsed token that lives on would be caught by being late.
pub fn was_read(setting: &Setting, is_token: bool) {
    if setting.has(Flaw::LapsedTokenAdmitted) && !setting.fair {
        MEMORY.with_borrow_mut(|memory| memory.has_read_token = is_token);
    }
}

/// Which keys it reads.
pub fn on_range(setting: &Setting, from: &Key, to: &Key) -> (Key, Key) {
    let (mut from, mut to) = (from.clone(), to.clone());
    if setting.has(Flaw::PrefixReachesFurther)
        && from.0.starts_with(b"of-role/")
        && from.0.last() == Some(&0)
    {
        from.0.pop();
        to = from.after_prefix();
    }
    if setting.has(Flaw::RefillLosesTheHorizon) && from.0.starts_with(b"due/") && from.0.len() == 12
    {
        // The first half minute after where the last read ended.
        let begins = from.0.last_chunk::<8>().map_or(0, |at| u64::from_be_bytes(*at));
        if begins > 0 {
            from = Key([b"due/".as_slice(), &(begins + 30_000).to_be_bytes()].concat());
        }
    }
    if setting.has(Flaw::PrefixMissesTheNewest)
        && from.0.starts_with(b"of-role/")
        && from.0.last() == Some(&0)
    {
        // Ids are ordered by time: six bytes of it come first.
        let made_by = setting.now().minus(Duration::from_mins(10));
        to = Key([&from.0, &made_by.0.to_be_bytes()[2..]].concat());
    }
    if setting.has(Flaw::TokensFoundLate) && from.0.starts_with(b"token-due/") {
        let found_by = setting.now().minus(Duration::from_mins(10));
        to = to.min(Key([b"token-due/".as_slice(), &found_by.0.to_be_bytes()].concat()));
    }
    (from, to)
}

/// What it commits.
pub fn on_commit(setting: &Setting, mut batch: Batch) -> Batch {
    let puts_lease = batch.puts.iter().any(|(key, _)| key.0.starts_with(b"lease/"));
    let is_new = puts_lease && is_issue(&batch);
    let is_renewal = is_renewal(&batch);
    match setting.flaw {
        Some(Flaw::ChildOutlivesParent) => {
            batch.puts.retain(|(key, _)| !key.0.starts_with(b"child/"));
        }
        Some(Flaw::RepeatsForgotten) => {
            batch.puts.retain(|(key, _)| !key.0.starts_with(b"repeat/"));
        }
        Some(Flaw::SecretInTheRepeat) => {
            let beside = |key: &Key| {
                let rest = key.0.strip_prefix(b"repeat/")?;
                Some(Key([b"repeat-answer/".as_slice(), rest].concat()))
            };
            let answer = Value(format!("{CANARY}of the lease").into_bytes());
            let kept: Vec<_> = batch.puts.iter().filter_map(|(key, _)| beside(key)).collect();
            batch.puts.extend(kept.into_iter().map(|key| (key, answer.clone())));
            let gone: Vec<_> = batch.deletes.iter().filter_map(beside).collect();
            batch.deletes.extend(gone);
        }
        Some(Flaw::AccessorLeft) => batch.deletes.retain(|key| !key.0.starts_with(b"accessor/")),
        Some(Flaw::HistoryNotKept) => {
            batch.puts.retain(|(key, _)| !key.0.starts_with(b"history"));
        }
        Some(Flaw::AbandonmentNotKept) => {
            batch.puts.retain(|(key, _)| !key.0.starts_with(b"abandoned/"));
        }
        Some(Flaw::TokenEndsMeanwhile) if is_new => {
            batch.expected.retain(|(key, _)| !key.0.starts_with(b"token/"));
        }
        Some(Flaw::RenewalWhileLapseIsAsked) if is_renewal => batch.expected.clear(),
        Some(Flaw::RenewalLosesItsPlace) if is_renewal => {
            batch.puts.retain(|(key, _)| !key.0.starts_with(b"due/"));
        }
        Some(Flaw::BatchTorn) if setting.fails(20) => {
            let half = batch.puts.len().div_ceil(2);
            batch.puts.truncate(half);
        }
        Some(Flaw::BackOffStops) if puts_lease && !is_new => MEMORY.with_borrow_mut(|memory| {
            let key = batch.puts.iter().find(|(key, _)| key.0.starts_with(b"lease/"));
            let looks = key.map(|(key, _)| memory.looks.entry(key.0.clone()).or_default());
            let is_last = looks.is_some_and(|looks| {
                *looks += 1;
                *looks > 6
            });
            batch.puts.retain(|(key, _)| !is_last || !key.0.starts_with(b"due/"));
        }),
        Some(_) | None => {}
    }
    batch
}

/// Whether a commit is acknowledged before it is durable, and how much before.
pub fn acknowledged_before(setting: &Setting, batch: &Batch) -> Option<Duration> {
    (setting.has(Flaw::StoredAfterTheIssue) && is_issue(batch)).then_some(Duration::from_millis(50))
}

fn is_issue(batch: &Batch) -> bool {
    let mut absent = batch.expected.iter().filter(|(_, at)| at.is_none());
    absent.any(|(key, _)| key.0.starts_with(b"lease/"))
}

fn is_renewal(batch: &Batch) -> bool {
    let puts_lease = batch.puts.iter().any(|(key, _)| key.0.starts_with(b"lease/"));
    puts_lease && !is_issue(batch) && !batch.spends_reserve
}

/// Whether a commit is acknowledged and dropped.
pub fn drops(setting: &Setting, batch: &Batch) -> bool {
    let puts = |prefix: &[u8]| batch.puts.iter().find(|(key, _)| key.0.starts_with(prefix));
    let is_there = |key: &Key| batch.expected.iter().any(|(at, was)| at == key && was.is_some());
    let changes = |prefix| puts(prefix).is_some_and(|(key, _)| is_there(key));
    // Where all is well they would be caught by being late.
    let at_times = || !setting.fair && setting.dice.happens(200);
    match setting.flaw {
        Some(Flaw::RenewalNotStored) => is_renewal(batch),
        Some(Flaw::EndNotStored) => batch.spends_reserve && changes(b"lease/") && at_times(),
        Some(Flaw::TokenEndNotStored) => changes(b"token/") && at_times(),
        Some(Flaw::FailedIssueLeftHeld) => MEMORY.with_borrow_mut(|memory| {
            let Some((key, _)) = puts(b"lease/") else { return false };
            if !is_there(key) {
                memory.stored.insert(key.clone(), setting.now());
            }
            let stored = memory.stored.get(key).copied().unwrap_or_default();
            batch.spends_reserve && setting.now().since(stored) < Duration::from_secs(5)
        }),
        Some(_) | None => false,
    }
}

/// Whether a commit is applied and said to be refused. Where all is well it would be caught by being late, and not
/// by what the holder was told.
pub fn refuses_what_it_applies(setting: &Setting, batch: &Batch) -> bool {
    let has = setting.has(Flaw::RefusedRenewalStored) && !setting.fair;
    has && is_renewal(batch) && setting.dice.happens(200)
}

/// What the clock says.
pub fn clock(setting: &Setting, now: Timestamp) -> Timestamp {
    let reads_for_token = MEMORY.with_borrow_mut(|memory| take(&mut memory.has_read_token));
    if reads_for_token {
        return now.minus(Duration::from_mins(10));
    }
    if !setting.has(Flaw::ClockNotReadAgain) {
        return now;
    }
    MEMORY.with_borrow_mut(|memory| {
        let kept = memory.clock.filter(|kept| now.since(*kept) < Duration::from_mins(10));
        *memory.clock.insert(kept.unwrap_or(now))
    })
}

/// Whether a line is acknowledged before it is written, and how much before.
pub fn records_after(setting: &Setting, operation: &str) -> Option<Duration> {
    let late = match operation {
        "revoke" => setting.has(Flaw::RemovedBeforeItsRecord),
        _ => setting.has(Flaw::AuditAfterTheEffect),
    };
    late.then_some(Duration::from_millis(500))
}

/// The revocation of a lease is recorded.
pub fn was_recorded(setting: &Setting, lease: &str) {
    if setting.has(Flaw::RecordedOnceForEver) {
        MEMORY.with_borrow_mut(|memory| memory.recorded.insert(lease.to_owned()));
    }
}

/// Whether a line is acknowledged and dropped: the second of one revocation, or those of renewals.
pub fn drops_record(setting: &Setting, operation: &str, path: &str) -> bool {
    match operation {
        "revoke" => MEMORY.with_borrow(|memory| memory.recorded.contains(path)),
        _ => setting.has(Flaw::RenewalNotRecorded) && path == "sys/leases/renew",
    }
}

/// Where a target is asked.
pub fn address(number: u64) -> u64 {
    MEMORY.with_borrow(|memory| memory.moved.get(&number).copied().unwrap_or(number))
}

/// A target was pointed elsewhere.
pub fn moved(setting: &Setting, from: u64, to: u64) {
    if setting.has(Flaw::AbsenceElsewhere) {
        MEMORY.with_borrow_mut(|memory| memory.moved.insert(from, to));
    }
}

/// A credential was shown to whoever asked with a key.
pub fn remember(setting: &Setting, key: Option<u32>, lease: LeaseId) {
    if let (true, Some(key)) = (setting.has(Flaw::RepeatsServeAnybody), key) {
        MEMORY.with_borrow_mut(|memory| memory.shown.insert(key, lease));
    }
}

/// What whoever asks with a key is given without further question.
pub fn remembered(setting: &Setting, key: Option<u32>) -> Option<LeaseId> {
    let key = key.filter(|_| setting.has(Flaw::RepeatsServeAnybody))?;
    MEMORY.with_borrow(|memory| memory.shown.get(&key).copied())
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
pub(super) fn before_revoke(setting: &Setting, removals: &mut Vec<Removal>) {
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
