//! Decides how long a new token lives, and puts it into the store: in one way for tokens that callers make and for
//! those that logins make.

use super::super::Broker;
use crate::access::token::Token;
use crate::duration::capped_warning;
use crate::lease::term::Term;
use crate::limits::TTL_MAX;
use crate::store::{Batch, StoreError};
use crate::time::Timestamp;
use std::time::Duration;

/// How long a new token is to live.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Spans {
    /// From now until it must be renewed, if that is asked for.
    pub(in crate::broker) ttl: Option<Duration>,
    /// The bound that no renewal passes; zero for none of its own.
    pub(in crate::broker) explicit_max_ttl: Duration,
    /// Renewed by this much each time; zero for one that is not periodic.
    pub(in crate::broker) period: Duration,
    /// What it gets where nothing is asked for.
    pub(in crate::broker) default_ttl: Duration,
    /// The most that it can get.
    pub(in crate::broker) max_ttl: Duration,
}

impl Spans {
    /// Whether any of them is longer than a term can be.
    pub(in crate::broker) fn are_endless(&self) -> bool {
        let asked = [self.ttl.unwrap_or_default(), self.explicit_max_ttl, self.period];
        asked.iter().any(|span| *span > TTL_MAX)
    }

    /// Keeps the bounds that are asked for within the maximum.
    pub(in crate::broker) fn capped(mut self, warnings: &mut Vec<String>) -> Self {
        let max = self.max_ttl;
        if self.period > max {
            warnings.push(capped_warning(self.period, max));
            self.period = max;
        }
        // A period passes the maximum, so its own bound may as well.
        if self.period.is_zero() && self.explicit_max_ttl > max {
            warnings.push(capped_warning(self.explicit_max_ttl, max));
            self.explicit_max_ttl = max;
        }
        self
    }

    /// Returns the term, and how much of it is given at first.
    pub(in crate::broker) fn term(
        &self,
        now: Timestamp,
        warnings: &mut Vec<String>,
    ) -> (Term, Duration) {
        let ceiling = match (self.period.is_zero(), self.explicit_max_ttl.is_zero()) {
            (false, true) => now.plus(TTL_MAX),
            (_, false) => now.plus(self.explicit_max_ttl),
            (true, true) => now.plus(self.max_ttl),
        };
        let asked = self.ttl.filter(|ttl| !ttl.is_zero());
        let ttl =
            if self.period.is_zero() { asked.unwrap_or(self.default_ttl) } else { self.period };
        let term = Term::starting(ttl, ceiling, now);
        let given = term.lapses_at().since(now);
        if given < ttl {
            warnings.push(capped_warning(ttl, given));
        }
        (term, given)
    }
}

impl Broker {
    /// Puts a new token into the store, if all is as the batch expects.
    pub(in crate::broker) async fn mint(
        &self,
        token: &Token,
        batch: Batch,
    ) -> Result<(), StoreError> {
        let batch = self.records.put_new_token(batch, token)?;
        let outcome = self.records.commit(batch).await;
        if let (Ok(_) | Err(StoreError::Uncertain(_)), Some(at)) = (&outcome, token.due_at()) {
            self.token_due(token.accessor, at);
        }
        outcome.map(|_| ())
    }
}
