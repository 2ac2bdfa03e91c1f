//! How long callers waited, in simulated time, and whether that is longer than a dead server explains.

use std::fmt;
use std::time::Duration;

/// Beside a dead server nobody waits longer than this many times what they wait where all are well …
const TIMES_MAX: u32 = 2;
/// … and this, if they come just after a batch that another drawing of chance made longer. What a server takes that
/// hangs, until it is given up, is two hundred times as long.
const MORE_MAX: Duration = Duration::from_millis(100);
/// Half of them meet no such batch.
const MORE_MEDIAN: Duration = Duration::from_millis(10);

/// How long callers waited for the answers to one verb.
#[derive(Clone, Debug, Default)]
pub struct Waits(Vec<Duration>);

/// The same for each verb.
#[derive(Clone, Debug, Default)]
pub struct WaitsByVerb {
    /// For a credential.
    pub issue: Waits,
    /// For a longer term.
    pub renew: Waits,
    /// For the end of a credential.
    pub revoke: Waits,
}

impl Waits {
    /// Somebody waited for so long.
    pub fn note(&mut self, wait: Duration) {
        self.0.push(wait);
    }

    /// How many were answered.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Half of them waited longer than this.
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The longest.
    pub fn most(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }
}

impl WaitsByVerb {
    /// Each verb with its waits.
    pub fn each(&self) -> [(&'static str, &Waits); 3] {
        [("issue", &self.issue), ("renewal", &self.renew), ("revocation", &self.revoke)]
    }

    /// Adds what was waited elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.issue.0.extend(&other.issue.0);
        self.renew.0.extend(&other.renew.0);
        self.revoke.0.extend(&other.revoke.0);
    }

    /// Says who waited for too long, given how long callers wait where all servers are well.
    pub fn too_long(&self, well: &Self) -> Option<String> {
        let pairs = self.each().into_iter().zip(well.each());
        pairs.into_iter().find_map(|((verb, waits), (_, well))| {
            let (most, median) = (waits.most(), waits.median());
            let is_like = most <= well.most() * TIMES_MAX + MORE_MAX;
            if is_like && median <= well.median() * TIMES_MAX + MORE_MEDIAN {
                return None;
            }
            Some(format!(
                "callers at a living server waited {median:?} and at most {most:?} for each {verb}; where all \
                 servers are well, it is {:?} and at most {:?}",
                well.median(),
                well.most()
            ))
        })
    }
}

impl fmt::Display for WaitsByVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (verb, waits)) in self.each().into_iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{verb} {:?} (at most {:?})", waits.median(), waits.most())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(longest: u64) -> WaitsByVerb {
        let mut waits = WaitsByVerb::default();
        for wait in [10, 12, 14, longest] {
            waits.renew.note(Duration::from_millis(wait));
        }
        waits
    }

    #[test]
    fn a_wait_that_a_dead_server_makes_longer_is_found_and_said() {
        assert_eq!(waits(200).too_long(&waits(50)), None);
        let said = waits(201).too_long(&waits(50)).unwrap();
        assert!(said.contains("for each renewal") && said.contains("201ms"), "{said}");
        let mut slower = waits(50);
        (0..4).for_each(|_| slower.renew.note(Duration::from_millis(40)));
        assert!(slower.too_long(&waits(50)).is_some(), "half of them wait for too long");
        assert_eq!(waits(20).renew.median(), Duration::from_millis(14));
        assert_eq!(waits(20).renew.count(), 4);
    }
}
