//! The transitions of a standing denial, one by one.

use super::*;
use crate::chance::testing::Counting;
use serde_json::value::to_raw_value;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_000_000_000);
const HOUR: Duration = Duration::from_hours(1);

fn handle() -> Handle {
    Handle(to_raw_value("one").unwrap())
}

fn boots() -> [BootId; 2] {
    let chance = Counting::default();
    [BootId::new(NOW, &chance), BootId::new(NOW, &chance)]
}

fn asked(until: Timestamp) -> Asked {
    let lease = LeaseId::new(until, &Counting::default());
    let deniable = Deniable {
        denial: "there".to_owned(),
        reached_by: handle(),
        name: lease.to_string(),
        may_deny_older: true,
    };
    Asked { lease, deniable, made_by: NOW, until }
}

#[test]
fn it_refuses_a_credential_once_its_target_has_confirmed_that() {
    let [boot, _] = boots();
    let one = asked(NOW.plus(HOUR));
    let begun = StandingDenial::new(handle()).with(std::slice::from_ref(&one)).begun(boot, NOW);
    assert!(begun.concerns(&one) && begun.refuses(&one).is_none() && begun.is_due(NOW));
    let written = begun.written();
    assert_eq!((written.refuses(&one), written.is_due(NOW)), (Some(false), false));
    let other = asked(NOW.plus(HOUR * 2));
    assert!(!written.concerns(&other) && written.refuses(&other).is_none());
}

#[test]
fn what_has_ended_is_left_out_unless_anything_is_in_doubt() {
    let [boot, _] = boots();
    let one = asked(NOW.plus(HOUR));
    let first = StandingDenial::new(handle()).with(std::slice::from_ref(&one)).begun(boot, NOW);
    // Its answer is lost, and the next write is answered.
    let second = first.begun(boot, NOW).written();
    let doubt = second.doubtful_until().unwrap();
    assert_eq!(doubt, NOW.plus(DENIAL_TURN).plus(DENIAL_LANDS_WITHIN));
    let ended = NOW.plus(HOUR);
    assert!(second.clone().without_ended(doubt.minus(Duration::from_millis(1))).concerns(&one));
    assert!(second.is_due(doubt) && !second.is_due(NOW));
    let sure = second.begun(boot, ended).written();
    assert_eq!(sure.doubtful_until(), None);
    assert!(sure.without_ended(ended).is_over());
}

#[test]
fn one_process_writes_at_a_time_unless_it_was_told_another_time() {
    let [boot, other] = boots();
    let begun = StandingDenial::new(handle()).with(&[asked(NOW.plus(HOUR))]).begun(boot, NOW);
    let later = |span| NOW.plus(span);
    assert!(begun.is_written_by_another(other, later(DENIAL_TURN / 2)));
    assert!(!begun.is_written_by_another(boot, NOW), "a process knows what it does");
    assert!(!begun.is_written_by_another(other, later(DENIAL_TURN)), "its time is up");
    assert!(!begun.is_written_by_another(other, NOW.minus(HOUR)), "no turn is that long");
    let behind = NOW.minus(Duration::from_secs(2));
    assert!(begun.is_written_by_another(other, behind), "clocks of two nodes differ a little");
}

#[test]
fn all_that_is_older_takes_the_place_of_names_for_as_long_as_any_of_them_lives() {
    let [boot, _] = boots();
    let (short, long) = (asked(NOW.plus(HOUR)), asked(NOW.plus(HOUR * 3)));
    let named = StandingDenial::new(handle()).with(std::slice::from_ref(&long));
    let older = named.with_older(std::slice::from_ref(&short), NOW).begun(boot, NOW).written();
    let at_target = older.at_target();
    assert_eq!((at_target.names.len(), at_target.older_than), (0, Some(NOW)));
    assert_eq!((older.refuses(&short), older.refuses(&long)), (Some(true), Some(true)));
    assert!(!older.is_due(NOW.plus(HOUR * 2)) && older.is_due(NOW.plus(HOUR * 3)));
    let newer = Asked { made_by: NOW.plus(HOUR), ..asked(NOW.plus(HOUR * 2)) };
    assert_eq!(older.refuses(&newer), None);
    assert_eq!(older.clone().with(std::slice::from_ref(&newer)).at_target().names.len(), 1);
    let longest = asked(NOW.plus(HOUR * 9));
    assert_eq!(older.refuses(&longest), None, "it would be gone before");
    let longer = older.with(std::slice::from_ref(&longest));
    assert_eq!((longer.at_target().names.len(), longer.refuses(&longest)), (0, Some(true)));
}

#[test]
fn what_was_never_confirmed_can_be_left_out() {
    let [boot, _] = boots();
    let (one, other) = (asked(NOW.plus(HOUR)), asked(NOW.plus(HOUR * 2)));
    let written = StandingDenial::new(handle()).with(&[one]).begun(boot, NOW).written();
    assert!(written.clone().without_unwritten().is_none());
    let shed = written.with(&[other]).without_unwritten().unwrap();
    assert_eq!(shed.at_target().names.len(), 1);
}

#[test]
fn what_somebody_else_has_taken_out_is_to_be_written_again() {
    let [boot, _] = boots();
    let (one, other) = (asked(NOW.plus(HOUR)), asked(NOW.plus(HOUR * 2)));
    let both = [one.clone(), other.clone()];
    let written = StandingDenial::new(handle()).with(&both).begun(boot, NOW).written();
    let stands = |names| Standing { names, older_than: None };
    let all = written.at_target().names;
    assert_eq!(written.clone().without_undone(&stands(all)), written);
    let undone = written.without_undone(&stands(vec![other.deniable.name.clone()]));
    assert!(undone.is_due(NOW) && undone.refuses(&one).is_none());
    assert_eq!(undone.refuses(&other), Some(false));
    let older = undone.with_older(&[], NOW).begun(boot, NOW).written();
    assert_eq!(older.refuses(&one), Some(true));
    let undone = older.without_undone(&stands(Vec::new()));
    assert!(undone.is_due(NOW) && undone.refuses(&one).is_none());
}
