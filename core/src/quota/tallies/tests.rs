//! Tests of counting, also against a model that looks at everything.

use super::*;
use crate::quota::Scope;
use crate::store::Revision;
use crate::store::quotas::{Quota, QuotaConfig};
use crate::store::records::Found;
use std::collections::BTreeSet;

const NOW: Timestamp = Timestamp(1_000);

fn id(number: u8) -> LeaseId {
    LeaseId::from_bytes([number; 16])
}

fn role(name: &str) -> RoleOf {
    (MountId::from_bytes([1; 16]), name.to_owned())
}

/// The one target that all are at.
fn target() -> TargetId {
    TargetId::from_bytes([2; 16])
}

fn of(name: &str) -> Of {
    Of { role: role(name), target: target() }
}

const BY_QUOTA: Bounds = Bounds { by_quota: true, at_target: None };

fn path(role: &RoleOf) -> String {
    format!("database/creds/{}", role.1)
}

fn quotas(bounds: &[(&str, u64)]) -> Arc<Quotas> {
    let found = bounds.iter().map(|(suffix, max_leases)| {
        let mount = if suffix.is_empty() { String::new() } else { "database/".to_owned() };
        let scope = Scope { mount, suffix: (*suffix).to_owned(), role: String::new() };
        let limit = Limit::Leases { max_leases: *max_leases };
        let name = format!("of {suffix}");
        Found { record: Quota { name, scope, inheritable: false, limit }, revision: Revision(1) }
    });
    Arc::new(Quotas::new(found, QuotaConfig::default()))
}

fn counting(quotas: &Arc<Quotas>) -> Tallies {
    let mut tallies = Tallies::default();
    tallies.start();
    tallies.finish();
    tallies.sort(quotas, path);
    tallies
}

fn issue(tallies: &mut Tallies, number: u8, name: &str) -> Result<(), Full> {
    let path = path(&role(name));
    tallies.begin_issue(id(number), of(name), &path, BY_QUOTA).map(|_| ())
}

#[test]
fn room_is_given_back_by_a_failed_commit_and_by_a_removal_only() {
    let quotas = quotas(&[("", 2)]);
    let mut tallies = counting(&quotas);
    let full = Err(Full::Quota { quota: "of ".into(), max_leases: 2 });
    assert_eq!(issue(&mut tallies, 1, "a"), Ok(()));
    assert_eq!(issue(&mut tallies, 2, "b"), Ok(()));
    assert_eq!(issue(&mut tallies, 3, "a"), full);
    tallies.end_issue(id(1), Outcome::Done);
    assert_eq!(issue(&mut tallies, 3, "a"), full);
    tallies.end_issue(id(2), Outcome::Undone);
    assert_eq!(issue(&mut tallies, 3, "a"), Ok(()));
    tallies.end_issue(id(3), Outcome::Done);
    // A removal that fails leaves the lease.
    tallies.begin_settle(id(1), of("a"), &Key::default());
    assert_eq!(issue(&mut tallies, 4, "c"), full);
    tallies.end_settle(id(1), Outcome::Undone);
    assert_eq!(issue(&mut tallies, 4, "c"), full);
    tallies.begin_settle(id(1), of("a"), &Key::default());
    tallies.end_settle(id(1), Outcome::Done);
    assert_eq!(issue(&mut tallies, 4, "c"), Ok(()));
    // One that is there already is counted, however many there may be.
    assert_eq!(
        tallies.begin_issue(id(5), of("d"), "database/creds/d", Bounds::default()),
        Ok(None)
    );
    tallies.end_issue(id(4), Outcome::Undone);
    assert_eq!(issue(&mut tallies, 6, "c"), full);
}

#[test]
fn a_lease_counts_under_the_most_specific_quota_and_anew_when_quotas_change() {
    let all = quotas(&[("", 9), ("creds/a", 1)]);
    let mut tallies = counting(&all);
    assert!(issue(&mut tallies, 1, "a").is_ok() && issue(&mut tallies, 2, "b").is_ok());
    assert!(issue(&mut tallies, 3, "a").is_err() && issue(&mut tallies, 3, "b").is_ok());
    assert_eq!((tallies.sums["of "], tallies.sums["of creds/a"]), (2, 1));
    let fewer = quotas(&[("", 3)]);
    tallies.sort(&fewer, path);
    assert_eq!(tallies.sums, HashMap::from([("of ".to_owned(), 3)]));
    assert!(issue(&mut tallies, 4, "a").is_err());
}

#[test]
fn what_is_in_doubt_counts_until_the_store_has_said() {
    let quotas = quotas(&[("", 1)]);
    let mut tallies = counting(&quotas);
    assert!(issue(&mut tallies, 1, "a").is_ok());
    tallies.end_issue(id(1), Outcome::Doubtful(NOW));
    assert!(tallies.doubtful(NOW).is_empty());
    assert_eq!(tallies.doubtful(Timestamp(NOW.0 + 1)), [id(1)]);
    assert!(issue(&mut tallies, 2, "a").is_err());
    tallies.resolve(id(1), false);
    tallies.resolve(id(1), false);
    assert!(issue(&mut tallies, 2, "a").is_ok());
    tallies.end_issue(id(2), Outcome::Done);

    // A removal in doubt that is then done is taken off once, whoever notices first.
    tallies.begin_settle(id(2), of("a"), &Key::default());
    tallies.end_settle(id(2), Outcome::Doubtful(NOW));
    tallies.begin_settle(id(2), of("a"), &Key::default());
    assert!(tallies.doubtful(Timestamp(NOW.0 + 1)).is_empty());
    tallies.resolve(id(2), false);
    tallies.end_settle(id(2), Outcome::Done);
    tallies.resolve(id(2), false);
    assert!(issue(&mut tallies, 3, "a").is_ok());
    assert!(issue(&mut tallies, 4, "a").is_err());
}

