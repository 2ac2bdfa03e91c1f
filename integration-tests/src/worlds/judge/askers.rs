//! Judges who is served: nobody whose token has ended, or whose token's term was over when they asked (law 4), and
//! nobody off the record (law 8).

use super::Judge;
use leasehold_core::access::token::Token;
use leasehold_core::ids::TokenAccessor;
use std::time::Duration;

/// A token may be taken for one that lives so long after its term.
const OVER_MAX: Duration = Duration::from_secs(5);

impl Judge {
    /// Somebody is told a token.
    pub fn token_told(&self, text: &str, accessor: TokenAccessor) {
        let mut known = self.known.lock();
        known.told_tokens.insert(text.to_owned(), accessor);
        let token = known.tokens.values().find(|token| token.accessor == accessor);
        if let Some((token, ended)) = token.and_then(|token| Some((token, token.ended?)))
            && !known.may_end(Some(token), ended.since)
        {
            let why = format!("token {accessor} was told, and had been ended early");
            self.setting.broken(2, None, why);
        }
    }

    /// Somebody is about to make a request with a token.
    pub fn asks_as(&self, request: &str, token: &str) {
        let mut known = self.known.lock();
        // The root token never ends.
        let Some(accessor) = known.told_tokens.get(token) else { return };
        let token = known.tokens.values().find(|token| token.accessor == *accessor);
        if token.is_none_or(|token| self.is_over(token)) {
            known.without_token.insert(request.to_owned());
        }
    }

    fn is_over(&self, token: &Token) -> bool {
        // Where clocks are stepped, a process may take it to be another time than it is.
        let is_right = self.setting.counters.clock_steps.count() == 0;
        let by = self.setting.now().minus(OVER_MAX);
        let has_lapsed = token.term.is_some_and(|term| term.lapses_at() < by);
        token.ended.is_some() || (is_right && has_lapsed)
    }

    /// A request is answered as its caller wished: it and its answer are on record by now (law 8).
    pub fn granted(&self, request: &str) {
        if !self.journal.has_asked(request) || !self.journal.has_answered(request) {
            self.setting.broken(8, None, format!("{request} was granted and is not on record"));
        }
        if self.known.lock().without_token.contains(request) {
            let what = format!("{request} was granted to a token that was over when it was made");
            self.setting.broken(4, None, what);
        }
    }
}
