//! Seeded worlds, some thousands of them on every run; `cargo xtask worlds` runs as many as anybody has time for.

use leasehold_integration_tests::worlds;
use leasehold_integration_tests::worlds::counters::Counters;
use leasehold_integration_tests::worlds::crowded::{self, Crowded};
use leasehold_integration_tests::worlds::flaws::Flaw;
use std::time::Duration;

/// Worlds of a run of the tests, over all threads.
const WORLDS: u64 = 6000;
/// And the threads.
const THREADS: u64 = 4;

#[test]
fn no_law_is_broken_in_any_world() {
    let sum = Counters::default();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let sum = &sum;
            scope.spawn(move || {
                for seed in (1..=WORLDS).filter(|seed| seed % THREADS == thread) {
                    let outcome = worlds::caught(|| worlds::run(seed, None, false))
                        .unwrap_or_else(|told| panic!("seed {seed}: {told}"));
                    if let Some(violation) = outcome.violation {
                        let story = worlds::run(seed, None, true).story;
                        panic!("seed {seed}: {violation}\n{story}");
                    }
                    assert!(outcome.steps.0 >= 500, "seed {seed}: {:?}", outcome.steps);
                    sum.add(&outcome.counters);
                }
            });
        }
    });
    assert_eq!(sum.starved(WORLDS), [""; 0]);
}

#[test]
fn a_panic_in_a_world_is_told_in_its_words_and_ends_no_other() {
    let seed = 7;
    let told = worlds::caught(|| assert_eq!(seed, 8, "nobody is there")).unwrap_err();
    assert!(told.starts_with("panicked: ") && told.contains("nobody is there"), "{told}");
    assert_eq!(worlds::caught(|| panic!("gone")), Err::<(), _>("panicked: gone".into()));
    let next = worlds::caught(|| worlds::run(seed, None, false)).unwrap();
    assert_eq!(next.violation, None);
}

#[test]
fn a_counter_that_starves_is_named() {
    let sum = Counters::default();
    let wanted = sum.starved(2000);
    assert!(wanted.iter().any(|told| told == "issued: 0 in 2000 worlds, where 30000 are wanted"));
    sum.issued.plus(30_000);
    let left = sum.starved(2000);
    assert_eq!(left.len() + 1, wanted.len());
    assert!(!left.iter().any(|told| told.starts_with("issued:")), "{left:?}");
    assert_eq!(sum.starved(1999), [""; 0], "too few to be sure of anything");
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
fn thousands_of_leases_lapse_and_callers_go_on_beside_a_server_that_is_dead() {
    for seed in 1..4 {
        let Crowded { outcome, lates, well, beside } = crowded::run(seed, 3000, None, false);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.counters.issued.count() >= 2900, "seed {seed}");
        assert!(!lates.is_empty());
        for (server, late) in lates {
            assert!(late < Duration::from_secs(10), "seed {seed}: {late:?} at server {server}");
        }
        for (verb, waits) in well.each().into_iter().chain(beside.each()) {
            assert!(waits.count() >= 500, "seed {seed}: only {} of each {verb}", waits.count());
            assert!(waits.most() < Duration::from_millis(500), "seed {seed}: {well}; {beside}");
        }
    }
}

#[test]
fn a_crowded_world_in_which_what_lapsed_is_looked_at_late_breaks_a_law() {
    let flaw = Some(Flaw::FirstAttemptPutOff);
    let Crowded { outcome, lates, .. } = crowded::run(1, 200, flaw, false);
    let violation = outcome.violation.unwrap();
    assert_eq!((violation.law, violation.lease), (7, None), "{violation}");
    assert!(violation.what.contains("late"), "{violation}");
    assert!(lates.iter().any(|(_, late)| *late > Duration::from_secs(20)), "{lates:?}");
}
