//! Named points at which a test build ends itself by SIGKILL, as a crash would; only with the feature `kill-points`.
//!
//! Whatever features a build happens to unify, nothing is armed by itself: a binary has to call
//! [`arm_from_environment`], and `leasehold` never does. The points lie at the ports, where `wiring` puts a layer
//! around each, and in the store's writer, where a commit begins and ends.

mod ports;

pub(crate) use ports::{around, kinds};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Says where to end: the name of a point, and, after a colon, at which passing.
pub const VARIABLE: &str = "LEASEHOLD_KILL_AT";

static ARMED: OnceLock<Armed> = OnceLock::new();

#[derive(Debug)]
struct Armed {
    point: Point,
    /// Passings until the end.
    left: AtomicU64,
}

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// Where a process can end itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$point),*];

            /// Returns what people call it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// The process has begun, and the store's file is not open.
    StartBeforeOpen = "start.before-open",
    /// The store's file is open, and sealed.
    StartBeforeUnseal = "start.before-unseal",
    /// There is a broker, and nobody can ask it yet.
    StartAfterUnseal = "start.after-unseal",
    /// A sweep begins; the first passing is the one of the start.
    SweepBefore = "sweep.before",
    /// A sweep has started what is due.
    SweepAfter = "sweep.after",
    /// Housekeeping begins; once at the start, and every minute.
    HouseBefore = "house.before",
    /// Housekeeping is done.
    HouseAfter = "house.after",
    /// A group of batches is in a transaction that is about to be made durable.
    StoreBeforeSync = "store.before-sync",
    /// The group is durable, and nobody has been told.
    StoreAfterSync = "store.after-sync",
    /// One batch of the group has been answered, the next not yet.
    StoreBetweenAnswers = "store.between-answers",
    /// A new lease is about to be committed.
    IssueBeforeCommit = "issue.before-commit",
    /// A new lease is committed, and its target not asked.
    IssueAfterCommit = "issue.after-commit",
    /// The target is about to be asked for a credential.
    IssueBeforeAsk = "issue.before-ask",
    /// The target has answered, and the caller has not been told; others of the batch may have been.
    IssueAfterAnswer = "issue.after-answer",
    /// A lease is about to be renewed, marked or claimed.
    LeaseBeforeCommit = "lease.before-commit",
    /// A lease is renewed, marked or claimed, and nothing has come of it.
    LeaseAfterCommit = "lease.after-commit",
    /// The target is about to be told a new term.
    RenewBeforeAsk = "renew.before-ask",
    /// The target knows the new term, and the caller does not.
    RenewAfterAnswer = "renew.after-answer",
    /// The target is about to be asked to remove a credential.
    RevokeBeforeAsk = "revoke.before-ask",
    /// The credential is gone, and nothing says so.
    RevokeAfterAnswer = "revoke.after-answer",
    /// A revocation is about to be recorded.
    SettleBeforeRecord = "settle.before-record",
    /// A revocation is recorded, and its lease still stored.
    SettleAfterRecord = "settle.after-record",
    /// A lease is about to be removed from the store.
    SettleBeforeCommit = "settle.before-commit",
    /// A lease is removed, and whoever asked has not been told.
    SettleAfterCommit = "settle.after-commit",
    /// A token is about to be made, changed or removed.
    TokenBeforeCommit = "token.before-commit",
    /// A token is made, changed or removed, and nobody has been told.
    TokenAfterCommit = "token.after-commit",
    /// Anything else is about to be committed.
    OtherBeforeCommit = "other.before-commit",
    /// Anything else is committed.
    OtherAfterCommit = "other.after-commit",
    /// A request is about to be recorded.
    AuditBeforeRequest = "audit.before-request",
    /// A request is recorded.
    AuditAfterRequest = "audit.after-request",
    /// An answer is about to be recorded.
    AuditBeforeResponse = "audit.before-response",
    /// An answer is recorded, and not given.
    AuditAfterResponse = "audit.after-response",
}

/// Arms the point that the environment names, if it does.
pub fn arm_from_environment() -> Result<(), String> {
    let Some(wanted) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let wanted = wanted.to_string_lossy();
    let armed = armed(&wanted).ok_or_else(|| {
        format!(
            "{VARIABLE} is `{wanted}`; it takes a point and a passing, as `store.before-sync:17`"
        )
    })?;
    ARMED.set(armed).map_err(|_| "a point is armed already".to_owned())
}

fn armed(wanted: &str) -> Option<Armed> {
    let (name, passing) = wanted.split_once(':').unwrap_or((wanted, "1"));
    let point = Point::ALL.iter().copied().find(|point| point.name() == name)?;
    let passing: u64 = passing.parse().ok().filter(|passing| *passing > 0)?;
    Some(Armed { point, left: AtomicU64::new(passing) })
}

/// Ends the process if this is the armed point, and its passing.
pub(crate) fn pass(point: Point) {
    let Some(armed) = ARMED.get().filter(|armed| armed.point == point) else { return };
    if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        // Nothing is flushed, dropped or said: that is the point.
        let _ = kill(Pid::this(), Signal::SIGKILL);
        loop {
            std::thread::park();
        }
    }
}
