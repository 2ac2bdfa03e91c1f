//! Where and when to strike next.

use super::draw::Draw;
use std::collections::BTreeMap;
use std::time::Duration;

/// What happens to the server, or to the target before that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The server ends itself at a named point, at this passing.
    Point(String, u64),
    /// The server is killed from outside after this span.
    Outside(Duration),
    /// The target is suspended under load; the server dies meanwhile, or a moment after it has gone on.
    TargetSuspended(Duration, WhenServerDies),
    /// The target is killed under load and started again.
    TargetKilled(Duration),
    /// Every COMMIT at the target hangs; then the target is killed in the middle of them.
    TargetKilledInCommit(Duration),
    /// Every COMMIT at the target hangs; then the server is killed, and later they land.
    TargetCommitsLate(Duration),
    /// A session of the target is suspended in the middle of an issue, the server is killed and started again, and
    /// only then the session goes on.
    TargetLandsLate(Duration),
}

/// When the server dies beside a target in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenServerDies {
    /// While the target is in trouble.
    During,
    /// Once the target is well again.
    After,
}

impl Blow {
    /// Returns what the server is told by its environment.
    #[must_use]
    pub fn kill_at(&self) -> Option<String> {
        match self {
            Self::Point(name, passing) => Some(format!("{name}:{passing}")),
            Self::Outside(_)
            | Self::TargetSuspended(..)
            | Self::TargetKilled(_)
            | Self::TargetKilledInCommit(_)
            | Self::TargetCommitsLate(_)
            | Self::TargetLandsLate(_) => None,
        }
    }

    /// Returns what a summary calls it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Point(..) => "at a named point",
            Self::Outside(_) => "from outside",
            Self::TargetSuspended(_, WhenServerDies::During) => "while the target was suspended",
            Self::TargetSuspended(_, WhenServerDies::After) => "after the target was suspended",
            Self::TargetKilled(_) => "after the target was killed",
            Self::TargetKilledInCommit(_) => "after the target was killed in COMMIT",
            Self::TargetCommitsLate(_) => "while every COMMIT hung",
            Self::TargetLandsLate(_) => "while an issue was suspended at the target, landing later",
        }
    }
}

/// Chooses blows so that every point gets its share.
#[derive(Debug)]
pub struct Aim {
    points: BTreeMap<String, Tries>,
    strikes_target: bool,
    chosen: u64,
    /// Blows at the target that landed.
    target_hits: u64,
    /// The last blow at the target found nothing to strike: it comes next.
    target_missed: bool,
}

/// How a point was struck so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tries {
    /// The server died there.
    pub hits: u64,
    /// The round was over before it came there so often.
    pub misses: u64,
}

impl Aim {
    /// Aims at these points.
    #[must_use]
    pub fn new(points: Vec<String>, strikes_target: bool) -> Self {
        let points = points.into_iter().map(|point| (point, Tries::default())).collect();
        Self { points, strikes_target, chosen: 0, target_hits: 0, target_missed: false }
    }

    /// Returns how each point was struck.
    #[must_use]
    pub fn points(&self) -> &BTreeMap<String, Tries> {
        &self.points
    }

    /// Chooses: every tenth at the target, two of three of the others at named points, of which those hit least come
    /// first.
    pub fn choose(&mut self, draw: &mut Draw) -> Blow {
        self.chosen = self.chosen.saturating_add(1);
        if self.strikes_target && (self.target_missed || self.chosen.is_multiple_of(10)) {
            return target_blow(self.target_hits, draw);
        }
        if draw.one_in(4) {
            return Blow::Outside(millis(20, 1500, draw));
        }
        let least = self.points.values().map(|tries| tries.hits).min().unwrap_or_default();
        let least: Vec<_> = self.points.iter().filter(|(_, tries)| tries.hits == least).collect();
        let Some((name, tries)) = draw.pick(&least) else {
            return Blow::Outside(millis(20, 1500, draw));
        };
        // What was not reached in time is asked for earlier the next time.
        let magnitude = 8_u64.saturating_sub(tries.misses);
        let highest = 1_u64 << draw.below(magnitude.saturating_add(1));
        let passing = if at_start(name) { 1 } else { 1 + draw.below(highest) };
        Blow::Point((*name).clone(), passing)
    }

    /// Notes what came of a blow.
    pub fn learn(&mut self, blow: &Blow, landed: bool) {
        match blow {
            Blow::Point(name, _) => {
                let Some(tries) = self.points.get_mut(name) else { return };
                if landed {
                    tries.hits = tries.hits.saturating_add(1);
                } else {
                    tries.misses = tries.misses.saturating_add(1);
                }
            }
            Blow::Outside(_) => {}
            Blow::TargetSuspended(..)
            | Blow::TargetKilled(_)
            | Blow::TargetKilledInCommit(_)
            | Blow::TargetCommitsLate(_)
            | Blow::TargetLandsLate(_) => {
                self.target_hits = self.target_hits.saturating_add(u64::from(landed));
                self.target_missed = !landed;
            }
        }
    }
}

/// Points that a process passes once, or once in a minute.
fn at_start(point: &str) -> bool {
    point.starts_with("start.") || point.starts_with("house.")
}

fn target_blow(turn: u64, draw: &mut Draw) -> Blow {
    match turn % 6 {
        0 => Blow::TargetKilledInCommit(millis(100, 500, draw)),
        1 => Blow::TargetSuspended(millis(200, 800, draw), WhenServerDies::After),
        2 => Blow::TargetCommitsLate(millis(100, 500, draw)),
        3 => Blow::TargetLandsLate(millis(500, 3000, draw)),
        4 => Blow::TargetKilled(millis(50, 300, draw)),
        _ => Blow::TargetSuspended(millis(200, 800, draw), WhenServerDies::During),
    }
}

fn millis(from: u64, to: u64, draw: &mut Draw) -> Duration {
    Duration::from_millis(from + draw.below(to - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_aimed_at_and_a_seed_repeats_the_choices() {
        let points: Vec<_> = (0..20).map(|number| format!("point.{number}")).collect();
        let choices = |seed| {
            let (mut draw, mut aim) = (Draw::new(seed), Aim::new(points.clone(), true));
            let choose = |_| {
                let blow = aim.choose(&mut draw);
                aim.learn(&blow, true);
                blow
            };
            let blows: Vec<_> = (0..100).map(choose).collect();
            (blows, aim)
        };
        let (blows, aim) = choices(7);
        assert!(aim.points().values().all(|tries| tries.hits >= 2), "{aim:?}");
        assert_eq!(blows, choices(7).0);
        assert_ne!(blows, choices(8).0);
        assert_eq!(blows.iter().filter(|blow| blow.kind().contains("target")).count(), 8);
    }

    #[test]
    fn a_blow_at_the_target_that_missed_comes_next() {
        let (mut draw, mut aim) = (Draw::new(7), Aim::new(vec!["point".to_owned()], true));
        let is_late = |blow: &Blow| matches!(blow, Blow::TargetLandsLate(_));
        let mut rounds = 0;
        while !is_late(&aim.choose(&mut draw)) {
            rounds += 1;
            if rounds % 10 == 0 {
                aim.learn(&Blow::TargetKilled(Duration::ZERO), true);
            }
        }
        for landed in [false, false, true] {
            aim.learn(&Blow::TargetLandsLate(Duration::ZERO), landed);
            assert_eq!(is_late(&aim.choose(&mut draw)), !landed);
        }
    }
}
