//! Every bound, with its unit and its reason.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long after a failed attempt the next one starts: short enough that a restart of the target is
/// hardly felt.
pub const RETRY_FIRST: Duration = Duration::from_secs(5);
/// The longest wait between attempts: a target that comes back after a day is clean within this.
pub const RETRY_LAST: Duration = Duration::from_mins(15);
/// The wait where only a person can clear the way. Once the `GRANT` has been run, nobody wants to wait longer.
pub const RETRY_OPERATOR: Duration = Duration::from_mins(10);

/// How long a target may take to create. Vault's clients give up after 60 s, its servers after 90 s.
pub const ISSUE_WITHIN: Duration = Duration::from_secs(20);
/// How long after `issue_by` an issue that was sent may still take effect: commits that wait for a
/// standby, and recipes of several transactions.
pub const SETTLE: Duration = Duration::from_secs(40);
/// How long after an issue was decided on nothing of it can land any more, however it went.
pub const SETTLED_WITHIN: Duration = ISSUE_WITHIN.saturating_add(SETTLE);
/// How long a target may take to extend.
pub const RENEW_WITHIN: Duration = Duration::from_secs(20);
/// How long each step of a proof of death may take: two of them are before a revocation, and keep it waiting.
pub const PROOF_WITHIN: Duration = Duration::from_secs(10);
/// How long a catalog that may lag behind is left before it is asked again whether a credential is gone.
pub const CATALOG_PAUSE: Duration = Duration::from_secs(1);
/// Proofs that are worked on at one target at a time, each by a connection of its own that the target's other users
/// would lack; and how long one waits for its turn. A revocation is worth more than its proof.
pub const PROOFS_AT_ONCE: usize = 4;
/// See [`PROOFS_AT_ONCE`].
pub const PROOF_TURN_WITHIN: Duration = Duration::from_secs(20);
/// Credentials whose control logins are remembered from one attempt to revoke them to the next. The proof of one that
/// was forgotten begins anew.
pub const CONTROLS_MAX: usize = 1_000;
/// How long one attempt to revoke may take: ending sessions and reassigning objects is slower than creating.
pub const REVOKE_WITHIN: Duration = Duration::from_mins(1);

/// How long a target may take to write a standing denial; whoever waits for it is told then.
pub const DENY_WITHIN: Duration = Duration::from_secs(20);
/// For how long nobody else writes a denial that is being written: until whoever does has given up.
pub const DENIAL_TURN: Duration = Duration::from_secs(30);
/// How long after its time was up a denial may still land that was sent: at AWS until the key that signed it has ended.
/// Until then whatever is written after it counts as in doubt, and is written again.
pub const DENIAL_LANDS_WITHIN: Duration = Duration::from_mins(15);

/// How often a denial is read while it refuses anybody: others may write what we do, and undo it by mistake.
pub const DENIAL_READ_EVERY: Duration = Duration::from_mins(10);

/// How long a denial keeps what it was found to refuse and no lease tells of: the longest that any target lets a
/// credential live that nothing ends.
pub const DENIAL_KEPT: Duration = Duration::from_hours(36);

/// How long a record may take at all audit devices together; Vault's socket device gives up after 2 s.
pub const AUDIT_WITHIN: Duration = Duration::from_secs(10);

/// The longest value of a body that an audit line shows in parts, in bytes. Each string in it takes 76 bytes there,
/// however short it is.
pub const AUDITED_VALUE_BYTES: usize = 4 << 10;
/// What a whole body, or a whole answer, may take of an audit line when it is shown in parts, in bytes: the hashes of 200
/// strings. Two lines are written for each request, and no holder of a token may fill a disk with them.
pub const AUDITED_BODY_BYTES: usize = 16 << 10;
/// The same for the body of who has no good token: nobody can fill a disk from outside.
pub const AUDITED_STRANGER_BYTES: usize = 1 << 10;

