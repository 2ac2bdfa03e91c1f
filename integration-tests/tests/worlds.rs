//! Seeded worlds, some thousands of them on every run; `cargo xtask worlds` runs as many as anybody has time for.

use leasehold_integration_tests::worlds::counters::Counters;
use leasehold_integration_tests::worlds::{self, crowded};
use std::time::Duration;

/// Worlds of a run of the tests, over all threads.
const WORLDS: u64 = 6000;
/// And the threads.
const THREADS: u64 = 4;

/// What a thousand worlds have seen at least; a number that starves means that something is not tested any more.
const SEEN_IN_A_THOUSAND: [(&str, u64); 32] = [
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
    ("deaths", 1_000),
    ("deaths_while_issuing", 60),
    ("clock_steps", 300),
    ("suspensions", 300),
    ("second_nodes", 50),
    ("commits_refused", 800),
    ("commits_uncertain", 1_000),
    ("conflicts", 1_000),
    ("late_effects", 20),
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
    ("restores", 150),
    ("copies", 100),
];

#[test]
fn no_law_is_broken_in_any_world() {
    let sum = Counters::default();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let sum = &sum;
            scope.spawn(move || {
                for seed in (1..=WORLDS).filter(|seed| seed % THREADS == thread) {
                    let outcome = worlds::run(seed, None, false);
                    if let Some(violation) = outcome.violation {
                        let story = worlds::run(seed, None, true).story;
                        panic!("seed {seed}: {violation}\n{story}");
                    }
                    sum.add(&outcome.counters);
                }
            });
        }
    });
    let seen = sum.all();
    for (name, least) in SEEN_IN_A_THOUSAND {
        let count = seen.iter().find(|(known, _)| *known == name).unwrap().1;
        let wanted = least * WORLDS / 1000;
        assert!(count >= wanted, "{name}: {count} in {WORLDS} worlds, where {wanted} are wanted");
    }
}

#[test]
fn a_seed_is_the_same_world_every_time() {
    for seed in 1..40 {
        let (one, other) = (worlds::run(seed, None, true), worlds::run(seed, None, true));
        assert_eq!(one.story, other.story, "seed {seed}");
        assert_eq!(one.steps, other.steps, "seed {seed}");
    }
}

#[test]
fn thousands_of_leases_lapse_in_time_beside_a_server_that_is_dead() {
    for seed in 1..4 {
        let (outcome, lates) = crowded::run(seed, 3000, false);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.counters.issued.count() >= 2900, "seed {seed}");
        assert!(!lates.is_empty());
        for (server, late) in lates {
            assert!(late < Duration::from_secs(10), "seed {seed}: {late:?} at server {server}");
        }
    }
}
