//! The watch over the clocks, as tables.

use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const NOON: Timestamp = Timestamp(1_795_300_000_000);

fn fresh() -> Watch {
    let (watch, start) = Watch::start(None, NOON, NOON);
    assert_eq!(start, NOON);
    watch
}

fn doubted(wall: impl Fn(Timestamp) -> Timestamp) -> (Watch, Timestamp) {
    let mut watch = fresh();
    assert_eq!(watch.observe(NOON, wall(NOON)), Some(Change::Off));
    let then = NOON.plus(CLOCK_OFF_FOR);
    assert_eq!(watch.observe(then, wall(then)), Some(Change::Doubted));
    (watch, then)
}

#[test]
fn a_step_of_the_wall_warns_then_refuses_and_is_over_when_it_is_taken_back() {
    for ahead in [true, false] {
        let stepped = |at: Timestamp| if ahead { at.plus(MINUTE) } else { at.minus(MINUTE) };
        let mut watch = fresh();
        assert_eq!(watch.observe(NOON, NOON), None);
        assert_eq!(watch.observe(NOON, stepped(NOON)), Some(Change::Off));
        let soon = NOON.plus(CLOCK_OFF_FOR).minus(Duration::from_millis(1));
        assert_eq!(watch.observe(soon, stepped(soon)), None);
        assert_eq!(watch.doubt(soon, stepped(soon)), None);
        let then = NOON.plus(CLOCK_OFF_FOR);
        assert_eq!(watch.observe(then, stepped(then)), Some(Change::Doubted));
        let doubt = Doubt { off: MINUTE, since: NOON, behind: false };
        assert_eq!(watch.doubt(then, stepped(then)), Some(doubt));
        assert_eq!(watch.observe(then, then), Some(Change::Agrees));
        assert_eq!((watch.doubt(then, then), watch.off_since()), (None, None));
    }
}

#[test]
fn a_little_is_no_difference() {
    let mut watch = fresh();
    assert_eq!(watch.observe(NOON, NOON.plus(CLOCK_OFF)), None);
    assert_eq!(watch.observe(NOON, NOON.minus(CLOCK_OFF)), None);
}

#[test]
fn the_time_never_starts_before_what_was_seen() {
    let seen = Seen { highest: NOON, ahead: Duration::ZERO };
    for (wall, behind) in [
        (NOON.plus(HOUR), false),
        (NOON, false),
        (NOON.minus(CLOCK_BEHIND), false),
        (NOON.minus(CLOCK_BEHIND).minus(Duration::from_millis(1)), true),
        (NOON.minus(HOUR), true),
    ] {
        let (mut watch, start) = Watch::start(Some(seen), wall, wall);
        assert_eq!(start, wall.max(NOON), "{wall:?}");
        assert_eq!(watch.doubt(start, wall).is_some(), behind, "{wall:?}");
        assert_eq!(watch.observe(start, wall), None, "{wall:?}");
    }
}

#[test]
fn a_wall_that_was_behind_at_the_start_is_followed_once_it_is_not() {
    let seen = Seen { highest: NOON, ahead: Duration::ZERO };
    let wall = NOON.minus(HOUR * 24);
    let (mut watch, start) = Watch::start(Some(seen), wall, wall);
    let later = start.plus(MINUTE);
    assert_eq!(watch.observe(later, wall.plus(MINUTE)), None);
    let right = NOON.plus(HOUR);
    assert_eq!(watch.observe(later, right), Some(Change::CaughtUp(right)));
    assert_eq!(watch.doubt(right, right), None);
}

#[test]
fn accepting_never_takes_the_time_back() {
    let (mut watch, now) = doubted(|at| at.minus(HOUR));
    let accepted = watch.accept(now, now.minus(HOUR)).unwrap();
    assert_eq!(accepted, Accepted { time: now, ahead: HOUR });
    watch.accepted(accepted);
    assert_eq!(watch.observe(now, now.minus(HOUR)), None);
    // The wall may come after, and then be accepted as it is.
    assert_eq!(watch.observe(now, now), None);
    assert_eq!(watch.accept(now, now).unwrap().ahead, Duration::ZERO);
    // A process that starts goes on from there.
    let seen = Seen { highest: now, ahead: HOUR };
    let wall = now.minus(HOUR).plus(MINUTE);
    let (watch, start) = Watch::start(Some(seen), wall, wall);
    assert_eq!((start, watch.doubt(start, wall)), (now.plus(MINUTE), None));
}

#[test]
fn accepting_moves_the_time_forward_only_once_no_issue_can_land() {
    let mut watch = fresh();
    let wall = |at: Timestamp| at.plus(HOUR);
    let settling = SETTLED_WITHIN;
    assert_eq!(watch.accept(NOON, wall(NOON)), Err(TooSoon(CLOCK_OFF_FOR + settling)));
    watch.observe(NOON, wall(NOON));
    assert_eq!(watch.accept(NOON, wall(NOON)), Err(TooSoon(CLOCK_OFF_FOR + settling)));
    let (watch, now) = doubted(wall);
    assert_eq!(watch.accept(now, wall(now)), Err(TooSoon(settling)));
    let settled = now.plus(settling);
    let accepted = watch.accept(settled, wall(settled)).unwrap();
    assert_eq!(accepted, Accepted { time: wall(settled), ahead: Duration::ZERO });
}

#[test]
fn a_doubt_says_what_to_do() {
    let (watch, now) = doubted(|at| at.minus(HOUR));
    let told = watch.doubt(now, now.minus(HOUR)).unwrap().to_string();
    assert!(
        told.contains("3600 s off") && told.contains("`leasehold operator accept-clock`"),
        "{told}"
    );
}