/// How far the system's clock may be from the time before somebody is told: more than time servers let a clock drift.
pub const CLOCK_OFF: Duration = Duration::from_secs(30);
/// How long it may be so before issues and renewals are refused: most wrong steps are taken back by then.
pub const CLOCK_OFF_FOR: Duration = Duration::from_mins(5);
/// How far behind the highest time of before a process may begin: the clock of a machine without a battery is set
/// right soon after its start, by about as much.
pub const CLOCK_BEHIND: Duration = Duration::from_mins(1);
/// How far past the highest time of before a process may begin before somebody is told: few servers rest for longer.
pub const CLOCK_LEAP: Duration = Duration::from_hours(24);
/// How often a log is reminded that the clock waits for somebody.
pub const CLOCK_REMIND: Duration = Duration::from_mins(10);
/// How far the clock of a target may be off before somebody is told. What it is told is in its own time all the same.
pub const SKEW_MAX: Duration = Duration::from_secs(30);
/// How long a credential lives that only shows whether its role works, should nobody revoke it before: as long as the
/// slowest of its steps may take.
pub const REHEARSAL_TERM: Duration = Duration::from_mins(2);
/// How often a target can be compared with the leases at the most: housekeeping looks about so often.
pub const RECONCILE_MIN: Duration = Duration::from_mins(1);
/// How often the clock of a target in use is looked at: a clock drifts by seconds a day.
pub const SKEW_EVERY: Duration = Duration::from_mins(10);
/// The longest answer that tells a target's time well enough.
pub const SKEW_WITHIN: Duration = Duration::from_secs(5);
/// How often a target that may forget credentials is asked whether it was restarted: for so long at most, and as long as
/// it takes to set them again, its clients cannot log in after a restart.
pub const RUN_EVERY: Duration = Duration::from_secs(5);
/// The longest wait after a comparison with such a target has failed otherwise than by its absence.
pub const PUT_BACK_RETRY_MAX: Duration = Duration::from_mins(1);
/// Credentials set again at a time: as many as an issue's batch, so that callers feel it no more than each other.
pub const PUT_BACK_BATCH: usize = 64;

/// How far ahead the queue of what is due reaches. At 24 bytes an entry, an hour at 1,000 leases/s is 86 MB.
pub const QUEUE_HORIZON: Duration = Duration::from_hours(1);
/// How long before its end the horizon is moved on.
pub const QUEUE_AHEAD: Duration = Duration::from_mins(10);
/// Records read from the store at a time: keeps a range under a few milliseconds.
pub const READ_CHUNK: usize = 1024;
/// Leases marked or swept at a time for one target. Larger groups gain nothing at the target, and each
/// holds its leases in memory.
pub const REVOKE_CHUNK: usize = 2048;

/// Mass revocations that are remembered: each holds a record of about a kilobyte, and nobody overlooks more.
pub const MASS_REVOCATIONS_MAX: usize = 100;
/// How long one that is done can be looked at.
pub const MASS_REVOCATION_KEPT: Duration = Duration::from_hours(24);
/// The longest wait before it is looked whether all of one is gone.
pub const MASS_REVOCATION_LOOK_MAX: Duration = Duration::from_mins(1);
/// Processes that may begin while one goes on and whose leases are told from those that are meant: beyond it they are
/// revoked as well.
pub const MASS_REVOCATION_BOOTS_MAX: usize = 1000;
/// Failed leases that are opened for each target when somebody looks how one is getting on.
pub const MASS_REVOCATION_ERRORS_LOOKED: usize = 100;
/// Leases of one page of a revocation's plan: an answer of some 500 KB, and one question to each target.
pub const PLAN_ROWS_MAX: usize = 1000;
/// How long targets may take to tell what the credentials of a page are in use for: clients wait a minute at most.
pub const PLAN_WITHIN: Duration = Duration::from_secs(20);
/// For how long the pages that follow leave out a target that did not answer: nobody waits for it at every page.
pub const PLAN_AWAY: Duration = Duration::from_mins(1);

/// The longest name of a user, in bytes: as long as an address of mail is, and short enough to be counted by.
pub const USER_NAME_MAX: usize = 254;

/// How long the name may be that the maker of a token gives it, in bytes: it is recorded with each of its requests.
pub const DISPLAY_NAME_MAX: usize = 512;

/// How long a request may go on that took the last use of its token. The token ends with the request, or when this is
/// over, because the process died over it: no client waits longer than a minute.
pub const SPENT_WITHIN: Duration = Duration::from_mins(2);

/// Tokens that are ended at once, of a disabled method or of one parent: each waits for a commit, and commits share their flush.
pub const TOKENS_AT_ONCE: usize = 64;

/// What is due for longer than this is put into the queue again by housekeeping.
pub const OVERDUE: Duration = Duration::from_mins(2);

