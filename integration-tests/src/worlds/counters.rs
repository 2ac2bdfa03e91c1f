//! What happened in a world, in numbers: a world in which nothing succeeds proves nothing.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// What happened.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: Counter,)*
        }

        impl Counters {
            /// Adds what happened elsewhere.
            pub fn add(&self, other: &Self) {
                $(self.$name.plus(other.$name.count());)*
            }

            /// Returns every name with its number.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.count()),)*]
            }
        }
    };
}

counters! {
    /// Secrets that callers were shown, repetitions included.
    issued,
    /// Secrets that were shown again to whoever repeated a request.
    repeated,
    /// Issues that callers were told had failed.
    issues_failed,
    /// Issues that callers never heard of again: the process died, or they hung up.
    issues_unheard,
    /// Renewals that callers were told of.
    renewed,
    /// Renewals that failed.
    renewals_failed,
    /// Revocations that callers asked for and were told of.
    revoked_by_callers,
    /// Revocations of everything under a prefix.
    revoked_by_prefix,
    /// Leases whose term was over before anything else ended them.
    lapsed,
    /// Leases that ended with their token.
    ended_with_token,
    /// Leases that were removed from the store, their credential gone.
    settled,
    /// Tokens that were made.
    tokens,
    /// Tokens that callers ended.
    tokens_ended,
    /// Logins with a credential that was shown.
    logins,
    /// Logins that were refused because the credential was dead.
    logins_refused,
    /// Sessions that a revocation ended.
    sessions_ended,
    /// Clients that came back as soon as they were thrown out.
    reconnects,
    /// Processes that died.
    deaths,
    /// Deaths while something was read from the store.
    deaths_in_a_read,
    /// Deaths while a batch was committed.
    deaths_in_a_commit,
    /// Deaths while a line was recorded.
    deaths_in_a_record,
    /// Deaths while a target was asked to create.
    deaths_in_an_issue,
    /// Deaths while a target was asked to extend.
    deaths_in_a_renewal,
    /// Deaths while a target was asked to remove.
    deaths_in_a_revocation,
    /// Deaths while a target was asked to set a password.
    deaths_in_a_rotation,
    /// Deaths while a target was asked to set again what it had forgotten.
    deaths_in_a_put_back,
    /// Deaths while a target was asked what it has, or who it is.
    deaths_in_a_look,
    /// Deaths while nothing was asked of anybody.
    deaths_between,
    /// Wall clocks that were stepped.
    clock_steps,
    /// Processes that stood still.
    suspensions,
    /// Second processes on the same store.
    second_nodes,
    /// Commits that were refused.
    commits_refused,
    /// Reads that were refused.
    reads_refused,
    /// Commits that were not answered.
    commits_uncertain,
    /// Commits that lost against another.
    conflicts,
    /// Answers of targets that nobody heard.
    answers_lost,
    /// Creations at targets that came after their caller had given up.
    late_effects,
    /// Ends that targets were told of after their caller had given up.
    late_renewals,
    /// Removals at targets that came after their caller had given up.
    late_revocations,
    /// Credentials that were put back after whoever asked had given up.
    late_put_backs,
    /// Passwords that were set after their caller had given up.
    late_rotations,
    /// Secrets of accounts that were served anew.
    rotated,
    /// Passwords of an administrator that took the place of another in a configuration.
    roots_rotated,
    /// Administrators of restored targets to whom an operator gave a password.
    roots_given,
    /// Rotations that somebody asked for and that failed.
    not_rotated,
    /// Secrets of accounts that somebody was told.
    secrets_told,
    /// Questions for the secret of an account that were refused because it is being rotated.
    secrets_withheld,
    /// Accounts whose secret in a restored store is older than they are, as somebody was told.
    secrets_older,
    /// Secrets that were not told since a restore, because nobody was let in with them yet.
    secrets_untried,
    /// Questions that a target refused.
    targets_refused,
    /// Questions that a target never answered.
    targets_hung,
    /// Audit lines that were not recorded.
    audit_failed,
    /// Credentials that a target dropped by itself.
    lost_at_target,
    /// Names of our leases that a stranger's account had at a target.
    lookalikes,
    /// Times that a target restarted; some forget everything then.
    targets_restarted,
    /// Credentials that a target had forgotten and that were put back.
    put_back,
    /// Times that an operator deleted, moved or rewrote what leases live under.
    operator_changes,
    /// Roles that were written for another target, or made anew under a name that was free.
    roles_repointed,
    /// Times that a target was given another address of its server, as after a failover.
    failovers,
    /// Identities of targets that an operator has abandoned.
    abandonments,
    /// Credentials that were at a server when their leases ended as abandoned.
    left_behind,
    /// Times that an older backup was put in place of the store.
    restores,
    /// Copies of the store that were started elsewhere.
    copies,
    /// Times that everything began to heal.
    healed,
}

