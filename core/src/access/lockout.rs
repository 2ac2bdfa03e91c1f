//! Who has guessed too often: failed logins by name, counted in one table of bounded size.
//!
//! Names that no user has are counted and locked as those that one has, so that nothing here tells them apart. A
//! guess is judged once it has been checked, in one step with its count: of guesses that are checked at the same
//! time, no more count than of guesses one after the other.
//!
//! **Invariant:** what is locked stays locked for its time, whatever else is guessed meanwhile. Where the table has no
//! room but for what is locked, guesses that would need some are refused as if they were locked, and so are those of a
//! network that fills its share.

use crate::address::Network;
use crate::ids::MountId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Names that are counted. At about 300 bytes each some 20 MB.
const COUNTED_MAX: usize = 65_536;
/// Of these, the names that one network may have locked for itself: so many take as many failed logins as can be checked
/// in a quarter of an hour, and leave room for everybody else.
const LOCKED_MAX: usize = 8_192;
/// How much more often than from one network a name may be guessed from all of them together: what is guessed from
/// many places is slowed as well, and nobody is locked out by a few strangers.
const ALL_NETWORKS: u32 = 10;
/// How long a network that logged in as somebody may go on to, however many others guess their password.
const KNOWN_FOR: Duration = Duration::from_hours(24 * 30);

/// When a name is locked, and for how long. Vault's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockoutConfig {
    /// How many failed logins lock a name for the network that they came from.
    pub threshold: u32,
    /// For how long, from the last of them.
    pub duration: Duration,
    /// After how long without another one they are forgotten.
    pub reset_after: Duration,
    /// Nothing is locked.
    pub disabled: bool,
}

impl Default for LockoutConfig {
    fn default() -> Self {
        let quarter = Duration::from_mins(15);
        Self { threshold: 5, duration: quarter, reset_after: quarter, disabled: false }
    }
}

/// What a login came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// They are who they say.
    Right,
    /// They are not, or nobody has that name.
    Wrong,
    /// Nobody is let in, whether their password was right or not.
    Locked,
}

/// Whom somebody says they are, and from where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guess {
    /// Where they log in.
    pub mount: MountId,
    /// Their name, written in one way.
    pub name: String,
    /// From where; `None` if nobody knows.
    pub network: Option<Network>,
}

/// Failed logins, and for how long they count.
#[derive(Debug, Default)]
pub struct Lockouts {
    counts: BTreeMap<Counted, Count>,
    /// The same, in the order in which they are given up.
    by_worth: BTreeSet<(Worth, u64, Counted)>,
    /// How many names each network has locked for itself.
    locked_by: BTreeMap<Option<Network>, usize>,
    touched: u64,
}