/// The store and what is under way, all in the open.
#[derive(Default)]
struct Model {
    stored: BTreeSet<(Key, u8)>,
    issuing: Vec<u8>,
    leaving: Vec<u8>,
}

fn role_of(number: u8) -> &'static str {
    ["a", "b", "c"][usize::from(number % 3)]
}

fn key_of(number: u8) -> Key {
    Key([role_of(number).as_bytes(), &[0, number]].concat())
}

/// Takes one step of what goes on beside the count.
fn step(
    tallies: &mut Tallies,
    model: &mut Model,
    dice: &mut impl FnMut(usize) -> usize,
    next: &mut u8,
) {
    match dice(4) {
        0 if *next < 250 => {
            *next = next.saturating_add(1);
            issue(tallies, *next, role_of(*next)).unwrap();
            model.issuing.push(*next);
        }
        1 if !model.issuing.is_empty() => {
            let number = model.issuing.swap_remove(dice(model.issuing.len()));
            // The commit takes effect before anybody is told.
            let done = dice(3) > 0;
            if done {
                model.stored.insert((key_of(number), number));
            }
            tallies.end_issue(id(number), if done { Outcome::Done } else { Outcome::Undone });
        }
        2 => {
            let there = model.stored.iter().filter(|(_, number)| !model.leaving.contains(number));
            let there: Vec<_> = there.cloned().collect();
            let Some((key, number)) = there.get(dice(there.len().max(1))) else { return };
            tallies.begin_settle(id(*number), of(role_of(*number)), key);
            model.leaving.push(*number);
        }
        _ if !model.leaving.is_empty() => {
            let number = model.leaving.swap_remove(dice(model.leaving.len()));
            let done = dice(3) > 0;
            if done {
                model.stored.remove(&(key_of(number), number));
            }
            tallies.end_settle(id(number), if done { Outcome::Done } else { Outcome::Undone });
        }
        _ => {}
    }
}

#[test]
fn whatever_comes_and_goes_while_the_index_is_read_the_count_is_right() {
    for seed in 1..400_u64 {
        let mut drawn = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut dice = |sides: usize| {
            drawn ^= drawn << 13;
            drawn ^= drawn >> 7;
            drawn ^= drawn << 17;
            usize::try_from(drawn % u64::try_from(sides).unwrap()).unwrap()
        };
        let (mut tallies, mut model, mut next) = (Tallies::default(), Model::default(), 0);
        for _ in 0..60 {
            step(&mut tallies, &mut model, &mut dice, &mut next);
        }
        tallies.start();
        let mut from = Key::default();
        loop {
            // Read now, and counted only later.
            let chunk: Vec<_> =
                model.stored.range((from.clone(), 0)..).take(1 + dice(4)).cloned().collect();
            for _ in 0..dice(6) {
                step(&mut tallies, &mut model, &mut dice, &mut next);
            }
            let Some((last, _)) = chunk.last() else { break };
            from = last.next();
            tallies.count(
                chunk.iter().map(|(key, number)| (key.clone(), of(role_of(*number)), id(*number))),
            );
        }
        tallies.finish();
        for _ in 0..dice(20) {
            step(&mut tallies, &mut model, &mut dice, &mut next);
        }
        for name in ["a", "b", "c"] {
            let stored = model.stored.iter().filter(|(_, number)| role_of(*number) == name).count();
            let issuing = model.issuing.iter().filter(|number| role_of(**number) == name).count();
            let counted = tallies.roles.get(&role(name)).map_or(0, |tally| tally.leases);
            assert_eq!(
                counted,
                u64::try_from(stored + issuing).unwrap(),
                "seed {seed}, role {name}"
            );
        }
    }
}

#[test]
fn a_target_is_told_to_be_filling_up_once_until_it_is_much_emptier_and_takes_no_more_than_it_may_have()
 {
    let mut tallies = counting(&quotas(&[]));
    let bounds = Bounds { by_quota: true, at_target: Some(10) };
    let issue = |tallies: &mut Tallies, number: u8| {
        let told = tallies.begin_issue(id(number), of("a"), "database/creds/a", bounds);
        told.map(|filling| filling.map(|filling| (filling.used, filling.is_new)))
    };
    for number in 1..=7 {
        assert_eq!(issue(&mut tallies, number), Ok(None), "{number}");
    }
    assert_eq!(issue(&mut tallies, 8), Ok(Some((8, true))));
    assert_eq!(issue(&mut tallies, 9), Ok(Some((9, false))));
    tallies.end_issue(id(9), Outcome::Undone);
    tallies.end_issue(id(8), Outcome::Undone);
    assert_eq!(issue(&mut tallies, 8), Ok(Some((8, false))), "seven are not much fewer");
    assert_eq!(issue(&mut tallies, 9), Ok(Some((9, false))));
    assert_eq!(issue(&mut tallies, 10), Ok(Some((10, false))));
    assert_eq!(issue(&mut tallies, 11), Err(Full::Target { max: 10 }));
    assert_eq!(tallies.at_target(target()), 10);
    for number in 1..=4 {
        tallies.end_issue(id(number), Outcome::Undone);
    }
    assert_eq!(issue(&mut tallies, 1), Ok(None));
    assert_eq!(issue(&mut tallies, 2), Ok(Some((8, true))));
}
