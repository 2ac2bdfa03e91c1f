#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

use super::*;
use crate::limits::{ISSUE_WITHIN, RETRY_FIRST, SETTLE};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_000_000);
const HOUR: Duration = Duration::from_hours(1);

fn lease() -> Lease {
    let place = Place {
        mount: MountId::from_bytes([1; 16]),
        role: "app".into(),
        target: TargetId::from_bytes([2; 16]),
        generation: Generation(1),
    };
    let owner = Owner {
        token: TokenKey([3; 32]),
        accessor: TokenAccessor::from_bytes([4; 16]),
        display_name: "token".into(),
        request: "r".into(),
    };
    let issue_by = NOW.plus(ISSUE_WITHIN);
    let issue = IssueSpan {
        boot: BootId::from_bytes([5; 16]),
        issue_by,
        settles_at: issue_by.plus(SETTLE),
    };
    let handle = Handle(serde_json::value::to_raw_value("v-app").unwrap());
    let term = Term::starting(HOUR, NOW.plus(HOUR * 24), NOW);
    Lease::new(LeaseId::from_bytes([6; 16]), place, owner, handle, issue, term, NOW)
}

#[test]
fn a_fresh_lease_is_due_when_its_term_ends() {
    assert_eq!(lease().due_at(), NOW.plus(HOUR));
    assert!(lease().is_held(NOW));
    assert!(!lease().is_held(NOW.plus(HOUR)));
}

#[test]
fn a_renewal_starts_the_term_again_but_never_passes_the_ceiling() {
    let later = NOW.plus(HOUR / 2);
    let renewed = lease().renew(HOUR * 2, HOUR * 24, later).unwrap();
    assert_eq!(renewed.due_at(), later.plus(HOUR * 2));
    let capped = lease().renew(HOUR * 99, HOUR * 24, later).unwrap();
    assert_eq!(capped.due_at(), NOW.plus(HOUR * 24));
}

#[test]
fn a_lower_maximum_set_since_holds_from_the_next_renewal_on() {
    let later = NOW.plus(HOUR / 2);
    let renewed = lease().renew(HOUR * 9, HOUR * 2, later).unwrap();
    assert_eq!(renewed.due_at(), NOW.plus(HOUR * 2));
    assert_eq!(lease().renew(HOUR, HOUR / 4, later).unwrap_err(), LeaseError::PastCeiling);
}

#[test]
fn a_lapsed_lease_cannot_be_renewed() {
    assert_eq!(lease().renew(HOUR, HOUR * 24, NOW.plus(HOUR)).unwrap_err(), LeaseError::Lapsed);
}

#[test]
fn a_lease_being_revoked_cannot_be_renewed() {
    let revoking = lease().attempt(Cause::Asked, true, NOW);
    assert_eq!(revoking.renew(HOUR, HOUR, NOW).unwrap_err(), LeaseError::Lapsed);
}

#[test]
fn an_attempt_schedules_the_next_one() {
    let revoking = lease().attempt(Cause::Lapsed, true, NOW);
    assert_eq!(revoking.due_at(), NOW.plus(RETRY_FIRST));
    let again = revoking.attempt(Cause::Lapsed, true, NOW.plus(RETRY_FIRST));
    assert_eq!(again.due_at(), NOW.plus(RETRY_FIRST * 3));
    match again.state() {
        LeaseState::Revoking(revoking) => {
            assert_eq!((revoking.cause, revoking.attempts), (Cause::Lapsed, 2));
        }
        LeaseState::Held => panic!("held"),
    }
}

#[test]
fn whoever_asks_never_makes_the_next_attempt_later() {
    let mut revoking = lease();
    for _ in 0..12 {
        revoking = revoking.attempt(Cause::Lapsed, true, NOW);
    }
    let due_at = revoking.due_at();
    for _ in 0..12 {
        revoking = revoking.attempt(Cause::Asked, true, NOW.plus(RETRY_FIRST));
        assert_eq!(revoking.due_at(), due_at);
    }
}

#[test]
fn an_unanswered_issue_is_looked_at_again_as_soon_as_it_can_no_longer_land() {
    let settles_at = lease().issue().settles_at;
    let revoking = lease().attempt(Cause::IssueFailed, false, NOW);
    assert_eq!(revoking.unanswered().map(|until| until.settles_at), Some(settles_at));
    assert_eq!(revoking.due_at(), NOW.plus(RETRY_FIRST));
    let shortly_before = Timestamp(settles_at.0 - 1);
    assert_eq!(revoking.attempt(Cause::Asked, true, shortly_before).due_at(), settles_at);
    assert_eq!(lease().attempt(Cause::Asked, true, NOW).unanswered(), None);
}

#[test]
fn a_lease_reads_back_as_it_was_stored() {
    let stored = lease().attempt(Cause::Lapsed, false, NOW).failed("down".into(), NOW);
    let text = serde_json::to_string(&stored).unwrap();
    let read: Lease = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}

proptest! {
    #[test]
    fn no_row_of_renewals_passes_the_ceiling(
        steps in proptest::collection::vec((0_u64..100_000_000, 0_u64..200_000, 0_u64..200_000), 1..40),
    ) {
        let mut held = lease();
        let mut now = NOW;
        for (pass_ms, ttl_s, max_s) in steps {
            now = Timestamp(now.0 + pass_ms);
            if let Ok(renewed) = held.clone().renew(Duration::from_secs(ttl_s), Duration::from_secs(max_s), now) {
                prop_assert!(renewed.due_at() <= renewed.term().ceiling());
                prop_assert!(renewed.term().ceiling() == held.term().ceiling());
                prop_assert!(renewed.due_at() > now);
                held = renewed;
            }
        }
    }
}