/// What is lost if a count is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// A few failures.
    #[default]
    Little,
    /// That somebody logged in from there, whom guesses from elsewhere do not lock out.
    Known,
    /// A lock, until then.
    Locked(Timestamp),
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Counted {
    mount: MountId,
    name: String,
    from: From,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    Everywhere,
    Network(Option<Network>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    failures: u32,
    failed_at: Timestamp,
    /// When somebody last logged in so.
    right_at: Option<Timestamp>,
    worth: Worth,
    touched: u64,
}

impl Count {
    fn now(self, config: &LockoutConfig, now: Timestamp) -> u32 {
        if now.since(self.failed_at) < config.reset_after { self.failures } else { 0 }
    }

    fn is_locked(self, threshold: u32, config: &LockoutConfig, now: Timestamp) -> bool {
        // What has locked stays for as long as it locks, even where it would be forgotten earlier.
        self.failures >= threshold && now.since(self.failed_at) < config.duration
    }
}

impl Lockouts {
    /// Judges a login whose password has been checked. `is_right`: it was the right one.
    pub fn judge(
        &mut self,
        guess: &Guess,
        is_right: bool,
        config: &LockoutConfig,
        now: Timestamp,
    ) -> Judged {
        if config.disabled || config.threshold == 0 {
            return if is_right { Judged::Right } else { Judged::Wrong };
        }
        let own = guess.counted(From::Network(guess.network));
        let all = guess.counted(From::Everywhere);
        if self.is_locked(&own, &all, config, now) {
            return Judged::Locked;
        }
        // Before it is told whether it was right: else whoever is not counted could go on guessing.
        if !self.makes_room(&own, &own, now) {
            return Judged::Locked;
        }
        if is_right {
            let (right_at, worth) = (Some(now), Worth::Known);
            self.put(own, Count { right_at, worth, ..Count::default() });
            return Judged::Right;
        }
        for counted in [&own, &all] {
            // Where it can be counted for one network only, that is enough to lock it there.
            if !self.makes_room(counted, &own, now) {
                break;
            }
            let was = self.counts.get(counted).copied().unwrap_or_default();
            let failures = was.now(config, now).saturating_add(1);
            let count = Count { failures, failed_at: now, ..was };
            let worth = match (failures >= counted.threshold(config), was.right_at) {
                (true, _) => Worth::Locked(now.plus(config.duration)),
                (false, Some(_)) => Worth::Known,
                (false, None) => Worth::Little,
            };
            self.put(counted.clone(), Count { worth, ..count });
        }
        Judged::Wrong
    }

    /// Makes room for what is not counted yet, and not in the place of `kept`; false if there is none but what is
    /// locked, or if the network has locked its share.
    fn makes_room(&mut self, wanted: &Counted, kept: &Counted, now: Timestamp) -> bool {
        if self.counts.contains_key(wanted) {
            return true;
        }
        if let From::Network(network) = wanted.from
            && self.has_its_share(network)
        {
            self.give_up_what_is_over(network, now);
            if self.has_its_share(network) {
                return false;
            }
        }
        while self.counts.len() >= COUNTED_MAX {
            let first = self.by_worth.iter().find(|(.., counted)| counted != kept);
            let Some((worth, _, counted)) = first.cloned() else { return false };
            if matches!(worth, Worth::Locked(until) if until > now) {
                return false;
            }
            self.give_up(&counted);
        }
        true
    }

    fn has_its_share(&self, network: Option<Network>) -> bool {
        self.locked_by.get(&network).is_some_and(|locked| *locked >= LOCKED_MAX)
    }

    /// Gives up the locks of a network that are over. Locks are in the order of their ends.
    fn give_up_what_is_over(&mut self, network: Option<Network>, now: Timestamp) {
        let (mount, from) = (MountId::from_bytes([0; 16]), From::Everywhere);
        let first = Counted { mount, name: String::new(), from };
        let locks = self.by_worth.range((Worth::Locked(Timestamp(0)), 0, first)..);
        let over = locks.take_while(|(worth, ..)| *worth <= Worth::Locked(now));
        let over = over.filter(|(.., counted)| counted.from == From::Network(network));
        let over: Vec<_> = over.map(|(.., counted)| counted.clone()).collect();
        for counted in over {
            self.give_up(&counted);
        }
    }

    fn give_up(&mut self, counted: &Counted) {
        let Some(count) = self.counts.remove(counted) else { return };
        self.by_worth.remove(&(count.worth, count.touched, counted.clone()));
        self.count_lock(counted, count.worth, false);
    }

    /// Counts a lock that a network has begun, or that is over.
    fn count_lock(&mut self, counted: &Counted, worth: Worth, begins: bool) {
        let (From::Network(network), Worth::Locked(_)) = (counted.from, worth) else { return };
        let locked = self.locked_by.entry(network).or_default();
        *locked = if begins { locked.saturating_add(1) } else { locked.saturating_sub(1) };
        if *locked == 0 {
            self.locked_by.remove(&network);
        }
    }

    fn is_locked(
        &self,
        own: &Counted,
        all: &Counted,
        config: &LockoutConfig,
        now: Timestamp,
    ) -> bool {
        let count = |counted| self.counts.get(counted).copied().unwrap_or_default();
        let from_here = count(own);
        let is_known = from_here.right_at.is_some_and(|at| now.since(at) < KNOWN_FOR);
        let from_all = config.threshold.saturating_mul(ALL_NETWORKS);
        from_here.is_locked(config.threshold, config, now)
            || (!is_known && count(all).is_locked(from_all, config, now))
    }

    /// Returns the names that are locked, for one network or for all of them.
    #[must_use]
    pub fn locked(
        &self,
        config: impl Fn(MountId) -> Option<LockoutConfig>,
        now: Timestamp,
    ) -> BTreeSet<(MountId, String)> {
        let locked = self.counts.iter().filter(|(counted, count)| {
            let Some(config) = config(counted.mount).filter(|config| !config.disabled) else {
                return false;
            };
            let threshold = counted.threshold(&config);
            threshold > 0 && count.is_locked(threshold, &config, now)
        });
        locked.map(|(counted, _)| (counted.mount, counted.name.clone())).collect()
    }

    /// Forgets the failed logins of a name.
    pub fn unlock(&mut self, mount: MountId, name: &str) {
        let first = Counted { mount, name: name.to_owned(), from: From::Everywhere };
        let own = self.counts.range(first..);
        let own = own.take_while(|(counted, _)| counted.mount == mount && counted.name == name);
        let own: Vec<_> = own.map(|(counted, count)| (counted.clone(), *count)).collect();
        for (counted, count) in own {
            let worth = count.right_at.map_or(Worth::Little, |_| Worth::Known);
            self.put(counted, Count { failures: 0, worth, ..count });
        }
    }

    fn put(&mut self, counted: Counted, count: Count) {
        self.give_up(&counted);
        self.touched = self.touched.saturating_add(1);
        let count = Count { touched: self.touched, ..count };
        self.count_lock(&counted, count.worth, true);
        self.by_worth.insert((count.worth, count.touched, counted.clone()));
        self.counts.insert(counted, count);
    }
}

impl Counted {
    /// After how many failures it is locked.
    fn threshold(&self, config: &LockoutConfig) -> u32 {
        match self.from {
            From::Everywhere => config.threshold.saturating_mul(ALL_NETWORKS),
            From::Network(_) => config.threshold,
        }
    }
}

impl Guess {
    fn counted(&self, from: From) -> Counted {
        Counted { mount: self.mount, name: self.name.clone(), from }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn guess(name: &str, ip: &str) -> Guess {
        let mount = MountId::new(NOW, &Counting::default());
        Guess { mount, name: name.into(), network: Some(ip.parse().unwrap()) }
    }

    #[test]
    fn five_failed_logins_lock_a_name_for_a_network_and_for_a_while() {
        let (config, mut lockouts) = (LockoutConfig::default(), Lockouts::default());
        let ann = guess("ann", "192.0.2.1");
        for _ in 0..5 {
            assert_eq!(lockouts.judge(&ann, false, &config, NOW), Judged::Wrong);
        }
        assert_eq!(lockouts.judge(&ann, true, &config, NOW), Judged::Locked);
        let all = lockouts.locked(|_| Some(config), NOW);
        assert_eq!(all, BTreeSet::from([(ann.mount, "ann".to_owned())]));
        for (name, ip) in [("ann", "192.0.2.2"), ("bob", "192.0.2.1")] {
            assert_eq!(lockouts.judge(&guess(name, ip), true, &config, NOW), Judged::Right);
        }
        let last = NOW.plus(config.duration).minus(Duration::from_millis(1));
        assert_eq!(lockouts.judge(&ann, true, &config, last), Judged::Locked);
        let later = NOW.plus(config.duration);
        assert_eq!(lockouts.judge(&ann, true, &config, later), Judged::Right);
        assert!(lockouts.locked(|_| Some(config), later).is_empty());
    }

    #[test]
    fn what_locked_a_name_locks_it_to_the_end_even_where_it_is_forgotten_earlier() {
        let config = LockoutConfig { reset_after: Duration::from_secs(1), ..Default::default() };
        let (mut lockouts, ann) = (Lockouts::default(), guess("ann", "192.0.2.1"));
        for _ in 0..5 {
            lockouts.judge(&ann, false, &config, NOW);
        }
        let later = NOW.plus(Duration::from_mins(10));
        assert_eq!(lockouts.judge(&ann, true, &config, later), Judged::Locked);
    }

    #[test]
    fn failed_logins_are_forgotten_after_a_login_after_a_while_and_when_an_operator_says_so() {
        let (config, mut lockouts) = (LockoutConfig::default(), Lockouts::default());
        let ann = guess("ann", "192.0.2.1");
        for round in 0..20 {
            assert_ne!(lockouts.judge(&ann, round % 5 == 4, &config, NOW), Judged::Locked);
        }
        let mut now = NOW;
        for _ in 0..10 {
            now = now.plus(config.reset_after);
            assert_eq!(lockouts.judge(&ann, false, &config, now), Judged::Wrong);
        }
        for _ in 0..4 {
            lockouts.judge(&ann, false, &config, now);
        }
        assert_eq!(lockouts.judge(&ann, true, &config, now), Judged::Locked);
        lockouts.unlock(ann.mount, "ann");
        assert_eq!(lockouts.judge(&ann, true, &config, now), Judged::Right);
    }

    #[test]
    fn guesses_from_many_networks_lock_a_name_for_all_but_those_who_logged_in_before() {
        let (config, mut lockouts) = (LockoutConfig::default(), Lockouts::default());
        let home = guess("ann", "192.0.2.1");
        assert_eq!(lockouts.judge(&home, true, &config, NOW), Judged::Right);
        let mut wrong = 0;
        for last in 0..100 {
            let strange = guess("ann", &format!("198.51.100.{last}"));
            wrong += usize::from(lockouts.judge(&strange, false, &config, NOW) == Judged::Wrong);
        }
        assert_eq!(wrong, 50);
        let strange = guess("ann", "203.0.113.1");
        assert_eq!(lockouts.judge(&strange, true, &config, NOW), Judged::Locked);
        assert_eq!(lockouts.judge(&home, true, &config, NOW), Judged::Right);
    }

    #[test]
    fn the_table_does_not_grow_beyond_its_bound() {
        let (config, mut lockouts) = (LockoutConfig::default(), Lockouts::default());
        for number in 0..COUNTED_MAX {
            lockouts.judge(&guess(&number.to_string(), "192.0.2.1"), false, &config, NOW);
        }
        assert_eq!(lockouts.counts.len(), COUNTED_MAX);
        assert_eq!(lockouts.by_worth.len(), COUNTED_MAX);
    }

    #[test]
    fn a_flood_of_guesses_unlocks_no_name_and_forgets_nobody_who_logged_in() {
        let (config, mut lockouts) = (LockoutConfig::default(), Lockouts::default());
        let (ann, home) = (guess("ann", "192.0.2.1"), guess("bob", "192.0.2.9"));
        for _ in 0..5 {
            lockouts.judge(&ann, false, &config, NOW);
        }
        assert_eq!(lockouts.judge(&home, true, &config, NOW), Judged::Right);
        for number in 0..COUNTED_MAX {
            let network = format!("198.51.{}.{}", number % 200, number % 250);
            lockouts.judge(&guess(&number.to_string(), &network), false, &config, NOW);
        }
        assert_eq!(lockouts.judge(&ann, true, &config, NOW), Judged::Locked);
        for last in 0..100 {
            let strange = guess("bob", &format!("203.0.113.{last}"));
            lockouts.judge(&strange, false, &config, NOW);
        }
        let strange = guess("bob", "203.0.113.200");
        assert_eq!(lockouts.judge(&strange, true, &config, NOW), Judged::Locked);
        assert_eq!(lockouts.judge(&home, true, &config, NOW), Judged::Right, "they are known");
    }

    #[test]
    fn a_network_that_has_locked_its_share_is_refused_and_keeps_nobody_else_out() {
        let (config, mut lockouts) = (LockoutConfig::default(), Lockouts::default());
        let lock = |lockouts: &mut Lockouts, name: &str, network: &str| {
            (0..5).map(|_| lockouts.judge(&guess(name, network), false, &config, NOW)).last()
        };
        for number in 0..LOCKED_MAX {
            assert_eq!(lock(&mut lockouts, &number.to_string(), "192.0.2.1"), Some(Judged::Wrong));
        }
        assert_eq!(lock(&mut lockouts, "one more", "192.0.2.1"), Some(Judged::Locked));
        assert_eq!(
            lockouts.judge(&guess("ann", "192.0.2.1"), true, &config, NOW),
            Judged::Locked,
            "right or wrong, or it could go on guessing"
        );
        let elsewhere = guess("ann", "192.0.2.2");
        assert_eq!(lockouts.judge(&elsewhere, true, &config, NOW), Judged::Right);
        let later = NOW.plus(config.duration);
        let again = lockouts.judge(&guess("ann", "192.0.2.1"), true, &config, later);
        assert_eq!(again, Judged::Right, "its share is free again");
        assert_eq!(lockouts.locked_by.get(&elsewhere.network), None);
    }

    #[test]
    fn a_table_that_is_full_of_locks_refuses_rather_than_forgets() {
        let (config, mut lockouts) = (LockoutConfig::default(), Lockouts::default());
        let config = LockoutConfig { threshold: 1, ..config };
        let network = |number: usize| format!("10.0.{}.1", number % 250);
        // Each name once for itself; for all networks together it takes ten guesses, and those counts give way.
        for number in 0..COUNTED_MAX.saturating_mul(2) {
            let one = guess(&number.to_string(), &network(number));
            lockouts.judge(&one, false, &config, NOW);
        }
        assert_eq!(lockouts.counts.len(), COUNTED_MAX);
        let first = guess("0", &network(0));
        assert_eq!(lockouts.judge(&first, true, &config, NOW), Judged::Locked);
        let new = guess("new", "192.0.2.1");
        assert_eq!(lockouts.judge(&new, true, &config, NOW), Judged::Locked);
        let later = NOW.plus(config.duration);
        assert_eq!(lockouts.judge(&new, true, &config, later), Judged::Right);
    }

    proptest! {
        #[test]
        fn however_guesses_are_spread_no_more_than_the_threshold_count_from_one_network(
            guesses in prop::collection::vec((0..3_u8, 0..4_u8), 0..300),
        ) {
            let (config, mut lockouts) = (LockoutConfig::default(), Lockouts::default());
            let mut wrong = BTreeMap::<_, u32>::new();
            for (name, network) in guesses {
                let one = guess(&name.to_string(), &format!("192.0.2.{network}"));
                if lockouts.judge(&one, false, &config, NOW) == Judged::Wrong {
                    let count = wrong.entry((name, network)).or_default();
                    *count = count.saturating_add(1);
                }
            }
            prop_assert!(wrong.values().all(|count| *count <= config.threshold));
        }
    }
}
