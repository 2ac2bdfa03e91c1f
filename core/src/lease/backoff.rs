//! How long to leave a target alone after it failed.

use crate::limits::{RETRY_FIRST, RETRY_LAST};
use std::time::Duration;

/// Returns the wait after the given attempt: doubling, capped, never over.
#[must_use]
pub fn after(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    RETRY_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(RETRY_LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_until_it_is_capped_and_never_ends() {
        assert_eq!(after(0), RETRY_FIRST);
        assert_eq!(after(1), RETRY_FIRST);
        assert_eq!(after(2), RETRY_FIRST * 2);
        assert_eq!(after(u32::MAX), RETRY_LAST);
    }
}
