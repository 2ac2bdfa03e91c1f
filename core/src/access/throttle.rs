//! Slows networks whose logins fail, in a table of bounded size.
//!
//! Each network has one number: until when its failures have used up what it may fail. A failure moves that on, and
//! what is too far ahead of now must wait.

use crate::address::Network;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one failure costs: ten a second go on for ever.
const EACH: Duration = Duration::from_millis(100);
/// How far ahead of now the failures of a network may be: a hundred at once.
const AHEAD_MAX: Duration = Duration::from_secs(10);
/// Networks that are remembered; each for as long as its failures last. At some 64 bytes each a megabyte.
const NETWORKS_MAX: usize = 16_384;

/// The networks whose logins failed lately.
#[derive(Debug, Default)]
pub struct Throttle(BTreeMap<Option<Network>, Timestamp>);

impl Throttle {
    /// Returns how long a network must wait before it may log in; `None` if it need not.
    #[must_use]
    pub fn wait(&self, network: Option<Network>, now: Timestamp) -> Option<Duration> {
        let ahead = self.0.get(&network)?.since(now);
        ahead.checked_sub(AHEAD_MAX).filter(|wait| !wait.is_zero())
    }

    /// Notes that a login failed.
    pub fn failed(&mut self, network: Option<Network>, now: Timestamp) {
        if self.0.len() >= NETWORKS_MAX && !self.0.contains_key(&network) {
            self.0.retain(|_, until| *until > now);
            // All of them fail all the time: the one that has failed the least goes.
            if self.0.len() >= NETWORKS_MAX
                && let Some(least) = self.0.iter().min_by_key(|(_, until)| **until)
            {
                let least = *least.0;
                self.0.remove(&least);
            }
        }
        let until = self.0.entry(network).or_insert(now);
        // What must wait is not made to wait longer by trying.
        *until = (*until).max(now).plus(EACH).min(now.plus(AHEAD_MAX).plus(EACH));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_may_fail_often_and_then_slowly() {
        let (mut throttle, mut now) = (Throttle::default(), Timestamp(1_000_000));
        let network = Some("192.0.2.1".parse().unwrap());
        let mut tried = 0;
        while throttle.wait(network, now).is_none() {
            throttle.failed(network, now);
            tried += 1;
        }
        assert_eq!(tried, 101);
        assert_eq!(throttle.wait(network, now), Some(EACH));
        assert_eq!(throttle.wait(Some("192.0.2.2".parse().unwrap()), now), None);
        now = now.plus(EACH);
        assert_eq!(throttle.wait(network, now), None);
        throttle.failed(network, now);
        assert_eq!(throttle.wait(network, now), Some(EACH));
    }

    #[test]
    fn the_table_does_not_grow_beyond_its_bound() {
        let (mut throttle, now) = (Throttle::default(), Timestamp(1_000_000));
        for number in 0..=u32::try_from(NETWORKS_MAX).unwrap() {
            let ip = std::net::Ipv4Addr::from_bits(number);
            throttle.failed(Some(ip.to_string().parse().unwrap()), now);
        }
        assert_eq!(throttle.0.len(), NETWORKS_MAX);
    }
}
