//! A crowded world: thousands of leases over several servers lapse while one of these is dead, and callers go on at
//! all of them. Those at the others must not feel it (law 7), and the dead one's leases go once it is back.
//!
//! How long callers wait is measured twice, by one seed: with all servers well, and with one dead. Nobody can tell
//! what a good wait is, but the second must be like the first.

pub mod waits;

use super::callers::{ROOT, request};
use super::dice::Dice;
use super::executor::Whose;
use super::flaws::Flaw;
use super::node::Node;
use super::operators::Operators;
use super::server::Mood;
use super::setting::{Setting, Weather};
use super::{Outcome, Shape, World, flaws};
use futures_util::StreamExt;
use leasehold_core::broker::{RoleWrite, Until};
use leasehold_core::ids::LeaseId;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use waits::{Waits, WaitsByVerb};

/// How long the leases live unless they are renewed.
const TERM: Duration = Duration::from_mins(10);
/// How long they live at most.
const TERM_MAX: Duration = Duration::from_mins(11);
/// After its term no lease of a server that answers is left for longer, whatever becomes of the others.
const LATE_MAX: Duration = Duration::from_secs(20);
/// How many are issued at a time.
const AT_ONCE: usize = 64;
/// How long before the leases lapse callers begin to be measured, and for how long: longer than anybody waits for a
/// server that hangs.
const MEASURED_BEFORE: Duration = Duration::from_secs(10);
const MEASURED_FOR: Duration = Duration::from_mins(1);
/// Callers at each of the two servers that are lent from.
const CALLERS: usize = 16;
/// The longest pause of a caller.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What became of a crowded world.
#[derive(Debug)]
pub struct Crowded {
    /// The same as of any other.
    pub outcome: Outcome,
    /// How late the last lease of each server was that answered.
    pub lates: Vec<(u64, Duration)>,
    /// How long callers waited while all servers were well.
    pub well: WaitsByVerb,
    /// How long they waited beside a dead one.
    pub beside: WaitsByVerb,
}

/// Those who are measured.
#[derive(Debug)]
struct Callers {
    node: Arc<Node>,
    setting: Arc<Setting>,
    judge: Arc<super::judge::Judge>,
    waits: Mutex<WaitsByVerb>,
    end: u64,
}

/// Runs a world with so many leases: as it would be if all servers were well, and with one dead.
pub fn run(seed: u64, leases: usize, flaw: Option<Flaw>, tells: bool) -> Crowded {
    let well = run_one(seed, leases, flaw, false, None);
    if well.outcome.violation.is_some() {
        return if tells { run_one(seed, leases, flaw, true, None) } else { well };
    }
    run_one(seed, leases, flaw, tells, Some(well.well))
}

/// Runs one of the two; one server is dead if it is known how long callers wait otherwise.
fn run_one(
    seed: u64,
    leases: usize,
    flaw: Option<Flaw>,
    tells: bool,
    well: Option<WaitsByVerb>,
) -> Crowded {
    flaws::forget();
    let shape = Shape {
        fair: false,
        weather: Weather::default(),
        callers: 0,
        caller_pause: Duration::ZERO,
        lasts: TERM,
        term_max: TERM_MAX,
        servers: 4,
        breaks_machines: None,
        breaks_servers: None,
        changes: None,
        restores: None,
        second_node: false,
        rotations: None,
        restarts: None,
    };
    let setting = Arc::new(Setting::new(seed, &shape, flaw, tells));
    let world = World::new(&setting, &shape);
    let (waits, lates) = lapse_together(&world, &setting, leases, well.is_some());
    if let Some(what) = well.as_ref().and_then(|well| waits.too_long(well)) {
        setting.broken(7, None, what);
    }
    for (server, late) in lates.iter().filter(|(_, late)| *late > LATE_MAX) {
        let what = format!("a lease of server {server}, which lives, was {late:?} late");
        setting.broken(7, None, what);
    }
    let steps = setting.executor.steps();
    world.heal(&shape);
    let all = setting.executor.steps();
    drop(world);
    let outcome = Outcome::of(setting, (steps, all));
    match well {
        Some(well) => Crowded { outcome, lates, well, beside: waits },
        None => Crowded { outcome, lates, well: waits, beside: WaitsByVerb::default() },
    }
}

/// Returns how long callers waited at the servers that answer, and how late the last lease of each was.
fn lapse_together(
    world: &World,
    setting: &Arc<Setting>,
    leases: usize,
    one_dies: bool,
) -> (WaitsByVerb, Vec<(u64, Duration)>) {
    let executor = &setting.executor;
    executor.run_until(1000);
    let operators = Arc::clone(&world.operators);
    executor.block_on(Whose::World, async move {
        operators.set_up().await;
        write_roles(&operators).await;
    });
    let issued_from = executor.now();
    issue_all(world, setting, leases);

    // Drawn in both worlds, so that they are the same until then.
    let dead = Arc::clone(&world.operators.servers[*setting.dice.one_of(&[0, 3])]);
    let mood = *setting.dice.one_of(&[Mood::Down, Mood::Hanging]);
    if one_dies {
        dead.set_mood(mood);
    }
    executor.run_until(issued_from + millis(TERM) - millis(MEASURED_BEFORE));
    let waits = measure(world, setting, dead.number);
    executor.run_until(executor.now() + millis(TERM_MAX + LATE_MAX));
    let others = world.operators.servers.iter().filter(|server| server.number != dead.number);
    let lates = others.clone().map(|server| {
        let late = Duration::from_millis(world.site.judge.late_most(server.number));
        (server.number, late)
    });
    for server in others.filter(|server| !server.all().is_empty()) {
        let left = server.all();
        let what = format!("{} leases wait for another server than theirs", left.len());
        setting.broken(7, left[0], what);
    }
    (waits, lates.collect())
}