/// Leases and tokens one sweep takes up: bounds the time until it looks at the clock again.
pub const SWEEP_MAX: usize = 4096;

/// Members of one batch of issues at a target. Beyond 64 the commit is no longer what costs.
pub const ISSUE_BATCH_MAX: usize = 64;
/// Members of one batch of revocations at a target.
pub const REVOKE_BATCH_MAX: usize = 1024;
/// A batch this short is not divided over free connections: the round trips and commits of its parts would cost
/// the target more than their members.
pub const UNDIVIDED_TIME: Duration = Duration::from_millis(2);
/// How long a batch should keep one connection of the target: callers behind it wait that long.
pub const BATCH_TIME: Duration = Duration::from_millis(20);
/// The same for revocations, for which nobody waits.
pub const REVOKE_BATCH_TIME: Duration = Duration::from_millis(100);
/// The same for revocations where they cannot take all connections, so that no issue waits for theirs: the fewer
/// batches, the less of the target's time goes into what each of them looks up.
pub const REVOKE_BATCH_TIME_ASIDE: Duration = Duration::from_secs(1);

/// Questions that may wait for one target: at 10,000/s two seconds' worth, so that callers are told no
/// rather than left to time out. Revocations come in chunks of [`REVOKE_CHUNK`].
pub const WAITING_MAX: usize = 20_000;
/// Tries of a batch that found others in the way, as far as `issue_by` leaves time for them.
pub const CONTENDED_TRIES: u32 = 20;
/// The longest wait before the second try, in milliseconds; the third waits up to twice that, and so on up to
/// eight times.
pub const CONTENDED_WAIT: u32 = 50;

/// How long the record of a settled lease stays for `whois`.
pub const HISTORY_KEPT: Duration = Duration::from_hours(30 * 24);

/// The longest term that can be asked for: a hundred years. Keeps every sum of times far from overflow.
pub const TTL_MAX: Duration = Duration::from_hours(100 * 365 * 24);

/// The longest `Idempotency-Key`, in bytes. Clients send UUIDs of 36; more is only longer to hash.
pub const IDEMPOTENCY_KEY_MAX: usize = 256;
/// How long an answer can be repeated from memory: clients give up their retries within a minute or so, and a secret
/// should be nowhere for longer than it is needed.
pub const REMEMBERED_FOR: Duration = Duration::from_mins(2);
/// Answers that are remembered: at about 500 bytes each some 50 MB. Beyond it the oldest goes first, and a repetition
/// of that one gets a fresh credential.
pub const REMEMBERED_MAX: usize = 100_000;

/// The part of a request's body, in bytes, that is always taken: as much as its connection costs anyway, and more than
/// what callers who borrow ever send.
pub const BODY_ALWAYS: usize = 16 << 10;
/// What all bodies may hold together beyond that, in bytes, from the first byte until their requests are done: four of
/// the longest. Who sends is not known before the body is there, so this is what strangers can make the server hold.
pub const BODIES_MAX: usize = 128 << 20;

/// Senders whose requests are counted at a time, under all rate limits together: at about 200 bytes each some 20 MB,
/// however many addresses strangers come from.
pub const RATE_WINDOWS_MAX: usize = 100_000;
/// Quotas there may be: all are kept in memory, and a request looks through those of its mount.
pub const QUOTAS_MAX: usize = 1000;

/// Leases that one token may hold: with a term of an hour, 27 new ones a second. A token ends only once all of them
/// have, and a caller who never revokes and borrows in a loop must not fill a target. Root tokens may hold more.
pub const LEASES_PER_TOKEN_MAX: u64 = 100_000;
/// Leases that one role may have: more logins than any one server of a database bears.
pub const LEASES_PER_ROLE_MAX: u64 = 1_000_000;
/// Tokens and roles of which it is known about how many leases they have, at about 150 bytes each. Beyond it the leases
/// of one are counted again when it borrows.
pub const LEASE_HOLDERS_MAX: usize = 10_000;
/// How often the leases of a token or role that has too many are counted again: that takes up to a second.
pub const LEASES_RECOUNTED: Duration = Duration::from_secs(10);

