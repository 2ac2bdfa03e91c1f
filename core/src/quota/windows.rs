//! Counts how often each sender has asked, in windows of time: the first request opens one, and so many are let through
//! until it closes.

use crate::address::Network;
use crate::limits::RATE_WINDOWS_MAX;
use crate::store::Revision;
use crate::time::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How often one sender may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests a window lets through.
    pub requests: u64,
    /// How long it is open.
    pub window: Duration,
    /// How long whoever asks more often is refused; zero for until the window closes.
    pub block: Duration,
}

/// How much of a window is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many requests it lets through.
    pub limit: u64,
    /// How many of them are left.
    pub remaining: u64,
    /// When the next one opens, from now.
    pub reset: Duration,
}

/// More was asked than is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverRate {
    /// How long the sender is refused.
    pub retry_after: Duration,
    /// What there was.
    pub allowance: Allowance,
}

/// The windows of all senders under all quotas: what strangers make the server keep, which is bounded.
#[derive(Debug, Default)]
pub struct Windows {
    open: HashMap<Counted, Window>,
    /// What is open, the oldest first; some of it may be open anew.
    order: VecDeque<(Timestamp, Counted)>,
}

/// Whose requests are counted together: by a sender, under one write of one quota.
type Counted = (Revision, Network);

#[derive(Debug)]
struct Window {
    opened: Timestamp,
    closes: Timestamp,
    taken: u64,
    blocked_until: Timestamp,
}

impl Windows {
    /// Counts a request of a sender, or refuses it.
    pub fn take(
        &mut self,
        quota: Revision,
        rate: Rate,
        sender: Network,
        now: Timestamp,
    ) -> Result<Allowance, OverRate> {
        let counted = (quota, sender);
        let is_open =
            |window: &Window| now < window.closes.max(window.blocked_until) && window.opened <= now;
        if !self.open.get(&counted).is_some_and(is_open) {
            self.make_room(now);
            self.order.push_back((now, counted));
            let closes = now.plus(rate.window);
            let window = Window { opened: now, closes, taken: 0, blocked_until: Timestamp(0) };
            self.open.insert(counted, window);
        }
        let allowance = |taken: u64, reset: Duration| Allowance {
            limit: rate.requests,
            remaining: rate.requests.saturating_sub(taken),
            reset,
        };
        // It was put there above.
        let Some(window) = self.open.get_mut(&counted) else {
            return Ok(allowance(1, rate.window));
        };
        if now >= window.blocked_until && window.taken < rate.requests {
            window.taken = window.taken.saturating_add(1);
            return Ok(allowance(window.taken, window.closes.since(now)));
        }
        if now >= window.blocked_until && !rate.block.is_zero() {
            window.blocked_until = now.plus(rate.block);
        }
        let retry_after = window.closes.max(window.blocked_until).since(now);
        Err(OverRate { retry_after, allowance: allowance(window.taken, window.closes.since(now)) })
    }

    /// Forgets what is over. Where too many are open the oldest go first: whoever has so many addresses gains nothing by
    /// it, and nobody else is refused because of them.
    fn make_room(&mut self, now: Timestamp) {
        while let Some((opened, counted)) = self.order.front() {
            let current = self.open.get(counted).filter(|window| window.opened == *opened);
            let is_over =
                current.is_none_or(|window| now >= window.closes.max(window.blocked_until));
            if !is_over && self.order.len() < RATE_WINDOWS_MAX {
                return;
            }
            if current.is_some() {
                self.open.remove(counted);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { requests: 2, window: Duration::from_secs(10), block: Duration::ZERO };
    const QUOTA: Revision = Revision(1);

    fn sender(number: u32) -> Network {
        std::net::Ipv4Addr::from_bits(number).to_string().parse().unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1000))
    }

    #[test]
    fn a_window_lets_so_many_through_and_then_none_until_it_closes() {
        let mut windows = Windows::default();
        let mut take = |quota, from, seconds| windows.take(quota, RATE, sender(from), at(seconds));
        let left =
            |remaining, reset| Allowance { limit: 2, remaining, reset: Duration::from_secs(reset) };
        assert_eq!(take(QUOTA, 1, 100), Ok(left(1, 10)));
        assert_eq!(take(QUOTA, 1, 103), Ok(left(0, 7)));
        let retry_after = Duration::from_secs(1);
        assert_eq!(take(QUOTA, 1, 109), Err(OverRate { retry_after, allowance: left(0, 1) }));
        // Neither another sender's requests count, nor those under another quota.
        assert_eq!(take(QUOTA, 2, 109), Ok(left(1, 10)));
        assert_eq!(take(Revision(2), 1, 109), Ok(left(1, 10)));
        assert_eq!(take(QUOTA, 1, 110), Ok(left(1, 10)));
    }

    #[test]
    fn whoever_is_over_is_refused_for_as_long_as_the_quota_says() {
        let mut windows = Windows::default();
        let rate = Rate { block: Duration::from_mins(1), ..RATE };
        let mut take = |seconds| {
            windows.take(QUOTA, rate, sender(1), at(seconds)).map_err(|over| over.retry_after)
        };
        assert!(take(0).is_ok() && take(0).is_ok());
        assert_eq!(take(5), Err(Duration::from_mins(1)));
        // Asking on does not make it longer.
        assert_eq!(take(64), Err(Duration::from_secs(1)));
        assert!(take(65).is_ok());
    }

    #[test]
    fn a_block_that_is_over_before_the_window_leaves_the_window() {
        let mut windows = Windows::default();
        let rate = Rate { block: Duration::from_secs(2), ..RATE };
        let mut take = |seconds| {
            windows.take(QUOTA, rate, sender(1), at(seconds)).map_err(|over| over.retry_after)
        };
        assert!(take(0).is_ok() && take(0).is_ok());
        assert_eq!(take(1), Err(Duration::from_secs(9)));
        assert_eq!(take(4), Err(Duration::from_secs(6)));
        assert!(take(10).is_ok());
    }

    #[test]
    fn strangers_make_it_keep_a_bounded_number() {
        let mut windows = Windows::default();
        let most = u32::try_from(RATE_WINDOWS_MAX).unwrap();
        for number in 0..most + 10 {
            assert!(windows.take(QUOTA, RATE, sender(number), at(1)).is_ok(), "{number}");
        }
        assert_eq!((windows.open.len(), windows.order.len()), (RATE_WINDOWS_MAX, RATE_WINDOWS_MAX));
        // The latest are still counted.
        assert!(windows.take(QUOTA, RATE, sender(most), at(1)).is_ok());
        assert!(windows.take(QUOTA, RATE, sender(most), at(1)).is_err());
        // What is over is forgotten.
        assert!(windows.take(QUOTA, RATE, sender(0), at(11)).is_ok());
        assert_eq!((windows.open.len(), windows.order.len()), (1, 1));
    }
}