/// Fewer worlds may happen to see too little of something.
const SURE_FROM: u64 = 2000;

/// What a thousand worlds have seen at least; a number that starves means that something is not tested any more.
const SEEN_IN_A_THOUSAND: &[(&str, u64)] = &[
    ("issued", 15_000),
    ("repeated", 1_500),
    ("issues_unheard", 4_000),
    ("renewed", 5_000),
    ("revoked_by_callers", 6_000),
    ("revoked_by_prefix", 1_500),
    ("lapsed", 8_000),
    ("ended_with_token", 1_500),
    ("settled", 15_000),
    ("logins", 15_000),
    ("sessions_ended", 10_000),
    ("deaths", 2_000),
    ("deaths_in_a_read", 80),
    ("deaths_in_a_commit", 170),
    ("deaths_in_a_record", 160),
    ("deaths_in_an_issue", 130),
    ("deaths_in_a_renewal", 70),
    ("deaths_in_a_revocation", 190),
    ("deaths_in_a_rotation", 60),
    ("deaths_in_a_put_back", 4),
    ("deaths_in_a_look", 20),
    ("deaths_between", 1_500),
    ("clock_steps", 300),
    ("suspensions", 300),
    ("second_nodes", 50),
    ("commits_refused", 800),
    ("commits_uncertain", 1_000),
    ("conflicts", 1_000),
    ("late_effects", 20),
    ("late_renewals", 25),
    ("late_revocations", 120),
    ("late_rotations", 25),
    ("late_put_backs", 4),
    ("rotated", 2_000),
    ("roots_rotated", 500),
    ("roots_given", 5),
    ("not_rotated", 1_000),
    ("secrets_told", 2_000),
    ("secrets_withheld", 200),
    ("secrets_older", 12),
    ("secrets_untried", 12),
    ("reconnects", 5_000),
    ("targets_restarted", 200),
    ("targets_refused", 2_000),
    ("targets_hung", 1_000),
    ("answers_lost", 300),
    ("tokens", 3_000),
    ("tokens_ended", 1_500),
    ("operator_changes", 5_000),
    ("audit_failed", 1_000),
    ("lost_at_target", 30),
    ("lookalikes", 45),
    ("roles_repointed", 250),
    ("failovers", 100),
    ("abandonments", 70),
    ("left_behind", 80),
    ("put_back", 900),
    ("restores", 150),
    ("copies", 100),
];

impl Counters {
    /// Says of each number that starves what it is, and what is wanted; nothing of so few worlds that it may be
    /// chance.
    pub fn starved(&self, worlds: u64) -> Vec<String> {
        if worlds < SURE_FROM {
            return Vec::new();
        }
        let counts = self.all();
        let count_of = |wanted: &str| counts.iter().find(|(name, _)| *name == wanted);
        let each = SEEN_IN_A_THOUSAND.iter().map(|(name, least)| {
            let count = count_of(name).map_or(0, |(_, count)| *count);
            (name, count, least * worlds / 1000)
        });
        let starved = each.filter(|(_, count, wanted)| count < wanted);
        let told = starved.map(|(name, count, wanted)| {
            format!("{name}: {count} in {worlds} worlds, where {wanted} are wanted")
        });
        told.collect()
    }
}

/// One number.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn one(&self) {
        self.plus(1);
    }

    /// More.
    pub fn plus(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
