//! A target whose clock is not ours.
//!
//! Nobody can move the clock of a real server without moving the machine's. So it is ours that is moved, by the port
//! that an engine has for it: from one clock to the other it is the same.

use super::{Opening, PATIENCE, Site, asked, cause, prepared_as, renewal, revocation, until};
use leasehold_core::engine::{
    Cause, Engine as _, EngineError, Issue, Renewal, Renewed, Revocation,
};
use leasehold_core::ids::LeaseId;
use leasehold_core::time::{Clock, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// How far the clocks are apart.
const APART: Duration = Duration::from_mins(5);

/// A term that is over by the other clock before it has begun by ours, or the other way round.
const TERM: Duration = Duration::from_mins(2);

/// How much is lost in asking a target for its time, and in how it writes times.
const NEAR: Duration = Duration::from_secs(2);

/// A clock that is wrong by the same span all the time.
#[derive(Debug)]
struct Wrong {
    clock: Arc<dyn Clock>,
    is_ahead: bool,
}

impl Wrong {
    fn of(&self, right: Timestamp) -> Timestamp {
        if self.is_ahead { right.plus(APART) } else { right.minus(APART) }
    }
}

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        self.of(self.clock.now())
    }

    fn wall(&self) -> Timestamp {
        self.of(self.clock.wall())
    }

    fn advance_to(&self, _: Timestamp) {}
}

/// Returns a clock that is five minutes ahead of the target's, or behind it.
#[must_use]
pub fn wrong_clock(is_ahead: bool) -> Arc<dyn Clock> {
    Arc::new(Wrong { clock: super::clock(), is_ahead })
}

/// The target's clock is behind ours.
pub async fn a_clock_that_is_behind_changes_no_term<S: Site>(site: &Arc<S>) {
    no_term_is_changed(&**site, true).await;
}

/// The target's clock is ahead of ours.
pub async fn a_clock_that_is_ahead_changes_no_term<S: Site>(site: &Arc<S>) {
    no_term_is_changed(&**site, false).await;
}

async fn no_term_is_changed<S: Site>(site: &S, ours_is_ahead: bool) {
    let (right, clock) = (super::clock(), wrong_clock(ours_is_ahead));
    let opening = Opening { clock: Arc::clone(&clock), ..Opening::of(site) };
    let engine = site.opened_again(&opening);
    let prepare = || {
        // As old by our clock as the site makes them.
        let age = right.now().since(site.lease().made_at());
        let lease = LeaseId::new(clock.now().minus(age), &super::Urandom);
        let prepared = prepared_as(lease, &*engine, &site.role(), ("tester", "app"), PATIENCE);
        let now = clock.now();
        Issue { lapses_at: now.plus(TERM), issue_by: now.plus(PATIENCE), ..prepared }
    };
    let told = async |end: Timestamp| {
        let listed = engine.list().await.expect("the target lists");
        assert_eq!(listed.len(), 1, "{listed:?}");
        if let Some(told) = listed[0].lapses_at {
            let off = told.since(end).max(end.since(told));
            assert!(off < NEAR, "its end is by our clock, to {off:?}");
        }
    };

    let mut late = prepare();
    late.issue_by = clock.now().minus(Duration::from_secs(1));
    let answer = engine.issue(std::slice::from_ref(&late)).await.remove(0);
    assert!(matches!(answer, Err(EngineError::Refused(_))), "{answer:?}");
    assert_eq!(cause(&answer), Some(Cause::TooLate), "{answer:?}");

    let issue = prepare();
    let answer = engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    let login = site.login(&answer.expect("it is issued, in time by our clock"));
    let mut session = site.log_in(&login).await.expect("it logs in: its term is not over");
    assert!(site.works(&mut session).await);
    told(issue.lapses_at).await;

    let end = clock.now().plus(2 * TERM);
    let answer_by = clock.now().plus(PATIENCE);
    let asked_again = Renewal { answer_by, ..renewal(&issue, end) };
    assert_eq!(engine.renew(&[asked_again]).await, [Ok(Renewed::Extended)]);
    told(end).await;
    site.log_in(&login).await.map(drop).expect("it still logs in");

    let never = asked(site, 1).remove(0);
    let unanswered = until(clock.now().plus(TERM));
    let may_come = Revocation { answer_by, unanswered, ..revocation(&never) };
    let answer = engine.revoke(&[may_come]).await.remove(0);
    assert_eq!(cause(&answer), Some(Cause::Contended), "its time is not over: {answer:?}");

    let asked = Revocation { answer_by, ..revocation(&issue) };
    assert_eq!(engine.revoke(&[asked]).await, [Ok(())]);
    assert!(!site.works(&mut session).await, "its open session has ended");
    assert!(site.log_in(&login).await.is_err(), "it logs in no more");
}
