//! Known-wrong variants: each breaks one thing that a law rests on, at the port where the mistake would show.
//!
//! The tests of the laws are tested with them: a world with a flaw must break a law within a fixed number of
//! seeds, or the judge would not notice the mistake either.

mod put_back;
mod store;
mod targets;

use super::setting::Setting;
use leasehold_core::ids::LeaseId;
use leasehold_core::store::{Key, Value};
use leasehold_core::time::Timestamp;
pub(super) use put_back::{put_back_as, puts_back_in_time, run};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::time::Duration;
pub use store::{
    acknowledged_before, drops, on_commit, on_get, on_range, refuses_what_it_applies, was_read,
};
pub(super) use targets::before_revoke;
pub use targets::{
    address, end_to_tell, ends_sessions, extends_in_time, issued, minds_marks, moved,
    note_in_handle, revoked, rotated, sends_again, takes_for_tested, tells_renewals, turn,
    what_may_land,
};

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
    /// A rotation whose answer was lost is taken for one that did not take place: its candidate is erased.
    CandidateErased = "candidate-erased",
    /// A password is set before the intent to do so is durable.
    StoredAfterTheRotation = "stored-after-the-rotation",
    /// What an administrator is to have is nowhere but in memory while the target is asked.
    KeptInMemoryAlone = "kept-in-memory-alone",
    /// A new secret is served as soon as the target was asked for it, whatever it has said.
    ServedBeforeTested = "served-before-tested",
    /// Whatever was on its way to put a credential back does so, however late it comes.
    LatePutBackLands = "late-put-back-lands",
    /// It is not stored until when a put-back may land.
    PutBackNotStored = "put-back-not-stored",
    /// A server that was restarted before is taken for the same as it was.
    SecondRestartUnseen = "second-restart-unseen",
    /// A credential is put back with another secret than it had.
    PutBackLosesTheSecret = "put-back-loses-the-secret",
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
