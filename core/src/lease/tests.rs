#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

use super::*;
use crate::limits::{ISSUE_WITHIN, RETRY_FIRST, RETRY_LAST, RETRY_OPERATOR, SETTLED_WITHIN};
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
        entity: None,
        granted_by: Vec::new(),
        request: "r".into(),
    };
    let issue = IssueSpan {
        boot: BootId::from_bytes([5; 16]),
        issue_by: NOW.plus(ISSUE_WITHIN),
        settles_at: NOW.plus(SETTLED_WITHIN),
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

/// One attempt of the sweep that fails at once, without a reason to wait for any span.
fn failing(lease: Lease, now: Timestamp) -> Lease {
    lease.attempt(Cause::Lapsed, true, now).failed(Cause::Lapsed, "down".into(), None, None, now)
}

fn attempts(lease: &Lease) -> u32 {
    match lease.state() {
        LeaseState::Revoking(revoking) => revoking.attempts,
        LeaseState::Held => panic!("held"),
    }
}

#[test]
fn each_failure_makes_the_next_attempt_later() {
    let once = failing(lease(), NOW);
    assert_eq!((once.due_at(), attempts(&once)), (NOW.plus(RETRY_FIRST), 1));
    let again = failing(once, NOW.plus(RETRY_FIRST));
    assert_eq!((again.due_at(), attempts(&again)), (NOW.plus(RETRY_FIRST * 3), 2));
    let operator = again.failed(Cause::Lapsed, "no right".into(), Some(RETRY_OPERATOR), None, NOW);
    assert_eq!((operator.due_at(), attempts(&operator)), (NOW.plus(RETRY_OPERATOR), 3));
}

#[test]
fn an_attempt_that_dies_with_its_process_is_no_failure() {
    let mut dying = failing(lease(), NOW);
    for _ in 0..500 {
        let now = dying.due_at();
        dying = dying.attempt(Cause::Lapsed, true, now);
        assert_eq!((dying.due_at(), attempts(&dying)), (now.plus(REVOKE_WITHIN), 1));
    }
    let now = dying.due_at();
    assert_eq!(failing(dying, now).due_at(), now.plus(RETRY_FIRST * 2));
}

#[test]
fn whoever_asks_never_makes_the_next_attempt_later() {
    let mut revoking = lease();
    for _ in 0..3 {
        revoking = failing(revoking, NOW);
    }
    let (due_at, before) = (revoking.due_at(), attempts(&revoking));
    for _ in 0..12 {
        let now = NOW.plus(RETRY_FIRST);
        revoking = revoking.attempt(Cause::Asked, true, now);
        assert_eq!(revoking.due_at(), due_at);
        revoking = revoking.failed(Cause::Asked, "down".into(), Some(RETRY_OPERATOR), None, now);
        assert_eq!((revoking.due_at(), attempts(&revoking)), (due_at, before));
    }
    for _ in 0..9 {
        revoking = failing(revoking, NOW);
    }
    let asked = revoking.attempt(Cause::Asked, true, NOW);
    assert_eq!(
        asked.due_at(),
        NOW.plus(REVOKE_WITHIN),
        "one that dies is soon followed by another"
    );
}

#[test]
fn the_first_attempt_counts_whoever_asks() {
    let asked = lease().attempt(Cause::Asked, true, NOW);
    let failed = asked.failed(Cause::Asked, "down".into(), None, None, NOW);
    assert_eq!((failed.due_at(), attempts(&failed)), (NOW.plus(RETRY_FIRST), 1));
}

#[test]
fn an_unanswered_issue_is_looked_at_again_as_soon_as_it_can_no_longer_land() {
    let settles_at = lease().issue().settles_at;
    let revoking = lease().attempt(Cause::IssueFailed, false, NOW);
    assert_eq!(revoking.unanswered().map(|until| until.settles_at), Some(settles_at));
    let failed = |lease: Lease, now| {
        lease.failed(Cause::Lapsed, "may land".into(), None, Some(settles_at), now)
    };
    assert_eq!(failed(revoking.clone(), NOW).due_at(), NOW.plus(RETRY_FIRST));
    let shortly_before = Timestamp(settles_at.0 - 1);
    assert_eq!(failed(revoking, shortly_before).due_at(), settles_at);
    assert_eq!(lease().attempt(Cause::Asked, true, NOW).unanswered(), None);
}

#[test]
fn a_lease_reads_back_as_it_was_stored() {
    let stored = failing(lease().attempt(Cause::Lapsed, false, NOW), NOW);
    let text = serde_json::to_string(&stored).unwrap();
    let read: Lease = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}

#[test]
fn a_claim_of_an_older_version_is_an_attempt_that_is_due_when_it_said() {
    let stored =
        r#"{"is":"revoking","cause":"lapsed","since":1000,"attempts":9,"retry_at":900000}"#;
    let older = Lease { state: serde_json::from_str(stored).unwrap(), ..lease() };
    assert_eq!((older.due_at(), attempts(&older)), (Timestamp(900_000), 9));
    let failed = failing(older, Timestamp(900_000));
    assert_eq!((failed.due_at(), attempts(&failed)), (Timestamp(900_000).plus(RETRY_LAST), 10));
}

proptest! {
    /// Clients are told whole seconds, and take 0 for a lease that never ends.
    #[test]
    fn cve_2021_32923_a_renewal_shortly_before_the_ceiling_is_told_an_end_or_refused(
        left_ms in 0_u64..2_500, ttl_ms in 0_u64..3_000, max_ms in 86_398_000_u64..86_402_000,
    ) {
        let held = lease().renew(HOUR * 24, HOUR * 24, NOW).unwrap();
        let ceiling = held.term().ceiling();
        prop_assert_eq!(held.due_at(), ceiling);
        let now = Timestamp(ceiling.0 - left_ms);
        let (ttl, max) = (Duration::from_millis(ttl_ms), Duration::from_millis(max_ms));
        let end = ceiling.min(NOW.plus(max));
        match held.renew(ttl, max, now) {
            Ok(renewed) => {
                prop_assert!(renewed.term().seconds_left(now) >= 1);
                prop_assert!(renewed.due_at() <= end);
            }
            Err(_) => prop_assert!(end.since(now) < Duration::from_secs(1)),
        }
    }

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