/// The longest text of a policy, in bytes: thousands of rules. It is read whole, and kept in memory while it is used.
pub const POLICY_BYTES_MAX: usize = 256 << 10;
/// Rules in one policy: each is looked at when a policy is compiled.
pub const POLICY_RULES_MAX: usize = 4096;
/// How deep the text of a policy nests: what parameters may be compared with is the deepest, and four levels do.
pub const POLICY_DEPTH_MAX: usize = 16;
/// The longest name of a policy, in bytes: it is part of a key of the store.
pub const POLICY_NAME_MAX: usize = 512;
/// Policies that one token may carry: together they are compiled into one list.
pub const POLICIES_MAX: usize = 256;
/// Sets of policies that are kept compiled; tokens with the same policies share one.
pub const ACLS_MAX: usize = 1024;

/// The longest name of an entity, a group or an alias, in bytes: it is part of a key of the store.
pub const IDENTITY_NAME_MAX: usize = 512;
/// The longest name of an alias, in bytes: as long as a `role_id` may be.
pub const ALIAS_NAME_MAX: usize = 4096;
/// Pairs that are noted on an entity, an alias or a group, on a token or a secret id, and the longest key and value in
/// bytes: they are read with whoever is behind a request. Vault's numbers.
pub const METADATA_PAIRS_MAX: usize = 64;
/// See [`METADATA_PAIRS_MAX`].
pub const METADATA_KEY_MAX: usize = 128;
/// See [`METADATA_PAIRS_MAX`].
pub const METADATA_VALUE_MAX: usize = 512;
/// Entities that are merged into one: their ids lead to it for ever, and are read with it.
pub const MERGED_MAX: usize = 1024;
/// Direct members of one group: the list is written and shown whole.
pub const MEMBERS_MAX: usize = 10_000;
/// Groups that one entity, or one group, is directly in: all are read when its rights are compiled.
pub const MEMBERSHIPS_MAX: usize = 256;
/// Groups there may be: whoever is in all of them has the rights of all, and they are read one by one.
pub const GROUPS_MAX: usize = 10_000;
/// How many groups may be inside each other: deeper than any organization.
pub const GROUP_DEPTH_MAX: usize = 16;
/// Policies that an entity and its groups may give together: with the token's own they are compiled into one list.
/// Whoever would have more is refused, for what is left out might deny something.
pub const IDENTITY_POLICIES_MAX: usize = 1024;
/// Entities that are kept in memory with what their groups give, at about a kilobyte each.
pub const IDENTITIES_MAX: usize = 10_000;
/// What one list of entities, aliases or groups tells at most: the rest is asked for from where it ends.
pub const LISTED_MAX: usize = 10_000;
/// The longest reason that an operator gives for abandoning a target, in bytes: a few sentences.
pub const REASON_BYTES_MAX: usize = 1000;

/// What a token may keep for itself, and the longest answer that can be wrapped, in bytes: a record of the store is
/// written whole, and Vault's storage takes no more for one either.
pub const CUBBYHOLE_BYTES_MAX: usize = 1 << 20;
/// Paths in which it may keep that: each costs more than its bytes to read.
pub const CUBBYHOLE_PATHS_MAX: usize = 1024;

/// Tries of a commit that loses against other writers, before the caller is told.
pub const CONFLICT_TRIES: usize = 8;

/// Values that one key may seal. NIST SP 800-38D section 8.3 allows 2^32 with random nonces; a tenth is kept for what
/// a process that dies has not counted. Vault's number.
pub const SEALS_MAX: u64 = 3_865_470_566;
/// The fewest that an operator may set in its place: below, keys would be added every few minutes. Vault's number.
pub const SEALS_MIN: u64 = 1_000_000;
/// By how much the count of what was sealed is ahead in the store. It is looked at every minute, in which a busy server
/// seals two million values; and a start costs as much of a key's life, which is enough for nine hundred starts.
pub const SEALS_BLOCK: u64 = 4 << 20;
/// The shortest interval at which a new key may be due. Vault's.
pub const ROTATE_EVERY_MIN: Duration = Duration::from_hours(24);
/// Keys of a ring: a new one every day for 27 years. All of them are read at a start, at 200 bytes each.
pub const RING_KEYS_MAX: usize = 10_000;

/// What an operator sets for the whole installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long a lease lives unless anything else is said. Vault's default: 768 h.
    pub default_lease_ttl: Duration,
    /// How long it lives at most. Vault's default: 768 h.
    pub max_lease_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let vaults = Duration::from_hours(768);
        Self { default_lease_ttl: vaults, max_lease_ttl: vaults }
    }
}
