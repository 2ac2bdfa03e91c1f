//! When the server lived and the target was in trouble, and what that explains of a credential that is still there.

use leasehold_core::lease::backoff;
use leasehold_core::limits::REVOKE_WITHIN;
use leasehold_core::time::Timestamp;

/// How many processes in a row may die with an attempt that they cut off, or that failed with its target. That happens
/// to one in five or so: more often than this in a row is no chance.
const CUT_OFF_MAX: u32 = 8;

/// The processes that there were, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    lives: Vec<Life>,
    trouble_until: Timestamp,
}

/// One process.
#[derive(Clone, Copy, Debug)]
struct Life {
    from: Timestamp,
    /// None while it lives.
    to: Option<Timestamp>,
    /// The target may fail what it is asked until then.
    trouble_until: Timestamp,
}

/// What is known of a credential's end.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// When the first attempt may have been made at the earliest.
    pub since: Timestamp,
    /// Attempts until then may have found nothing to remove yet.
    pub hidden_until: Timestamp,
    /// From then on it has to go.
    pub end: Timestamp,
}

impl Lives {
    /// A process can be asked from now on.
    pub fn begin(&mut self, at: Timestamp) {
        if let Some(life) = self.lives.last_mut() {
            life.to.get_or_insert(at);
        }
        self.lives.push(Life { from: at, to: None, trouble_until: self.trouble_until });
    }

    /// The process is dead; it may have been before it could be asked.
    pub fn end(&mut self, at: Timestamp) {
        match self.lives.last_mut() {
            Some(life) if life.to.is_none() => life.to = Some(at),
            Some(_) | None => {
                let trouble_until = self.trouble_until;
                self.lives.push(Life { from: at, to: Some(at), trouble_until });
            }
        }
    }

    /// The target may fail what this process asks, and the next ones, until then.
    pub fn trouble(&mut self, until: Timestamp) {
        self.trouble_until = self.trouble_until.max(until);
        if let Some(life) = self.lives.last_mut() {
            life.trouble_until = self.trouble_until;
        }
    }

    /// Tells whether what was due is there for longer than can be explained: each process that died may have cut off
    /// an attempt just as it died, so that the next one is due when that one would have been over, and a process that
    /// lives on gets it done. Only attempts that failed make those after them wait for longer.
    #[must_use]
    pub fn is_overdue(&self, due: Due, at: Timestamp) -> bool {
        let (mut next, mut failures, mut cut_off) = (due.since, 0_u32, 0_u32);
        let lived_on = |life: &Life| life.to.is_none_or(|to| to > due.since);
        for life in self.lives.iter().filter(|life| lived_on(life)) {
            let to = life.to.unwrap_or(at);
            let is_tried = next < to;
            let fails_until = life.trouble_until.max(due.hidden_until).min(to);
            if next < fails_until {
                while next < fails_until {
                    failures = failures.saturating_add(1);
                    next = next.max(life.from).plus(backoff::after(failures));
                }
                // The last of them may have begun just before it would have gone well.
                next = next.max(fails_until.plus(backoff::after(failures)));
            }
            let done_by = next.max(life.from).max(due.end).plus(REVOKE_WITHIN);
            if done_by < to || cut_off > CUT_OFF_MAX && due.end < at {
                return true;
            }
            if is_tried {
                cut_off = cut_off.saturating_add(1);
                next = next.max(to.plus(REVOKE_WITHIN));
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const fn second(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    fn lapsing(seconds: u64) -> Due {
        Due { since: second(seconds), hidden_until: Timestamp(0), end: second(seconds) }
    }

    /// A process that dies every two seconds.
    fn dying(until: u64) -> Lives {
        let mut lives = Lives::default();
        for from in (0..until).step_by(2) {
            lives.begin(second(from));
            lives.end(second(from + 1));
        }
        lives
    }

    #[test]
    fn a_process_that_lives_on_gets_done_what_is_due() {
        let mut lives = Lives::default();
        lives.begin(second(0));
        assert!(!lives.is_overdue(lapsing(10), second(70)));
        assert!(lives.is_overdue(lapsing(10), second(71)));
        lives.end(second(71));
        assert!(lives.is_overdue(lapsing(10), second(72)));
        assert!(!lives.is_overdue(lapsing(20), second(1000)), "nobody was there to do it");
    }

    #[test]
    fn every_death_explains_one_more_attempt_and_not_without_end() {
        let mut lives = dying(4);
        lives.begin(second(4));
        // Cut off at 1, so due at 61; what was not due yet waits for nothing.
        assert!(!lives.is_overdue(lapsing(0), second(121)));
        assert!(lives.is_overdue(lapsing(0), second(122)));
        assert!(lives.is_overdue(lapsing(4), second(65)));
        assert!(!dying(490).is_overdue(lapsing(0), second(490)));
        assert!(dying(700).is_overdue(lapsing(0), second(700)));
    }

    #[test]
    fn many_deaths_explain_no_longer_wait_than_one() {
        let mut lives = dying(300);
        lives.begin(second(300));
        // Cut off in the lives that begin at 0, 62, 124, 186 and 248, so due at 309.
        assert!(!lives.is_overdue(lapsing(0), second(369)));
        assert!(lives.is_overdue(lapsing(0), second(370)));
    }

    #[test]
    fn an_attempt_that_is_cut_off_after_others_failed_is_followed_by_one_a_minute_later() {
        let mut lives = Lives::default();
        lives.begin(second(0));
        lives.trouble(second(10));
        lives.end(second(8));
        lives.begin(second(9));
        assert!(!lives.is_overdue(lapsing(0), second(128)));
        assert!(lives.is_overdue(lapsing(0), second(129)));
    }

    #[test]
    fn a_target_in_trouble_and_a_credential_that_came_late_explain_a_wait() {
        let mut lives = Lives::default();
        lives.begin(second(0));
        let late = Due { hidden_until: second(20), ..lapsing(0) };
        // Tried at 0, 5, 15, and just before it could be found: 20 seconds more.
        assert!(!lives.is_overdue(late, second(100)));
        assert!(lives.is_overdue(late, second(101)));
        lives.trouble(second(30).plus(Duration::from_secs(1)));
        assert!(!lives.is_overdue(lapsing(0), second(101)));
        assert!(lives.is_overdue(lapsing(0), second(200)));
    }
}
