//! Whose password is checked next: a bounded queue that is fair to networks.
//!
//! To check a password costs memory and tens of milliseconds, and whoever asks for it has proven nothing yet. So few
//! are checked at once, the networks that wait take turns, and some places are kept for networks that somebody
//! logged in from lately: strangers who fill the queue lock nobody out.

use crate::address::Network;
use crate::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Passwords that are checked at once: bounds what strangers can take of the machine to two processors and 38 MiB.
pub const AT_ONCE: usize = 2;
/// How many may wait: some five seconds' worth, so that callers are told no rather than left to time out.
const WAITING_MAX: usize = 256;
/// Of these, the places kept for networks that somebody logged in from lately.
const KEPT: usize = 64;
/// How many of one network may wait: a network alone cannot fill what is there for all.
const WAITING_OF_ONE_MAX: usize = 96;
/// How long a network is remembered that somebody logged in from.
const KNOWN_FOR: Duration = Duration::from_hours(24);
/// Networks that are remembered.
const KNOWN_MAX: usize = 4096;

/// What waits, and what runs.
#[derive(Debug)]
pub struct HashQueue<T> {
    waiting: BTreeMap<Option<Network>, VecDeque<T>>,
    /// The networks that wait, the one whose turn is next in front.
    turns: VecDeque<Option<Network>>,
    waiting_count: usize,
    running: usize,
    known: BTreeMap<Network, Timestamp>,
}

/// There is no place to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<T> Default for HashQueue<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
            waiting_count: 0,
            running: 0,
            known: BTreeMap::new(),
        }
    }
}

impl<T> HashQueue<T> {
    /// Takes work in.
    pub fn push(&mut self, from: Option<Network>, work: T, now: Timestamp) -> Result<(), Full> {
        let is_known = from
            .is_some_and(|from| self.known.get(&from).is_some_and(|at| now.since(*at) < KNOWN_FOR));
        let places = if is_known { WAITING_MAX } else { WAITING_MAX.saturating_sub(KEPT) };
        let own = self.waiting.get(&from).map_or(0, VecDeque::len);
        if self.waiting_count >= places || own >= WAITING_OF_ONE_MAX {
            return Err(Full);
        }
        if own == 0 {
            self.turns.push_back(from);
        }
        self.waiting.entry(from).or_default().push_back(work);
        self.waiting_count = self.waiting_count.saturating_add(1);
        Ok(())
    }

    /// Returns the work whose turn it is, if another may run. It runs until [`HashQueue::done`].
    pub fn start(&mut self) -> Option<T> {
        if self.running >= AT_ONCE {
            return None;
        }
        let from = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&from)?;
        let work = own.pop_front()?;
        if own.is_empty() {
            self.waiting.remove(&from);
        } else {
            self.turns.push_back(from);
        }
        self.waiting_count = self.waiting_count.saturating_sub(1);
        self.running = self.running.saturating_add(1);
        Some(work)
    }

    /// Notes that one that ran is done.
    pub fn done(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Remembers that somebody logged in from a network.
    pub fn know(&mut self, from: Network, now: Timestamp) {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&from) {
            let oldest = self.known.iter().min_by_key(|(_, at)| **at).map(|(network, _)| *network);
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        self.known.insert(from, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn network(last: usize) -> Option<Network> {
        format!("192.0.{}.{}", last / 256, last % 256).parse().ok()
    }

    #[test]
    fn networks_take_turns_however_much_one_of_them_sends() {
        let mut queue = HashQueue::default();
        for number in 0..50 {
            queue.push(network(1), (1, number), NOW).unwrap();
        }
        for other in [2, 3] {
            queue.push(network(other), (other, 0), NOW).unwrap();
        }
        let mut started = Vec::new();
        while let Some(work) = queue.start() {
            started.push(work);
            queue.done();
        }
        assert_eq!(started[..4], [(1, 0), (2, 0), (3, 0), (1, 1)]);
        assert_eq!(started.len(), 52);
    }

    #[test]
    fn only_so_many_run_at_once() {
        let mut queue = HashQueue::default();
        for number in 0..10 {
            queue.push(network(1), number, NOW).unwrap();
        }
        let running: Vec<_> = std::iter::from_fn(|| queue.start()).collect();
        assert_eq!(running.len(), AT_ONCE);
        queue.done();
        assert!(queue.start().is_some() && queue.start().is_none());
    }

    #[test]
    fn strangers_cannot_take_the_places_of_those_who_logged_in_lately() {
        let mut queue = HashQueue::default();
        let home = network(60_000).unwrap();
        queue.know(home, NOW);
        let strangers = (0..10_000).filter(|n| queue.push(network(n % 300), (), NOW).is_ok());
        assert_eq!(strangers.count(), WAITING_MAX - KEPT);
        assert_eq!(queue.push(network(5_000), (), NOW), Err(Full));
        assert_eq!(queue.push(Some(home), (), NOW), Ok(()));
        assert_eq!(queue.push(Some(home), (), NOW.plus(KNOWN_FOR)), Err(Full));
        let own = (0..200).filter(|_| queue.push(Some(home), (), NOW).is_ok()).count();
        assert_eq!(own, KEPT - 1, "one network cannot take more than there is");
    }

    #[test]
    fn a_bounded_number_of_networks_is_known_the_latest_of_them() {
        let mut queue = HashQueue::<()>::default();
        for number in 0..=KNOWN_MAX {
            let at = NOW.plus(Duration::from_millis(u64::try_from(number).unwrap()));
            queue.know(network(number).unwrap(), at);
        }
        assert_eq!(queue.known.len(), KNOWN_MAX);
        assert!(!queue.known.contains_key(&network(0).unwrap()));
        assert!(queue.known.contains_key(&network(KNOWN_MAX).unwrap()));
    }

    #[test]
    fn one_network_cannot_fill_the_queue() {
        let mut queue = HashQueue::default();
        let own = (0..1000).filter(|_| queue.push(network(1), (), NOW).is_ok()).count();
        assert_eq!(own, WAITING_OF_ONE_MAX);
        assert_eq!(queue.push(network(2), (), NOW), Ok(()));
    }
}