fn issue_all(world: &World, setting: &Arc<Setting>, leases: usize) {
    let crowd = Arc::clone(&world.crowd);
    let machine = Arc::clone(setting);
    setting.executor.block_on(Whose::World, async move {
        let issues = (0..leases).map(|number| {
            let (node, machine) = (Arc::clone(&crowd.nodes[0]), Arc::clone(&machine));
            let role = crowd.roles[number % crowd.roles.len()];
            async move {
                let request = request(&machine, ROOT);
                let issued = node.ask(|broker| {
                    Box::pin(async move { broker.issue(&request, "database/", role).await.is_ok() })
                });
                if issued.await == Ok(true) {
                    machine.counters.issued.one();
                }
            }
        });
        futures_util::stream::iter(issues).for_each_concurrent(AT_ONCE, |issue| issue).await;
    });
}

/// Lets callers work at all servers, and returns how long those waited who are not at the dead one.
fn measure(world: &World, setting: &Arc<Setting>, dead: u64) -> WaitsByVerb {
    let callers = |waits: WaitsByVerb| {
        Arc::new(Callers {
            node: Arc::clone(&world.crowd.nodes[0]),
            setting: Arc::clone(setting),
            judge: Arc::clone(&world.site.judge),
            waits: Mutex::new(waits),
            end: setting.executor.now() + millis(MEASURED_FOR),
        })
    };
    let (measured, others) = (callers(WaitsByVerb::default()), callers(WaitsByVerb::default()));
    let mut at_work = Vec::new();
    for role in &world.crowd.roles {
        let is_dead = role.starts_with("other") == (dead == 3);
        for _ in 0..CALLERS / 2 {
            let callers = if is_dead { &others } else { &measured };
            at_work.push(Arc::clone(callers).work(role));
        }
    }
    let all = futures_util::future::join_all(at_work);
    setting.executor.block_on(Whose::World, async move { drop(all.await) });
    measured.waits.lock().clone()
}

impl Callers {
    /// One of them: borrows, renews, gives back.
    async fn work(self: Arc<Self>, role: &'static str) {
        let executor = &self.setting.executor;
        while executor.now() < self.end {
            executor.sleep(self.setting.dice.span(Duration::ZERO, PAUSE_MAX)).await;
            let request = || request(&self.setting, ROOT);
            let asked = request();
            let issue = self.node.ask(|broker| {
                Box::pin(async move {
                    broker.issue(&asked, "database/", role).await.map(|issued| issued.lease_id)
                })
            });
            let Some(lease_id) = self.timed(issue, |waits| &mut waits.issue).await else {
                continue;
            };
            self.setting.counters.issued.one();
            let id = lease_id.rsplit('/').next().and_then(|id| id.parse::<LeaseId>().ok());
            let lease = id.unwrap();
            let (asked, id, judge) = (request(), lease_id.clone(), Arc::clone(&self.judge));
            let renewal = self.node.ask(|broker| {
                Box::pin(async move {
                    judge.asks_for_more(lease, &asked.asked.id);
                    let renewed = broker.renew(&asked, &id, None).await;
                    judge.renewal_is_answered(lease, &asked.asked.id, renewed)
                })
            });
            if self.timed(renewal, |waits| &mut waits.renew).await.is_some() {
                self.setting.counters.renewed.one();
            }
            self.judge.unwant(lease);
            let asked = request();
            let revocation = self.node.ask(|broker| {
                Box::pin(async move { broker.revoke(&asked, &lease_id, Until::Settled).await })
            });
            if self.timed(revocation, |waits| &mut waits.revoke).await.is_some() {
                self.setting.counters.revoked_by_callers.one();
            }
        }
    }

    /// Waits for an answer, and notes for how long. `None` if it is an error, which is a wait as well.
    async fn timed<T, E>(
        &self,
        answer: impl Future<Output = Result<Result<T, E>, futures_channel::oneshot::Canceled>>,
        of: impl Fn(&mut WaitsByVerb) -> &mut Waits,
    ) -> Option<T> {
        let began = self.setting.executor.now();
        let answer = answer.await;
        let wait = Duration::from_millis(self.setting.executor.now() - began);
        of(&mut self.waits.lock()).note(wait);
        answer.ok()?.ok()
    }
}

/// All leases have the same term.
async fn write_roles(operators: &Operators) {
    for role in &operators.crowd.roles {
        let target = if role.starts_with("other") { "other" } else { "app" };
        let write = RoleWrite {
            mount: "database/".into(),
            name: (*role).to_owned(),
            target: Some(target.to_owned()),
            default_ttl: Some(TERM),
            max_ttl: Some(TERM_MAX),
            ..RoleWrite::default()
        };
        let request = request(&operators.crowd.site.setting, ROOT);
        let written = operators.crowd.nodes[0].ask(|broker| {
            Box::pin(async move { broker.write_role(&request, write).await.is_ok() })
        });
        assert_eq!(written.await, Ok(true), "nothing goes wrong in this world");
    }
}

/// Draws a seed of a crowded world from one of another.
pub fn seed_of(seed: u64) -> u64 {
    Dice::new(seed).seed()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap()
}
