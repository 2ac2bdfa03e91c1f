//! The crash harness: the real server is killed under load, again and again, on one store and one PostgreSQL, and
//! judged by what callers were told.
//!
//! A round starts the server, looks at what is stored and at the target while nobody asks for anything, lets the
//! callers work, and strikes: at a named point inside the server (`leasehold-kill-points points` names them), from
//! outside at a random moment, or at the target as well. At the end everything heals, the last term passes, and
//! nothing may be left.

#![expect(
    clippy::expect_used,
    reason = "test support: without servers of its own nothing can be tested"
)]

pub mod blow;
pub mod callers;
pub mod door;
pub mod draw;
pub mod judge;
pub mod lives;
pub mod repeat;
pub mod report;
pub mod sessions;
pub mod site;
pub mod told;

use crate::engine_suite::now;
use blow::{Aim, Blow};
use callers::Caller;
use door::Door;
use draw::Draw;
use judge::Violation;
use report::Report;
use serde_json::{Value, json};
use site::{Process, Site};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The role whose leases are ended all at once now and then.
pub const BULK: &str = "bulk";

/// How long a round waits for an armed point before the server is killed from outside.
const POINT_WITHIN: Duration = Duration::from_millis(1500);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often the server is killed.
    pub kills: usize,
    /// What repeats the same choices; the servers' own timing is theirs.
    pub seed: u64,
    /// How many callers there are.
    pub callers: usize,
    /// The longest term: so long the end takes at least.
    pub longest: Duration,
    /// Whether the target is struck as well.
    pub strikes_target: bool,
}

/// A role that can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// Its name.
    pub name: &'static str,
    /// The term.
    pub ttl: Duration,
    /// The longest term.
    pub max: Duration,
}

impl Role {
    /// Returns what an operator writes.
    #[must_use]
    pub fn written(&self) -> Value {
        json!({
            "db_name": "pg",
            "grant_roles": ["readonly"],
            "default_ttl": self.ttl.as_secs(),
            "max_ttl": self.max.as_secs(),
            "scram_iterations": 1,
        })
    }
}

impl Plan {
    /// A third of the credentials is to lapse within the next rounds, and some are to outlast them.
    #[must_use]
    pub fn roles(&self) -> Vec<Role> {
        let role = |name, ttl, max| Role { name, ttl, max };
        let short = Duration::from_secs(3);
        let middle = (self.longest / 4).max(short);
        vec![
            role("short", short, short * 2),
            role("middle", middle, middle * 2),
            role("long", self.longest, self.longest),
            role(BULK, self.longest / 2, self.longest),
        ]
    }
}

/// Carries out a plan. `progress` is called after each kill.
pub async fn run(plan: &Plan, mut progress: impl FnMut(&Report)) -> Report {
    let mut draw = Draw::new(plan.seed);
    let mut site = Site::found(plan.roles()).await;
    let mut aim = Aim::new(site::points(), plan.strikes_target);
    let mut callers: Vec<_> =
        (0..plan.callers).map(|number| Caller::new(draw.fork(), number == 0)).collect();
    let began = now();
    let mut report = Report::new(plan.clone());
    while report.kills < plan.kills {
        let blow = aim.choose(&mut draw);
        let landed;
        (callers, landed) = round(&mut site, callers, &blow, &mut draw).await;
        aim.learn(&blow, landed);
        report.strike(&blow, landed, now().since(began));
        report.take(&site.told(), &aim);
        progress(&report);
    }
    site.ends(plan.longest, &mut report).await;
    report.take(&site.told(), &aim);
    report.took = now().since(began);
    report
}

/// Starts the server, looks, lets the callers work, and strikes. Returns whether the blow landed where it was meant
/// to.
async fn round(
    site: &mut Site,
    callers: Vec<Caller>,
    blow: &Blow,
    draw: &mut Draw,
) -> (Vec<Caller>, bool) {
    let mut server = match site.start(blow.kill_at().as_deref()) {
        Process::Runs(server) => server,
        Process::KilledAtStart => {
            site.told().lives.end(now());
            return (callers, true);
        }
        Process::Refuses(why) => {
            site.told().accuse(Violation::Broken(format!("the server does not start: {why}")));
            return (callers, false);
        }
    };
    let door = Door::to(server.address());
    if site.judge(&door, draw).await.is_none() {
        // The point came before anybody asked for anything, unless somebody else ended it.
        server.kill();
        site.told().lives.end(now());
        return (callers, blow.kill_at().is_some());
    }
    let scene = Arc::new(site.scene(door));
    let working: Vec<_> =
        callers.into_iter().map(|caller| tokio::spawn(caller.work(Arc::clone(&scene)))).collect();
    let landed = site.strike(&mut server, blow).await;
    server.kill();
    site.told().lives.end(now());
    scene.stopping.store(true, Ordering::Relaxed);
    let mut callers = Vec::new();
    for caller in working {
        callers.push(caller.await.expect("a caller ends by itself"));
    }
    (callers, landed)
}
